import type { Command } from "commander";
import type { Strata } from "../../core/api.ts";
import { failure, isStrataError } from "../../errors.ts";
import type { Cli } from "../cli.ts";
import { command } from "../command.ts";
import { parseTimeout } from "./launch.ts";

/** Setting with the name of the instance that is meant when none is named. */
const PRIMARY = "client.primary-name";

/** The names a command is about: those given, all with `--all`, the primary instance with neither. */
export async function chosenNames(strata: Strata, names: readonly string[], all: boolean): Promise<string[]> {
  if (!all) return names.length === 0 ? [await strata.get(PRIMARY)] : [...names];
  if (names.length > 0) throw failure("USAGE", { reason: "give names or --all, not both" });
  return (await strata.list()).filter(({ state }) => state !== "Deleted").map(({ name }) => name);
}

/** Launches the primary instance if that is what is meant and it is missing. True when it did. */
export async function launchPrimary(cli: Cli, strata: Strata, names: readonly string[]): Promise<boolean> {
  const primary = await strata.get(PRIMARY);
  if (names.length !== 1 || names[0] !== primary) return false;
  if ((await strata.list()).some(({ name }) => name === primary)) return false;
  await strata.launch({ image: "debian", name: primary }, cli.call);
  return true;
}

export function startCommand(cli: Cli): Command {
  return command("start [names...]", "start instances", "start web db")
    .option("--all", "start all instances")
    .option("--timeout <seconds>", "how long to wait for each guest (default: 300)")
    .action(async (given: string[], options: { all?: boolean; timeout?: string }) => {
      const timeout = parseTimeout(options.timeout);
      const strata = await cli.strata();
      const names = await chosenNames(strata, given, options.all === true);
      if (await launchPrimary(cli, strata, names)) return;
      await strata.start(names, timeout === undefined ? {} : { timeout }, cli.call);
    });
}

export function stopCommand(cli: Cli): Command {
  return command("stop [names...]", "shut instances down", "stop web", "stop --force web")
    .option("--all", "stop all instances")
    .option("--force", "cut the power; what the guest has not written is lost")
    .action(async (given: string[], options: { all?: boolean; force?: boolean }) => {
      const strata = await cli.strata();
      const names = await chosenNames(strata, given, options.all === true);
      await strata.stop(names, { force: options.force === true }, cli.call).catch((error: unknown) => {
        // Stopping all is done when all that can be stopped is.
        if (options.all === true && isStrataError(error) && error.code === "INSTANCE_SUSPENDED") return;
        throw error;
      });
    });
}

export function restartCommand(cli: Cli): Command {
  return command("restart [names...]", "shut instances down and start them again", "restart web")
    .option("--all", "restart all running instances")
    .option("--timeout <seconds>", "how long to wait for each guest (default: 300)")
    .action(async (given: string[], options: { all?: boolean; timeout?: string }) => {
      const timeout = parseTimeout(options.timeout);
      const strata = await cli.strata();
      const names = await chosenNames(strata, given, options.all === true);
      await strata.restart(names, timeout === undefined ? {} : { timeout }, cli.call);
    });
}
