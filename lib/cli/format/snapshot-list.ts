import type { SnapshotTreeInfo } from "../../core/api.ts";
import { type Branch, forest } from "../../snapshots/tree.ts";
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

/** Each instance's tree, drawn, with a mark where the instance stands. */
export function formatTrees(trees: readonly SnapshotTreeInfo[]): string {
  const filled = trees.filter(({ snapshots }) => snapshots.length > 0);
  if (filled.length === 0) return "No snapshots found.\n";
  return filled.map(drawTree).join("\n");
}

const HERE = "<- now";

function drawTree({ instance, snapshots, standsOn }: SnapshotTreeInfo): string {
  const comments = new Map(snapshots.map(({ name, comment }) => [name, briefly(comment)]));
  const draw = ({ name, children }: Branch, prefix: string, last: boolean): string[] => {
    const parts = [name, comments.get(name) ?? "", name === standsOn ? HERE : ""].filter(Boolean);
    const below = children.flatMap((child, at) =>
      draw(child, `${prefix}${last ? "   " : "│  "}`, at === children.length - 1),
    );
    return [`${prefix}${last ? "└─ " : "├─ "}${parts.join("  ")}`, ...below];
  };
  const roots = forest(snapshots);
  const lines = roots.flatMap((root, at) => draw(root, "", at === roots.length - 1));
  return `${[standsOn === null ? `${instance}  ${HERE}` : instance, ...lines].join("\n")}\n`;
}
