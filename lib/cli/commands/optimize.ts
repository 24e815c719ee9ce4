import type { Command } from "commander";
import type { Strata } from "../../core/api/strata.ts";
import { failure } from "../../errors.ts";
import { formatSize } from "../../size/format.ts";
import type { Cli } from "../cli.ts";
import { command } from "../command.ts";
import { write } from "../io.ts";
import { callOn, chosenNames } from "./lifecycle.ts";

export function optimizeCommand(cli: Cli): Command {
  return command(
    "optimize",
    [
      "make disks with many snapshots fast to read",
      "make disks with many snapshots as fast to read as disks with one",
    ],
    "optimize web",
    "optimize --all",
  )
    .argument("[names...]", "stopped instances")
    .option("--all", "optimize all stopped instances")
    .action(async (given: string[], options: { all?: boolean }) => {
      if (given.length === 0 && options.all !== true) {
        throw failure("USAGE", { reason: "give the names of stopped instances, or --all" });
      }
      const strata = await cli.strata();
      const chosen = await chosenNames(strata, given, options.all === true);
      const names = options.all === true ? await stoppedOf(strata, chosen) : chosen;
      for (const { name, size } of await strata.instances.optimize(names, callOn(cli, options.all))) {
        cli.progress.clear();
        await write(cli.io, `Optimized: ${name} (${formatSize(size)} kept for reads)\n`);
      }
    });
}

async function stoppedOf(strata: Strata, names: readonly string[]): Promise<string[]> {
  const stopped = (await strata.instances.list())
    .filter(({ state }) => state === "Stopped")
    .map(({ name }) => name);
  return names.filter((name) => stopped.includes(name));
}
