import { expect } from "chai";
import { isStrataError } from "../../../../lib/errors.ts";
import { judgeHead } from "../../../../lib/images/disk-format.ts";

function refusal(work: () => unknown): string {
  try {
    work();
  } catch (error) {
    if (isStrataError(error)) {
      return `${error.code}: ${error.details.file ?? error.details.reason ?? error.details.image}`;
    }
    throw error;
  }
  return "accepted";
}

/** A sparse VMDK file's header, its descriptor behind it. */
function vmdk(o: { capacity?: bigint; at?: bigint; descriptor?: string } = {}): Buffer {
  const head = Buffer.alloc(65536);
  head.write("KDMV");
  head.writeBigUInt64LE(o.capacity ?? 2048n, 12);
  head.writeBigUInt64LE(o.at ?? 1n, 28);
  head.write(
    o.descriptor ?? '# Disk DescriptorFile\nCID=1\nparentCID=ffffffff\nRW 2048 SPARSE "a.vmdk"\n',
    512,
  );
  return head;
}

function vhd(type: number, length = 512): Buffer {
  const footer = Buffer.alloc(length);
  footer.write("conectix");
  footer.writeUInt32BE(type, 60);
  return footer;
}

describe("the first bytes of an image", () => {
  it("knows a disk with a boot record for raw, and nothing else", () => {
    const disk = Buffer.alloc(512);
    disk.writeUInt16LE(0xaa55, 510);
    expect(judgeHead("x", disk)).to.equal("raw");
    const neither =
      "IMAGE_UNREADABLE: it must be a disk in qcow2, vmdk, vdi, vhdx or vhd, or a raw one with a boot record";
    expect(refusal(() => judgeHead("x", disk.subarray(0, 511)))).to.equal(neither);
    expect(refusal(() => judgeHead("x", Buffer.alloc(512)))).to.equal(neither);
    expect(refusal(() => judgeHead("x", Buffer.from("# a text\n".repeat(100))))).to.equal(neither);
    expect(refusal(() => judgeHead("x", Buffer.alloc(0)))).to.equal("IMAGE_UNREADABLE: it is empty");
  });

  it("judges a qcow2 header before QEMU sees the file", () => {
    const head = Buffer.alloc(512);
    head.write("QFI\xfb", 0, "latin1");
    head.writeUInt32BE(3, 4);
    expect(judgeHead("x", head)).to.equal("qcow2");
    const changed = (change: (head: Buffer) => void) => {
      const copy = Buffer.from(head);
      change(copy);
      return refusal(() => judgeHead("x", copy));
    };
    expect(changed((copy) => copy.writeBigUInt64BE(4n, 72))).to.equal(
      "IMAGE_HAS_BACKING: an external data file",
    );
    expect(changed((copy) => copy.writeBigUInt64BE(2n, 72))).to.equal(
      "IMAGE_UNREADABLE: it is marked as corrupt",
    );
    expect(changed((copy) => copy.writeUInt32BE(2, 32))).to.equal("IMAGE_UNREADABLE: it is encrypted");
    const backed = changed((copy) => {
      copy.writeBigUInt64BE(200n, 8);
      copy.writeUInt32BE(copy.write("/etc/passwd", 200), 16);
    });
    expect(backed).to.equal("IMAGE_HAS_BACKING: /etc/passwd");
  });

  it("tell the formats that are converted", () => {
    const vdi = Buffer.alloc(512);
    vdi.writeUInt32LE(0xbeda107f, 64);
    const disk = Buffer.alloc(512);
    disk.writeUInt16LE(0xaa55, 510);
    expect(judgeHead("x", vmdk())).to.equal("vmdk");
    expect(judgeHead("x", vdi)).to.equal("vdi");
    expect(judgeHead("x", Buffer.from("vhdxfile".padEnd(512, "\0")))).to.equal("vhdx");
    expect(judgeHead("x", vhd(3))).to.equal("vpc");
    // Of fixed size: a raw disk with a footer. Only a disk's, not any file's.
    expect(judgeHead("x", disk, vhd(2))).to.equal("vpc");
    expect(refusal(() => judgeHead("x", Buffer.alloc(512), vhd(2)))).to.match(/^IMAGE_UNREADABLE/);
  });

  const hostile: Readonly<Record<string, readonly [Buffer, string]>> = {
    "a descriptor of a file of the host": [
      Buffer.from('# Disk DescriptorFile\nversion=1\nRW 2048 FLAT "/etc/shadow" 0\n'),
      "/etc/shadow",
    ],
    "a descriptor that names none": [Buffer.from("# Disk DescriptorFile\n"), "the file with its data"],
    "a header that makes QEMU use the descriptor inside": [
      vmdk({ capacity: 0n, descriptor: '# Disk DescriptorFile\nRW 2048 FLAT "/etc/shadow" 0\n' }),
      "/etc/shadow",
    ],
    "a parent": [vmdk({ descriptor: 'parentCID=1\nparentFileNameHint="/etc/shadow"\n' }), "/etc/shadow"],
    "a parent where the header says there is no descriptor to look at": [
      vmdk({ at: 100n, descriptor: 'parentFileNameHint="/etc/shadow"' }),
      "/etc/shadow",
    ],
    "a VHD that stands on another": [vhd(4), "its parent disk"],
  };
  for (const [what, [head, file]] of Object.entries(hostile)) {
    it(`are refused where they refer to another file: ${what}`, () => {
      expect(refusal(() => judgeHead("x", head))).to.equal(`IMAGE_HAS_BACKING: ${file}`);
    });
  }

  it("are refused of one part of a disk", () => {
    expect(refusal(() => judgeHead("x", vmdk({ at: 0n })))).to.equal(
      "IMAGE_UNREADABLE: it is one part of a disk in several files",
    );
  });

  it("tell an installer's ISO from a disk, though it has a boot record", () => {
    const iso = Buffer.alloc(65536);
    iso.writeUInt16LE(0xaa55, 510);
    iso.write("CD001", 0x8001);
    expect(refusal(() => judgeHead("/isos/a b.iso", iso))).to.equal("IMAGE_IS_CDROM: /isos/a b.iso");
  });
});
