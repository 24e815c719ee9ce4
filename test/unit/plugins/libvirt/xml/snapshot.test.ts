import { readFile } from "node:fs/promises";
import { expect } from "chai";
import { parse, serialize } from "../../../../../plugins/libvirt/xml/document.ts";
import {
  amendedSnapshot,
  frozenInText,
  placeInText,
  placeOf,
  readSnapshot,
} from "../../../../../plugins/libvirt/xml/snapshot.ts";

const xml = await readFile(new URL("../../../../fixtures/record-1/snapshot.xml", import.meta.url), "utf8");

async function frozenRead(text: string): Promise<string | undefined> {
  return readSnapshot(await parse(text)).frozen[0];
}

describe("what a snapshot froze, told from the text of its record", () => {
  it("is what a reading tells", async () => {
    expect(frozenInText(xml))
      .to.equal(await frozenRead(xml))
      .and.to.match(/layer-[0-9a-f-]{36}\.qcow2$/);
  });

  const note = /<strata:snapshot [^>]*>/;
  const [whole = ""] = note.exec(xml) ?? [];
  const changed: Readonly<Record<string, string>> = {
    "has no note": xml.replace(note, ""),
    "has a note that names no file": xml.replace(/ frozen="[^"]*"/, ""),
    "has a second note": xml.replace(note, `$&<strata:snapshot created-at="1" frozen="/other"/>`),
    "has its note in a comment": xml.replace(whole, `<!-- ${whole} -->`),
    "has its note in CDATA": xml.replace(whole, `<![CDATA[${whole}]]>`),
    "has a path with an entity": xml.replace(' frozen="/', ' frozen="/a&amp;b/'),
    "is of a snapshot inside the image": xml.replaceAll("snapshot='external'", "snapshot='internal'"),
    "is of another disk": xml.replace(
      "<disk name='vda' snapshot='external'",
      "<disk name='vdc' snapshot='external'",
    ),
    "records a running domain too": xml.replace("</domainsnapshot>", "<inactiveDomain/></domainsnapshot>"),
  };
  for (const [what, text] of Object.entries(changed)) {
    it(`is left to a reading where the record ${what}`, () => {
      expect(text).not.to.equal(xml);
      expect(frozenInText(text)).to.equal(undefined);
    });
  }

  it("goes by the disk that the instance has for its root", async () => {
    const adopted = xml
      .replace("<strata:instance ", '<strata:instance disk-target="sda" ')
      .replace("<disk name='vda' snapshot='external'", "<disk name='sda' snapshot='external'");
    expect(frozenInText(adopted)).to.equal(await frozenRead(adopted));
  });

  it("is not what a comment of the user's says", async () => {
    const said = `&lt;strata:snapshot created-at="1" frozen="/said"/&gt;`;
    const text = xml.replace("<state>", `<description>${said}</description><state>`);
    expect(frozenInText(text)).to.equal(await frozenRead(xml));
  });
});

describe("what a snapshot of a running guest froze", () => {
  it("is what the guest wrote, and not what its definition names for the next start", async () => {
    const foreign = xml.replace(
      /<strata:snapshot [^>]*\/>|<strata:snapshot [^>]*>[\s\S]*?<\/strata:snapshot>/,
      "",
    );
    const [live = ""] = /<domain [\s\S]*<\/domain>/.exec(foreign) ?? [];
    const frozen = await frozenRead(foreign);
    const next = live.replaceAll("<domain ", "<inactiveDomain ").replaceAll("</domain>", "</inactiveDomain>");
    const other = next.replaceAll(String(frozen), "/rescue.qcow2");
    expect(other).not.to.equal(next);
    expect(await frozenRead(foreign.replace(live, live + other))).to.equal(frozen);
  });
});

describe("where a snapshot is, told from the text of its record", () => {
  const placed = async (text: string) => placeOf(readSnapshot(await parse(text)));

  it("is what a reading tells, with a parent and without", async () => {
    const orphan = xml.replace(/<parent>.*?<\/parent>/s, "");
    for (const [text, parent] of [
      [xml, "a"],
      [orphan, null],
    ] as const) {
      const place = await placed(text);
      expect(placeInText(place.name, text)).to.deep.equal(place);
      expect(place.parent).to.equal(parent);
      expect(place.recorded).to.deep.equal(place.frozen);
    }
  });

  it("tells another file that libvirt would restore", async () => {
    const at = xml.indexOf("<devices>");
    const text = xml.slice(0, at) + xml.slice(at).replace(/<source file='[^']*'/, "<source file='/other'");
    const place = placeInText("any", text);
    expect(place?.recorded).to.deep.equal(["/other"]);
    expect(place).to.deep.equal({ ...(await placed(text)), name: "any" });
  });

  const changed: Readonly<Record<string, string>> = {
    "two parents": xml.replace("<state>", "<parent><name>other</name></parent><state>"),
    "a parent with an entity": xml.replace("<name>a</name>", "<name>a&amp;b</name>"),
    "a disk that tells what it stands on": xml.replace(
      "<target dev='vda'",
      "<backingStore type='file'><source file='/below'/></backingStore><target dev='vda'",
    ),
    "no root disk": xml.replace("<target dev='vda'", "<target dev='vdx'"),
    "no devices": xml.replace("<devices>", "<others>").replace("</devices>", "</others>"),
  };
  for (const [what, text] of Object.entries(changed)) {
    it(`is left to a reading where the record has ${what}`, () => {
      expect(text).not.to.equal(xml);
      expect(placeInText("any", text)).to.equal(undefined);
    });
  }
});

describe("the record of a snapshot of several disks", () => {
  const further = { target: "vdc", frozen: "/f/c.qcow2", overlay: "/f/c2.qcow2" };
  const several = async () => {
    const text = xml
      .replace(/(<strata:snapshot [^>]*?)\/?>(<\/strata:snapshot>)?/, (_, start: string) => {
        const { target, frozen, overlay } = further;
        return `${start}><strata:disk target="${target}" frozen="${frozen}" overlay="${overlay}"/></strata:snapshot>`;
      })
      .replace(
        "</disks>",
        `<disk name='vdc' snapshot='external' type='file'><source file='${further.overlay}'/></disk></disks>`,
      )
      .replace(
        "</devices>",
        `<disk type='file' device='disk'><source file='${further.frozen}'/><target dev='vdc'/></disk></devices>`,
      );
    return text;
  };

  it("tells them all, the system disk first", async () => {
    const text = await several();
    const snapshot = readSnapshot(await parse(text));
    expect(snapshot.targets).to.deep.equal(["vda", "vdc"]);
    expect(snapshot.frozen[1]).to.equal(further.frozen);
    expect(snapshot.overlays[1]).to.equal(further.overlay);
    expect(snapshot.recorded).to.deep.equal(snapshot.frozen);
    expect(frozenInText(text)).to.equal(undefined);
  });

  it("keeps them when it is rewritten", async () => {
    const before = readSnapshot(await parse(await several()));
    const again = readSnapshot(amendedSnapshot(before, { parent: null, comment: "a\u0007b" }));
    expect(again).to.deep.include({
      parent: null,
      comment: "a\u0007b",
      targets: before.targets,
      frozen: before.frozen,
      overlays: before.overlays,
    });
  });

  it("of one disk says nothing of others", async () => {
    const one = readSnapshot(await parse(xml));
    expect(serialize(amendedSnapshot(one, {}))).not.to.contain("strata:disk");
  });
});
