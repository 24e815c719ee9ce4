import type { SnapshotTreeInfo } from "../../core/api/strata.ts";
import { type Branch, forest } from "../../core/snapshots/tree.ts";
import { briefly, columns, csvField, csvLines } from "./cell.ts";
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
              snapshots.map(({ name, parent, comment }) => [name, { parent: parent ?? "", comment }]),
            ),
          ]),
        ),
      });
    case "yaml":
      return yaml(
        Object.fromEntries(
          filled.map(({ instance, snapshots }) => [
            instance,
            snapshots.map(({ name, parent, comment }) => ({
              [name]: [{ parent, comment: comment || null }],
            })),
          ]),
        ),
      );
    case "csv":
      return csvLines([
        ["Instance", "Snapshot", "Parent", "Comment"],
        ...all.map(({ instance, name, parent, comment }) => [
          instance,
          name,
          parent ?? "",
          csvField(comment, true),
        ]),
      ]);
    case "table":
      return all.length === 0
        ? "No snapshots found.\n"
        : columns([
            ["Instance", "Snapshot", "Parent", "Comment"],
            ...all.map(({ instance, name, parent, comment }) => [
              instance,
              name,
              parent ?? "--",
              briefly(comment) || "--",
            ]),
          ]);
  }
}

/**
 * Each instance's tree, drawn, with a mark where the instance stands. An only child stands below its
 * parent, in the same column: a long line of snapshots stays as narrow as a short one.
 */
export function formatTrees(trees: readonly SnapshotTreeInfo[]): string {
  const filled = trees.filter(({ snapshots }) => snapshots.length > 0);
  if (filled.length === 0) {
    return "No snapshots found.\n";
  }
  return filled.map(drawTree).join("\n");
}

const HERE = "<- now";

/** A snapshot and what stands on it alone, down to where the tree branches or ends. */
function straight(from: Branch): Branch[] {
  const line = [from];
  let [next, ...others] = from.children;
  while (next !== undefined && others.length === 0) {
    line.push(next);
    [next, ...others] = next.children;
  }
  return line;
}

function drawTree({ instance, snapshots, standsOn }: SnapshotTreeInfo): string {
  const comments = new Map(snapshots.map(({ name, comment }) => [name, briefly(comment)]));
  const label = ({ name }: Branch) =>
    [name, comments.get(name) ?? "", name === standsOn ? HERE : ""].filter(Boolean).join("  ");
  const draw = (branch: Branch, prefix: string, last: boolean): string[] => {
    const below = `${prefix}${last ? "   " : "│  "}`;
    const line = straight(branch);
    const fork = line.at(-1)?.children ?? [];
    return [
      `${prefix}${last ? "└─ " : "├─ "}${label(branch)}`,
      ...line.slice(1).map((each) => `${below}${label(each)}`),
      ...fork.flatMap((child, at) => draw(child, below, at === fork.length - 1)),
    ];
  };
  const roots = forest(snapshots);
  const lines = roots.flatMap((root, at) => draw(root, "", at === roots.length - 1));
  return `${[standsOn === null ? `${instance}  ${HERE}` : instance, ...lines].join("\n")}\n`;
}
