import type { Check, Finding } from "../../engine/contract.ts";
import { quote } from "../../util/quote.ts";
import type { Palette } from "../colour.ts";
import { columns, csvField, csvLines, printable } from "./cell.ts";
import { type Format, json, yaml } from "./format.ts";

export interface Diagnosis {
  readonly checks: readonly Check[];
  readonly findings: readonly Finding[];
  readonly repaired: readonly Finding[];
}

export interface Shown {
  readonly palette: Palette;
  /** The engine from the command line, which commands to paste must name as well. */
  readonly driver?: string | undefined;
  /** True if contents were checked: a repair finds these problems only if it checks contents too. */
  readonly deep?: boolean;
}

/** What doctor found and did. */
export function formatDoctor(
  { checks, findings, repaired }: Diagnosis,
  format: Format,
  { palette, ...how }: Shown,
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
        ...findings.map((finding) => [
          csvField(finding.kind),
          "false",
          csvField(finding.detail),
          csvField(finding.repair ?? repairCommands(finding, findings, how).join("; ")),
        ]),
      ]);
    case "table": {
      const { green, red } = palette;
      const lines = [
        ...rows.map(({ check, ok, detail, fix }) => ({
          ok,
          cells: [check, detail],
          below: fix === "" ? [] : [`fix: ${fix}`],
        })),
        ...findings.map((finding) => ({
          ok: false,
          cells: [finding.kind, withInstance(finding, finding.detail)],
          below: [
            ...(finding.repair === undefined
              ? []
              : [`fix: ${finding.repair}: strata doctor${how.deep === true ? " --deep" : ""} --repair`]),
            ...repairCommands(finding, findings, how),
          ],
        })),
      ];
      const table = columns(
        lines.map(({ ok, cells }) => [ok ? green("ok") : red("FAILED"), ...cells.map(printable)]),
      ).split("\n");
      return table
        .flatMap((line, at) => {
          const row = lines[at];
          if (row === undefined) {
            return [line];
          }
          return [line, ...row.below.map((text) => `         ${printable(text)}`)];
        })
        .join("\n");
    }
  }
}

/** The repairs that would be made, shown before the question. */
export function formatPlan(findings: readonly Finding[], choice?: string): string {
  const lines = findings.map((finding) => {
    const chosen = finding.choices?.find(({ name }) => name === choice)?.detail;
    return `${withInstance(finding, finding.detail)}\n  -> ${chosen ?? finding.repair ?? ""}\n`;
  });
  return printable(`To be repaired:\n${lines.join("")}`);
}

/** The subject with its instance if several instances have a finding with that subject. */
export function longSubject({ instance, subject }: Finding): string {
  return instance === undefined ? subject : `${instance}:${subject}`;
}

/** Each choice of a finding with the command that makes it, to be pasted into a shell. */
function repairCommands(
  finding: Finding,
  all: readonly Finding[],
  { driver, deep }: Pick<Shown, "driver" | "deep">,
): readonly string[] {
  const alone = all.every(
    (other) => other.subject !== finding.subject || longSubject(other) === longSubject(finding),
  );
  const only = alone ? finding.subject : longSubject(finding);
  const strata = driver === undefined ? ["strata"] : ["strata", "--driver", driver];
  return (finding.choices ?? []).map(({ name, detail }) => {
    const argv = [
      ...strata,
      "doctor",
      ...(deep === true ? ["--deep"] : []),
      "--repair",
      "--only",
      only,
      "--by",
      name,
    ];
    return `${name}: ${detail}: ${argv.map(quote).join(" ")}`;
  });
}

function withInstance({ instance }: Finding, text: string): string {
  return instance === undefined ? text : `"${instance}": ${text}`;
}

function toRow({ kind, instance, subject, detail, repair, choices }: Finding) {
  return { kind, instance: instance ?? "", subject, detail, repair: repair ?? "", choices: choices ?? [] };
}
