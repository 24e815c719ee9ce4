import { type Command, Option } from "commander";
import type { WaitState } from "../../core/api/strata.ts";
import type { Cli } from "../cli.ts";
import { command } from "../command.ts";
import { parseTimeout } from "./launch.ts";
import { chosenNames } from "./lifecycle.ts";

const STATES: readonly WaitState[] = ["running", "stopped", "address", "ssh", "cloud-init"];

export function waitCommand(cli: Cli): Command {
  return command(
    "wait",
    "wait until instances are in a state",
    "wait web db",
    "wait --for stopped --timeout 60 web",
  )
    .argument("[names...]", "instances to wait for (default: the primary instance)")
    .addOption(
      new Option("--for <state>", "what to wait for").choices([...STATES]).default("ssh" satisfies WaitState),
    )
    .option("--timeout <seconds>", "how long to wait for all of them (default: 300)")
    .action(async (given: string[], options: { for: WaitState; timeout?: string }) => {
      const timeout = parseTimeout(options.timeout);
      const strata = await cli.strata();
      const names = await chosenNames(strata, given, false);
      await strata.instances.wait(names, {
        for: options.for,
        ...(timeout === undefined ? {} : { timeout }),
        ...cli.call,
      });
    });
}
