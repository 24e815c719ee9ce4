import type { DiskUsage, ImageUsage, InstanceUsage } from "../../core/api/strata.ts";
import { formatSize } from "../../size/format.ts";
import { type Palette, PLAIN, paintState } from "../colour.ts";
import { columns, csvField, csvLines, printable } from "./cell.ts";
import { type Format, yaml } from "./format.ts";

/** What strata's files take. In JSON and YAML sizes are numbers of bytes. */
export function formatDiskUsage(usage: DiskUsage, format: Format, palette: Palette = PLAIN): string {
  switch (format) {
    case "json":
      return `${JSON.stringify(plainOf(usage), null, 4)}\n`;
    case "yaml":
      return yaml(plainOf(usage));
    case "csv":
      return csv(usage);
    case "table":
      return table(usage, palette);
  }
}

function plainOf({ images, instances, fileSystems, failures }: DiskUsage): object {
  const bytes = (value: unknown) => (typeof value === "bigint" ? Number(value) : value);
  const plain = {
    images,
    instances,
    fileSystems,
    errors: failures.map(({ engine, error }) => ({ engine, code: error.code, message: error.message })),
    ...totals({ images, instances }),
  };
  return JSON.parse(JSON.stringify(plain, (_, value: unknown) => bytes(value))) as object;
}

function totals({ images, instances }: Pick<DiskUsage, "images" | "instances">) {
  const all = [...images, ...instances];
  return {
    size: sum(all.map(({ size }) => size ?? 0n)),
    reclaimable: sum(all.map(({ reclaimable }) => reclaimable)),
  };
}

function sum(sizes: readonly bigint[]): bigint {
  return sizes.reduce((total, size) => total + size, 0n);
}

const PARTS = ["active", "snapshots", "flattened", "memory", "other"] as const;

function csv({ images, instances, fileSystems }: DiskUsage): string {
  const none = PARTS.map(() => "");
  return csvLines([
    [
      "Type",
      "Name",
      "Engine",
      "Own",
      "System",
      "Engines",
      "Active",
      "Snapshots",
      "Flattened",
      "Memory",
      "Other",
      "Size",
      "Reclaimable",
      "Free",
      "UsedBy",
    ],
    ...images.map(({ sha256, own, system, engines, size, reclaimable, usedBy }) => [
      "image",
      sha256,
      "",
      ...[own, system, engines].map(String),
      ...none,
      String(size),
      String(reclaimable),
      "",
      usedBy.join(";"),
    ]),
    ...instances.map(({ name, engine, parts, size, reclaimable }) => [
      "instance",
      name,
      engine,
      "",
      "",
      "",
      ...PARTS.map((part) => String(parts?.[part] ?? "")),
      String(size ?? ""),
      String(reclaimable),
      "",
      "",
    ]),
    ...fileSystems.map(({ folders, size, free }) => [
      "file system",
      csvField(folders.join(";")),
      "",
      "",
      "",
      "",
      ...none,
      String(size),
      "",
      String(free),
      "",
    ]),
  ]);
}

function table(usage: DiskUsage, palette: Palette): string {
  const { images, instances, fileSystems } = usage;
  return [
    ...(images.length === 0 ? [] : [imageTable(images)]),
    ...(instances.length === 0 ? [] : [instanceTable(instances, palette)]),
    summary(usage),
    columns([
      ["File system of", "Size", "Free"],
      ...fileSystems.map(({ folders, size, free }) => [
        printable(folders.join(", ")),
        formatSize(size),
        formatSize(free),
      ]),
    ]),
  ].join("\n");
}

/** A column for each place that has images. */
function imageTable(images: readonly ImageUsage[]): string {
  const places = (
    [
      ["own", "Own"],
      ["system", "All users"],
      ["engines", "Engine"],
    ] as const
  ).filter(([place]) => images.some((image) => image[place] > 0n));
  return columns([
    ["Image", "Hash", ...places.map(([, heading]) => heading), "Size", "Used by"],
    ...images.map((image) => [
      printable(image.aliases[0] ?? "--"),
      image.sha256.slice(0, 12),
      ...places.map(([place]) => shown(image[place])),
      formatSize(image.size),
      image.usedBy.join(", ") || "--",
    ]),
  ]);
}

function instanceTable(instances: readonly InstanceUsage[], palette: Palette): string {
  const several = new Set(instances.map(({ engine }) => engine)).size > 1;
  return columns([
    [
      ...(several ? ["Engine"] : []),
      "Instance",
      "State",
      "Disk",
      "Snapshots",
      "Flattened",
      "Memory",
      "Other",
      "Size",
    ],
    ...instances.map(({ name, engine, state, parts, size }) => [
      ...(several ? [engine] : []),
      name,
      paintState(state, palette),
      ...PARTS.map((part) => (parts === null ? "--" : shown(parts[part]))),
      size === null ? "--" : formatSize(size),
    ]),
  ]);
}

function summary({ images, instances }: DiskUsage): string {
  const row = (
    what: string,
    items: readonly { readonly size: bigint | null; readonly reclaimable: bigint }[],
  ) => [
    what,
    String(items.length),
    formatSize(sum(items.map(({ size }) => size ?? 0n))),
    shown(sum(items.map(({ reclaimable }) => reclaimable))),
  ];
  return columns([
    ["Type", "Count", "Size", "Reclaimable"],
    row("Images", images),
    row("Instances", instances),
    row("Total", [...images, ...instances]),
  ]);
}

function shown(size: bigint): string {
  return size === 0n ? "--" : formatSize(size);
}
