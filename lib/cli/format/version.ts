import { columns, csvField, csvLines, printable } from "./cell.ts";
import { type Format, json, yaml } from "./format.ts";

/** The version of strata in each format, and that of the engine if it is known: "libvirt 9.0.0, QEMU 7.2.22". */
export function formatVersion(strata: string, engine: string | undefined, format: Format): string {
  const versions = { strata, ...(engine === undefined ? {} : { engine }) };
  switch (format) {
    case "json":
      return json(versions);
    case "yaml":
      return yaml(versions);
    case "csv":
      return csvLines([
        ["Strata", "Engine"],
        [strata, csvField(engine ?? "")],
      ]);
    case "table": {
      const [name = "", ...version] = printable(engine ?? "").split(" ");
      return columns([["strata", strata], ...(engine === undefined ? [] : [[name, version.join(" ")]])]);
    }
  }
}
