import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { expect } from "chai";

const ROOT = fileURLToPath(new URL("../../..", import.meta.url));

interface Page {
  readonly path: string;
  /** Its text without code. */
  readonly text: string;
  readonly headings: readonly { readonly level: number; readonly title: string; readonly anchor: string }[];
}

function pagesOf(folder: string): string[] {
  const entries = readdirSync(join(ROOT, folder), { withFileTypes: true, recursive: true });
  return entries
    .filter((entry) => entry.isFile() && entry.name.endsWith(".md"))
    .map((entry) => join(entry.parentPath, entry.name));
}

function read(path: string): Page {
  const text = readFileSync(path, "utf8").replace(/```[\s\S]*?```/g, "");
  const headings = [...text.matchAll(/^(#+) (.*)$/gm)].map(([, marks = "", title = ""]) => ({
    level: marks.length,
    title,
    anchor: anchorOf(title),
  }));
  return { path, text, headings };
}

/** As the sites that show such pages make it. */
function anchorOf(title: string): string {
  return title
    .replace(/\[([^\]]*)\]\([^)]*\)/g, "$1")
    .toLowerCase()
    .replace(/[^\p{L}\p{N}_\- ]/gu, "")
    .replaceAll(" ", "-");
}

function linksOf({ text }: Page): string[] {
  return [...text.matchAll(/\]\(([^)\s]+)\)/g)].map(([, to = ""]) => to).filter((to) => !/^[a-z]+:/.test(to));
}

describe("the pages of the documentation", () => {
  const files = ["README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md"].map((name) =>
    join(ROOT, name),
  );
  const pages = new Map([...files, ...pagesOf("docs")].map((path) => [path, read(path)]));

  it("link to pages and sections that exist", () => {
    const broken = [...pages.values()].flatMap((page) =>
      linksOf(page)
        .filter((to) => {
          const [file = "", anchor] = to.split("#");
          const path = file === "" ? page.path : join(dirname(page.path), file);
          const sections = pages.get(path)?.headings.map((heading) => heading.anchor);
          return !existsSync(path) || (anchor !== undefined && sections?.includes(anchor) === false);
        })
        .map((to) => `${relative(ROOT, page.path)}: ${to}`),
    );
    expect(broken).to.deep.equal([]);
  });

  for (const name of ["docs/guide.md", "docs/library.md"]) {
    it(`have all their sections in the list at the top of ${name}`, () => {
      const page = pages.get(join(ROOT, name));
      const [top = ""] = page?.text.split(/^## /m) ?? [];
      const sections = page?.headings.filter(({ level }) => level === 2) ?? [];
      const listed = [...top.matchAll(/^- \[(.*)\]\(#(.*)\)$/gm)].map(
        ([, title, anchor]) => `${title} ${anchor}`,
      );
      expect(listed).to.deep.equal(sections.map(({ title, anchor }) => `${title} ${anchor}`));
    });
  }
});
