#!/usr/bin/env node
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Script } from "node:vm";
import { openCodeCache } from "./code-cache.ts";

/** Name of the bundle of `main.ts`, which lies beside this file and has a hash of itself in its name; the build fills it in. */
declare const BUNDLE: string;

const filename = join(__dirname, BUNDLE);
// A function of the names that modules take for granted, all in ASCII: it is read fastest so.
const source = readFileSync(filename, "latin1");
const cache = openCodeCache(BUNDLE, process.argv.slice(2));
const script = new Script(source, {
  filename,
  ...(cache.data === undefined ? {} : { cachedData: cache.data }),
});
cache.keepAtExit(script);
const importModule = (url: string): Promise<unknown> => import(url);
script.runInThisContext()(exports, require, module, filename, __dirname, importModule);
