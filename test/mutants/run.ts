import { readFile, writeFile } from "node:fs/promises";
import { parseArgs } from "node:util";
import { execa } from "execa";
import { MUTANTS, TESTS } from "./disks.ts";

/**
 * Changes one line of the engine after another, and runs the tests that must notice. To be run in a clone of its own:
 * the files of the engine are changed in place, and put back. `--from` and `--only` pick mutants by their numbers.
 */
const { values } = parseArgs({
  options: { from: { type: "string", default: "0" }, only: { type: "string" } },
});

async function isCaught(tests: readonly (keyof typeof TESTS)[]): Promise<boolean> {
  for (const each of tests) {
    const [files, titles] = TESTS[each];
    const args = ["--no-install", "mocha", "--exit", "--bail", "--reporter", "dot", "--timeout", "300000"];
    const { failed } = await execa("npx", [...args, "-g", titles, files], {
      reject: false,
      timeout: 400_000,
    });
    if (failed) {
      return true;
    }
  }
  return false;
}

const survivors: number[] = [];
let caught = 0;
for (const [at, { file, line, wrong, tests }] of MUTANTS.entries()) {
  if (values.only === undefined ? at < Number(values.from) : !values.only.split(",").includes(String(at))) {
    continue;
  }
  const text = await readFile(file, "utf8");
  if (text.split(line).length !== 2) {
    throw new Error(`mutant ${at}: ${file} has not one line ${line}`);
  }
  await writeFile(
    file,
    text.replace(line, () => wrong),
  );
  try {
    if (await isCaught(tests)) {
      caught += 1;
    } else {
      survivors.push(at);
      console.log(`survived: ${at}, ${file}: ${line}`);
    }
  } finally {
    await writeFile(file, text);
  }
  console.log(`${at}: ${caught} caught, ${survivors.length} survived`);
}
console.log(`${caught} caught, ${survivors.length} survived: ${survivors.join(", ") || "none"}`);
process.exitCode = survivors.length === 0 ? 0 : 1;
