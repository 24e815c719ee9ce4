import type { EngineFailure, InstanceSummary, Listing } from "../../core/api/strata.ts";
import { type Palette, PLAIN, paintState } from "../colour.ts";
import { columns, csvField, csvLines } from "./cell.ts";
import { type Format, json, yaml } from "./format.ts";

/**
 * Instances, one per line. With several engines, each line shows its engine, and engines that could not be
 * listed are shown as well.
 */
export function formatList(
  { engines, instances, failures }: Listing,
  format: Format,
  palette: Palette = PLAIN,
): string {
  const several = engines.length > 1;
  const engineOf = ({ engine }: InstanceSummary) => (several ? { engine } : {});
  const memberOf = ({ member }: InstanceSummary) => (member === undefined ? {} : { member });
  const clustered = instances.some(({ member }) => member !== undefined);
  switch (format) {
    case "json":
      return json({
        ...(several ? { errors: failures.map(jsonFailure) } : {}),
        list: instances.map((instance) => {
          const { name, state, ipv4, release } = instance;
          return { name, ...engineOf(instance), ...memberOf(instance), state, ipv4, release };
        }),
      });
    case "yaml":
      return yaml(
        byName(instances, (instance) => {
          const { state, ipv4, release } = instance;
          return { ...engineOf(instance), ...memberOf(instance), state, ipv4: [...ipv4], release };
        }),
      );
    case "csv":
      return csvLines([
        [
          ...(several ? ["Engine"] : []),
          "Name",
          "State",
          "IPv4",
          "Release",
          "AllIPv4",
          ...(clustered ? ["Member"] : []),
        ],
        ...instances.map(({ name, engine, member, state, ipv4, release }) => [
          ...(several ? [engine] : []),
          name,
          state,
          ipv4[0] ?? "",
          csvField(release),
          csvField(ipv4.join(",")),
          ...(clustered ? [csvField(member ?? "")] : []),
        ]),
      ]);
    case "table":
      return table(instances, several, clustered, palette);
  }
}

function jsonFailure({ engine, error }: EngineFailure) {
  return { engine, code: error.code, message: error.message };
}

/** Grouped by name, because two engines may each have an instance of that name. */
function byName<T>(
  instances: readonly InstanceSummary[],
  show: (instance: InstanceSummary) => T,
): Record<string, T[]> {
  const found: Record<string, T[]> = {};
  for (const instance of instances) {
    found[instance.name] = [...(found[instance.name] ?? []), show(instance)];
  }
  return found;
}

function table(
  instances: readonly InstanceSummary[],
  several: boolean,
  clustered: boolean,
  palette: Palette,
): string {
  if (instances.length === 0) {
    return "No instances found.\n";
  }
  const row = (engine: string, cells: readonly string[], member: string) => [
    ...(several ? [engine] : []),
    ...cells,
    ...(clustered ? [member] : []),
  ];
  const rows = instances.flatMap(({ name, engine, member = "--", state, ipv4, release }) => [
    row(engine, [name, paintState(state, palette), ipv4[0] ?? "--", release || "--"], member),
    ...ipv4.slice(1).map((address) => row("", ["", "", address, ""], "")),
  ]);
  return columns([row("Engine", ["Name", "State", "IPv4", "Release"], "Member"), ...rows]);
}
