import { chmod, chown, copyFile, mkdir, open, readFile, rm, stat, utimes, writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import { expect } from "chai";
import { execa } from "execa";
import {
  contextOf,
  type ImageRoom,
  imageRoom,
  makeImage,
  refusal,
  sha256,
} from "../../support/images/images.ts";

const MIB = 1024 * 1024;

describe("images from files", () => {
  let room: ImageRoom;
  beforeEach(async () => {
    room = await imageRoom();
  });
  afterEach(() => room[Symbol.asyncDispose]());

  const resolve = (file: string, hash = "") =>
    room.store.resolve(`file://${room.path(file)}${hash}`, contextOf());

  async function plain(file = "debian-12-plain.qcow2"): Promise<Buffer> {
    await makeImage(room.path(file), "8M");
    return readFile(room.path(file));
  }

  it("keeps a copy, named by its hash, that nobody else may read", async () => {
    const bytes = await plain();
    const { source, os, release, username } = await resolve("debian-12-plain.qcow2");
    expect({ os, release, username }).to.deep.equal({ os: "Debian", release: "12", username: "ubuntu" });
    expect(source).to.deep.equal({
      path: `${room.cache}/${sha256(bytes)}.qcow2`,
      format: "qcow2",
      sha256: sha256(bytes),
      virtualSize: BigInt(8 * MIB),
    });
    expect((await readFile(source.path)).equals(bytes)).to.equal(true);
    const modes = [source.path, source.path.replace(/qcow2$/, "json"), room.cache, dirname(room.cache)];
    const found = await Promise.all(modes.map(async (path) => ((await stat(path)).mode & 0o777).toString(8)));
    expect(found).to.deep.equal(["600", "600", "700", "700"]);
    expect(await room.cached()).to.deep.equal([`${sha256(bytes)}.json`, `${sha256(bytes)}.qcow2`]);
  });

  it("finds it again by the start of its hash, with the file gone, and lists it", async () => {
    const bytes = await plain();
    const first = await resolve("debian-12-plain.qcow2");
    await rm(room.path("debian-12-plain.qcow2"));
    const again = await room.store.resolve(sha256(bytes).slice(0, 6), contextOf());
    expect(again).to.deep.equal(first);
    expect(await resolve("debian-12-plain.qcow2", `#sha256=${sha256(bytes)}`)).to.deep.equal(first);
    const [info, ...more] = await room.store.list();
    expect(more).to.deep.equal([]);
    expect(info).to.include({ sha256: sha256(bytes), os: "Debian", size: BigInt(bytes.length) });
  });

  it("removes an image and its record by the start of its hash, and nothing where a name is wrong", async () => {
    const hash = sha256(await plain());
    await resolve("debian-12-plain.qcow2");
    expect((await refusal(room.store.remove([hash.slice(0, 8), "nosuch"]))).code).to.equal("IMAGE_NOT_FOUND");
    expect(await room.cached()).to.have.length(2);
    const removed = await room.store.remove([hash.slice(0, 8), hash]);
    expect(removed.map((image) => image.sha256)).to.deep.equal([hash]);
    expect(await room.cached()).to.deep.equal([]);
    expect(await room.store.list()).to.deep.equal([]);
  });

  it("does not list an image whose file is gone, and takes it in anew", async () => {
    await plain();
    const { source } = await resolve("debian-12-plain.qcow2");
    await rm(source.path);
    expect(await room.store.list()).to.deep.equal([]);
    await resolve("debian-12-plain.qcow2", `#sha256=${source.sha256}`);
    expect((await stat(source.path)).isFile()).to.equal(true);
  });

  it("leaves an image in place as it is when it comes again", async () => {
    await plain();
    const { source } = await resolve("debian-12-plain.qcow2");
    const before = await stat(source.path);
    await resolve("debian-12-plain.qcow2");
    expect((await stat(source.path)).ino).to.equal(before.ino);
  });

  it("takes in one image twice at once", async () => {
    const bytes = await plain();
    const results = await Promise.all([1, 2, 3].map(() => resolve("debian-12-plain.qcow2")));
    for (const { source } of results) {
      expect(sha256(await readFile(source.path))).to.equal(sha256(bytes));
    }
    expect(await room.cached()).to.have.length(2);
  });

  it("turns a raw disk into qcow2, named by the hash of what came", async () => {
    const raw = Buffer.alloc(4 * MIB);
    raw.writeUInt16LE(0xaa55, 510);
    raw.write("content", 3 * MIB + 5);
    await writeFile(room.path("disk.img"), raw);
    const { source } = await resolve("disk.img");
    expect(source.sha256).to.equal(sha256(raw));
    expect(source.virtualSize).to.equal(BigInt(raw.length));
    await execa("qemu-img", ["convert", "-f", "qcow2", "-O", "raw", source.path, room.path("back")]);
    expect((await readFile(room.path("back"))).equals(raw)).to.equal(true);
    expect(await room.cached()).to.have.length(2);
  });

  it("copies what a sparse disk holds, holes left holes", async () => {
    await using file = await open(room.path("sparse.img"), "w");
    const record = Buffer.alloc(512);
    record.writeUInt16LE(0xaa55, 510);
    await file.write(record, 0, 512, 0);
    await file.write("tail", 64 * MIB);
    await file.truncate(256 * MIB);
    const { source } = await resolve("sparse.img");
    await execa("qemu-img", ["compare", "-f", "raw", "-F", "qcow2", room.path("sparse.img"), source.path]);
    expect((await stat(source.path)).blocks * 512).to.be.below(4 * MIB);
  });

  const refused = async (file: string) => {
    const found = await refusal(resolve(file));
    const left = await room.cached().catch(() => []);
    expect(left).to.deep.equal([]);
    return found;
  };

  it("refuses a wrong hash and keeps nothing", async () => {
    await plain();
    const wrong = resolve("debian-12-plain.qcow2", `#sha256=${"0".repeat(64)}`);
    expect((await refusal(wrong)).code).to.equal("CHECKSUM_MISMATCH");
    expect(await room.cached()).to.deep.equal([]);
  });

  it("refuses an image with a backing file", async () => {
    await makeImage(room.path("base.qcow2"), "8M");
    await makeImage(room.path("a.qcow2"), "8M", ["-b", room.path("base.qcow2"), "-F", "qcow2"]);
    expect(await refused("a.qcow2")).to.deep.equal({
      code: "IMAGE_HAS_BACKING",
      reason: room.path("base.qcow2"),
    });
  });

  it("refuses one whose backing file is not there, and one by a protocol", async () => {
    await makeImage(room.path("a.qcow2"), "8M", ["-u", "-b", "/no/such/file", "-F", "raw"]);
    expect((await refused("a.qcow2")).reason).to.equal("/no/such/file");
    await makeImage(room.path("b.qcow2"), "8M", ["-u", "-b", "nbd://127.0.0.1:1/x", "-F", "raw"]);
    expect((await refused("b.qcow2")).code).to.equal("IMAGE_HAS_BACKING");
  });

  it("refuses an external data file", async () => {
    await makeImage(room.path("a.qcow2"), "8M", ["-o", `data_file=${room.path("data")},data_file_raw=on`]);
    expect(await refused("a.qcow2")).to.deep.equal({
      code: "IMAGE_HAS_BACKING",
      reason: "an external data file",
    });
  });

  it("refuses an encrypted image", async () => {
    // Not LUKS: making it measures the processor, and fails where that is busy.
    const secret = ["--object", "secret,id=s,data=geheim", "-o", "encrypt.format=aes,encrypt.key-secret=s"];
    await makeImage(room.path("a.qcow2"), "8M", secret);
    expect(await refused("a.qcow2")).to.deep.equal({ code: "IMAGE_UNREADABLE", reason: "it is encrypted" });
  });

  it("refuses a qcow2 file whose tables are damaged", async () => {
    const bytes = await plain();
    // The offset of the table of clusters, at 40 of the header, points behind the end of the file.
    bytes.writeBigUInt64BE(1n << 40n, 40);
    await writeFile(room.path("broken.qcow2"), bytes);
    expect((await refused("broken.qcow2")).code).to.equal("IMAGE_UNREADABLE");
  });

  it("refuses a qcow2 file whose clusters qemu-img check finds used twice", async () => {
    await makeImage(room.path("a.qcow2"), "8M");
    await execa("qemu-io", ["-f", "qcow2", "-c", "write 0 64k", "-c", "write 64k 64k", room.path("a.qcow2")]);
    const bytes = await readFile(room.path("a.qcow2"));
    const table = Number(bytes.readBigUInt64BE(40));
    const clusters = Number(bytes.readBigUInt64BE(table) & 0x00fffffffffffe00n);
    bytes.copy(bytes, clusters + 8, clusters, clusters + 8);
    await writeFile(room.path("broken.qcow2"), bytes);
    expect((await refused("broken.qcow2")).code).to.equal("IMAGE_UNREADABLE");
  });

  it("accepts a qcow2 file that merely wastes space", async () => {
    await plain();
    // A cluster that nothing refers to: counted as used in the table of counts.
    const bytes = await readFile(room.path("debian-12-plain.qcow2"));
    const counts = Number(bytes.readBigUInt64BE(Number(bytes.readBigUInt64BE(48))));
    const last = Math.ceil(bytes.length / 65536);
    const leaking = Buffer.concat([bytes], (last + 1) * 65536);
    leaking.writeUInt16BE(1, counts + last * 2);
    await writeFile(room.path("leak.qcow2"), leaking);
    const checked = await execa("qemu-img", ["check", "-f", "qcow2", room.path("leak.qcow2")], {
      reject: false,
    });
    expect(checked.exitCode).to.equal(3);
    expect((await resolve("leak.qcow2")).source.sha256).to.equal(sha256(leaking));
  });

  it("refuses a truncated qcow2 file", async () => {
    const bytes = await plain();
    await writeFile(room.path("short.qcow2"), bytes.subarray(0, 90));
    expect((await refused("short.qcow2")).code).to.equal("IMAGE_UNREADABLE");
  });

  it("refuses an empty file and a text", async () => {
    await writeFile(room.path("empty.img"), "");
    expect(await refused("empty.img")).to.deep.equal({ code: "IMAGE_UNREADABLE", reason: "it is empty" });
    await writeFile(room.path("text.img"), "# not an image\n".repeat(200_000));
    const reason = "it must be a disk in qcow2, vmdk, vdi, vhdx or vhd, or a raw one with a boot record";
    expect(await refused("text.img")).to.deep.equal({ code: "IMAGE_UNREADABLE", reason });
  });

  it("refuses a folder and a file that is not there", async () => {
    await mkdir(room.path("folder"));
    expect(await refused("folder")).to.deep.equal({ code: "IMAGE_UNREADABLE", reason: "it is not a file" });
    expect(await refused("missing")).to.deep.equal({ code: "FILE_NOT_FOUND", reason: room.path("missing") });
  });

  it("refuses a file that it may not read", async () => {
    await plain("a.qcow2");
    await chmod(room.path("a.qcow2"), 0);
    const root = process.geteuid?.() === 0;
    // Root may read everything: the question is asked as somebody else, in a folder of his.
    if (root) {
      await chown(room.folder, 65534, 65534);
      process.seteuid?.(65534);
    }
    try {
      expect(await refused("a.qcow2")).to.deep.equal({
        code: "FILE_NOT_FOUND",
        reason: room.path("a.qcow2"),
      });
    } finally {
      if (root) {
        process.seteuid?.(0);
      }
    }
  });

  it("stops copying when cancelled, and keeps nothing", async () => {
    await plain();
    const abort = new AbortController();
    const context = contextOf(({ phase }) => phase === "Copying image" && abort.abort(), abort.signal);
    const work = room.store.resolve(`file://${room.path("debian-12-plain.qcow2")}`, context);
    expect((await refusal(work)).code).to.equal("CANCELLED");
    expect(await room.cached()).to.deep.equal([]);
  });

  it("stops verifying when cancelled, and keeps nothing", async () => {
    await plain();
    const abort = new AbortController();
    const context = contextOf(({ phase }) => phase === "Verifying image" && abort.abort(), abort.signal);
    const work = room.store.resolve(`file://${room.path("debian-12-plain.qcow2")}`, context);
    expect((await refusal(work)).code).to.equal("CANCELLED");
    expect(await room.cached()).to.deep.equal([]);
  });

  it("sweeps up what a dead process left, and nothing of a living one", async () => {
    await plain();
    await mkdir(room.cache, { recursive: true });
    const dead = `${room.cache}/.00000000-0000-4000-8000-000000000001.partial`;
    const living = `${room.cache}/.00000000-0000-4000-8000-000000000002.partial`;
    for (const path of [dead, living]) {
      await copyFile(room.path("debian-12-plain.qcow2"), path);
    }
    await utimes(dead, new Date(0), new Date(0));
    await resolve("debian-12-plain.qcow2");
    const left = (await room.cached()).filter((name) => name.endsWith(".partial"));
    expect(left.map((name) => `${room.cache}/${name}`)).to.deep.equal([living]);
  });

  it("passes over a record that cannot be read", async () => {
    await plain();
    const { source } = await resolve("debian-12-plain.qcow2");
    await writeFile(source.path.replace(/qcow2$/, "json"), "{");
    expect(await room.store.list()).to.deep.equal([]);
  });
});
