import type { Command } from "commander";
import type { Strata, TakeGroupOptions, TakeOptions } from "../../core/api/strata.ts";
import { checkEach } from "../../errors/check-each.ts";
import { failure } from "../../errors.ts";
import { defined } from "../../util/defined.ts";
import type { Cli } from "../cli.ts";
import { collect, command } from "../command.ts";
import { write } from "../io.ts";

interface SnapshotFlags {
  name?: string;
  comment?: string;
  c?: string;
  exclude?: string[];
  quiesce?: true;
  memory?: true;
  stop?: true;
}

export function snapshotCommand(cli: Cli): Command {
  return command(
    "snapshot",
    [
      "take a snapshot of an instance",
      "take a snapshot of a stopped or running instance, which goes on running",
    ],
    'snapshot web --name clean --comment "before the upgrade"',
    "snapshot --memory web",
    "snapshot db --exclude vdb",
    "snapshot web db cache --name before-upgrade",
  )
    .argument("<instances...>", "stopped or running instances; of several, snapshots are taken at one moment")
    .option("-n, --name <name>", "name of the snapshot (default: snapshotN)")
    .option("-m, --comment <text>", "comment on the snapshot")
    .option("-c <text>", "same as --comment")
    .option(
      "--exclude <disk>",
      "leave this disk out, of all later snapshots too, as `disk exclude` does (repeatable)",
      collect,
    )
    .option("--quiesce", "have the guest's agent freeze the file systems of a running instance meanwhile")
    .option("--memory", "save the memory of a running instance too, so that a restore resumes it there")
    .option("--stop", "shut a running instance down before, and start it again afterwards")
    .action(async (instances: string[], options: SnapshotFlags) => {
      const { name, comment = options.c, exclude, stop } = options;
      const consistency = consistencyOf(options);
      const chosen = { ...defined({ name, comment, stop }), ...cli.call };
      const names = [...new Set(instances)];
      const [only = ""] = names;
      const strata = await cli.strata();
      await checkEach(names, (instance) => requireOwnRef(strata, instance, name));
      const taken =
        names.length === 1
          ? [await strata.snapshots.take(only, { ...chosen, ...defined({ exclude, consistency }) })]
          : await strata.snapshots.takeGroup(names, { ...chosen, ...ofGroup(consistency, exclude) });
      cli.progress.clear();
      await write(cli.io, taken.map((ref) => `Snapshot taken: ${ref}\n`).join(""));
    });
}

/** What can be asked for of several instances at once. */
function ofGroup(
  consistency: TakeOptions["consistency"],
  exclude: readonly string[] | undefined,
): Pick<TakeGroupOptions, "consistency"> {
  if (exclude !== undefined) {
    throw failure("USAGE", {
      reason: "--exclude is for one instance; `disk exclude` leaves a disk out before",
    });
  }
  if (consistency === "memory") {
    throw failure("USAGE", {
      reason: "--memory is for one instance: memory is not saved at one moment of several",
    });
  }
  return defined({ consistency });
}

/** What an option asks for; the state of the instance says the rest. */
function consistencyOf({ quiesce, memory, stop }: SnapshotFlags): "files" | "memory" | undefined {
  if ([quiesce, memory, stop].filter((each) => each === true).length > 1) {
    throw failure("USAGE", { reason: "give one of --quiesce, --memory and --stop" });
  }
  if (quiesce === true) {
    return "files";
  }
  return memory === true ? "memory" : undefined;
}

/** Rejects a name with which INSTANCE.SNAPSHOT would mean an instance that was adopted under its dotted name. */
async function requireOwnRef(strata: Strata, instance: string, name: string | undefined): Promise<void> {
  if (name !== undefined && (await strata.resolve(`${instance}.${name}`)).snapshot === undefined) {
    const reason = `there is an instance "${instance}.${name}"`;
    throw failure("INVALID_VALUE", { what: "the name", value: name, reason });
  }
}
