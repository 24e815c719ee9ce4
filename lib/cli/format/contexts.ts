import type { Contexts } from "../../settings/contexts.ts";
import { columns, csvField, csvLines } from "./cell.ts";
import { type Format, json, yaml } from "./format.ts";

/** Other hosts by their names. */
export function formatContexts(contexts: Contexts, format: Format): string {
  const rows = Object.entries(contexts)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, address]) => ({ name, address }));
  switch (format) {
    case "json":
      return json({ contexts: rows });
    case "yaml":
      return yaml({ contexts: rows });
    case "csv":
      return csvLines([["Name", "Address"], ...rows.map(({ name, address }) => [name, csvField(address)])]);
    case "table":
      return rows.length === 0
        ? "No contexts defined.\n"
        : columns([["Name", "Address"], ...rows.map(({ name, address }) => [name, address])]);
  }
}
