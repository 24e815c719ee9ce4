import type { Command } from "commander";
import pc from "picocolors";
import type { Check } from "../../backend/contract.ts";
import type { Cli } from "../cli.ts";
import { command, formatOption } from "../command.ts";
import { columns, csvField, csvLines } from "../format/cell.ts";
import { type Format, json, parseFormat, yaml } from "../format/format.ts";
import { formatVersion } from "../format/version.ts";
import { write } from "../io.ts";
import { VERSION } from "../version.ts";

export function versionCommand(cli: Cli): Command {
  return command("version", "show the version", "version --format json")
    .addOption(formatOption())
    .action(async (options: { format: string }) => {
      await write(cli.io, formatVersion(VERSION, parseFormat(options.format)));
    });
}

export function doctorCommand(cli: Cli): Command {
  return command("doctor", "check this host and say what to put right", "doctor")
    .addOption(formatOption())
    .action(async (options: { format: string }) => {
      const format = parseFormat(options.format);
      const checks = await (await cli.strata()).doctor();
      const colour = cli.io.stdout.isTTY === true && !cli.io.env.NO_COLOR;
      await write(cli.io, formatChecks(checks, format, colour));
      if (checks.some(({ ok }) => !ok)) cli.exit(1);
    });
}

function formatChecks(checks: readonly Check[], format: Format, colour: boolean): string {
  const rows = checks.map(({ what, ok, detail, fix }) => ({ check: what, ok, detail, fix: fix ?? "" }));
  switch (format) {
    case "json":
      return json({ checks: rows });
    case "yaml":
      return yaml(rows);
    case "csv":
      return csvLines([
        ["Check", "OK", "Detail", "Fix"],
        ...rows.map(({ check, ok, detail, fix }) => [check, String(ok), csvField(detail), csvField(fix)]),
      ]);
    case "table": {
      const { green, red } = pc.createColors(colour);
      const lines = columns(rows.map(({ check, ok, detail }) => [ok ? "ok" : "FAILED", check, detail])).split(
        "\n",
      );
      return lines
        .flatMap((line, at) => {
          const row = rows[at];
          if (row === undefined) return [line];
          const shown = row.ok ? green("ok") + line.slice(2) : red("FAILED") + line.slice(6);
          return row.fix === "" ? [shown] : [shown, `         fix: ${row.fix}`];
        })
        .join("\n");
    }
  }
}
