import { appendFile, mkdir, readFile, rename, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { join } from "node:path";
import { expect } from "chai";
import { execa } from "execa";
import { contextOf, type ImageRoom, imageRoom, refusal } from "../../support/images/images.ts";

const MIB = 1024 * 1024;

describe("images in other formats", () => {
  let room: ImageRoom;
  beforeEach(async () => {
    room = await imageRoom();
    const disk = Buffer.alloc(8 * MIB);
    disk.writeUInt16LE(0xaa55, 510);
    disk.write("content", 5 * MIB + 5);
    disk.write("the end", 8 * MIB - 7);
    await writeFile(room.path("raw"), disk);
  });
  afterEach(() => room[Symbol.asyncDispose]());

  const resolve = (file: string, context = contextOf()) => room.store.resolve(room.path(file), context);
  const convert = (format: string, file: string, options: readonly string[] = []) =>
    execa("qemu-img", ["convert", "-f", "raw", "-O", format, ...options, room.path("raw"), room.path(file)]);
  const tar = (file: string, names: readonly string[], options: readonly string[] = []) =>
    execa("tar", ["--create", ...options, "--file", room.path(file), "-C", room.folder, ...names]);

  /** What came into the cache is the raw disk, bit for bit. */
  async function expectDisk(file: string): Promise<void> {
    const { source } = await resolve(file);
    expect(source, file).to.include({ format: "qcow2", virtualSize: BigInt(8 * MIB) });
    await execa("qemu-img", ["convert", "-f", "qcow2", "-O", "raw", source.path, room.path("back")]);
    const back = await readFile(room.path("back"));
    expect(back.equals(await readFile(room.path("raw"))), file).to.equal(true);
  }

  async function refused(file: string) {
    const found = await refusal(resolve(file));
    expect(await room.cached()).to.deep.equal([]);
    return found;
  }

  const formats: readonly [format: string, options?: readonly string[]][] = [
    ["vmdk"],
    ["vmdk", ["-o", "subformat=streamOptimized"]],
    ["vdi"],
    ["vhdx"],
    ["vpc", ["-o", "force_size=on"]],
    ["vpc", ["-o", "subformat=fixed,force_size=on"]],
  ];
  for (const [format, options = []] of formats) {
    it(`become qcow2 with the same contents: ${[format, ...options.slice(1)].join(" ")}`, async () => {
      await convert(format, "disk", options);
      await expectDisk("disk");
    });
  }

  it("are not cut off where a VHD's geometry says less than its size", async () => {
    // As of a maker whose geometry QEMU believes: 240 cylinders, 4 heads and 17 sectors are less than 8 MiB.
    await convert("vpc", "disk", ["-o", "force_size=on"]);
    const bytes = await readFile(room.path("disk"));
    for (const at of [0, bytes.length - 512]) {
      bytes.write("qemu", at + 28);
      bytes.writeUInt32BE(0x00f00411, at + 56);
      bytes.writeUInt32BE(0, at + 64);
      const sum = bytes.subarray(at, at + 512).reduce((total, byte) => total + byte, 0);
      bytes.writeUInt32BE(~sum >>> 0, at + 64);
    }
    await writeFile(room.path("disk"), bytes);
    await expectDisk("disk");
  });

  it("are taken out of an OVA, a packed archive and a sparse one", async () => {
    await convert("vmdk", "disk1.vmdk", ["-o", "subformat=streamOptimized"]);
    await writeFile(room.path("machine.ovf"), "<Envelope/>");
    await writeFile(room.path("machine.mf"), "SHA256(disk1.vmdk)= 0");
    await tar("a.ova", ["machine.ovf", "machine.mf", "disk1.vmdk"], ["--format=ustar"]);
    await expectDisk("a.ova");
    await rename(room.path("raw"), room.path("disk.raw"));
    await tar("gce.tar.gz", ["disk.raw"], ["--format=oldgnu", "--sparse", "--gzip"]);
    await tar("pax.tar.bz2", ["./disk.raw"], ["--format=posix", "--sparse", "--bzip2"]);
    await rename(room.path("disk.raw"), room.path("raw"));
    await expectDisk("gce.tar.gz");
    await expectDisk("pax.tar.bz2");
  });

  it("are refused as an archive of no disk, of two, or of two files with one name", async () => {
    await writeFile(room.path("note"), "no disk");
    await convert("qcow2", "b.qcow2");
    await tar("none.tar", ["note"]);
    expect(await refused("none.tar")).to.deep.equal({
      code: "IMAGE_UNREADABLE",
      reason: "it is an archive without a disk image in it",
    });
    await tar("two.tar", ["raw", "note", "b.qcow2"]);
    expect((await refused("two.tar")).reason).to.match(/2 disks, and must have one: raw, b.qcow2/);
    await tar("twice.tar", ["raw", "raw"], ["--hard-dereference"]);
    expect((await refused("twice.tar")).reason).to.match(/must be one of a single disk/);
  });

  it("write nothing outside, whatever an archive calls its files", async () => {
    await mkdir(room.path("sub"));
    await tar("up.tar", ["raw"], ["--absolute-names", "--transform", "s,raw,../../escaped.img,"]);
    expect((await refused("up.tar")).code).to.equal("IMAGE_UNREADABLE");
    const { exitCode } = await execa("ls", [join(room.folder, "../../escaped.img")], { reject: false });
    expect(exitCode).to.equal(2);
    await execa("ln", ["-s", "/etc/shadow", room.path("link")]);
    await tar("link.tar", ["link"]);
    expect((await refused("link.tar")).reason).to.equal("it is an archive without a disk image in it");
  });

  it("are refused where they name another file, in an archive as well", async () => {
    const text = '# Disk DescriptorFile\nversion=1\nCID=1\nparentCID=ffffffff\ncreateType="monolithicFlat"\n';
    await writeFile(room.path("evil.vmdk"), `${text}RW 2 FLAT "/etc/shadow" 0\n`);
    const shadow = { code: "IMAGE_HAS_BACKING", reason: "/etc/shadow" };
    expect(await refused("evil.vmdk")).to.deep.equal(shadow);
    await tar("evil.ova", ["evil.vmdk"]);
    expect(await refused("evil.ova")).to.deep.equal(shadow);
    // The two ways in which QEMU follows the descriptor inside a sparse file.
    for (const change of [
      (bytes: Buffer) => {
        bytes.writeBigUInt64LE(0n, 12);
        bytes.write(`${text}RW 2 FLAT "/etc/shadow" 0\n`, 512);
      },
      (bytes: Buffer) => bytes.write('parentFileNameHint="/etc/shadow"\n', 1024),
    ]) {
      await convert("vmdk", "evil.vmdk");
      const bytes = await readFile(room.path("evil.vmdk"));
      change(bytes);
      await writeFile(room.path("evil.vmdk"), bytes);
      expect(await refused("evil.vmdk")).to.deep.equal(shadow);
    }
  });

  it("are converted with their progress, and cancelled", async () => {
    await convert("vdi", "disk.vdi");
    const shares: bigint[] = [];
    const seen = contextOf(({ phase, done }) => {
      if (phase === "Converting image" && done !== undefined) {
        shares.push(done);
      }
    });
    await resolve("disk.vdi", seen);
    expect(shares.at(-1)).to.equal(BigInt(8 * MIB));
    await appendFile(room.path("raw"), "other".padEnd(MIB));
    await convert("vdi", "disk.vdi");
    const abort = new AbortController();
    const work = resolve(
      "disk.vdi",
      contextOf(({ phase }) => phase === "Converting image" && abort.abort(), abort.signal),
    );
    expect((await refusal(work)).code).to.equal("CANCELLED");
    expect(await room.cached()).to.have.length(2);
  });

  it("are read by programs without a network", async () => {
    const server = createServer((socket) => socket.end("hello")).listen(0, "127.0.0.1");
    await new Promise((ready) => server.once("listening", ready));
    const address = server.address();
    const port = typeof address === "object" ? address?.port : undefined;
    // A qemu-img that calls out in the place of doing its work.
    const script = `#!/bin/bash\nread -r said </dev/tcp/127.0.0.1/${port} && echo "$said" >&2 || echo alone >&2\nexit 1\n`;
    await writeFile(room.path("qemu-img"), script, { mode: 0o755 });
    const before = process.env.PATH;
    process.env.PATH = `${room.folder}:${before}`;
    try {
      expect((await refused("raw")).reason).to.match(/alone$/);
    } finally {
      process.env.PATH = before;
      server.close();
    }
  });

  it("are known for an installer's ISO, with the command that boots it", async () => {
    await mkdir(room.path("tree"));
    await execa("genisoimage", ["-quiet", "-o", room.path("an installer.iso"), room.path("tree")]);
    const error: unknown = await resolve("an installer.iso").catch((thrown: unknown) => thrown);
    expect(error).to.include({
      code: "IMAGE_IS_CDROM",
      hint: `If it is an installer, boot it with an empty disk: \`strata launch --cdrom '${room.path("an installer.iso")}' --disk 20G\``,
    });
  });
});
