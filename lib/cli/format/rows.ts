import { failure } from "../../errors.ts";
import { formatSize } from "../../size/format.ts";
import { isState, type Palette, PLAIN, paintState } from "../colour.ts";
import { columns, csvField, csvLines } from "./cell.ts";
import type { Typed } from "./typed.ts";

/** Columns whose heading is not the field's name with a capital letter. */
const HEADINGS: Readonly<Record<string, string>> = {
  ipv4: "IPv4",
  cpus: "CPU(s)",
  id: "ID",
  macs: "MAC",
  hostDisk: "Host disk",
};
const SIZES = ["memory", "disk", "hostDisk"];

/** Which of the objects to show, and in which order. */
export interface Selection {
  /** `FIELD=VALUE`, where `*` stands for anything and case does not matter; all must hold. */
  readonly filters: readonly string[];
  /** A field; with `-` before it, from the highest to the lowest. */
  readonly sort: string | undefined;
}

/** The fields that a selection looks at; rejects unknown ones. */
export function selectedFields({ filters, sort }: Selection, known: readonly string[]): string[] {
  const fields = [
    ...filters.map((filter) => ["--filter", filter.split("=")[0] ?? ""] as const),
    ...(sort === undefined ? [] : [["--sort", sort.replace(/^-/, "")] as const]),
  ];
  for (const [what, field] of fields) {
    if (!known.includes(field)) {
      throw failure("INVALID_VALUE", { what, value: field, reason: `must be of ${known.join(", ")}` });
    }
  }
  const bare = filters.find((filter) => !filter.includes("="));
  if (bare !== undefined) {
    throw failure("INVALID_VALUE", { what: "--filter", value: bare, reason: "must be FIELD=VALUE" });
  }
  return fields.map(([, field]) => field);
}

/** Whatever has the selected objects in it: `typed` gives an object's fields. */
export function select<T>(items: readonly T[], typed: (item: T) => Typed, selection: Selection): T[] {
  const tests = selection.filters.map(testOf);
  const chosen = items.filter((item) => tests.every((test) => test(typed(item))));
  const { sort } = selection;
  if (sort === undefined) {
    return chosen;
  }
  const field = sort.replace(/^-/, "");
  const direction = sort.startsWith("-") ? -1 : 1;
  return chosen.sort((a, b) => direction * compare(typed(a)[field], typed(b)[field]));
}

function testOf(filter: string): (object: Typed) => boolean {
  const at = filter.indexOf("=");
  const field = filter.slice(0, at);
  const wanted = filter
    .slice(at + 1)
    .split("*")
    .map(escaped)
    .join(".*");
  const pattern = new RegExp(`^${wanted}$`, "is");
  return (object) => {
    const value = namesOf(field, object[field]);
    const values = Array.isArray(value) && value.length > 0 ? value : [value];
    return values.some((each) => pattern.test(plain(each)));
  };
}

function escaped(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
}

function compare(a: unknown, b: unknown): number {
  if (typeof a === "number" && typeof b === "number") {
    return a - b;
  }
  const [first, second] = [plain(a), plain(b)];
  if (first === second) {
    return 0;
  }
  return first < second ? -1 : 1;
}

/** Disks by their names alone: their sizes would not fit beside each other. */
function namesOf(field: string, value: unknown): unknown {
  return field === "disks" && Array.isArray(value) ? value.map((disk: Typed) => disk.name) : value;
}

/** A value in one cell, as scripts read it. */
function plain(value: unknown): string {
  if (value === null || value === undefined) {
    return "";
  }
  if (Array.isArray(value)) {
    return value.map(plain).join(",");
  }
  return typeof value === "object" ? Object.values(value).map(plain).join(" ") : String(value);
}

export interface RowsOptions {
  readonly format: "table" | "csv";
  readonly headers: boolean;
  /** Colours of states in a table. */
  readonly palette?: Palette;
}

/** Objects as rows of a table or CSV with these fields as its columns. */
export function formatRows(
  objects: readonly Typed[],
  fields: readonly string[],
  { format, headers, palette = PLAIN }: RowsOptions,
): string {
  const head = headers ? [fields.map(heading)] : [];
  if (format === "csv") {
    return csvLines([
      ...head,
      ...objects.map((object) => fields.map((field) => csvField(plain(namesOf(field, object[field]))))),
    ]);
  }
  if (objects.length === 0) {
    return headers ? "No instances found.\n" : "";
  }
  return columns([
    ...head,
    ...objects.map((object) => fields.map((field) => cell(field, namesOf(field, object[field]), palette))),
  ]);
}

function heading(field: string): string {
  return HEADINGS[field] ?? `${field.charAt(0).toUpperCase()}${field.slice(1)}`;
}

function cell(field: string, value: unknown, palette: Palette): string {
  if (field === "state" && isState(value)) {
    return paintState(value, palette);
  }
  return SIZES.includes(field) && typeof value === "number"
    ? formatSize(BigInt(value))
    : plain(value) || "--";
}
