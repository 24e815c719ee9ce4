import { expect } from "chai";
import { isStrataError } from "../../../../lib/errors.ts";
import { type ImageInfoJson, judge, judgeHead } from "../../../../lib/images/inspect.ts";

const GIB = 1024 ** 3;

function refusal(work: () => unknown): string {
  try {
    work();
  } catch (error) {
    if (isStrataError(error)) {
      return `${error.code}: ${error.details.file ?? error.details.reason}`;
    }
    throw error;
  }
  return "accepted";
}

function judged(change: ImageInfoJson): string {
  return refusal(() => judge("x", { format: "qcow2", "virtual-size": GIB, ...change }));
}

describe("judging an image", () => {
  it("accepts plain qcow2 and raw images", () => {
    for (const format of ["qcow2", "raw"] as const) {
      expect(judge("x", { format, "virtual-size": GIB })).to.deep.equal({
        format,
        virtualSize: BigInt(GIB),
      });
    }
  });

  it("refuses references to other files", () => {
    expect(judged({ "backing-filename": "/etc/shadow" })).to.equal("IMAGE_HAS_BACKING: /etc/shadow");
    expect(judged({ "format-specific": { data: { "data-file": "/dev/sda" } } })).to.equal(
      "IMAGE_HAS_BACKING: /dev/sda",
    );
  });

  it("refuses formats that can do more than hold a disk", () => {
    expect(judged({ format: "vmdk" })).to.equal(
      "IMAGE_UNREADABLE: its format must be qcow2 or raw, not vmdk",
    );
  });

  it("refuses encrypted and corrupt images", () => {
    expect(judged({ encrypted: true })).to.equal("IMAGE_UNREADABLE: it is encrypted");
    expect(judged({ "format-specific": { data: { corrupt: true } } })).to.equal(
      "IMAGE_UNREADABLE: it is marked as corrupt",
    );
  });

  it("refuses sizes that no disk has", () => {
    expect(judged({ "virtual-size": 0 })).to.equal("IMAGE_UNREADABLE: it is empty");
    expect(judged({ "virtual-size": 65536 })).to.match(/too small for an operating system$/);
    expect(judged({ "virtual-size": 2 ** 60 })).to.match(/implausibly large$/);
  });

  it("knows a disk with a boot record for raw, and nothing else", () => {
    const disk = Buffer.alloc(512);
    disk.writeUInt16LE(0xaa55, 510);
    expect(judgeHead("x", disk)).to.equal("raw");
    const neither = "IMAGE_UNREADABLE: it is neither qcow2 nor a disk with a boot record";
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
});
