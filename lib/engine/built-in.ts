import { existsSync, readdirSync } from "node:fs";
import { fileURLToPath } from "node:url";

/** The folder whose subfolders are the engines that ship with strata: in the sources, the build, the bundle. */
function folder(): string {
  const [above, further] = ["../plugins/", "../../plugins/"].map((path) =>
    fileURLToPath(new URL(path, import.meta.url)),
  );
  return above !== undefined && existsSync(above) ? above : (further ?? "");
}

/** Names of the engines that ship with strata, sorted. An engine is there because its folder is. */
export async function builtInNames(): Promise<string[]> {
  const entries = readdirSync(folder(), { withFileTypes: true });
  return entries.flatMap((entry) => (entry.isDirectory() ? [entry.name] : [])).sort();
}

/** The module of an engine that ships with strata. The bundler reads this pattern and takes in them all. */
export function importBuiltIn(name: string): Promise<unknown> {
  return import(`../../plugins/${name}/index.ts`);
}
