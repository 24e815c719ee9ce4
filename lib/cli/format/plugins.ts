import type { PluginInfo } from "../../core/api/strata.ts";
import type { Check } from "../../engine/contract.ts";
import { csvField, csvLines } from "./cell.ts";
import { type Format, json, yaml } from "./format.ts";
import { line } from "./line.ts";

/** Engines, a block each. */
export function formatPlugins(plugins: readonly PluginInfo[], format: Format): string {
  switch (format) {
    case "json":
      return json({ plugins });
    case "yaml":
      return yaml(Object.fromEntries(plugins.map(({ name, ...rest }) => [name, [rest]])));
    case "csv":
      return csvLines([
        ["Name", "State", "Version", "API", "Engine", "Origin", "Features", "Reason"],
        ...plugins.map(({ name, state, version, api, engine, origin, features, reason }) => [
          name,
          state,
          version,
          api,
          csvField(engine),
          csvField(origin),
          features.join(";"),
          csvField(reason),
        ]),
      ]);
    case "table":
      return plugins.map(block).join("\n");
  }
}

function block(plugin: PluginInfo): string {
  const missing = Object.entries(plugin.missing).map(([feature, reason]) => `${feature}: ${reason}`);
  const lines = [
    line("Name", plugin.name),
    line("State", plugin.state),
    plugin.reason === "" ? [] : line("Reason", plugin.reason),
    line("Origin", plugin.origin || "--"),
    plugin.version === "" ? [] : line("Version", plugin.version),
    plugin.api === "" ? [] : line("API", plugin.api),
    plugin.engine === "" ? [] : line("Engine", plugin.engine),
    plugin.features.length === 0 ? [] : line("Features", ...plugin.features),
    missing.length === 0 ? [] : line("Missing", ...missing),
    plugin.checks.length === 0 ? [] : line("Checks", ...plugin.checks.flatMap(checkLines)),
  ];
  return `${lines.flat().join("\n")}\n`;
}

function checkLines({ what, ok, detail, fix }: Check): string[] {
  const found = `${ok ? "ok" : "FAILED"} ${what}: ${detail}`;
  return ok || fix === undefined ? [found] : [found, `  fix: ${fix}`];
}
