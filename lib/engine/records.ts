import type { InstanceRecord } from "./contract/instances.ts";

/**
 * JSON of records, whose sizes are bigints: one is written as `{"$bigint":"12"}`. An object of the record's own with a
 * member `$bigint` is marked with another `$`, so that every text and every object comes back as it was.
 */
export function stringifyRecord(value: unknown): string {
  return JSON.stringify(tagged(value));
}

/** What `stringifyRecord` has written. */
export function parseRecord(text: string): unknown {
  return untagged(JSON.parse(text));
}

const TAG = /^\$+bigint$/;

function tagged(value: unknown): unknown {
  return typeof value === "bigint" ? { $bigint: String(value) } : mapped(value, tagged, (key) => `$${key}`);
}

function untagged(value: unknown): unknown {
  if (isObject(value) && typeof value.$bigint === "string") {
    return BigInt(value.$bigint);
  }
  return mapped(value, untagged, (key) => key.slice(1));
}

/** The same with its members mapped, and the names of those that look like a tag. */
function mapped(value: unknown, each: (value: unknown) => unknown, name: (key: string) => string): unknown {
  if (Array.isArray(value)) {
    return value.map(each);
  }
  if (!isObject(value)) {
    return value;
  }
  const entries = Object.entries(value).map(([key, inner]) => [TAG.test(key) ? name(key) : key, each(inner)]);
  return Object.fromEntries(entries);
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** The record with the members of a change that are not undefined; see `Instances.annotate`. */
export function mergeRecord(record: InstanceRecord, change: Partial<InstanceRecord>): InstanceRecord {
  const named = Object.entries(change).filter(([, value]) => value !== undefined);
  return { ...record, ...Object.fromEntries(named) };
}
