import { readFile, stat, writeFile } from "node:fs/promises";
import { delimiter } from "node:path";
import { expect } from "chai";
import { execa } from "execa";
import { unpack } from "../../../lib/images/unpack.ts";
import {
  contextOf,
  type ImageRoom,
  imageRoom,
  makeImage,
  refusal,
  sha256,
} from "../../support/images/images.ts";

const MIB = 1024 * 1024;
const PROGRAMS = { gz: "gzip", xz: "xz", zst: "zstd", bz2: "bzip2" } as const;
type Packing = keyof typeof PROGRAMS;
const PACKINGS = Object.keys(PROGRAMS) as Packing[];

describe("packed images", () => {
  let room: ImageRoom;
  beforeEach(async () => {
    room = await imageRoom();
  });
  afterEach(() => room[Symbol.asyncDispose]());

  /** Packs a file of the room; resolves to its path. */
  async function pack(name: string, packing: Packing): Promise<string> {
    const packed = await execa(PROGRAMS[packing], ["--stdout", "-1", room.path(name)], {
      encoding: "buffer",
    });
    await writeFile(room.path(`${name}.${packing}`), packed.stdout);
    return room.path(`${name}.${packing}`);
  }
  const resolve = (path: string) => room.store.resolve(`file://${path}`, contextOf());
  const unpacked = (path: string, packing: Packing, largest?: number) =>
    unpack("x", { from: path, to: room.path("out"), packing }, contextOf(), largest);

  for (const packing of PACKINGS) {
    it(`are unpacked from ${packing}, known by the hash of what came, whatever their name`, async () => {
      await makeImage(room.path("a"), "16M");
      await execa("qemu-io", ["-f", "qcow2", "-c", "write -P 7 1M 1M", room.path("a")]);
      const bytes = await readFile(await pack("a", packing));
      await writeFile(room.path("debian-12.img"), bytes);
      const { source, os } = await resolve(room.path("debian-12.img"));
      expect({ os, sha256: source.sha256, format: source.format }).to.deep.equal({
        os: "Debian",
        sha256: sha256(bytes),
        format: "qcow2",
      });
      const { stdout } = await execa("qemu-img", ["compare", source.path, room.path("a")]);
      expect(stdout).to.match(/identical/);
    });
  }

  it("that were raw become qcow2, and their zeros take no room", async () => {
    const disk = Buffer.alloc(64 * MIB);
    disk.writeUInt16LE(0xaa55, 510);
    await writeFile(room.path("raw"), disk);
    for (const packing of PACKINGS) {
      const { source } = await resolve(await pack("raw", packing));
      expect(source).to.include({ format: "qcow2", virtualSize: BigInt(64 * MIB) });
      expect((await stat(source.path)).size).to.be.lessThan(MIB);
      await using other = await imageRoom();
      const to = other.path("out");
      await unpack("x", { from: room.path(`raw.${packing}`), to, packing }, contextOf());
      const { size, blocks, mode } = await stat(to);
      expect({ size, mode: mode & 0o777 }).to.deep.equal({ size: 64 * MIB, mode: 0o600 });
      expect(blocks * 512).to.be.lessThan(4 * MIB);
    }
  });

  it("are refused where they hold more than is believed, cut off or damaged", async () => {
    await writeFile(room.path("zeros"), Buffer.alloc(20 * MIB));
    for (const packing of PACKINGS) {
      const path = await pack("zeros", packing);
      await using other = await imageRoom();
      const to = other.path("out");
      const bomb = unpack("x", { from: path, to, packing }, contextOf(), 10 * MIB);
      expect((await refusal(bomb)).reason, packing).to.match(/more than 10485760 bytes/);
      expect((await stat(to)).size).to.be.at.most(10 * MIB);
      const bytes = await readFile(path);
      await writeFile(path, bytes.subarray(0, bytes.length - 10));
      const found = await refusal(resolve(path));
      expect(found.code, packing).to.equal("IMAGE_UNREADABLE");
      expect(found.reason).to.match(/^it cannot be unpacked: /);
    }
    expect(await room.cached()).to.deep.equal([]);
  });

  it("are looked at when they are unpacked: one with a backing file is refused", async () => {
    await makeImage(room.path("a"), "8M", ["-u", "-b", "/etc/shadow", "-F", "raw"]);
    expect((await refusal(resolve(await pack("a", "gz")))).code).to.equal("IMAGE_HAS_BACKING");
  });

  it("stop being unpacked when cancelled, and nothing is kept", async () => {
    await writeFile(room.path("zeros"), Buffer.alloc(20 * MIB));
    for (const packing of PACKINGS) {
      const abort = new AbortController();
      const context = contextOf(({ phase }) => phase === "Unpacking image" && abort.abort(), abort.signal);
      const work = room.store.resolve(`file://${await pack("zeros", packing)}`, context);
      expect((await refusal(work)).code, packing).to.equal("CANCELLED");
    }
    expect(await room.cached()).to.deep.equal([]);
  });

  it("tell which package has the program that is missing", async () => {
    await writeFile(room.path("zeros"), Buffer.alloc(MIB));
    const path = await pack("zeros", "xz");
    const before = process.env.PATH;
    // A folder with the programs that set the limits; the sbin folders, which are searched too, have no xz.
    await execa("ln", ["-s", "/usr/bin/prlimit", "/usr/bin/unshare", room.folder]);
    process.env.PATH = room.folder;
    try {
      const error = await unpacked(path, "xz").then(
        () => undefined,
        (thrown: Error) => thrown,
      );
      expect(error?.message).to.equal('the program "xz" is not installed');
      expect(error)
        .to.have.property("hint")
        .that.matches(/apt-get install xz-utils/);
    } finally {
      process.env.PATH = before;
    }
  });

  it("and all that strangers wrote are read with bounded memory and processor time", async () => {
    // A qemu-img that tells its limits in the place of doing its work.
    await writeFile(room.path("qemu-img"), '#!/bin/sh\necho "$(ulimit -v) $(ulimit -t)" >&2\nexit 1\n', {
      mode: 0o755,
    });
    await makeImage(room.path("a.qcow2"), "8M");
    const before = process.env.PATH;
    process.env.PATH = `${room.folder}${delimiter}${before}`;
    try {
      expect(await refusal(resolve(room.path("a.qcow2")))).to.deep.equal({
        code: "IMAGE_UNREADABLE",
        reason: "1048576 60",
      });
    } finally {
      process.env.PATH = before;
    }
  });
});
