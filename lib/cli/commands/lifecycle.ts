import type { Command } from "commander";
import type { EachOptions, InstanceState, StopOptions, Strata } from "../../core/api/strata.ts";
import { failure } from "../../errors.ts";
import type { Cli } from "../cli.ts";
import { command } from "../command.ts";
import { write } from "../io.ts";
import { launchOrBuild } from "../launching.ts";
import { parseTimeout } from "./launch.ts";

/** Setting with the name of the instance to use when none is named. */
const PRIMARY = "client.primary-name";

/**
 * The names for a command: those given; with `--all` all but those in some states; the primary instance with
 * neither.
 */
export async function chosenNames(
  strata: Strata,
  names: readonly string[],
  all: boolean,
  but: readonly InstanceState[] = ["Deleted"],
): Promise<string[]> {
  if (!all && names.length > 0) {
    return [...names];
  }
  if (!all) {
    const primary = await strata.settings.get(PRIMARY);
    if (primary !== "") {
      return [primary];
    }
    throw failure("USAGE", { reason: `give a name: ${PRIMARY} is empty, so there is no primary instance` });
  }
  if (names.length > 0) {
    throw failure("USAGE", { reason: "give names or --all, not both" });
  }
  return (await strata.instances.list()).filter(({ state }) => !but.includes(state)).map(({ name }) => name);
}

/**
 * With `--all`, an instance that has disappeared by its turn is not an error, since the user did not name it.
 */
export function callOn({ call }: Cli, all: boolean | undefined): EachOptions {
  return all === true ? { ...call, skipMissing: true } : call;
}

/** Launches the primary instance if it is used and does not exist. True if it did. */
export async function launchPrimary(
  cli: Cli,
  strata: Strata,
  names: readonly string[],
  waiting: { readonly timeout?: number } = {},
): Promise<boolean> {
  const primary = await strata.settings.get(PRIMARY);
  if (names.length !== 1 || names[0] !== primary) {
    return false;
  }
  if ((await strata.instances.list()).some(({ name }) => name === primary)) {
    return false;
  }
  await launchOrBuild(cli, strata, { image: "default", name: primary, ...waiting });
  cli.progress.clear();
  // The command did not ask for a launch, so this is only shown to people.
  if (cli.io.stdout.isTTY === true) {
    await write(cli.io, `Launched: ${primary}\n`);
  }
  return true;
}

export function startCommand(cli: Cli): Command {
  return command("start", "start instances", "start web db")
    .argument("[names...]", "instances to start (default: the primary instance)")
    .option("--all", "start all instances")
    .option("--timeout <seconds>", "how long to wait for each guest (default: 300)")
    .action(async (given: string[], options: { all?: boolean; timeout?: string }) => {
      const timeout = parseTimeout(options.timeout);
      const strata = await cli.strata();
      const names = await chosenNames(strata, given, options.all === true);
      const waiting = timeout === undefined ? {} : { timeout };
      if (await launchPrimary(cli, strata, names, waiting)) {
        return;
      }
      await strata.instances.start(names, { ...waiting, ...callOn(cli, options.all) });
    });
}

export function stopCommand(cli: Cli): Command {
  return command(
    "stop",
    ["stop running instances", "shut instances down"],
    "stop web",
    "stop --time 10 web",
    "stop --force web",
  )
    .argument("[names...]", "instances to stop (default: the primary instance)")
    .option("--all", "stop all instances")
    .option("-t, --time <minutes>", "shut down after this time; the guest warns its users")
    .option("-c, --cancel", "cancel a delayed shutdown")
    .option("--force", "cut the power; unwritten data and suspended memory are lost")
    .action(async (given: string[], options: StopFlags) => {
      const request = stopRequest(options);
      const strata = await cli.strata();
      const names = await chosenNames(strata, given, options.all === true);
      await strata.instances.stop(names, { ...request, ...callOn(cli, options.all) });
    });
}

interface StopFlags {
  all?: boolean;
  time?: string;
  cancel?: boolean;
  force?: boolean;
}

function stopRequest({ time, cancel, force }: StopFlags): StopOptions {
  if ([time, cancel, force].filter((each) => each !== undefined).length > 1) {
    throw failure("USAGE", { reason: "give one of --time, --cancel and --force" });
  }
  if (time === undefined) {
    return { cancel: cancel === true, force: force === true };
  }
  const [, minutes] = /^\+?(\d{1,6})$/.exec(time) ?? [];
  if (minutes === undefined) {
    throw failure("INVALID_VALUE", {
      what: "--time",
      value: time,
      reason: "must be a whole number of minutes; 0 means now",
    });
  }
  return { after: Number(minutes) * 60_000 };
}

export function suspendCommand(cli: Cli): Command {
  return command(
    "suspend",
    ["suspend running instances", "save the memory of instances and stop them"],
    "suspend web",
  )
    .argument("[names...]", "instances to suspend (default: the primary instance)")
    .option("--all", "suspend all running instances")
    .action(async (given: string[], options: { all?: boolean }) => {
      const strata = await cli.strata();
      const names = await chosenNames(strata, given, options.all === true);
      await strata.instances.suspend(names, callOn(cli, options.all));
    });
}

/** `restart --all` is for running instances and leaves those in these states alone. */
const IDLE = ["Deleted", "Stopped", "Suspended"] as const;

export function restartCommand(cli: Cli): Command {
  return command("restart", ["restart instances", "shut instances down and start them again"], "restart web")
    .argument("[names...]", "instances to restart (default: the primary instance)")
    .option("--all", "restart all running instances")
    .option("--timeout <seconds>", "how long to wait for each guest (default: 300)")
    .action(async (given: string[], options: { all?: boolean; timeout?: string }) => {
      const timeout = parseTimeout(options.timeout);
      const strata = await cli.strata();
      const names = await chosenNames(strata, given, options.all === true, IDLE);
      await strata.instances.restart(names, {
        ...(timeout === undefined ? {} : { timeout }),
        ...callOn(cli, options.all),
      });
    });
}
