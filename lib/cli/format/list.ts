import type { InstanceSummary } from "../../core/api.ts";
import { columns, csvField, csvLines } from "./cell.ts";
import { type Format, json, yaml } from "./format.ts";

/** Instances in a line each. */
export function formatList(instances: readonly InstanceSummary[], format: Format): string {
  switch (format) {
    case "json":
      return json({
        list: instances.map(({ name, state, ipv4, release }) => ({ name, state, ipv4, release })),
      });
    case "yaml":
      return yaml(
        Object.fromEntries(
          instances.map(({ name, state, ipv4, release }) => [name, [{ state, ipv4: [...ipv4], release }]]),
        ),
      );
    case "csv":
      return csvLines([
        ["Name", "State", "IPv4", "Release", "AllIPv4"],
        ...instances.map(({ name, state, ipv4, release }) => [
          name,
          state,
          ipv4[0] ?? "",
          csvField(release),
          csvField(ipv4.join(",")),
        ]),
      ]);
    case "table":
      return table(instances);
  }
}

function table(instances: readonly InstanceSummary[]): string {
  if (instances.length === 0) return "No instances found.\n";
  const rows = instances.flatMap(({ name, state, ipv4, release }) => [
    [name, state, ipv4[0] ?? "--", release || "--"],
    ...ipv4.slice(1).map((address) => ["", "", address, ""]),
  ]);
  return columns([["Name", "State", "IPv4", "Release"], ...rows]);
}
