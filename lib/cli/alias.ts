import { join } from "node:path";
import type { Command } from "commander";
import type { Folders } from "../core/api/strata.ts";

/**
 * The command line with an alias replaced by its meaning. Aliases are read only if the word is not a command,
 * so commands do not get slower and cannot be overridden.
 */
export async function expandAlias(
  program: Command,
  argv: readonly string[],
  folders: Folders,
): Promise<readonly string[]> {
  const at = firstWord(program, argv);
  const word = argv[at];
  if (word === undefined || commandNames(program).has(word)) {
    return argv;
  }
  const { findAlias, readAliases } = await import("../settings/aliases.ts");
  const found = findAlias(await readAliases(join(folders.config, "aliases.json")), word);
  if (found === undefined) {
    return argv;
  }
  const { instance, command, workingDirectory } = found.alias;
  const options = workingDirectory === "default" ? ["--no-map-working-directory"] : [];
  const rest = argv.slice(argv[at + 1] === "--" ? at + 2 : at + 1);
  return [...argv.slice(0, at), "exec", ...options, instance, "--", command, ...rest];
}

/** Words that are commands. */
export function commandNames(program: Command): Set<string> {
  return new Set(["help", ...program.commands.flatMap((each) => [each.name(), ...each.aliases()])]);
}

/** Index of the first word that is neither an option nor the value of an option. */
export function firstWord(program: Command, argv: readonly string[]): number {
  for (let at = 0; at < argv.length; at++) {
    const word = argv[at] ?? "";
    if (!word.startsWith("-")) {
      return at;
    }
    const option = program.options.find(({ long, short }) => word === long || word === short);
    if (option?.required === true) {
      at += 1;
    }
  }
  return argv.length;
}
