import type { Command } from "commander";
import { parseSnapshotRef } from "../../core/snapshots/ref.ts";
import { failure } from "../../errors.ts";
import type { Cli } from "../cli.ts";
import { command } from "../command.ts";
import { canAsk, confirm, write } from "../io.ts";

export function snapshotCommand(cli: Cli): Command {
  return command(
    "snapshot",
    ["take a snapshot of an instance", "take a snapshot of a stopped instance"],
    'snapshot web --name clean --comment "before the upgrade"',
  )
    .argument("<instance>", "stopped instance")
    .option("-n, --name <name>", "name of the snapshot (default: snapshotN)")
    .option("-m, --comment <text>", "comment on the snapshot")
    .option("-c <text>", "same as --comment")
    .action(async (instance: string, options: { name?: string; comment?: string; c?: string }) => {
      const { name, comment = options.c } = options;
      const request = {
        ...(name === undefined ? {} : { name }),
        ...(comment === undefined ? {} : { comment }),
      };
      const taken = await (await cli.strata()).snapshots.take(instance, { ...request, ...cli.call });
      cli.progress.clear();
      await write(cli.io, `Snapshot taken: ${taken}\n`);
    });
}

export function restoreCommand(cli: Cli): Command {
  return command(
    "restore",
    ["restore an instance from a snapshot", "restore a stopped instance to a snapshot"],
    "restore --destructive web.clean",
  )
    .argument("<instance.snapshot>", "instance and the snapshot to restore")
    .option("-d, --destructive", "discard the current state without asking")
    .action(async (text: string, options: { destructive?: boolean }) => {
      const ref = parseSnapshotRef(text);
      const strata = await cli.strata();
      const question = `Do you want to take a snapshot of ${ref.instance} before discarding its current state? (Yes/no)`;
      const asks = options.destructive !== true;
      // If the snapshot cannot be restored, say so before asking.
      if (asks) {
        await strata.snapshots.checkRestore(ref);
      }
      if (asks && !canAsk(cli.io)) {
        throw failure("CONFIRMATION_REQUIRED", { what: "restore", option: "--destructive" });
      }
      const saveFirst = asks && (await confirm(cli, question, true));
      const { saved } = await strata.snapshots.restore(ref, { saveFirst, ...cli.call });
      cli.progress.clear();
      if (saved !== null) {
        await write(cli.io, `Snapshot taken: ${saved}\n`);
      }
      await write(cli.io, `Snapshot restored: ${ref}\n`);
    });
}
