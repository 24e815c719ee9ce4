/** Given by what starts the bundled command line, see below. */
declare const bundleImport: ((url: string) => Promise<unknown>) | undefined;

/**
 * Imports a module that is only known at run time, by its URL. A script that V8 takes from its cache cannot
 * do that itself: what starts the bundle does it for it.
 */
export function importModule(url: string): Promise<unknown> {
  return typeof bundleImport === "undefined" ? import(url) : bundleImport(url);
}
