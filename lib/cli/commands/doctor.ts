import type { Command } from "commander";
import type { Strata } from "../../core/api/strata.ts";
import type { Finding } from "../../engine/contract.ts";
import { failure } from "../../errors.ts";
import type { Cli } from "../cli.ts";
import { paletteOf } from "../colour.ts";
import { command, formatOption } from "../command.ts";
import { formatDoctor, formatPlan, longSubject } from "../format/doctor.ts";
import { parseFormat } from "../format/format.ts";
import { canAsk, confirm, write } from "../io.ts";

interface Options {
  readonly format: string;
  readonly deep?: boolean;
  readonly repair?: boolean;
  readonly only?: string;
  readonly by?: string;
  readonly yes?: boolean;
}

export function doctorCommand(cli: Cli): Command {
  return command(
    "doctor",
    [
      "check host and instances, and repair problems",
      "check the host and the records of instances, and repair problems",
    ],
    "doctor",
    "doctor --repair",
    "doctor --repair --only snapshot1 --by record",
  )
    .option("--deep", "also check the contents of all layers, which may take minutes")
    .option("--repair", "show, then make, the repairs that lose no data")
    .option("--only <subject>", "repair only the findings about this file or snapshot")
    .option("--by <choice>", "repair it by one of the choices that doctor offers")
    .option("-y, --yes", "repair without asking")
    .addOption(formatOption())
    .action(async (options: Options) => {
      const format = parseFormat(options.format);
      checkUsage(options);
      const strata = await cli.strata();
      const checks = await strata.maintenance.doctor();
      const failed = checks.some(({ ok }) => !ok);
      const audit = { deep: options.deep === true };
      let findings = await strata.maintenance.audit({ ...audit, ...cli.call }).catch((error: unknown) => {
        // If the engine does not answer, the checks say why.
        if (failed && !cli.call.signal.aborted) {
          return [];
        }
        throw error;
      });
      const repaired = options.repair === true ? await repair(cli, strata, findings, options, format) : [];
      if (repaired.length > 0) {
        findings = await strata.maintenance.audit({ ...audit, ...cli.call });
      }
      cli.progress.clear();
      const palette = paletteOf(cli, "stdout");
      const { driver } = cli.global;
      await write(
        cli.io,
        formatDoctor({ checks, findings, repaired }, format, { palette, driver, ...audit }),
      );
      if (failed || findings.length > 0) {
        cli.exit(1);
      }
    });
}

function checkUsage({ repair, yes, only, by }: Options): void {
  if (yes === true && repair !== true) {
    throw failure("USAGE", { reason: "--yes requires --repair; without it there is no question to answer" });
  }
  if (only !== undefined && repair !== true) {
    throw failure("USAGE", { reason: "--only requires --repair" });
  }
  if (by !== undefined && only === undefined) {
    throw failure("USAGE", { reason: "--by requires --only: choose a repair for one finding at a time" });
  }
}

/** Shows the plan, asks, and carries it out; resolves to the repairs that were made. */
async function repair(
  cli: Cli,
  strata: Strata,
  findings: readonly Finding[],
  { yes = false, only, by }: Options,
  format: string,
): Promise<Finding[]> {
  const plan =
    only === undefined
      ? findings.filter((finding) => finding.repair !== undefined)
      : choose(findings, only, by);
  if (plan.length === 0) {
    return [];
  }
  if (!yes && (format !== "table" || !canAsk(cli.io))) {
    throw failure("CONFIRMATION_REQUIRED", { what: "repairing", option: "--yes" });
  }
  cli.progress.clear();
  if (format === "table") {
    await write(cli.io, formatPlan(plan, by));
  }
  if (!yes && !(await confirm(cli, "Do this? (yes/No)", false))) {
    return [];
  }
  return strata.maintenance.repair(plan, { ...(by === undefined ? {} : { choice: by }), ...cli.call });
}

/** The findings with this subject that can be repaired in the requested way, all of one instance. */
function choose(findings: readonly Finding[], only: string, by: string | undefined): Finding[] {
  const meant = findings.filter((finding) => [finding.subject, longSubject(finding)].includes(only));
  if (meant.length === 0) {
    throw failure("FINDING_NOT_FOUND", { subject: only, known: someSubjects(findings) });
  }
  const choices = new Set(meant.flatMap((finding) => (finding.choices ?? []).map(({ name }) => name)));
  const able = meant.filter((finding) =>
    by === undefined ? finding.repair !== undefined : finding.choices?.some(({ name }) => name === by),
  );
  const owners = [...new Set(able.map(longSubject))];
  if (owners.length > 1) {
    throw failure("USAGE", { reason: `"${only}" is ambiguous: name one of ${owners.join(", ")}` });
  }
  if (able.length > 0) {
    return able;
  }
  const offered = [...choices].join(", ");
  if (by !== undefined) {
    const reason = choices.size === 0 ? "no choice is offered for it" : `must be one of ${offered}`;
    throw failure("INVALID_VALUE", { value: by, what: "--by", reason });
  }
  const reason =
    choices.size === 0
      ? `strata cannot repair "${only}" without guessing`
      : `choose how to repair "${only}": --by must be one of ${offered}`;
  throw failure("USAGE", { reason });
}

/** Subjects that are listed in a hint. */
const LISTED = 10;

function someSubjects(findings: readonly Finding[]): string {
  const subjects = [...new Set(findings.map(({ subject }) => subject))];
  const more = subjects.length > LISTED ? ` and ${subjects.length - LISTED} more` : "";
  return `${subjects.slice(0, LISTED).join(", ")}${more}`;
}
