import { isatty } from "node:tty";
import { connectTo, runStrata } from "../remote/run.ts";
import type { Cli } from "./cli.ts";
import type { FarCommand } from "./far-command.ts";
import { addressOf } from "./host-address.ts";
import { watch } from "./output.ts";

/**
 * Runs a command line on another host, as if it were typed there; resolves to its exit code, or to undefined for a
 * command that ran here. Otherwise our standard output is ssh's: to make a stream of it takes longer than the rest.
 */
export async function forward(cli: Cli, far: FarCommand): Promise<number | undefined> {
  const { io, call } = cli;
  const { env } = io;
  const address = await addressOf(far.host, env);
  const terminal = [0, 1, 2].every((stream) => isatty(stream));
  const connection = await connectTo(far.host, address, { env, ask: true, signal: call.signal });
  if (TRANSFER.includes(far.command)) {
    const { transferThere } = await import("./far-transfer.ts");
    watch(io.stdout);
    await transferThere(cli, connection, far);
    return undefined;
  }
  if (PARCELS.includes(far.command)) {
    const { carryParcel } = await import("./far-portable.ts");
    watch(io.stdout);
    const code = await carryParcel(cli, connection, far);
    if (code !== undefined) {
      return code;
    }
  }
  await using packed = await (await import("./luggage.ts")).pack(cli, connection, far);
  const words = [...(env.NO_COLOR ? ["--no-color"] : []), ...packed.words];
  return await runStrata(connection, words, {
    terminal,
    input: readsInput(far),
    stderr: io.stderr,
    signal: call.signal,
  });
}

/** Copies between there and here. */
const TRANSFER: readonly string[] = ["transfer", "copy-files"];

/** Write and read a file here. */
const PARCELS: readonly string[] = ["export", "import"];

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
  "export",
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
