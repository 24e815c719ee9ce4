import type { Command } from "commander";
import type { Ref, Strata } from "../../core/api/strata.ts";
import { sayDeleted } from "../../core/snapshots/missing.ts";
import { checkEach } from "../../errors/check-each.ts";
import { failure } from "../../errors.ts";
import type { Cli } from "../cli.ts";
import { command } from "../command.ts";
import { canAsk, confirm, write } from "../io.ts";
import { callOn, chosenNames } from "./lifecycle.ts";

interface DeleteFlags {
  all?: boolean;
  group?: string;
  purge?: boolean;
  yes?: boolean;
}

function checkRequest(names: readonly string[], { all, group }: DeleteFlags): void {
  if (group !== undefined && (names.length > 0 || all === true)) {
    throw failure("USAGE", { reason: "give --group alone, or names, or --all" });
  }
  if (group === undefined && names.length === 0 && all !== true) {
    throw failure("USAGE", { reason: "give the names of instances or snapshots, or --all, or --group" });
  }
}

async function refsOf(
  cli: Cli,
  strata: Strata,
  names: readonly string[],
  { all, group }: DeleteFlags,
): Promise<readonly Ref[]> {
  if (group === undefined) {
    const chosen = all === true ? await chosenNames(strata, names, true) : names;
    return checkEach(chosen, (text) => strata.resolve(text));
  }
  const { snapshots, deleted } = await strata.snapshots.findGroup(group);
  // Where all of them are deleted, that is the error.
  if (snapshots.length === 0) {
    return deleted;
  }
  sayDeleted(deleted, cli.call);
  return snapshots;
}

export function deleteCommand(cli: Cli): Command {
  return command(
    "delete",
    ["delete instances and snapshots", "delete instances (recoverable) or snapshots (permanently)"],
    "delete web",
    "delete --purge web.snapshot1",
    "delete --purge --group before-upgrade",
  )
    .argument("[names...]", "instances, or snapshots as INSTANCE.SNAPSHOT")
    .option("--all", "delete all instances")
    .option("--group <name>", "delete all snapshots that were taken together under this name")
    .option(
      "-p, --purge",
      "delete permanently, without the recoverable state; required to delete snapshots non-interactively",
    )
    .option("-y, --yes", `with --all and --purge: ${YES}`)
    .action(async (names: string[], options: DeleteFlags) => {
      checkRequest(names, options);
      const strata = await cli.strata();
      const refs = await refsOf(cli, strata, names, options);
      const snapshots = refs.filter(({ snapshot }) => snapshot !== undefined);
      const purge = options.purge === true;
      const call = { purge, ...callOn(cli, options.all) };
      if (snapshots.length > 0 && !purge) {
        await strata.checkDelete(refs, call);
        if (!(await agreedToLose(cli, snapshots.join(", ")))) {
          return;
        }
      }
      const allForGood = purge && options.all === true && refs.length > 0;
      const all = refs.map(({ instance }) => instance);
      if (allForGood && !(await agreed(cli, options, all))) {
        return;
      }
      await strata.delete(refs, call);
    });
}

export function recoverCommand(cli: Cli): Command {
  return command(
    "recover",
    ["recover deleted instances", "recover deleted instances, or one that the engine no longer knows"],
    "recover web",
    "recover --from /var/lib/libvirt/images/strata/instances/3c5f0f6e-7a4e-4f8e-9a55-0d9b6c1f2a10",
  )
    .argument("[names...]", "deleted instances")
    .option("--all", "recover all deleted instances")
    .option("--from <folder>", "recover an instance that the engine no longer knows from its folder")
    .action(async (names: string[], options: { all?: boolean; from?: string }) => {
      const named = names.length > 0 || options.all === true;
      if (options.from !== undefined && named) {
        throw failure("USAGE", { reason: "give --from, or names or --all, not both" });
      }
      if (options.from === undefined && !named) {
        throw failure("USAGE", { reason: "give the names of deleted instances, or --all" });
      }
      const strata = await cli.strata();
      if (options.from !== undefined) {
        const { name } = await strata.instances.recoverFrom(options.from, cli.call);
        cli.progress.clear();
        await write(cli.io, `Recovered: ${name}\n`);
        return;
      }
      const deleted = async () =>
        (await strata.instances.list()).filter(({ state }) => state === "Deleted").map(({ name }) => name);
      await strata.instances.recover(
        options.all === true ? await deleted() : names,
        callOn(cli, options.all),
      );
    });
}

export function purgeCommand(cli: Cli): Command {
  return command(
    "purge",
    ["purge all deleted instances permanently", "permanently remove all deleted instances"],
    "purge",
    "purge --yes",
  )
    .option("-y, --yes", YES)
    .action(async (options: { yes?: boolean }) => {
      const strata = await cli.strata();
      const deleted = (await strata.instances.list()).filter(({ state }) => state === "Deleted");
      const names = deleted.map(({ name }) => name);
      if (names.length > 0 && !(await agreed(cli, options, names))) {
        return;
      }
      const removed = await strata.instances.purge({ only: names, ...cli.call });
      cli.progress.clear();
      for (const name of removed) {
        await write(cli.io, `Purged: ${name}\n`);
      }
    });
}

const YES = "do not ask on a terminal";

/** Asks whether snapshots may be deleted; rejects with CONFIRMATION_REQUIRED if there is no terminal to ask on. */
async function agreedToLose(cli: Cli, snapshots: string): Promise<boolean> {
  if (!canAsk(cli.io)) {
    throw failure("CONFIRMATION_REQUIRED", { what: "deleting a snapshot", option: "--purge" });
  }
  return confirm(cli, `Deleted snapshots cannot be recovered. Delete ${snapshots}? (yes/No)`, false);
}

/** Asks, on a terminal and unless --yes is given, whether instances may go for good; elsewhere scripts know what they do. */
async function agreed(cli: Cli, { yes }: { yes?: boolean }, names: readonly string[]): Promise<boolean> {
  if (yes === true || !canAsk(cli.io)) {
    return true;
  }
  const question = `Purged instances and their snapshots cannot be recovered. Purge ${names.join(", ")}? (yes/No)`;
  return confirm(cli, question, false);
}
