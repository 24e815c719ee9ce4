import type { DiskInfo } from "../../core/api/strata.ts";
import { formatSize } from "../../size/format.ts";
import { columns, csvField, csvLines, printable } from "./cell.ts";
import { type Format, json, yaml } from "./format.ts";
import { typedDisks } from "./typed.ts";

/** Disks of an instance in a line each. */
export function formatDisks(disks: readonly DiskInfo[], format: Format): string {
  switch (format) {
    case "json":
      return json({ list: typedDisks(disks) });
    case "yaml":
      return yaml(
        Object.fromEntries(
          disks.map(({ name, size, excluded }) => [name, [{ size: Number(size), excluded }]]),
        ),
      );
    case "csv":
      return csvLines([
        ["Name", "Size", "Excluded"],
        ...disks.map(({ name, size, excluded }) => [csvField(name), String(size), String(excluded)]),
      ]);
    case "table":
      return columns([
        ["Name", "Size", "In snapshots"],
        ...disks.map(({ name, size, excluded }) => [
          printable(name),
          size === 0n ? "--" : formatSize(size),
          excluded ? "no, excluded" : "yes",
        ]),
      ]);
  }
}
