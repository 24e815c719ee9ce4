import type { Command } from "commander";
import type { Finding } from "../../backend/contract.ts";
import type { Strata } from "../../core/api.ts";
import { failure } from "../../errors.ts";
import type { Cli } from "../cli.ts";
import { command, formatOption } from "../command.ts";
import { formatDoctor, formatPlan } from "../format/doctor.ts";
import { parseFormat } from "../format/format.ts";
import { canAsk, confirm, write } from "../io.ts";

export function doctorCommand(cli: Cli): Command {
  return command(
    "doctor",
    "check this host and the records of instances, and say what to put right",
    "doctor",
    "doctor --repair",
  )
    .option("--repair", "put right what can be without losing anything, after showing the plan")
    .option("-y, --yes", "do not ask before repairing")
    .addOption(formatOption())
    .action(async (options: { format: string; repair?: boolean; yes?: boolean }) => {
      const format = parseFormat(options.format);
      if (options.yes === true && options.repair !== true)
        throw failure("USAGE", { reason: "--yes goes with --repair: without it nothing is asked" });
      const strata = await cli.strata();
      const checks = await strata.doctor();
      const failed = checks.some(({ ok }) => !ok);
      let findings = await strata.audit().catch((error: unknown) => {
        // What keeps the engine from answering is among the checks.
        if (failed) return [];
        throw error;
      });
      const repaired =
        options.repair === true ? await repair(cli, strata, findings, options.yes === true, format) : [];
      if (repaired.length > 0) findings = await strata.audit();
      const colour = cli.io.stdout.isTTY === true && !cli.io.env.NO_COLOR;
      await write(cli.io, formatDoctor({ checks, findings, repaired }, format, colour));
      if (failed || findings.length > 0) cli.exit(1);
    });
}

/** Shows the plan, asks, and does it; resolves to what was repaired. */
async function repair(
  cli: Cli,
  strata: Strata,
  findings: readonly Finding[],
  yes: boolean,
  format: string,
): Promise<Finding[]> {
  const plan = findings.filter((finding) => finding.repair !== undefined);
  if (plan.length === 0) return [];
  if (!yes && (format !== "table" || !canAsk(cli.io)))
    throw failure("CONFIRMATION_REQUIRED", { what: "repairing", option: "--yes" });
  if (format === "table") await write(cli.io, formatPlan(plan));
  if (!yes && !(await confirm(cli, "Do this? (yes/No)", false))) return [];
  return strata.repair(plan, cli.call);
}
