import type { Command } from "commander";
import type {
  RestoredMember,
  RestoreOptions,
  RestorePlan,
  SnapshotRef,
  Strata,
} from "../../core/api/strata.ts";
import { asSnapshotRef } from "../../core/snapshots/ref.ts";
import { checkEach } from "../../errors/check-each.ts";
import { failure } from "../../errors.ts";
import { defined } from "../../util/defined.ts";
import { quote } from "../../util/quote.ts";
import type { Cli } from "../cli.ts";
import { command } from "../command.ts";
import { printable } from "../format/cell.ts";
import { canAsk, confirm, write } from "../io.ts";

interface RestoreFlags {
  destructive?: true;
  saveFirst?: true;
  diskOnly?: true;
  start?: boolean;
  group?: string;
}

export function restoreCommand(cli: Cli): Command {
  return command(
    "restore",
    [
      "restore an instance from a snapshot",
      "restore an instance to a snapshot; one that runs is started again",
    ],
    "restore web.clean",
    "restore --save-first web.clean",
    "restore --destructive --no-start web.clean",
    "restore --group before-upgrade",
  )
    .argument("[instance.snapshot]", "instance and the snapshot to restore")
    .option("--group <name>", "restore all instances whose snapshots were taken together under this name")
    .option("-d, --destructive", "discard the current state without asking")
    .option("--save-first", "take a snapshot of the current state first without asking")
    .option("--disk-only", "leave the memory of the snapshot alone, so that the guest boots")
    .option("--start", "start the instance afterwards, also if it does not run now")
    .option("--no-start", "do not start the instance again")
    .action(async (text: string | undefined, flags: RestoreFlags) => {
      if ((text === undefined) === (flags.group === undefined)) {
        throw failure("USAGE", { reason: "give INSTANCE.SNAPSHOT, or --group" });
      }
      const strata = await cli.strata();
      const wanted = await wantedOf(strata, text, flags.group);
      const options = await requestOf(cli, strata, wanted.refs, flags);
      const restored = await restore(strata, wanted, options);
      cli.progress.clear();
      await write(cli.io, restored.map(linesOf).join(""));
      for (const { snapshot, resumes } of restored) {
        if (resumes) {
          const { instance } = snapshot;
          cli.note(`"${instance}" is suspended; \`strata start ${quote(instance)}\` resumes it.`);
        }
      }
    });
}

/** What is to be restored: a snapshot, or a group by its id. */
interface Wanted {
  readonly refs: readonly SnapshotRef[];
  readonly group?: string;
}

async function wantedOf(
  strata: Strata,
  text: string | undefined,
  group: string | undefined,
): Promise<Wanted> {
  if (group !== undefined) {
    const { id, snapshots } = await strata.snapshots.findGroup(group);
    return { refs: snapshots, group: id };
  }
  const given = text ?? "";
  return { refs: [asSnapshotRef(await strata.resolve(given), given)] };
}

/** What is asked for, by the options and by the user. */
async function requestOf(
  cli: Cli,
  strata: Strata,
  refs: readonly SnapshotRef[],
  { destructive, saveFirst, diskOnly, start }: RestoreFlags,
): Promise<RestoreOptions> {
  const options = { ...defined({ diskOnly, start, saveFirst }), ...cli.call };
  if (destructive === true && saveFirst === true) {
    throw failure("USAGE", { reason: "give --destructive or --save-first, not both" });
  }
  // Of a group whose instances are all deleted there is nothing to ask; the restore says so.
  if (destructive === true || saveFirst === true || refs.length === 0) {
    return options;
  }
  // If a snapshot cannot be restored, say so before asking.
  const plans = await checkEach(refs, (ref) => strata.snapshots.checkRestore(ref, options));
  if (!canAsk(cli.io)) {
    throw failure("CONFIRMATION_REQUIRED", { what: "restore", option: "--destructive or --save-first" });
  }
  const shown = plans.flatMap(({ disks }) => disks);
  await tell(
    cli,
    plans.flatMap((plan, at) => sentencesOf(refs[at], plan, refs.length > 1, start)),
  );
  const names = refs.map(({ instance }) => instance).join(", ");
  const [snapshot, state] =
    refs.length === 1 ? ["a snapshot", "its current state"] : ["snapshots", "their current states"];
  const question = `Do you want to take ${snapshot} of ${names} before discarding ${state}? (Yes/no)`;
  return { ...options, saveFirst: await confirm(cli, question, true), shown };
}

/** What a restore does with further disks of an instance, and with one that runs. */
function sentencesOf(
  ref: SnapshotRef | undefined,
  { disks, running }: RestorePlan,
  isOneOfSeveral: boolean,
  start = true,
): string[] {
  const name = `"${ref?.instance}"`;
  const changes = disks.map(({ detail }) => (isOneOfSeveral ? `${name}: ${detail}` : detail));
  const stop = `${name} is running: its power is cut${start ? ", and it is started again" : ""}`;
  return running ? [...changes, stop] : changes;
}

/** Writes sentences, each on a line of its own. */
async function tell(cli: Cli, sentences: readonly string[]): Promise<void> {
  for (const each of sentences) {
    await write(cli.io, `${printable(each.charAt(0).toUpperCase() + each.slice(1))}.\n`);
  }
}

async function restore(
  strata: Strata,
  { refs, group }: Wanted,
  options: RestoreOptions,
): Promise<readonly RestoredMember[]> {
  if (group !== undefined) {
    return strata.snapshots.restoreGroup(group, options);
  }
  const restored: RestoredMember[] = [];
  for (const snapshot of refs) {
    restored.push({ snapshot, ...(await strata.snapshots.restore(snapshot, options)) });
  }
  return restored;
}

function linesOf({ saved, snapshot }: RestoredMember): string {
  const taken = saved === null ? "" : `Snapshot taken: ${saved}\n`;
  return `${taken}Snapshot restored: ${snapshot}\n`;
}
