import { expect } from "chai";
import fc from "fast-check";
import xml2js from "xml2js";
import { type Element, serialize } from "../../../../../plugins/libvirt/xml/document.ts";
import { readDocument } from "../../../../../plugins/libvirt/xml/reader.ts";

interface RawNode {
  readonly "#name": string;
  readonly $?: Record<string, string>;
  readonly $$?: readonly RawNode[];
  readonly _?: string;
}

/** The same document by xml2js's own tree. */
async function byXml2js(xml: string): Promise<Element> {
  const raw: Record<string, RawNode> = await xml2js.parseStringPromise(xml, {
    explicitChildren: true,
    preserveChildrenOrder: true,
    charsAsChildren: true,
    includeWhiteChars: true,
  });
  const [root] = Object.values(raw);
  if (root === undefined) {
    throw new Error("empty");
  }
  return fromRaw(root);
}

function fromRaw(node: RawNode): Element {
  const raw = node.$$ ?? [];
  const mixed = raw.some((child) => child["#name"] !== "__text__");
  const children = raw.flatMap((child): (Element | string)[] => {
    if (child["#name"] !== "__text__") {
      return [fromRaw(child)];
    }
    const text = child._ ?? "";
    return mixed && text.trim() === "" ? [] : [text];
  });
  return { name: node["#name"], attributes: { ...node.$ }, children };
}

const name = fc.stringMatching(/^[a-z][a-z0-9:_-]{0,8}$/).filter((each) => !each.endsWith(":"));
const words = fc.string({ maxLength: 12 }).map((each) => each.replaceAll(/[^\t\n\x20-\x7e]/g, "é"));
const { document } = fc.letrec<{ document: Element; child: Element | string }>((tie) => ({
  document: fc.record({
    name,
    attributes: fc.dictionary(name, words, { maxKeys: 3, noNullPrototype: true }),
    children: fc.array(tie("child"), { maxLength: 4 }),
  }),
  child: fc.oneof({ depthSize: "small" }, words, tie("document")),
}));

describe("reading XML", () => {
  it("gives what xml2js's own tree holds, for any document", async () => {
    await fc.assert(
      fc.asyncProperty(document, async (element) => {
        const xml = serialize(element);
        expect(await readDocument(xml)).to.deep.equal(await byXml2js(xml));
      }),
      { numRuns: 300 },
    );
  });

  it("keeps CDATA, references, prefixes and order, and drops comments and layout", async () => {
    const xml = `<?xml version="1.0"?>\n<a x='1 &amp; 2'>\n  <b:c/>t<!-- no --><![CDATA[<&]]>\n  <b:c>&#233;</b:c>\n</a>`;
    const read = await readDocument(xml);
    expect(read).to.deep.equal({
      name: "a",
      attributes: { x: "1 & 2" },
      children: [
        { name: "b:c", attributes: {}, children: [] },
        "t",
        "<&",
        { name: "b:c", attributes: {}, children: ["é"] },
      ],
    });
  });

  for (const broken of ["", "  ", "<a>", "<a></b>", "<a x=1/>", "<a>&unknown;</a>", "no"]) {
    it(`refuses ${JSON.stringify(broken)}`, async () => {
      // Twice, and what is right after that is read: nothing is left of what was wrong.
      for (let time = 0; time < 2; time += 1) {
        const outcome = await readDocument(broken).then(
          () => "read",
          (error: unknown) => error instanceof Error,
        );
        expect(outcome).to.equal(true);
      }
      expect(await readDocument("<a>b</a>")).to.deep.equal({ name: "a", attributes: {}, children: ["b"] });
    });
  }
});
