import type { NetworkInfo } from "../../core/api/strata.ts";
import { columns, csvField, csvLines } from "./cell.ts";
import { type Format, json, yaml } from "./format.ts";

/** Networks in a line each. */
export function formatNetworks(networks: readonly NetworkInfo[], format: Format): string {
  switch (format) {
    case "json":
      return json({ list: networks.map(({ name, type, description }) => ({ description, name, type })) });
    case "yaml":
      return yaml(
        Object.fromEntries(networks.map(({ name, type, description }) => [name, [{ type, description }]])),
      );
    case "csv":
      return csvLines([
        ["Name", "Type", "Description"],
        ...networks.map(({ name, type, description }) => [csvField(name), type, csvField(description, true)]),
      ]);
    case "table":
      if (networks.length === 0) {
        return "No networks found.\n";
      }
      return columns([
        ["Name", "Type", "Description"],
        ...networks.map(({ name, type, description }) => [name, type, description]),
      ]);
  }
}
