import { join } from "node:path";
import { isatty } from "node:tty";
import { failure } from "../errors.ts";
import { type Address, isAddress, parseAddress } from "../remote/address.ts";
import { connectTo, runStrata } from "../remote/run.ts";
import { findContext, readContexts } from "../settings/contexts.ts";
import { defaultFolders } from "../settings/folders.ts";
import { nearDetail } from "../util/nearest.ts";
import type { Cli } from "./cli.ts";
import type { FarCommand } from "./far-command.ts";

/** Runs a command line on another host, as if it were typed there. */
export async function forward({ io, call, exit }: Cli, far: FarCommand): Promise<void> {
  const { env } = io;
  const address = await addressOf(far.host, env);
  const terminal = [0, 1, 2].every((stream) => isatty(stream));
  const connection = await connectTo(far.host, address, { env, ask: true, signal: call.signal });
  const words = [...(env.NO_COLOR ? ["--no-color"] : []), ...far.words];
  exit(
    await runStrata(connection, words, {
      terminal,
      input: readsInput(far),
      stderr: io.stderr,
      signal: call.signal,
    }),
  );
}

/** The address of a context, or the one that is named. */
export async function addressOf(host: string, env: NodeJS.ProcessEnv): Promise<Address> {
  if (isAddress(host)) {
    return parseAddress(host);
  }
  const contexts = await readContexts(contextsPath(env));
  const found = findContext(contexts, host);
  if (found === undefined) {
    const near = await nearDetail(host, () => Object.keys(contexts));
    throw failure("CONTEXT_NOT_FOUND", { name: host, ...near });
  }
  return parseAddress(found);
}

export function contextsPath(env: NodeJS.ProcessEnv): string {
  return join(defaultFolders(env).config, "contexts.json");
}

/** Commands that never read standard input without a terminal. Of all others, aliases among them, it is not known. */
const SILENT: readonly string[] = [
  "adopt",
  "alias",
  "aliases",
  "clone",
  "delete",
  "df",
  "disk",
  "doctor",
  "events",
  "find",
  "image",
  "info",
  "inventory",
  "list",
  "logs",
  "ls",
  "mount",
  "move",
  "networks",
  "optimize",
  "plugins",
  "port",
  "prefer",
  "purge",
  "recover",
  "release",
  "rename",
  "restart",
  "restore",
  "snapshot",
  "ssh-config",
  "start",
  "stop",
  "suspend",
  "umount",
  "unalias",
  "version",
  "wait",
];

/** Whether the command may read standard input: what ssh has read of it is lost to the next program. */
function readsInput({ command, words }: FarCommand): boolean {
  const end = words.indexOf("--");
  const options = end === -1 ? words : words.slice(0, end);
  return !SILENT.includes(command) && !options.includes("--no-stdin");
}
