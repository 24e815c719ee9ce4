import { readFileSync } from "node:fs";
import { expect } from "chai";
import {
  copy,
  element,
  elements,
  find,
  parse,
  serialize,
} from "../../../../../plugins/libvirt/xml/document.ts";
import {
  type Filesystem,
  hasSharedMemory,
  mountTag,
  readFilesystems,
  setFilesystems,
} from "../../../../../plugins/libvirt/xml/filesystem.ts";

const RICH = readFileSync(new URL("../../../../fixtures/rich-domain.xml", import.meta.url), "utf8");

const first: Filesystem = {
  driver: "virtiofs",
  source: "/srv/a, 'b' & <c>\n\"ü\"",
  tag: mountTag("/mnt/first"),
  launcher: "/pool/instances/u/virtiofsd-0123456789abcdef",
};
const second: Filesystem = { driver: "9p", source: "/srv/second", tag: mountTag("/mnt/second") };

describe("the filesystem devices of a domain", () => {
  it("read back as they were put, odd characters included, and share the guest's memory", async () => {
    const document = await parse(RICH);
    expect(setFilesystems(document, [first, second])).to.equal(true);
    const after = await parse(serialize(document));
    expect(readFilesystems(after)).to.deep.equal([first, second]);
    expect(hasSharedMemory(after)).to.equal(true);
  });

  it("stay where they are on the bus when others come and go", async () => {
    const document = await parse(RICH);
    setFilesystems(document, [first, second]);
    const device = elements(find(document, "devices"), "filesystem")[0];
    device?.children.push(element("address", { type: "pci", bus: "0x09" }));
    const third: Filesystem = { ...first, tag: mountTag("/mnt/third") };
    setFilesystems(document, [third, first]);
    expect(readFilesystems(document)).to.have.deep.members([first, third]);
    const [kept] = elements(find(document, "devices"), "filesystem");
    expect(find(kept, "address")?.attributes.bus).to.equal("0x09");
    expect(setFilesystems(document, [first, third]), "nothing to define anew").to.equal(false);
  });

  it("are made anew when their source or launcher is another one", async () => {
    const document = await parse(RICH);
    setFilesystems(document, [first]);
    for (const changed of [
      { ...first, source: "/srv/z" },
      { ...first, launcher: "/pool/other" },
    ]) {
      expect(setFilesystems(document, [changed])).to.equal(true);
      expect(readFilesystems(document)).to.deep.equal([changed]);
    }
  });

  it("leave those of others and everything else alone", async () => {
    const document = await parse(RICH);
    const foreign = element(
      "filesystem",
      { type: "mount" },
      element("source", { dir: "/x" }),
      element("target", { dir: "strata-mine" }),
    );
    find(document, "devices")?.children.push(foreign);
    const before = copy(document);
    setFilesystems(document, [first]);
    expect(readFilesystems(document)).to.deep.equal([first]);
    setFilesystems(document, []);
    document.children.splice(
      0,
      document.children.length,
      ...document.children.filter((child) => typeof child === "string" || child.name !== "memoryBacking"),
    );
    expect(document).to.deep.equal(before);
  });

  it("keep what else is wished of the memory", async () => {
    const document = await parse(RICH);
    document.children.push(
      element("memoryBacking", {}, element("hugepages"), element("source", { type: "file" })),
    );
    setFilesystems(document, [first]);
    const backing = find(document, "memoryBacking");
    expect(elements(backing).map(({ name }) => name)).to.deep.equal(["hugepages", "source", "access"]);
    expect(find(backing, "source")?.attributes.type).to.equal("file");
  });

  it("have tags that virtiofs takes, one for each target", () => {
    const tags = ["/a", "/b", `/${"x".repeat(4000)}`].map(mountTag);
    for (const tag of tags) {
      expect(tag).to.match(/^[a-z0-9-]{1,36}$/);
    }
    expect(new Set(tags).size).to.equal(3);
  });
});
