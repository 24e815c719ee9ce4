import { fileURLToPath, pathToFileURL } from "node:url";

/** Given by what starts the bundled command line, see below. */
declare const bundleImport: ((url: string) => Promise<unknown>) | undefined;

/**
 * Imports a module that is only known at run time, by its URL. A script that V8 takes from its cache cannot
 * do that itself: what starts the bundle does it for it.
 */
export function importModule(url: string): Promise<unknown> {
  return typeof bundleImport === "undefined" ? import(url) : bundleImport(url);
}

/** Imports the module at an absolute path. Of code that cannot be read, the error says the file and the line. */
export async function importEntry(path: string): Promise<unknown> {
  const { href } = pathToFileURL(path);
  try {
    return await importModule(href);
  } catch (error) {
    const place = error instanceof SyntaxError ? await placeOf(href) : undefined;
    throw place === undefined ? error : new Error(`${place}: ${(error as Error).message}`, { cause: error });
  }
}

/** How long Node may look for the place of an error, ms. */
const PLACE_TIMEOUT_MS = 5000;

/**
 * File and line of a syntax error. Node tells them of an error that nobody catches, and nobody else. A module that
 * cannot be linked is not run, nor is any that it imports.
 */
async function placeOf(href: string): Promise<string | undefined> {
  const { execFile } = await import("node:child_process");
  const args = ["--input-type=module", "--eval", `import ${JSON.stringify(href)};`];
  const said = await new Promise<string>((resolve) => {
    execFile(process.execPath, args, { timeout: PLACE_TIMEOUT_MS }, (_, __, stderr) => resolve(stderr));
  });
  const [, file, line] = /^(file:\/\/\/\S+):(\d+)$/m.exec(said) ?? [];
  return file === undefined ? undefined : `${fileURLToPath(file)}:${line}`;
}
