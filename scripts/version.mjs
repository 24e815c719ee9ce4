// Writes lib/version.ts from package.json, the one place where the version is typed.
import { readFileSync, writeFileSync } from "node:fs";

const { version } = JSON.parse(readFileSync(new URL("../package.json", import.meta.url), "utf8"));
const target = new URL("../lib/version.ts", import.meta.url);
const text = `/** The version of strata. Generated from package.json by scripts/version.mjs; do not edit. */
export const VERSION = ${JSON.stringify(version)};
`;
// An unchanged file keeps its time, so that make builds nothing anew.
if (readFileSync(target, "utf8") !== text) {
  writeFileSync(target, text);
}
