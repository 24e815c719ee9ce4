import type { Command } from "commander";
import type { Cli } from "../cli.ts";
import { command } from "../command.ts";
import { write } from "../io.ts";

export function moveCommand(cli: Cli): Command {
  return command(
    "move",
    [
      "move an instance to another cluster member",
      "move a stopped instance and its snapshots to another cluster member",
    ],
    "move web node2",
  )
    .argument("<name>", "instance to move")
    .argument("<member>", "cluster member to move it to")
    .action(async (name: string, member: string) => {
      await (await cli.strata()).instances.move(name, member, cli.call);
      cli.progress.clear();
      await write(cli.io, `Moved: ${name} to ${member}\n`);
    });
}
