import { readFile } from "node:fs/promises";
import { dirname, join, normalize } from "node:path";
import { fileURLToPath } from "node:url";
import { expect } from "chai";
import { execa } from "execa";

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
