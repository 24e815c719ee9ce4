import { appendFile, mkdtemp, rename, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { CONSOLE_LOG, isConsoleLog, readLog } from "../../../../../plugins/libvirt/console/log-file.ts";

describe("the log of a console", () => {
  let folder: string;
  let path: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), "strata-console-"));
    path = join(folder, CONSOLE_LOG);
  });
  afterEach(() => rm(folder, { recursive: true, force: true }));

  /** As virtlogd keeps it: older ones with a number, the highest the oldest. */
  async function write(...texts: readonly string[]): Promise<void> {
    for (const [at, text] of texts.toReversed().entries()) {
      await writeFile(at === 0 ? path : `${path}.${at - 1}`, text);
    }
  }

  async function read(lines?: number): Promise<string> {
    const { signal } = new AbortController();
    const chunks: Uint8Array[] = [];
    for await (const chunk of readLog(path, { signal, ...(lines === undefined ? {} : { lines }) })) {
      chunks.push(chunk);
    }
    return Buffer.concat(chunks).toString();
  }

  it("is empty before the first boot", async () => {
    expect(await read()).to.equal("");
    expect(await read(5)).to.equal("");
  });

  it("is read from the oldest file to the newest", async () => {
    await write("one\n", "two\nthr", "ee\n");
    expect(await read()).to.equal("one\ntwo\nthree\n");
  });

  it("has its last lines across files, the last of them perhaps unfinished", async () => {
    await write("one\n", "two\nthr", "ee\nlogin: ");
    expect(await read(0)).to.equal("");
    expect(await read(1)).to.equal("login: ");
    expect(await read(2)).to.equal("three\nlogin: ");
    expect(await read(4)).to.equal("one\ntwo\nthree\nlogin: ");
    expect(await read(40)).to.equal("one\ntwo\nthree\nlogin: ");
  });

  it("is followed into what is written, and into the next file when this one is put aside", async () => {
    await write("one\n");
    const abort = new AbortController();
    const log = readLog(path, { follow: true, signal: abort.signal });
    const next = async () => Buffer.from((await log.next()).value ?? "end").toString();
    expect(await next()).to.equal("one\n");
    const more = next();
    await appendFile(path, "two\n");
    expect(await more).to.equal("two\n");
    const after = next();
    await rename(path, `${path}.0`);
    await appendFile(`${path}.0`, "last\n");
    expect(await after).to.equal("last\n");
    const fresh = next();
    await writeFile(path, "new\n");
    expect(await fresh).to.equal("new\n");
    const end = log.next();
    abort.abort();
    expect((await end).done).to.equal(true);
  });

  it("is followed from before the first boot on", async () => {
    const abort = new AbortController();
    const log = readLog(path, { follow: true, lines: 3, signal: abort.signal });
    expect((await log.next()).value).to.have.length(0);
    const first = log.next();
    await writeFile(path, "boot\n");
    expect(Buffer.from((await first).value ?? "").toString()).to.equal("boot\n");
    abort.abort();
    await log.return(undefined);
  });

  it("has names that no other file has", () => {
    expect(["console.log", "console.log.0", "console.log.12"].filter(isConsoleLog)).to.have.length(3);
    const others = ["console.logs", "my-console.log", "console.log.bak", "console.log.", "console.log.0.gz"];
    expect(others.filter(isConsoleLog)).to.deep.equal([]);
  });
});
