import { expect } from "chai";
import fc from "fast-check";
import { encodeFrame, FrameParser, HEADER, LONGEST_FRAME } from "../../../../../plugins/libvirt/rpc/frame.ts";
import { procedures } from "../../../../../plugins/libvirt/rpc/procedures/index.ts";
import {
  array,
  bytes,
  decode,
  encode,
  i64,
  nullable,
  ProtocolError,
  string,
  struct,
  u32,
  u64,
  uuid,
} from "../../../../../plugins/libvirt/rpc/xdr.ts";

const sample = struct({
  a: u32,
  b: i64,
  c: u64,
  d: nullable(string),
  e: array(struct({ f: string }), 100),
  g: bytes(64),
  h: uuid,
});

const values = fc.record({
  a: fc.nat(0xffffffff),
  b: fc.bigInt(-(2n ** 63n), 2n ** 63n - 1n),
  c: fc.bigInt(0n, 2n ** 64n - 1n),
  d: fc.option(fc.string({ unit: "grapheme" }).filter((text) => !text.includes("\0"))),
  e: fc.array(fc.record({ f: fc.string() }), { maxLength: 5 }),
  g: fc.uint8Array({ maxLength: 64 }).map((list) => Buffer.from(list)),
  h: fc.uuid(),
});

describe("decoding", () => {
  it("gives back what was encoded", () => {
    fc.assert(
      fc.property(values, (value) => {
        expect(decode(sample, encode(sample, value))).to.deep.equal(value);
      }),
    );
  });

  it("refuses every payload that is cut off", () => {
    fc.assert(
      fc.property(values, fc.double({ min: 0, max: 0.999, noNaN: true }), (value, part) => {
        const whole = encode(sample, value);
        const cut = whole.subarray(0, Math.floor(whole.length * part));
        expect(() => decode(sample, cut)).to.throw(ProtocolError);
      }),
    );
  });

  it("refuses what is left over", () => {
    expect(() => decode(u32, Buffer.alloc(8))).to.throw(ProtocolError, "left over");
  });

  it("refuses a count that the payload cannot hold before it takes memory for it", () => {
    const lie = Buffer.alloc(8);
    lie.writeUInt32BE(16_000, 0);
    const { result } = procedures.connect_list_all_domains;
    expect(() => decode(result, lie)).to.throw(ProtocolError, "16000");
  });

  it("refuses a string that is not UTF-8", () => {
    expect(() => decode(string, Buffer.from("00000001ff000000", "hex"))).to.throw(ProtocolError, "UTF-8");
  });

  it("ends with a value or a ProtocolError for any bytes at all", () => {
    const types = Object.values(procedures).map(({ result }) => result);
    fc.assert(
      fc.property(fc.nat(types.length - 1), fc.uint8Array({ maxLength: 300 }), (at, list) => {
        try {
          decode(types[at] as typeof sample, Buffer.from(list));
        } catch (error) {
          expect(error).to.be.instanceOf(ProtocolError);
        }
      }),
      { numRuns: 2000 },
    );
  });
});

describe("encoding", () => {
  it("refuses what the wire cannot carry, and names the field", () => {
    const { args } = procedures.domain_lookup_by_name;
    expect(() => encode(args, { name: "a\0b" })).to.throw(RangeError, "name: a string holds a NUL");
    expect(() => encode(args, { name: "x".repeat(5 * 1024 * 1024) })).to.throw(RangeError, "name");
    expect(() => encode(u32, -1)).to.throw(RangeError);
    expect(() => encode(uuid, "not-a-uuid")).to.throw(RangeError);
  });
});

describe("cutting a stream into frames", () => {
  const frame = { program: 1, procedure: 2, type: 1, serial: 3, status: 0, payload: Buffer.from("payload!") };

  it("finds the same frames wherever the chunks are cut", () => {
    const stream = Buffer.concat([
      encodeFrame(frame),
      encodeFrame({ ...frame, serial: 4 }),
      encodeFrame(frame),
    ]);
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1 }), (sizes) => {
        const parser = new FrameParser();
        const serials: number[] = [];
        for (let at = 0, turn = 0; at < stream.length; turn++) {
          const size = sizes[turn % sizes.length] ?? 1;
          for (const found of parser.push(stream.subarray(at, at + size))) {
            serials.push(found.serial);
          }
          at += size;
        }
        expect(serials).to.deep.equal([3, 4, 3]);
      }),
    );
  });

  for (const length of [0, HEADER - 1, LONGEST_FRAME + 1, 0xffffffff]) {
    it(`refuses a length of ${length}`, () => {
      const lie = Buffer.alloc(HEADER);
      lie.writeUInt32BE(length);
      expect(() => [...new FrameParser().push(lie)]).to.throw(ProtocolError);
    });
  }
});
