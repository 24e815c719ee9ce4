import type { Command } from "commander";
import type { Cli } from "../cli.ts";
import { command } from "../command.ts";
import { write } from "../io.ts";

export function moveCommand(cli: Cli): Command {
  return command(
    "move <name> <member>",
    "move a stopped instance with its snapshots to another member of the cluster",
    "move web node2",
  ).action(async (name: string, member: string) => {
    await (await cli.strata()).move(name, member, cli.call);
    cli.progress.clear();
    await write(cli.io, `Moved: ${name} to ${member}\n`);
  });
}
