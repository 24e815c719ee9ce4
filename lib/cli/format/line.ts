import { printable } from "./cell.ts";

const VALUE_COLUMN = 16;

/** At once: a comment may have a million lines. */
function linesOf(value: string): string[] {
  return printable(value.replaceAll("\r\n", "\n")).split("\n");
}

/** `Key:` and one value, which may have colours and is known to be printable. */
export function paintedLine(key: string, value: string): string {
  return `${`${key}:`.padEnd(VALUE_COLUMN)}${value}`;
}

/** `Key:` and a value, further lines of the value below its column. */
export function line(key: string, ...values: readonly string[]): string {
  const shown = values.length === 0 ? ["--"] : values.flatMap(linesOf);
  return shown
    .map((value, at) => `${(at === 0 ? `${key}:` : "").padEnd(VALUE_COLUMN)}${value}`.trimEnd())
    .join("\n");
}
