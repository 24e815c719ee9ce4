import { createHash } from "node:crypto";
import { gunzipSync, gzipSync } from "node:zlib";
import { expect } from "chai";
import tar from "tar-stream";
import { type FirmwareState, pack, unpack } from "../../../../../plugins/libvirt/firmware/state.ts";

const STATE: FirmwareState = [
  { name: "variables", contents: Buffer.alloc(1000, 7), uid: 64055, gid: 107 },
  { name: "tpm/tpm2-00.permall", contents: Buffer.from("seed"), uid: 0, gid: 0 },
];

describe("a packed state of firmware", () => {
  it("has all of it, with owners, under a name that says what is in it", async () => {
    const packed = await pack(STATE);
    expect(await unpack(packed)).to.deep.equal(STATE);
    expect((await pack(STATE)).name).to.equal(packed.name);
    const [variables, ...tpm] = STATE;
    const other = { ...(variables as (typeof STATE)[number]), contents: Buffer.alloc(1000, 8) };
    expect((await pack([other, ...tpm])).name).not.to.equal(packed.name);
  });

  it("may be empty", async () => {
    expect(await unpack(await pack([]))).to.deep.equal([]);
  });

  const reasonOf = (work: Promise<unknown>) =>
    work.then(
      () => "nothing",
      (error: unknown) => String(error),
    );

  it("is not believed when it was changed", async () => {
    const { name, bytes } = await pack(STATE);
    const changed = gunzipSync(bytes);
    changed[600] = 9;
    expect(await reasonOf(unpack({ name, bytes: gzipSync(changed) }))).to.contain("have changed");
    expect(await reasonOf(unpack({ name, bytes: bytes.subarray(0, 50) }))).to.contain("cannot be unpacked");
  });

  it("does not bring in files from elsewhere", async () => {
    const archive = tar.pack();
    archive.entry({ name: "tpm/../../etc/passwd" }, "root");
    archive.finalize();
    const chunks: Uint8Array[] = [];
    for await (const chunk of archive) {
      chunks.push(chunk);
    }
    const bytes = Buffer.concat(chunks);
    const name = `firmware-${createHash("sha256").update(bytes).digest("hex")}.tar.gz`;
    expect(await reasonOf(unpack({ name, bytes: gzipSync(bytes) }))).to.contain("no state of firmware");
  });
});
