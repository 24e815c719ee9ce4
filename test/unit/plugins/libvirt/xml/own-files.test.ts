import { expect } from "chai";
import { RECORD_VERSION } from "../../../../../lib/engine/contract.ts";
import { findDisk, readDiskAt, setDiskAt } from "../../../../../plugins/libvirt/xml/disks.ts";
import { type Element, find, parse, serialize } from "../../../../../plugins/libvirt/xml/document.ts";
import {
  type Metadata,
  metadataElement,
  putMetadata,
  readMetadata,
} from "../../../../../plugins/libvirt/xml/metadata.ts";
import { mergedFormats, ownFormats } from "../../../../../plugins/libvirt/xml/own-files.ts";

const FOLDER = "/pool/instances/1";

const METADATA: Metadata = {
  record: {
    version: RECORD_VERSION,
    image: { sha256: "", release: "", os: "" },
    username: "",
    deleted: false,
    snapshotsTaken: 0,
    cloudInstanceId: "",
    createdAt: 0,
  },
  folder: FOLDER,
  mounts: [],
};

const disk = (target: string, source: string, format?: string, type = "file") =>
  `<disk type='${type}' device='disk'>${format === undefined ? "" : `<driver name='qemu' type='${format}' cache='none'/>`}<source ${source}/><target dev='${target}'/></disk>`;

async function domain(devices: string, metadata?: Metadata): Promise<Element> {
  const document = await parse(`<domain><name>web</name><devices>${devices}</devices></domain>`);
  if (metadata !== undefined) {
    putMetadata(document, metadata);
  }
  return parse(serialize(document));
}

describe("files that a domain brought along", () => {
  it("are raw where the definition says so, or nothing", async () => {
    const document = await domain(
      [
        disk("vda", "file='/a.img'"),
        disk("vdb", "file='/b.img'", "raw"),
        disk("vdc", "file='/c.img'", "qcow2"),
        disk("vdd", "dev='/dev/d'", "raw", "block"),
        disk("vde", "file='/e.img'", "vmdk"),
        disk("vdf", `file='${FOLDER}/layer.qcow2'`, "raw"),
      ].join(""),
    );
    expect([...ownFormats(document, METADATA)]).to.deep.equal([
      ["/a.img", "raw"],
      ["/b.img", "raw"],
      ["/dev/d", "raw"],
      ["/e.img", "raw"],
    ]);
  });

  it("keep their format below a layer, and are raw where one place says so", async () => {
    const own = [
      { target: "vda", file: "/a.img", format: "raw", type: "file" },
      { target: "vdb", file: "/b.img", format: "qcow2", type: "file" },
      { target: "vdc", file: "/c.img", format: "qcow2", type: "file" },
    ] as const;
    const document = await domain(
      disk("vda", `file='${FOLDER}/layer.qcow2'`, "qcow2") + disk("vdc", "file='/c.img'", "raw"),
    );
    const formats = ownFormats(document, { ...METADATA, adopted: "/a.img", own });
    expect([...formats]).to.deep.equal([
      ["/a.img", "raw"],
      ["/b.img", "qcow2"],
      ["/c.img", "raw"],
    ]);
    const other = new Map([
      ["/b.img", "raw"],
      ["/a.img", "qcow2"],
    ] as const);
    for (const merged of [mergedFormats(formats, other), mergedFormats(other, formats)]) {
      expect(merged.get("/a.img")).to.equal("raw");
      expect(merged.get("/b.img")).to.equal("raw");
    }
  });

  it("are read as they were written, with a version that an older strata refuses", async () => {
    const own = [
      { target: "vda", file: "/dev/a", format: "raw", type: "block" },
      { target: "vdb", file: "/b", format: "qcow2", type: "volume", pool: "p", volume: "v" },
    ] as const;
    const metadata = { ...METADATA, own };
    expect(readMetadata(await domain("", metadata))).to.deep.equal(metadata);
    expect(metadataElement(metadata).attributes.version).to.equal("2");
    expect(metadataElement(METADATA).attributes.version).to.equal("1");
  });

  it("of a format that is not known are raw", async () => {
    const metadata = {
      ...METADATA,
      own: [{ target: "vda", file: "/a", format: "raw", type: "file" }],
    } as const;
    const xml = serialize(await domain("", metadata)).replace('format="raw"', 'format="qed"');
    expect(readMetadata(await parse(xml))?.own).to.deep.equal(metadata.own);
  });

  it("come back into the definition as they were named, each to its own disk", async () => {
    const own = [
      { target: "vda", file: "/dev/a", format: "raw", type: "block" },
      { target: "vdb", file: "/b", format: "qcow2", type: "volume", pool: "p", volume: "v" },
    ] as const;
    const metadata = { ...METADATA, own };
    const devices =
      disk("vda", "dev='/dev/a'", "raw", "block") + disk("vdb", "pool='p' volume='v'", "qcow2", "volume");
    const document = await domain(devices, metadata);
    const before = serialize(document);
    expect(readDiskAt(document, "vdb")).to.equal("/b");
    for (const target of ["vda", "vdb"]) {
      setDiskAt(document, target, `${FOLDER}/layer.qcow2`);
      const layered = findDisk(document, target);
      expect(layered?.attributes.type).to.equal("file");
      expect(find(layered, "driver")?.attributes).to.include({ type: "qcow2", cache: "none" });
      expect(find(layered, "source")?.attributes).to.deep.equal({ file: `${FOLDER}/layer.qcow2` });
    }
    setDiskAt(document, "vda", "/dev/a");
    setDiskAt(document, "vdb", "/b");
    expect(serialize(document)).to.equal(before);
    // As it is named for another disk, it is a file like any other.
    setDiskAt(document, "vda", "/b");
    expect(find(findDisk(document, "vda"), "source")?.attributes).to.deep.equal({ file: "/b" });
  });
});
