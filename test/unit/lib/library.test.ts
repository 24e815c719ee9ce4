import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { inspect } from "node:util";
import { expect } from "chai";
import { execa } from "execa";
import { Strata } from "../../../lib/index.ts";
import { memoryEngine } from "../../../plugins/memory/index.ts";

const ROOT = fileURLToPath(new URL("../../../", import.meta.url));

/** What the examples of docs/library.md print, by their headings. */
const PRINTED: Readonly<Record<string, string>> = {
  Open: "memory true memory\nincus available\nlibvirt available\nlxd available\nmemory loaded\n",
  Conventions: 'cache.clean {"instance":"cache","snapshot":"clean"}\n2147483648n 2147483648 2147483648n\n',
  Instances: "cache Stopped\nweb Running\nweb-clone1 Stopped 4\ntrue\n[ 'spare' ]\n[ 'memory' ] []\n",
  Snapshots:
    "db.clean db.snapshot2 1 1073741824n\nfirst null as launched, 1 CPU true\nsnapshot2 first Before restoring clean false\n1 db.snapshot2\n",
  "Snapshots of running instances":
    "true true true warm\nshop.before-upgrade shop.snapshot3\nstock.before-upgrade stock.snapshot2\nwarm memory\nsnapshot3 crash\n",
  "Commands and files": "two words $HOME\n0\n0\nfrom the host\n",
  "Ssh and ports": "0 0\ntrue\nUNSUPPORTED\n",
  Consoles: "quiet has booted\n\nquiet login: root\n\n",
  "Mounts and networks": "/data 1\ntrue\n",
  Images: "0 2\nDOWNLOAD_FAILED\nFILE_NOT_FOUND\nIMAGE_NOT_FOUND\n",
  "Settings and aliases": "true\nmain\nwork [ 'count' ]\n",
  Events: "resync \ncreate watched\n",
  "Progress and cancelling": "Taking snapshot \nCANCELLED\nCANCELLED\n",
  Errors: 'INSTANCE_NOT_FOUND instance "nobody" does not exist 3 false\ntrue\n',
  "Checking and repairing": "true\n0 0\n0 true true\n",
  "What an engine cannot do": [
    "UNSUPPORTED it does not have this feature",
    "UNSUPPORTED there is only one memory",
    "UNSUPPORTED it has no drives",
    "UNSUPPORTED nothing is made here without strata",
    "UNSUPPORTED nothing is made here without strata",
    "UNSUPPORTED nothing is made here without strata",
    "UNSUPPORTED it does not have this feature\n",
  ].join("\n"),
  Disks:
    "system 5368709120n false\nvdb 21474836480n false\nvdc 8589934592n false\ndisk vdc (8.0GiB) stays as it is now: it is excluded\n",
  Engines: "true\n",
};

/**
 * The library as the examples import it: guests of the memory engine are this host, so that files can be
 * transferred, and an empty command is a shell.
 */
const LIBRARY = `
import { Strata as Real } from "ROOT/lib/index.ts";
import { hostGuests } from "ROOT/test/support/guest/host-guest.ts";
export * from "ROOT/lib/index.ts";
const made = hostGuests(() => "FOLDER");
const exec = (id, argv, options) => made.guest.exec(id, argv.length === 0 ? ["sh"] : argv, options);
const engine = { ...made, guest: { ...made.guest, exec } };
export const Strata = { open: (options = {}) => Real.open("driver" in options ? options : { ...options, engine }) };
`;

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
    await writeFile(join(config, "settings.json"), '{"local.driver":"memory","local.image.store":""}');
    const nowhere = { url: "http://127.0.0.1:1/" };
    await writeFile(join(config, "remotes.json"), JSON.stringify({ release: nowhere, daily: nowhere }));
    const library = LIBRARY.replaceAll("ROOT/", pathToFileURL(ROOT).href).replace("FOLDER", folder);
    await writeFile(join(folder, "library.mts"), library);
    for (const key of Object.keys(process.env)) {
      if (key.startsWith("XDG_")) {
        delete process.env[key];
      }
    }
    process.env.HOME = join(folder, "home");
    process.env.TMPDIR = folder;
  });
  after(async () => {
    delete process.env.TMPDIR;
    Object.assign(process.env, environment);
    await rm(folder, { recursive: true, force: true });
  });

  it("run, and print what they should", async () => {
    const printed: Record<string, string> = {};
    const { log } = console;
    for (const [at, { heading, code }] of (await examples()).entries()) {
      const file = join(folder, `example-${at}.mts`);
      await writeFile(file, code.replaceAll('"strata-vm"', '"./library.mts"'));
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
      printed[heading] = `${printed[heading] ?? ""}${lines.map((line) => `${line}\n`).join("")}`;
    }
    expect(printed).to.deep.equal(PRINTED);
  });

  it("show every call", async () => {
    const shown = (await examples()).map(({ code }) => code).join("");
    await using strata = await Strata.open({ driver: "memory", engine: memoryEngine() });
    const calls = Object.entries(strata).flatMap(([noun, group]) =>
      typeof group === "function" ? [noun] : Object.keys(group).map((verb) => `${noun}.${verb}`),
    );
    expect(calls.length).to.be.greaterThan(50);
    expect(calls.filter((call) => !shown.includes(`strata.${call}(`))).to.deep.equal([]);
  });

  it("have the right types", async () => {
    const types = join(folder, "types");
    await mkdir(types);
    for (const [at, { code }] of (await examples()).entries()) {
      await writeFile(join(types, `example-${at}.mts`), code);
    }
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
