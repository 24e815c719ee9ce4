import pc from "picocolors";
import type { Check, Finding } from "../../backend/contract.ts";
import { columns, csvField, csvLines, printable } from "./cell.ts";
import { type Format, json, yaml } from "./format.ts";

export interface Diagnosis {
  readonly checks: readonly Check[];
  readonly findings: readonly Finding[];
  readonly repaired: readonly Finding[];
}

/** What doctor has found and done. */
export function formatDoctor(
  { checks, findings, repaired }: Diagnosis,
  format: Format,
  colour: boolean,
): string {
  const rows = checks.map(({ what, ok, detail, fix }) => ({ check: what, ok, detail, fix: fix ?? "" }));
  switch (format) {
    case "json":
      return json({ checks: rows, findings: findings.map(toRow), repaired: repaired.map(toRow) });
    case "yaml":
      return yaml({ checks: rows, findings: findings.map(toRow), repaired: repaired.map(toRow) });
    case "csv":
      return csvLines([
        ["Check", "OK", "Detail", "Fix"],
        ...rows.map(({ check, ok, detail, fix }) => [check, String(ok), csvField(detail), csvField(fix)]),
        ...findings.map(({ kind, detail, repair }) => [
          csvField(kind),
          "false",
          csvField(detail),
          csvField(repair ?? ""),
        ]),
      ]);
    case "table": {
      const { green, red } = pc.createColors(colour);
      const lines = [
        ...rows.map(({ check, ok, detail, fix }) => ({ ok, cells: [check, detail], fix })),
        ...findings.map(({ kind, detail, instance, repair }) => ({
          ok: false,
          cells: [kind, instance === undefined ? detail : `"${instance}": ${detail}`],
          fix: repair === undefined ? "" : `${repair}: strata doctor --repair`,
        })),
      ];
      const table = columns(
        lines.map(({ ok, cells }) => [ok ? "ok" : "FAILED", ...cells.map(printable)]),
      ).split("\n");
      return table
        .flatMap((line, at) => {
          const row = lines[at];
          if (row === undefined) return [line];
          const shown = row.ok ? green("ok") + line.slice(2) : red("FAILED") + line.slice(6);
          return row.fix === "" ? [shown] : [shown, `         fix: ${printable(row.fix)}`];
        })
        .join("\n");
    }
  }
}

/** What a repair would do, before anybody is asked. */
export function formatPlan(findings: readonly Finding[]): string {
  const lines = findings.map(
    ({ instance, detail, repair }) =>
      `${instance === undefined ? "" : `"${instance}": `}${detail}\n  -> ${repair ?? ""}\n`,
  );
  return printable(`To be repaired:\n${lines.join("")}`);
}

function toRow({ kind, instance, subject, detail, repair }: Finding) {
  return { kind, instance: instance ?? "", subject, detail, repair: repair ?? "" };
}
