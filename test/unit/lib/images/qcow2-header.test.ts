import { expect } from "chai";
import fc from "fast-check";
import { readQcow2Header } from "../../../../lib/images/qcow2-header.ts";

/** The start of a qcow2 file of 1 MiB. */
function header(
  o: { version?: number; backing?: string; crypt?: number; features?: bigint; length?: number } = {},
): Buffer {
  const bytes = Buffer.alloc(o.length ?? 512);
  bytes.write("QFI\xfb", 0, "latin1");
  bytes.writeUInt32BE(o.version ?? 3, 4);
  bytes.writeBigUInt64BE(1048576n, 24);
  bytes.writeUInt32BE(o.crypt ?? 0, 32);
  if ((o.version ?? 3) >= 3) {
    bytes.writeBigUInt64BE(o.features ?? 0n, 72);
  }
  if (o.backing !== undefined) {
    bytes.writeBigUInt64BE(200n, 8);
    bytes.writeUInt32BE(bytes.write(o.backing, 200), 16);
  }
  return bytes;
}

describe("the header of a qcow2 file", () => {
  it("tells version and size of a plain image", () => {
    expect(readQcow2Header(header())).to.deep.equal({
      version: 3,
      size: 1048576n,
      backing: null,
      dataFile: false,
      encrypted: false,
      corrupt: false,
    });
  });

  it("is null for anything else", () => {
    expect(readQcow2Header(Buffer.alloc(0))).to.equal(null);
    expect(readQcow2Header(Buffer.alloc(512))).to.equal(null);
    expect(readQcow2Header(Buffer.from("KDMV".padEnd(512)))).to.equal(null);
    expect(readQcow2Header(header().subarray(0, 71))).to.equal(null);
  });

  it("names the backing file", () => {
    expect(readQcow2Header(header({ backing: "/etc/shadow" }))?.backing).to.equal("/etc/shadow");
  });

  it("takes a backing file whose name lies outside for one all the same", () => {
    const far = header();
    far.writeBigUInt64BE(2n ** 63n, 8);
    far.writeUInt32BE(5, 16);
    expect(readQcow2Header(far)?.backing).to.equal("a file");
    const unnamed = header();
    unnamed.writeBigUInt64BE(200n, 8);
    expect(readQcow2Header(unnamed)?.backing).to.equal("a file");
  });

  it("sees encryption of both kinds", () => {
    expect([1, 2].map((crypt) => readQcow2Header(header({ crypt }))?.encrypted)).to.deep.equal([true, true]);
  });

  it("sees the bits for corruption and for an external data file", () => {
    expect(readQcow2Header(header({ features: 2n }))).to.include({ corrupt: true, dataFile: false });
    expect(readQcow2Header(header({ features: 4n }))).to.include({ corrupt: false, dataFile: true });
  });

  it("finds no feature bits in version 2, whose header ends before them", () => {
    const old = header({ version: 2 });
    old.writeBigUInt64BE(6n, 72);
    expect(readQcow2Header(old)).to.include({ corrupt: false, dataFile: false });
  });

  it("never throws, whatever the bytes", () => {
    const magic = fc.uint8Array({ minLength: 0, maxLength: 300 });
    fc.assert(
      fc.property(magic, (tail) => {
        const found = readQcow2Header(Buffer.concat([Buffer.from("QFI\xfb", "latin1"), tail]));
        return (found === null) === tail.length < 68;
      }),
    );
  });
});
