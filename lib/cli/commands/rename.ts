import type { Command } from "commander";
import { failure } from "../../errors.ts";
import type { Cli } from "../cli.ts";
import { command } from "../command.ts";
import { write } from "../io.ts";

export function renameCommand(cli: Cli): Command {
  return command(
    "rename",
    ["rename an instance or a snapshot", "give a stopped instance, or a snapshot, another name"],
    "rename web www",
    "rename web.snapshot1 clean",
  )
    .argument("<name>", "stopped instance, or a snapshot as INSTANCE.SNAPSHOT")
    .argument("<new-name>", "its new name; of a snapshot, with or without INSTANCE. before it")
    .action(async (from: string, to: string) => {
      const strata = await cli.strata();
      const { instance, snapshot } = await strata.resolve(from);
      if (snapshot === undefined) {
        await strata.instances.rename(instance, to, cli.call);
      } else {
        await strata.snapshots.rename({ instance, snapshot }, snapshotName(instance, to), cli.call);
      }
      cli.progress.clear();
      await write(cli.io, `Renamed: ${from} to ${to}\n`);
    });
}

/** The new name of a snapshot, which stays in its instance. */
function snapshotName(instance: string, to: string): string {
  if (!to.includes(".")) {
    return to;
  }
  const name = to.startsWith(`${instance}.`) ? to.slice(instance.length + 1) : "";
  if (name === "" || name.includes(".")) {
    const reason = `"${to}" must be a name, or ${instance}.NAME: a snapshot stays in its instance`;
    throw failure("USAGE", { reason });
  }
  return name;
}
