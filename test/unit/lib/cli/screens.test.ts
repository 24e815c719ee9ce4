import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { type PassThrough, Writable } from "node:stream";
import { promisify } from "node:util";
import { Terminal } from "@xterm/headless";
import { expect } from "chai";
import type { LaunchOptions, Strata } from "../../../../lib/core/api/strata.ts";
import { openStrata } from "../../../../lib/core/session/open.ts";
import { failure } from "../../../../lib/errors.ts";
import { memoryEngine } from "../../../../plugins/memory/index.ts";
import { cliRoom } from "../../../support/cli.ts";

const FOLDER = new URL("../../../fixtures/golden/screens/", import.meta.url);
const COLUMNS = 80;
const MIB = 1024n ** 2n;

/** A terminal, which shows what was written to it as a user sees it. */
function terminal() {
  const shown = new Terminal({ cols: COLUMNS, rows: 70, allowProposedApi: true, convertEol: true });
  const stream = Object.assign(
    new Writable({ write: (chunk: Buffer, _, done) => shown.write(chunk, () => done()) }),
    { isTTY: true, columns: COLUMNS },
  );
  const settle = promisify((done: () => void) => shown.write("", done));
  return {
    stream,
    async screen(): Promise<string> {
      await settle();
      const buffer = shown.buffer.active;
      const lines = Array.from({ length: buffer.length }, (_, row) =>
        buffer.getLine(row)?.translateToString(true),
      );
      return `${lines.join("\n").trimEnd()}\n`;
    },
  };
}

/** What a command that goes through these steps shows after each of them, and at its end. */
async function screens(args: string[], change: (strata: Strata, during: () => Promise<void>) => Strata) {
  const { stream, screen } = terminal();
  const seen: string[] = [];
  const during = async () => void seen.push(await screen());
  await using room = await cliRoom(async (options) =>
    change(await openStrata({ ...options, engine: memoryEngine() }), during),
  );
  await room.onto(
    { stdout: stream as unknown as PassThrough, stderr: stream as unknown as PassThrough },
    ...args,
  );
  return [...seen, await screen()].join("--------\n");
}

/**
 * The terminal as a user sees it: what goes on, what stays, and what a failure says. After a wanted change:
 * `UPDATE_GOLDEN=1 npx mocha test/unit/lib/cli/screens.test.ts`, and look at the difference.
 */
describe("the terminal", () => {
  it("shows where a launch is, then that it is done", async () => {
    const shown = await screens(["launch", "debian", "--name", "web"], (strata, during) => ({
      ...strata,
      instances: {
        ...strata.instances,
        async launch(options: LaunchOptions) {
          options.progress?.({ phase: "Copying image", done: 83n * MIB, total: 333n * MIB });
          await during();
          options.progress?.({ phase: 'Waiting for "web"', wait: { since: Date.now(), timeout: 300_000 } });
          await during();
          return strata.instances.launch(options);
        },
      },
    }));
    same("launch.txt", shown);
  });

  it("shows why a launch fails, and what to do", async () => {
    const shown = await screens(["launch", "debian-micro", "--name", "web"], (strata) => ({
      ...strata,
      instances: {
        ...strata.instances,
        launch: async ({ image }) => {
          throw failure("IMAGE_NOT_BUILT", { image, variant: "micro" });
        },
      },
    }));
    same("launch-fails.txt", shown);
  });

  it("shows where a build is, and what it has built", async () => {
    const shown = await screens(["image", "build", "debian", "--variant", "micro"], (strata, during) => ({
      ...strata,
      images: {
        ...strata.images,
        async build(options) {
          options.progress?.({ phase: "Installing packages" });
          await during();
          options.progress?.({ phase: "Verifying image", done: 300n * MIB, total: 333n * MIB });
          await during();
          const sizes = { size: 333n * MIB, virtualSize: 1024n * MIB, createdAt: 0, usedAt: 0 };
          const about = { os: "Debian", release: "12", source: "", outdated: false, system: false };
          return { sha256: "ab".repeat(32), aliases: ["debian-micro", "debian"], ...about, ...sizes };
        },
      },
    }));
    same("image-build.txt", shown);
  });

  for (const [file, args] of Object.entries({
    "help-image.txt": ["help", "image"],
    "wrong-option.txt": ["launch", "--nosuch"],
  })) {
    it(`shows ${args.join(" ")}`, async () => {
      same(file, await screens(args, (strata) => strata));
    });
  }
});

function same(file: string, actual: string): void {
  const url = new URL(file, FOLDER);
  if (process.env.UPDATE_GOLDEN !== undefined) {
    mkdirSync(FOLDER, { recursive: true });
    writeFileSync(url, actual);
  }
  expect(actual).to.equal(readFileSync(url, "utf8"));
}
