import type { ExecOptions } from "../engine/contract.ts";
import { quote } from "../util/quote.ts";

/**
 * The single string that ssh takes as a command: argv quoted word by word, in a folder and as a user if these
 * are given. Empty argv is the login shell.
 */
export function commandLine(
  argv: readonly string[],
  options: Pick<ExecOptions, "cwd" | "user"> = {},
): string {
  const user = options.user === undefined ? [] : ["sudo", "-n", "-H", "-u", options.user, "--"];
  const words = [...user, ...argv].map(quote).join(" ");
  const command =
    argv.length === 0 ? `${user.map(quote).join(" ")} "\${SHELL:-/bin/sh}" -l`.trimStart() : words;
  return options.cwd === undefined ? command : `cd -- ${quote(options.cwd)} && exec ${command}`;
}
