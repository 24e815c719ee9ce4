import type { Command } from "commander";
import type { Cli } from "../cli.ts";
import { command } from "../command.ts";
import { write } from "../io.ts";

export function cloneCommand(cli: Cli): Command {
  return command(
    "clone",
    ["clone an instance", "create an independent copy of a stopped instance"],
    "clone web --name web2",
  )
    .argument("<name>", "instance to copy")
    .option("-n, --name <name>", "name of the copy (default: NAME-cloneN)")
    .action(async (original: string, options: { name?: string }) => {
      const { name } = await (await cli.strata()).instances.clone(original, { ...options, ...cli.call });
      cli.progress.clear();
      await write(cli.io, `Cloned from ${original} to ${name}.\n`);
    });
}
