import { columns, csvLines } from "./cell.ts";
import { type Format, json, yaml } from "./format.ts";

/** The version of strata in each format. */
export function formatVersion(strata: string, format: Format): string {
  switch (format) {
    case "json":
      return json({ strata });
    case "yaml":
      return yaml({ strata });
    case "csv":
      return csvLines([["Strata"], [strata]]);
    case "table":
      return columns([["strata", strata]]);
  }
}
