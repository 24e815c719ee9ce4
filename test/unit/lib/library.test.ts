import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { inspect } from "node:util";
import { expect } from "chai";
import { execa } from "execa";

const ROOT = fileURLToPath(new URL("../../../", import.meta.url));

/** What the examples of docs/library.md print, by their headings. */
const PRINTED: Readonly<Record<string, string>> = {
  Open: "memory true\n",
  "Instances and commands": "web Running\ntwo words $HOME\n0\n",
  Snapshots: "db.clean\nsnapshot2 1\nclean null true\nsnapshot2 clean false\n",
  "Progress and cancelling": "Taking snapshot \nCANCELLED\n",
  Errors: 'INSTANCE_NOT_FOUND instance "nobody" does not exist 3 false\ntrue\n',
  Engines: "true\n",
};

async function examples(): Promise<{ heading: string; code: string }[]> {
  const page = await readFile(join(ROOT, "docs/library.md"), "utf8");
  return page
    .split(/^## /m)
    .slice(1)
    .flatMap((section) => {
      const [heading = ""] = section.split("\n");
      return [...section.matchAll(/^```ts\n(.*?)^```$/gms)].map(([, code = ""]) => ({ heading, code }));
    });
}

describe("the examples of docs/library.md", () => {
  let folder: string;
  const environment = { ...process.env };
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "strata-library-"));
    const config = join(folder, "home/.config/strata");
    await mkdir(config, { recursive: true });
    await writeFile(join(config, "settings.json"), '{"local.driver":"memory"}');
    for (const key of Object.keys(process.env)) if (key.startsWith("XDG_")) delete process.env[key];
    process.env.HOME = join(folder, "home");
  });
  after(async () => {
    Object.assign(process.env, environment);
    await rm(folder, { recursive: true, force: true });
  });

  it("run, and print what they should", async () => {
    const printed: Record<string, string> = {};
    const { log } = console;
    for (const { heading, code } of await examples()) {
      const file = join(folder, `${heading.replaceAll(" ", "-").toLowerCase()}.mts`);
      await writeFile(
        file,
        code.replaceAll('"strata-vm"', JSON.stringify(pathToFileURL(join(ROOT, "lib/index.ts")).href)),
      );
      const lines: string[] = [];
      console.log = (...values: unknown[]) =>
        void lines.push(
          values.map((value) => (typeof value === "string" ? value : inspect(value))).join(" "),
        );
      try {
        await import(pathToFileURL(file).href);
      } finally {
        console.log = log;
      }
      printed[heading] = `${lines.join("\n")}\n`;
    }
    expect(printed).to.deep.equal(PRINTED);
  });

  it("have the right types", async () => {
    const types = join(folder, "types");
    await mkdir(types);
    for (const [at, { code }] of (await examples()).entries())
      await writeFile(join(types, `example-${at}.mts`), code);
    const config = {
      extends: join(ROOT, "tsconfig.json"),
      compilerOptions: {
        noEmit: true,
        types: ["node"],
        typeRoots: [join(ROOT, "node_modules/@types")],
        paths: { "strata-vm": [join(ROOT, "lib/index.ts")] },
      },
      include: ["*.mts"],
    };
    await writeFile(join(types, "tsconfig.json"), JSON.stringify(config));
    const { stdout } = await execa("npx", ["--no-install", "tsc", "-p", types], { cwd: ROOT, reject: false });
    expect(stdout).to.equal("");
  });
}).timeout(120_000);
