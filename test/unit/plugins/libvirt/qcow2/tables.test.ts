import { expect } from "chai";
import fc from "fast-check";
import { emptyOverlay } from "../../../../../plugins/libvirt/qcow2/overlay.ts";
import { parseCheck } from "../../../../../plugins/libvirt/qcow2/qemu-img.ts";
import { extentOf, type ReadAt } from "../../../../../plugins/libvirt/qcow2/tables.ts";

const readerOf =
  (file: Buffer): ReadAt =>
  (at, length) =>
    file.subarray(at, at + length);

const extentOfBytes = (file: Buffer) => extentOf(readerOf(file), file.length);

interface Shape {
  readonly version?: number;
  readonly clusterBits?: number;
  /** Refcounts have 2 to the power of this bits. */
  readonly order?: number;
  readonly features?: bigint;
  /** Clusters of the file. */
  readonly clusters: number;
  /** The cluster that is in use. */
  readonly used: number;
}

/** A file with its refcount table in cluster 1, one block of refcounts in cluster 2 and the L1 table in 3. */
function image({ version = 3, clusterBits = 9, order = 4, features = 0n, clusters, used }: Shape): Buffer {
  const cluster = 2 ** clusterBits;
  const file = Buffer.alloc(clusters * cluster);
  file.writeUInt32BE(0x514649fb, 0);
  file.writeUInt32BE(version, 4);
  file.writeUInt32BE(clusterBits, 20);
  file.writeUInt32BE(1, 36);
  file.writeBigUInt64BE(BigInt(3 * cluster), 40);
  file.writeBigUInt64BE(BigInt(cluster), 48);
  file.writeUInt32BE(1, 56);
  if (version === 3) {
    file.writeBigUInt64BE(features, 72);
    file.writeUInt32BE(order, 96);
  }
  file.writeBigUInt64BE(BigInt(2 * cluster), cluster);
  const bit = used * 2 ** order;
  const at = 2 * cluster + Math.floor(bit / 8);
  // Numbers of several bytes have their lowest one last, those of less begin at the lowest bit.
  if (order >= 3) {
    file[at + 2 ** (order - 3) - 1] = 1;
  } else {
    file[at] = 1 << (bit % 8);
  }
  return file;
}

describe("the extent of a qcow2 file", () => {
  it("is whole for what strata makes, whose last table is not padded, and cut where that is", () => {
    const { header, tables, length } = emptyOverlay("/base.qcow2", 10n * 1024n ** 3n);
    const file = Buffer.alloc(length);
    header.copy(file);
    for (const { at, bytes } of tables) {
      bytes.copy(file, at);
    }
    expect(extentOfBytes(file)).to.equal("whole");
    for (const left of [length - 1, 196_700, 131_072, 100_000, 65_537, 512, 104]) {
      expect(extentOfBytes(file.subarray(0, left)), String(left)).to.equal("cut");
    }
  });

  it("is short exactly where a cluster is in use behind the end, of any width of refcounts", () => {
    fc.assert(
      fc.property(
        fc.constantFrom(2, 3),
        fc.integer({ min: 0, max: 6 }),
        fc.integer({ min: 9, max: 12 }),
        fc.integer({ min: 4, max: 63 }),
        fc.integer({ min: 0, max: 63 }),
        fc.integer({ min: 0, max: 511 }),
        (version, given, clusterBits, clusters, used, missing) => {
          const order = version === 2 ? 4 : given;
          const whole = image({ version, clusterBits, order, clusters, used });
          const file = whole.subarray(0, whole.length - (clusters > 4 ? missing : 0));
          expect(extentOfBytes(file)).to.equal(used >= clusters ? "short" : "whole");
        },
      ),
    );
  });

  it("is short where whole blocks of refcounts are about what is behind the end", () => {
    const file = image({ clusters: 5, used: 0 });
    file.writeBigUInt64BE(BigInt(2 * 512), 512 + 8 * 7);
    expect(extentOfBytes(file)).to.equal("short");
  });

  it("is cut where the refcounts themselves are behind the end", () => {
    const file = image({ clusters: 5, used: 0 });
    file.writeBigUInt64BE(BigInt(9 * 512), 512);
    expect(extentOfBytes(file)).to.equal("cut");
  });

  it("is not known where refcounts are to be rebuilt, nor of other files", () => {
    expect(extentOfBytes(image({ clusters: 4, used: 9, features: 1n }))).to.equal("unknown");
    expect(extentOfBytes(image({ clusters: 4, used: 0, features: 2n }))).to.equal("corrupt");
    for (const change of [
      (file: Buffer) => file.writeUInt32BE(4, 4),
      (file: Buffer) => file.writeUInt32BE(7, 96),
      (file: Buffer) => file.writeUInt32BE(30, 20),
      (file: Buffer) => file.writeUInt32BE(0, 0),
    ]) {
      const file = image({ clusters: 4, used: 9 });
      change(file);
      expect(extentOfBytes(file)).to.equal("unknown");
    }
    expect(extentOfBytes(Buffer.alloc(0))).to.equal("unknown");
  });

  it("reads little and inside the file, whatever a header says", () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 104, maxLength: 104 }), fc.nat(1_000_000), (bytes, size) => {
        const header = Buffer.from(bytes);
        header.writeUInt32BE(0x514649fb, 0);
        header.writeUInt32BE(3, 4);
        header.writeUInt32BE(9 + (header.readUInt32BE(20) % 13), 20);
        let read = 0;
        extentOf((at, length) => {
          expect(Number.isSafeInteger(at) && at >= 0, `reads at ${at}`).to.equal(true);
          read += length;
          return at === 0 ? header : Buffer.alloc(Math.max(0, Math.min(length, size - at)));
        }, size);
        expect(read).to.be.at.most(2 ** 21 + 8192);
      }),
    );
  });
});

describe("what qemu-img check prints", () => {
  it("tells corruptions, leaks and errors", () => {
    const printed = (told: object) => parseCheck(JSON.stringify({ format: "qcow2", ...told }));
    expect(printed({ "check-errors": 0 })).to.deep.equal({ corruptions: 0, leaks: 0, failed: null });
    expect(printed({ corruptions: 2, leaks: 3, "check-errors": 0 })).to.deep.equal({
      corruptions: 2,
      leaks: 3,
      failed: null,
    });
    expect(printed({ "check-errors": 1 })?.failed).to.contain("1 error");
  });

  it("is nothing where it failed before it could check", () => {
    for (const printed of ["", "qemu-img: Could not open", "[", "7", "null"]) {
      expect(parseCheck(printed)).to.equal(null);
    }
  });
});
