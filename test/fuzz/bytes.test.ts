import { Duplex } from "node:stream";
import { expect } from "chai";
import fc from "fast-check";
import { isStrataError } from "../../lib/errors.ts";
import { judgeHead } from "../../lib/images/disk-format.ts";
import { readQcow2Header } from "../../lib/images/qcow2-header.ts";
import { Client } from "../../plugins/libvirt/rpc/client.ts";
import { encodeFrame, FrameParser, LONGEST_FRAME } from "../../plugins/libvirt/rpc/frame.ts";
import { ConnectionLostError, LibvirtError } from "../../plugins/libvirt/rpc/index.ts";
import { procedures } from "../../plugins/libvirt/rpc/procedures/index.ts";
import { decode, ProtocolError } from "../../plugins/libvirt/rpc/xdr.ts";
import { type Element, parse, serialize } from "../../plugins/libvirt/xml/document.ts";
import { readMetadata } from "../../plugins/libvirt/xml/metadata.ts";
import { readResources } from "../../plugins/libvirt/xml/resources.ts";
import { readSnapshot } from "../../plugins/libvirt/xml/snapshot.ts";
import { runs } from "./runs.ts";

const frames = fc.record({
  program: fc.constantFrom(0x20008086, 0x20008087, 0x6b656570, 7),
  procedure: fc.nat(500),
  type: fc.nat(6),
  serial: fc.nat(4),
  status: fc.nat(3),
  payload: fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.from(bytes)),
});

/** Bytes of a daemon that has lost its mind: noise, frames, frames with bytes changed, and parts of them. */
const stream = fc
  .array(
    fc.oneof(
      fc.uint8Array({ maxLength: 64 }).map((bytes) => Buffer.from(bytes)),
      frames.map(encodeFrame),
      fc.tuple(frames.map(encodeFrame), fc.nat(27), fc.nat(255)).map(([bytes, at, value]) => {
        bytes[at] = value;
        return bytes;
      }),
      fc.tuple(frames.map(encodeFrame), fc.nat(40)).map(([bytes, length]) => bytes.subarray(0, length)),
    ),
    { maxLength: 8 },
  )
  .map((parts) => Buffer.concat(parts));

describe("bytes of any kind", () => {
  it("frames: found or refused, and never more kept than came", () => {
    fc.assert(
      fc.property(stream, fc.integer({ min: 1, max: 50 }), (bytes, size) => {
        const parser = new FrameParser();
        try {
          for (let at = 0; at < bytes.length; at += size) {
            for (const frame of parser.push(bytes.subarray(at, at + size))) {
              expect(frame.payload.length).to.be.at.most(Math.min(bytes.length, LONGEST_FRAME));
            }
          }
        } catch (error) {
          expect(error).to.be.instanceOf(ProtocolError);
        }
      }),
      runs(),
    );
  });

  it("a daemon that has lost its mind: each call ends, with a value or an error of the binding", async () => {
    await fc.assert(
      fc.asyncProperty(stream, async (bytes) => {
        const socket = new Duplex({ read() {}, write: (_chunk, _encoding, done) => done() });
        const client = new Client(socket, () => {});
        const calls = [
          client.call(procedures.connect_get_hostname, {}),
          client.call(procedures.connect_list_all_domains, { need_results: 1, flags: 0 }),
        ];
        socket.push(bytes);
        socket.push(null);
        for (const { reason, status } of (await Promise.allSettled(calls)).map((each) =>
          each.status === "rejected" ? each : { status: each.status, reason: undefined },
        )) {
          if (status === "rejected") {
            expect(
              [ConnectionLostError, LibvirtError, ProtocolError].some((type) => reason instanceof type),
              String(reason),
            ).to.equal(true);
          }
        }
      }),
      runs(),
    );
  });

  it("replies: a value or a refusal for each of the procedures", () => {
    const types = Object.values(procedures).map(({ result }) => result as typeof procedures.auth_list.result);
    fc.assert(
      fc.property(fc.nat(types.length - 1), fc.uint8Array({ maxLength: 400 }), (at, bytes) => {
        const type = types[at];
        if (type === undefined) {
          return;
        }
        try {
          decode(type, Buffer.from(bytes));
        } catch (error) {
          expect(error).to.be.instanceOf(ProtocolError);
        }
      }),
      runs(2),
    );
  });

  it("heads of images: a known format or refused", () => {
    const noise = fc.uint8Array({ maxLength: 700 }).map((bytes) => Buffer.from(bytes));
    // With the magic number and a version, the rest is read as a header.
    const header = noise.map((bytes) => {
      const head = Buffer.concat([bytes, Buffer.alloc(120)]);
      head.writeUInt32BE(0x514649fb, 0);
      head.writeUInt32BE(3, 4);
      return head;
    });
    const vmdk = noise.map((bytes) => Buffer.concat([Buffer.from("KDMV"), bytes, Buffer.alloc(120)]));
    fc.assert(
      fc.property(fc.oneof(noise, header, vmdk), (head) => {
        readQcow2Header(head);
        try {
          expect(judgeHead("x", head)).to.be.oneOf(["qcow2", "raw", "vmdk"]);
        } catch (error) {
          if (!isStrataError(error)) {
            throw error;
          }
          expect(error.code).to.be.oneOf(["IMAGE_UNREADABLE", "IMAGE_HAS_BACKING"]);
        }
      }),
      runs(),
    );
  });
});

