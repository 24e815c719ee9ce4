import { readFile } from "node:fs/promises";
import { dirname, join, normalize } from "node:path";
import { fileURLToPath } from "node:url";
import { expect } from "chai";
import { execa } from "execa";
import { FEATURES } from "../../../lib/engine/contract.ts";
import { ERRORS } from "../../../lib/errors.ts";

/** The rows of the table in a section of docs/plugins.md, a list of cells each. */
async function rows(section: string): Promise<string[][]> {
  const page = await readFile(join(ROOT, "docs/plugins.md"), "utf8");
  const lines = (page.split(`\n## ${section}\n`)[1]?.split("\n## ")[0] ?? "").split("\n");
  const cells = lines.filter((line) => line.startsWith("| ")).map((line) => line.slice(2, -2).split(" | "));
  return cells.map((each) => each.map((cell) => cell.trim()));
}

const words = (cell = "") => [...cell.matchAll(/`([^`]+)`/g)].map(([, word = ""]) => word);

const ROOT = fileURLToPath(new URL("../../../", import.meta.url));

describe("the package of strata", () => {
  it("has all that its pages link to", async () => {
    const args = ["pack", "--dry-run", "--json", "--ignore-scripts"];
    const { stdout } = await execa("npm", args, { cwd: ROOT });
    const [{ files }] = JSON.parse(stdout) as [{ readonly files: readonly { readonly path: string }[] }];
    const paths = files.map(({ path }) => path);
    const dead: string[] = [];
    for (const page of paths.filter((path) => path.endsWith(".md"))) {
      const text = await readFile(join(ROOT, page), "utf8");
      for (const [, link = ""] of text.matchAll(/\]\(([^)#\s]+)(?:#[^)]*)?\)/g)) {
        const path = normalize(join(dirname(page), link)).replace(/\/$/, "");
        const there = paths.some((each) => each === path || each.startsWith(`${path}/`));
        if (!/^https?:/.test(link) && !there) {
          dead.push(`${page}: ${link}`);
        }
      }
    }
    expect(dead).to.deep.equal([]);
  });
});

describe("the page for authors of engines", () => {
  it("names every feature", async () => {
    const named = (await rows("Features")).flatMap(([first]) => words(first));
    expect(named).to.include.members([...FEATURES]);
  });

  it("names codes of the table, with the details that they need", async () => {
    const codes = (await rows("Errors")).filter(([code = ""]) => /^[A-Z_]+$/.test(code));
    expect(codes.length).to.be.greaterThan(15);
    for (const [code = "", details] of codes) {
      const { message, hint } = (ERRORS as Readonly<Record<string, (typeof ERRORS)["BUSY"]>>)[code] ?? {
        message: "{there is no such code}",
      };
      const text = `${message} ${typeof hint === "string" ? hint : ""}`;
      const needed = [...text.matchAll(/\{([^}]+)\}/g)].map(([, name]) => name);
      expect(new Set(words(details)), code).to.deep.equal(new Set(needed));
    }
  });
});
