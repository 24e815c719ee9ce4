import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";

const DOCS = fileURLToPath(new URL("../../docs/plugins.md", import.meta.url));

/** What the table of docs/plugins.md names: the tests of each rule, as mocha calls them in full for that engine. */
export async function readRules(engine: string): Promise<ReadonlyMap<string, readonly string[]>> {
  const [, section = ""] = (await readFile(DOCS, "utf8")).split("## Rules and their tests\n");
  const rows = (section.split("\n## ")[0] ?? "").matchAll(/^\| (.+?) +\| (`.+") +\|$/gm);
  return new Map(
    [...rows].map(([, rule = "", tests = ""]) => [
      rule,
      [...tests.matchAll(/`([^`]+)` "([^"]+)"/g)].map(
        ([, part, title]) => `engine ${engine} ${part} ${title}`,
      ),
    ]),
  );
}

/** The tests of a rule; fails for one that the table has not. */
export function testsOf(rules: ReadonlyMap<string, readonly string[]>, rule: string): readonly string[] {
  const found = rules.get(rule);
  if (found === undefined) {
    throw new Error(`docs/plugins.md has no rule "${rule}"`);
  }
  return found;
}
