import type { StrataEvent } from "../../core/api/strata.ts";
import { formatSize } from "../../size/format.ts";

/** An event in one line; as JSON, one object a line. */
export function formatEvent(event: StrataEvent, asJson: boolean): string {
  const { at, kind, ...rest } = event;
  const time = new Date(at).toISOString();
  if (asJson) {
    const text = JSON.stringify({ time, event: kind, ...rest }, (_, value: unknown) =>
      typeof value === "bigint" ? String(value) : value,
    );
    return `${text}\n`;
  }
  return `${[time, kind, ...words(event)].join(" ")}\n`;
}

function words(event: StrataEvent): string[] {
  switch (event.kind) {
    case "resync":
      return [];
    case "rename":
      return [event.from, event.instance];
    case "state":
      return [event.instance, event.state];
    case "resize":
      return [
        event.instance,
        `${event.cpus} CPUs, ${formatSize(event.memory)} of memory, ${formatSize(event.disk)} of disk`,
      ];
    case "disk-add":
    case "disk-resize":
      return [event.instance, event.disk, formatSize(event.size)];
    case "disk-remove":
    case "disk-exclude":
    case "disk-include":
      return [event.instance, event.disk];
    case "snapshot-rename":
      return [`${event.instance}.${event.from}`, `${event.instance}.${event.snapshot}`];
    case "snapshot":
      return [
        `${event.instance}.${event.snapshot}`,
        ...(event.consistency === "stopped" ? [] : [`(${event.consistency})`]),
      ];
    case "restore":
    case "snapshot-delete":
      return [`${event.instance}.${event.snapshot}`];
    default:
      return [event.instance];
  }
}
