// Writes the parts of the libvirt binding that come from libvirt: constants, error codes, procedure numbers.
//   node --import tsx scripts/generate-binding.ts                   from the extracts in scripts/binding/*.json
//   node --import tsx scripts/generate-binding.ts DIR-9.0 DIR-11.3  makes the extracts anew before that
// Each DIR has what scripts/libvirt-sources.sh puts there. `make binding` does both.
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { extractPath, makeExtract, readExtract, VERSIONS } from "./binding/extract.ts";
import { renderBinding } from "./binding/render.ts";

const folders = process.argv.slice(2);
if (folders.length > 0) {
  if (folders.length !== VERSIONS.length) {
    throw new Error(`one folder for each of ${VERSIONS.join(", ")} is needed`);
  }
  for (const [at, version] of VERSIONS.entries()) {
    const folder = folders[at] ?? "";
    const source = readFileSync(join(folder, "source"), "utf8").trim();
    const extract = makeExtract(join(folder, "headers"), join(folder, "protocol"), source);
    writeFileSync(extractPath(version), `${JSON.stringify(extract, null, 2)}\n`);
  }
}
const newest = readExtract(VERSIONS[VERSIONS.length - 1] ?? "11.3");
for (const [path, text] of renderBinding(newest)) {
  writeFileSync(new URL(`../plugins/libvirt/rpc/${path}`, import.meta.url), text);
}
