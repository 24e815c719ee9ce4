import type { Command } from "commander";
import type { Cli } from "../cli.ts";
import { command } from "../command.ts";
import { write } from "../io.ts";

export function diskEjectCommand(cli: Cli): Command {
  return command(
    "eject",
    [
      "take a CD or floppy out of its drive",
      "take what is in a CD or floppy drive out of it, such as an installer",
    ],
    "disk eject web",
    "disk eject web sda",
  )
    .argument("<instance>", "instance, running or not")
    .argument("[drive]", "name of the drive, such as sda (default: the only one with a medium)")
    .action(async (name: string, wanted: string | undefined) => {
      const { instances } = await cli.strata();
      const drive = await instances.eject(name, {
        ...(wanted === undefined ? {} : { drive: wanted }),
        ...cli.call,
      });
      cli.progress.clear();
      await write(cli.io, `Ejected: ${drive} of ${name}\n`);
    });
}
