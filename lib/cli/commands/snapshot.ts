import type { Command } from "commander";
import type { RestorePlan, Strata, TakeOptions } from "../../core/api/strata.ts";
import { asSnapshotRef } from "../../core/snapshots/ref.ts";
import { failure } from "../../errors.ts";
import { defined } from "../../util/defined.ts";
import { quote } from "../../util/quote.ts";
import type { Cli } from "../cli.ts";
import { collect, command } from "../command.ts";
import { printable } from "../format/cell.ts";
import { canAsk, confirm, write } from "../io.ts";

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
  )
    .argument("<instance>", "stopped or running instance")
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
    .action(async (instance: string, options: SnapshotFlags) => {
      const { name, comment = options.c, exclude } = options;
      const consistency = consistencyOf(options);
      const strata = await cli.strata();
      await requireOwnRef(strata, instance, name);
      const taken = await strata.snapshots.take(instance, {
        ...defined({ name, comment, exclude, stop: options.stop }),
        ...consistency,
        ...cli.call,
      });
      cli.progress.clear();
      await write(cli.io, `Snapshot taken: ${taken}\n`);
    });
}

/** What an option asks for; the state of the instance says the rest. */
function consistencyOf({ quiesce, memory, stop }: SnapshotFlags): Pick<TakeOptions, "consistency"> {
  if ([quiesce, memory, stop].filter((each) => each === true).length > 1) {
    throw failure("USAGE", { reason: "give one of --quiesce, --memory and --stop" });
  }
  if (quiesce === true) {
    return { consistency: "files" };
  }
  return memory === true ? { consistency: "memory" } : {};
}

/** Rejects a name with which INSTANCE.SNAPSHOT would mean an instance that was adopted under its dotted name. */
async function requireOwnRef(strata: Strata, instance: string, name: string | undefined): Promise<void> {
  if (name !== undefined && (await strata.resolve(`${instance}.${name}`)).snapshot === undefined) {
    const reason = `there is an instance "${instance}.${name}"`;
    throw failure("INVALID_VALUE", { what: "the name", value: name, reason });
  }
}

interface RestoreFlags {
  destructive?: true;
  diskOnly?: true;
  start?: boolean;
}

export function restoreCommand(cli: Cli): Command {
  return command(
    "restore",
    [
      "restore an instance from a snapshot",
      "restore an instance to a snapshot; one that runs is started again",
    ],
    "restore web.clean",
    "restore --destructive --no-start web.clean",
  )
    .argument("<instance.snapshot>", "instance and the snapshot to restore")
    .option("-d, --destructive", "discard the current state without asking")
    .option("--disk-only", "leave the memory of the snapshot alone, so that the guest boots")
    .option("--start", "start the instance afterwards, also if it does not run now")
    .option("--no-start", "do not start the instance again")
    .action(async (text: string, { destructive, diskOnly, start }: RestoreFlags) => {
      const strata = await cli.strata();
      const ref = asSnapshotRef(await strata.resolve(text), text);
      const question = `Do you want to take a snapshot of ${ref.instance} before discarding its current state? (Yes/no)`;
      const asks = destructive !== true;
      const chosen = defined({ diskOnly, start });
      // If the snapshot cannot be restored, say so before asking.
      const plan = asks ? await strata.snapshots.checkRestore(ref, chosen) : undefined;
      if (asks && !canAsk(cli.io)) {
        throw failure("CONFIRMATION_REQUIRED", { what: "restore", option: "--destructive" });
      }
      const shown = plan?.disks ?? [];
      await tell(cli, [...shown.map(({ detail }) => detail), ...stopOf(ref.instance, plan, start)]);
      const saveFirst = asks && (await confirm(cli, question, true));
      const options = { ...chosen, saveFirst, shown, ...cli.call };
      const { saved, resumes } = await strata.snapshots.restore(ref, options);
      cli.progress.clear();
      if (saved !== null) {
        await write(cli.io, `Snapshot taken: ${saved}\n`);
      }
      await write(cli.io, `Snapshot restored: ${ref}\n`);
      if (resumes) {
        cli.note(`"${ref.instance}" is suspended; \`strata start ${quote(ref.instance)}\` resumes it.`);
      }
    });
}

/** What a restore does with an instance that runs, before it is asked for. */
function stopOf(instance: string, plan: RestorePlan | undefined, start = true): string[] {
  if (plan?.running !== true) {
    return [];
  }
  return [`"${instance}" is running: its power is cut${start ? ", and it is started again" : ""}`];
}

/** Writes sentences, each on a line of its own. */
async function tell(cli: Cli, sentences: readonly string[]): Promise<void> {
  for (const each of sentences) {
    await write(cli.io, `${printable(each.charAt(0).toUpperCase() + each.slice(1))}.\n`);
  }
}