const NAMES = [
  "domain",
  "devices",
  "disk",
  "source",
  "metadata",
  "strata:instance",
  "memory",
  "vcpu",
  "name",
  "a",
];
const texts = fc.string({ unit: fc.constantFrom(..."ab<>&'\" \n]é🜲0"), maxLength: 12 });
const tree: fc.Arbitrary<Element> = fc.letrec<{ node: Element }>((tie) => ({
  node: fc.record({
    name: fc.constantFrom(...NAMES),
    attributes: fc.dictionary(fc.constantFrom("type", "file", "unit", "value"), texts, { maxKeys: 3 }),
    children: fc.oneof(
      { depthSize: "small", withCrossShrink: true },
      texts.map((text) => (text.trim() === "" ? [] : [text])),
      fc.array(tie("node"), { maxLength: 4 }),
    ),
  }),
})).node;

describe("XML of any kind", () => {
  it("reads back what was written, hostile characters included", async () => {
    await fc.assert(
      fc.asyncProperty(tree, async (element) => {
        // Carriage returns and line ends in attributes are the reader's to normalize.
        expect(await parse(serialize(element))).to.deep.equal(element);
      }),
      runs(),
    );
  });

  it("reads or refuses any text, and the readers of domains and snapshots do too", async () => {
    const pieces = fc.constantFrom(
      "<domain>",
      "</domain>",
      "<a b='1'>",
      "</a>",
      "<!--",
      "-->",
      "<![CDATA[",
      "]]>",
      "&amp;",
      "&x;",
      "<?xml?>",
      "<!DOCTYPE d [<!ENTITY e 'x'>]>",
      "&e;",
      "<strata:instance xmlns:strata='urn:strata:1' version='1'>",
      "<memory unit='?'>x</memory>",
      "text",
      "\0",
    );
    const soup = fc.array(pieces, { maxLength: 15 }).map((parts) => parts.join(""));
    await fc.assert(
      fc.asyncProperty(fc.oneof(soup, fc.string({ unit: "binary" })), async (xml) => {
        const document = await parse(xml).catch((error: unknown) => {
          expect(error).to.be.instanceOf(Error);
          return undefined;
        });
        if (document === undefined) {
          return;
        }
        readMetadata(document);
        readResources(document);
        readSnapshot(document);
      }),
      runs(),
    );
  });

  it("does not multiply entities", async () => {
    const levels = Array.from({ length: 12 }, (_, at) => `<!ENTITY l${at + 1} "${`&l${at};`.repeat(10)}">`);
    const bomb = `<!DOCTYPE d [<!ENTITY l0 "ha">${levels.join("")}]><d>&l12;</d>`;
    const document = await parse(bomb).catch(() => undefined);
    expect(JSON.stringify(document ?? "").length).to.be.below(10_000);
  });
});
