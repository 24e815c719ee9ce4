import { stringify } from "yaml";
import { failure } from "../../errors.ts";

export const FORMATS = ["table", "json", "yaml", "csv"] as const;
export type Format = (typeof FORMATS)[number];

/** Reads the value of `--format`. */
export function parseFormat(text: string): Format {
  const found = FORMATS.find((format) => format === text);
  if (found === undefined) {
    throw failure("INVALID_VALUE", {
      what: "--format",
      value: text,
      reason: `must be one of ${FORMATS.join(", ")}`,
    });
  }
  return found;
}

/** JSON with four spaces and a newline at the end. */
export function json(value: unknown): string {
  return `${JSON.stringify(value, (_, each: unknown) => (typeof each === "bigint" ? String(each) : each), 4)}\n`;
}

/** YAML in which nothing is wrapped and null is `~`. */
export function yaml(value: unknown): string {
  return stringify(value, { lineWidth: 0, nullStr: "~" });
}
