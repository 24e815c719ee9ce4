// Writes what is generated from the command tree and the table of errors: docs/commands.md, docs/errors.md and
// the man page. A unit test compares them.
import { writeFileSync } from "node:fs";
import { referenceFiles } from "../lib/cli/reference/index.ts";

for (const [name, text] of Object.entries(referenceFiles())) {
  writeFileSync(new URL(`../docs/${name}`, import.meta.url), text);
}
