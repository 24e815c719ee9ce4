import type { Command } from "commander";
import type { GuestPath, HostPath } from "../../core/api/strata.ts";
import { checkInstanceName } from "../../core/snapshots/names.ts";
import { failure } from "../../errors.ts";
import type { Cli } from "../cli.ts";
import { command } from "../command.ts";

/** Standard input as a source, standard output as a target. */
const STREAM = "-";

export function transferCommand(cli: Cli): Command {
  return command(
    "transfer",
    "copy files between this host and instances",
    "transfer report.txt web:",
    "transfer --recursive --parents site/ web:/srv/www",
    "transfer 'web:/var/log/*.log' db:notes .",
    "transfer web:dump.sql - | less",
  )
    .alias("copy-files")
    .usage("[options] <source>... <destination>")
    .argument("[paths...]", "sources and a destination: NAME:PATH, a path on this host, or - for a stream")
    .option("-r, --recursive", "copy folders and their contents")
    .option("-p, --parents", "create missing folders of the destination")
    .action(async (paths: string[], options: { recursive?: boolean; parents?: boolean }) => {
      const target = paths.at(-1);
      if (target === undefined || paths.length < 2) {
        throw failure("USAGE", { reason: "give one or more sources and a destination" });
      }
      const { stdin, stdout } = cli.io;
      const sources = paths
        .slice(0, -1)
        .map((path) => (path === STREAM ? { stream: stdin as AsyncIterable<Uint8Array> } : parseEnd(path)));
      const to = target === STREAM ? { stream: stdout } : parseEnd(target);
      try {
        const guests = cli.farGuests ?? (await cli.strata()).guest;
        await guests.transfer(sources, to, { ...options, ...cli.call });
      } finally {
        // Input that is no longer read must not keep the process alive.
        if (paths.includes(STREAM) && "destroy" in stdin) {
          stdin.destroy();
        }
      }
    });
}

/** Reads `NAME:PATH` or a path of this host. A host's path with a colon is written `./a:b`. */
function parseEnd(text: string): GuestPath | HostPath {
  const at = text.indexOf(":");
  if (at === -1 || text.slice(0, at).includes("/")) {
    return { path: text };
  }
  const instance = text.slice(0, at);
  checkInstanceName(instance);
  return { instance, path: text.slice(at + 1) };
}
