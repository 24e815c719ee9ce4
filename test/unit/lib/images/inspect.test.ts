import { expect } from "chai";
import { isStrataError } from "../../../../lib/errors.ts";
import { type ImageInfoJson, judge } from "../../../../lib/images/inspect.ts";

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
  return refusal(() => judge("x", "qcow2", { format: "qcow2", "virtual-size": GIB, ...change }));
}

describe("judging an image", () => {
  it("accepts plain images", () => {
    for (const format of ["qcow2", "raw", "vmdk"] as const) {
      expect(judge("x", format, { format, "virtual-size": GIB })).to.deep.equal({
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

  it("refuses one that qemu-img takes for something else", () => {
    expect(judged({ format: "vmdk" })).to.equal(
      "IMAGE_UNREADABLE: its first bytes say qcow2, and qemu-img says vmdk",
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
});
