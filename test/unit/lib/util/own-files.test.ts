import { mkdtemp, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { lockFile } from "../../../../lib/util/file-lock.ts";
import { createFile, makeFolder, ownFailure } from "../../../../lib/util/own-files.ts";
import { createOverlay } from "../../../../plugins/libvirt/qcow2/overlay.ts";

describe("files of strata's own", () => {
  let folder: string;
  let umask: number;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), "strata-own-"));
    umask = process.umask(0o777);
  });
  afterEach(async () => {
    process.umask(umask);
    await rm(folder, { recursive: true, force: true });
  });
  const modeOf = async (...path: string[]) => (await stat(join(folder, ...path))).mode & 0o777;

  it("have the mode that is meant, and so have all folders that are made for them", async () => {
    await makeFolder(join(folder, "a/b/c"), 0o710);
    await (await createFile(join(folder, "a/b/c/file"))).close();
    await (await lockFile(join(folder, "lock"), { name: "it", wait: 0 }))[Symbol.asyncDispose]();
    const layer = join(folder, "layer.qcow2");
    await createOverlay(layer, join(folder, "base.qcow2"), { size: 1024n ** 3n });
    expect([await modeOf("a"), await modeOf("a/b"), await modeOf("a/b/c")]).to.deep.equal([
      0o710, 0o710, 0o710,
    ]);
    expect([await modeOf("a/b/c/file"), await modeOf("lock"), await modeOf("layer.qcow2")]).to.deep.equal([
      0o600, 0o600, 0o600,
    ]);
  });

  it("leave a folder that is there as it is, and refuse a file in its place", async () => {
    process.umask(0o022);
    await makeFolder(join(folder, "open"), 0o755);
    await makeFolder(join(folder, "open"), 0o700);
    expect(await modeOf("open")).to.equal(0o755);
    await writeFile(join(folder, "file"), "");
    for (const path of ["file", "file/below"]) {
      const error: unknown = await makeFolder(join(folder, path)).catch((thrown: unknown) => thrown);
      expect(ownFailure(error, path)).to.include({ code: "FOLDER_UNUSABLE", exitCode: 8 });
    }
  });

  it("say of a full disk that it is full, and of anything else why they cannot be used", () => {
    const error = (code: string, errno: number) => Object.assign(new Error(code), { code, errno });
    expect(ownFailure(error("ENOSPC", -28), "/home/x/file").message).to.equal("no space left on /home/x");
    expect(ownFailure(error("EROFS", -30), "/home/x/file").message).to.equal(
      "strata cannot use /home/x/file: read-only file system",
    );
  });
});
