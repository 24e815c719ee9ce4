#!/usr/bin/env node
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Script } from "node:vm";
import { openCodeCache } from "./code-cache.ts";

/** Hash of all chunks of the bundle, which are in the same folder; the build fills it in. */
declare const BUILD: string;

const cache = openCodeCache(BUILD, process.argv.slice(2));
const loaded = new Map<string, { exports: object }>();
const importModule = (url: string): Promise<unknown> => import(url);
const requireFrom = (id: string): object => (id.startsWith("./") ? load(id.slice(2)) : require(id));
/** What `open` returns, which is called when an export is first used. */
requireFrom.later = (open: () => object): object => {
  let module: object | undefined;
  return new Proxy(
    {},
    {
      get(_, name) {
        module ??= open();
        return Reflect.get(module, name);
      },
    },
  );
};

/** Runs a chunk at its first use. */
function load(name: string): object {
  const known = loaded.get(name);
  if (known !== undefined) {
    return known.exports;
  }
  const module = { exports: {} };
  loaded.set(name, module);
  const filename = join(__dirname, name);
  // A function with the names that modules expect as parameters. ASCII only, which is read fastest.
  const source = readFileSync(filename, "latin1");
  const cachedData = cache.find(name);
  const script = new Script(source, { filename, ...(cachedData === undefined ? {} : { cachedData }) });
  cache.keep(name, script);
  script.runInThisContext()(module.exports, requireFrom, module, filename, __dirname, importModule);
  return module.exports;
}

load("main.js");
