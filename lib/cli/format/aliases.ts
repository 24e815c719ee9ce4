import type { Alias, Aliases } from "../../settings/aliases.ts";
import { columns, csvField, csvLines } from "./cell.ts";
import { type Format, json, yaml } from "./format.ts";

/** Aliases by context and name; the active context has a `*` if nothing else marks it. */
export function formatAliases(aliases: Aliases, format: Format): string {
  const { active } = aliases;
  const contexts = sorted<Readonly<Record<string, Alias>>>({ [active]: {}, ...aliases.contexts });
  const rows = contexts.flatMap(([context, inner]) =>
    sorted(inner).map(([alias, { instance, command, workingDirectory }]) => ({
      alias,
      instance,
      command,
      context: context === active ? `${context}*` : context,
      workingDirectory,
    })),
  );
  switch (format) {
    case "json":
      return json({
        "active-context": active,
        contexts: Object.fromEntries(
          contexts.map(([context, inner]) => [
            context,
            Object.fromEntries(
              sorted(inner).map(([alias, { command, instance, workingDirectory }]) => [
                alias,
                { command, instance, "working-directory": workingDirectory },
              ]),
            ),
          ]),
        ),
      });
    case "yaml":
      return yaml({
        active_context: active,
        aliases: Object.fromEntries(
          contexts.map(([context, inner]) => [
            context,
            sorted(inner).map(([alias, { command, instance, workingDirectory }]) => ({
              alias,
              command,
              instance,
              "working-directory": workingDirectory,
            })),
          ]),
        ),
      });
    case "csv":
      return csvLines([
        ["Alias", "Instance", "Command", "Working directory", "Context"],
        ...rows.map((row) => [
          row.alias,
          row.instance,
          csvField(row.command),
          row.workingDirectory,
          row.context,
        ]),
      ]);
    case "table":
      return rows.length === 0
        ? "No aliases defined.\n"
        : columns([
            ["Alias", "Instance", "Command", "Context", "Working directory"],
            ...rows.map((row) => [row.alias, row.instance, row.command, row.context, row.workingDirectory]),
          ]);
  }
}

function sorted<T>(record: Readonly<Record<string, T>>): [string, T][] {
  return Object.entries(record).sort(([a], [b]) => (a < b ? -1 : 1));
}
