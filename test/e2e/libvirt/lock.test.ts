import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { expect } from "chai";
import { execa } from "execa";
import { lockFile } from "../../../lib/util/file-lock.ts";
import { codeOf } from "../../support/libvirt/fixture.ts";

const moduleOf = (path: string) => JSON.stringify(pathToFileURL(join(process.cwd(), path)).href);

/** Takes the lock and has a layer rewritten under it. */
const HOLDER = `
  const { lockFile } = await import(${moduleOf("lib/util/file-lock.ts")});
  const { growImage } = await import(${moduleOf("plugins/libvirt/qcow2/qemu-img.ts")});
  const lock = await lockFile("lock", { name: "it", wait: 0 });
  await growImage("layer.qcow2", 1n, { lock: lock.descriptor });
`;

describe("the lock of an instance whose holder was killed", () => {
  let folder: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), "strata-lock-"));
    // A qemu-img that tells when it has begun, and ends when it is told to.
    await execa("mkfifo", ["begun", "end"], { cwd: folder });
    await writeFile(join(folder, "qemu-img"), "#!/bin/sh\necho > begun\nread _ < end\n", { mode: 0o755 });
  });
  afterEach(() => rm(folder, { recursive: true, force: true }));

  it("stays until the program that changes its layers has ended, and is free then", async () => {
    const holder = spawn(process.execPath, ["--input-type=module", "-e", HOLDER], {
      cwd: folder,
      env: {
        ...process.env,
        PATH: `${folder}:${process.env.PATH}`,
        NODE_OPTIONS: `--import=${import.meta.resolve("tsx")}`,
      },
      stdio: ["ignore", "ignore", "inherit"],
    });
    await execa("cat", ["begun"], { cwd: folder });
    holder.kill("SIGKILL");
    await once(holder, "exit");
    const path = join(folder, "lock");
    expect(await codeOf(lockFile(path, { name: "it", wait: 0 }))).to.equal("BUSY");
    await execa("sh", ["-c", "echo > end"], { cwd: folder });
    await using lock = await lockFile(path, { name: "it", wait: 30_000 });
    expect(lock.descriptor).to.be.greaterThan(0);
  });
});
