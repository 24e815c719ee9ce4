import type { SnapshotInfo, SnapshotTreeInfo } from "../../core/api/strata.ts";
import { type Branch, forest } from "../../core/snapshots/tree.ts";
import { formatSize } from "../../size/format.ts";
import { formatAge } from "./age.ts";
import { briefly, columns, csvField, csvLines, displayWidth, pad } from "./cell.ts";
import { type Format, json, yaml } from "./format.ts";

/** Snapshots of instances, in order of creation. */
export function formatSnapshotList(trees: readonly SnapshotTreeInfo[], format: Format): string {
  const all = trees.flatMap(({ snapshots }) => snapshots);
  const filled = trees.filter(({ snapshots }) => snapshots.length > 0);
  switch (format) {
    case "json":
      return json({
        errors: [],
        info: Object.fromEntries(
          filled.map(({ instance, snapshots }) => [
            instance,
            Object.fromEntries(
              snapshots.map((each) => [
                each.name,
                { parent: each.parent ?? "", comment: each.comment, ...labelsOf(each) },
              ]),
            ),
          ]),
        ),
      });
    case "yaml":
      return yaml(
        Object.fromEntries(
          filled.map(({ instance, snapshots }) => [
            instance,
            snapshots.map((each) => ({
              [each.name]: [{ parent: each.parent, comment: each.comment || null, ...labelsOf(each) }],
            })),
          ]),
        ),
      );
    case "csv":
      return csvLines([
        ["Instance", "Snapshot", "Parent", "Comment", "Consistency", "Group"],
        ...all.map(({ instance, name, parent, comment, consistency, group }) => [
          instance,
          name,
          parent ?? "",
          csvField(comment, true),
          consistency,
          group ?? "",
        ]),
      ]);
    case "table":
      return all.length === 0 ? "No snapshots found.\n" : table(all);
  }
}

/** The members of ours, beside those that other tools print too. */
function labelsOf({ consistency, group }: SnapshotInfo): object {
  return { consistency, ...(group === null ? {} : { group }) };
}

/** Groups have a column where there are any. */
function table(all: readonly SnapshotInfo[]): string {
  const grouped = all.some(({ group }) => group !== null);
  const cells = (group: string) => (grouped ? [group] : []);
  return columns([
    ["Instance", "Snapshot", "Parent", "Consistency", ...cells("Group"), "Comment"],
    ...all.map(({ instance, name, parent, comment, consistency, group }) => [
      instance,
      name,
      parent ?? "--",
      consistency,
      ...cells(shortGroup(group)),
      briefly(comment) || "--",
    ]),
  ]);
}

/** As much of a group's id as tells it apart from others. */
export function shortGroup(group: string | null): string {
  return group?.slice(0, 8) ?? "--";
}

/** Properties of the terminal that a tree is drawn for, and the time from which ages count. */
export interface Canvas {
  /** Columns. */
  readonly width: number;
  /** Milliseconds since the epoch. */
  readonly now: number;
}

/**
 * Each instance's tree, with a mark at the current snapshot. An only child is drawn below its parent in the
 * same column, so a long line of snapshots stays as narrow as a short one. If the terminal is wide enough,
 * age and size of each snapshot are shown at the right.
 */
export function formatTrees(trees: readonly SnapshotTreeInfo[], canvas?: Canvas): string {
  const filled = trees.filter(({ snapshots }) => snapshots.length > 0);
  if (filled.length === 0) {
    return "No snapshots found.\n";
  }
  const drawn = filled.map(drawTree);
  const rows = canvas === undefined ? [] : drawn.flatMap((lines) => detailed(lines, canvas.now));
  const widest = Math.max(0, ...rows.map(({ text }) => displayWidth(text)));
  const details = Math.max(0, ...rows.map(({ detail }) => detail.length));
  const fits = canvas !== undefined && widest + GAP.length + details <= canvas.width;
  return drawn
    .map((lines) =>
      (fits ? detailed(lines, canvas.now) : lines.map(({ text }) => ({ text, detail: "" })))
        .map(({ text, detail }) => `${detail === "" ? text : pad(text, widest) + GAP + detail}\n`)
        .join(""),
    )
    .join("\n");
}

const HERE = "<- now";
const GAP = "   ";

/** A line of a drawn tree, with the snapshot that it shows; the first shows the instance. */
interface Line {
  readonly text: string;
  readonly snapshot?: SnapshotInfo;
}

function detailed(lines: readonly Line[], now: number): { readonly text: string; readonly detail: string }[] {
  return lines.map(({ text, snapshot }) => {
    if (snapshot === undefined) {
      return { text, detail: "" };
    }
    const size = snapshot.size === null ? "--" : formatSize(snapshot.size);
    return { text, detail: `${formatAge(now - snapshot.createdAt).padStart(6)}   ${size.padStart(9)}` };
  });
}

/** A snapshot and its line of only children, down to where the tree branches or ends. */
function straight(from: Branch): Branch[] {
  const line = [from];
  let [next, ...others] = from.children;
  while (next !== undefined && others.length === 0) {
    line.push(next);
    [next, ...others] = next.children;
  }
  return line;
}

function drawTree({ instance, snapshots, standsOn }: SnapshotTreeInfo): Line[] {
  const byName = new Map(snapshots.map((snapshot) => [snapshot.name, snapshot]));
  const line = (prefix: string, { name }: Branch): Line => {
    const snapshot = byName.get(name);
    const comment = briefly(snapshot?.comment ?? "");
    const ran =
      snapshot === undefined || snapshot.consistency === "stopped" ? "" : ` (${snapshot.consistency})`;
    const label = [`${name}${ran}`, comment, name === standsOn ? HERE : ""].filter(Boolean).join("  ");
    return { text: `${prefix}${label}`, ...(snapshot === undefined ? {} : { snapshot }) };
  };
  const draw = (branch: Branch, prefix: string, last: boolean): Line[] => {
    const below = `${prefix}${last ? "   " : "│  "}`;
    const [first = branch, ...rest] = straight(branch);
    const fork = (rest.at(-1) ?? first).children;
    return [
      line(`${prefix}${last ? "└─ " : "├─ "}`, first),
      ...rest.map((each) => line(below, each)),
      ...fork.flatMap((child, at) => draw(child, below, at === fork.length - 1)),
    ];
  };
  const roots = forest(snapshots);
  return [
    { text: standsOn === null ? `${instance}  ${HERE}` : instance },
    ...roots.flatMap((root, at) => draw(root, "", at === roots.length - 1)),
  ];
}
