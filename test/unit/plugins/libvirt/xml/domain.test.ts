import { readFileSync } from "node:fs";
import { expect } from "chai";
import { readDisk, setDisk } from "../../../../../plugins/libvirt/xml/disks.ts";
import {
  copy,
  type Element,
  elements,
  find,
  parse,
  serialize,
  text,
} from "../../../../../plugins/libvirt/xml/document.ts";
import { readInterfaces, setForwardedPort } from "../../../../../plugins/libvirt/xml/domain.ts";
import { type Metadata, putMetadata, readMetadata } from "../../../../../plugins/libvirt/xml/metadata.ts";
import { readResources, setResources } from "../../../../../plugins/libvirt/xml/resources.ts";
import { restoredDomain } from "../../../../../plugins/libvirt/xml/restored.ts";

const RICH = readFileSync(new URL("../../../../fixtures/rich-domain.xml", import.meta.url), "utf8");

const metadata: Metadata = {
  folder: "/pool/instances/u",
  mounts: [
    {
      source: '/srv/a & b/<c>\n"d"',
      target: "/home/ubuntu/ü",
      type: "native",
      uidMap: [{ host: 1001, guest: 1000, default: true }],
      gidMap: [
        { host: 0, guest: 1000 },
        { host: 4294967294, guest: 0 },
      ],
    },
    { source: "/", target: "/mnt/host", type: "native", uidMap: [], gidMap: [] },
  ],
  sshPort: 2222,
  record: {
    version: 1,
    image: { sha256: "ab", release: '12 "<&>"', os: "Debian" },
    username: "ubuntu",
    deleted: false,
    snapshotsTaken: 4,
    cloudInstanceId: "i-1",
    createdAt: 1_700_000_000_123,
    hostKey: "ssh-ed25519 AAAA",
  },
  operation: { kind: "take", name: "a", file: "/x", taken: "5" },
  resume: { snapshot: "b", memory: "/n" },
  snapshot: {
    createdAt: 1_700_000_000_456,
    frozen: "/f",
    consistency: "files",
    cut: "yes",
    memory: "/m",
    group: "g-1",
    comment: "bell \u0007 \ud800 \r\n ]]>",
  },
};

/** Everything of a document but the parts named, for comparing what must not have changed. */
function without(document: Element, ...names: string[]): Element {
  const stripped = copy(document);
  const kept = stripped.children.filter((child) => typeof child === "string" || !names.includes(child.name));
  stripped.children.splice(0, stripped.children.length, ...kept);
  return stripped;
}

describe("a domain document that others have written into", () => {
  it("is the same after reading and writing, order included", async () => {
    const document = await parse(RICH);
    expect(await parse(serialize(document))).to.deep.equal(document);
    const names = elements(find(document, "devices")).map(({ name }) => name);
    expect(names.slice(0, 4)).to.deep.equal(["emulator", "disk", "interface", "disk"]);
    const args = elements(find(document, "qemu:commandline")).map(({ name, attributes }) => [
      name,
      attributes.value,
    ]);
    expect(args).to.deep.equal([
      ["qemu:arg", "-netdev"],
      ["qemu:env", "v"],
      ["qemu:arg", "user,id=strata0,hostfwd=tcp:127.0.0.1:1111-:22"],
    ]);
  });

  it("keeps foreign metadata and the command line when resources, disk and our metadata change", async () => {
    const before = await parse(RICH);
    const document = await parse(RICH);
    setResources(document, { cpus: 3, memory: 1024n ** 3n });
    setDisk(document, "/pool/new.qcow2");
    putMetadata(document, metadata);
    const after = await parse(serialize(document));
    expect(readResources(after)).to.deep.equal({ cpus: 3, memory: 1024n ** 3n });
    expect(readDisk(after)).to.equal("/pool/new.qcow2");
    expect(without(after, "memory", "currentMemory", "vcpu", "devices", "metadata")).to.deep.equal(
      without(before, "memory", "currentMemory", "vcpu", "devices", "metadata"),
    );
    expect(find(after, "vcpu")?.attributes).to.deep.equal({ placement: "static", cpuset: "0-1" });
    const foreign = elements(find(after, "metadata")).filter(({ name }) => name === "app:info");
    expect(foreign).to.deep.equal(
      elements(find(before, "metadata")).filter(({ name }) => name === "app:info"),
    );
    const disks = elements(find(after, "devices"), "disk");
    expect(find(disks[0], "backingStore"), "a stale chain").to.equal(undefined);
    expect(disks[1]).to.deep.equal(elements(find(before, "devices"), "disk")[1]);
  });

  it("gives back every member of our metadata, odd characters included", async () => {
    const document = await parse(RICH);
    putMetadata(document, metadata);
    putMetadata(document, metadata);
    const after = await parse(serialize(document));
    expect(readMetadata(after)).to.deep.equal(metadata);
    expect(elements(find(after, "metadata"))).to.have.length(2);
  });

  it("gives back members of the record that it does not know", async () => {
    const document = await parse(RICH);
    const record = {
      ...metadata.record,
      ...{ later: { text: "<ü>\ud800]]>", flags: [true, null], size: 12 } },
    };
    putMetadata(document, { ...metadata, record });
    const after = await parse(serialize(document));
    expect(readMetadata(after)?.record).to.deep.equal(record);
  });

  it("is foreign without our metadata", async () => {
    expect(readMetadata(await parse(RICH))).to.equal(undefined);
  });

  it("changes the forwarded port and no other argument", async () => {
    const document = await parse(RICH);
    setForwardedPort(document, 4242);
    const args = elements(find(document, "qemu:commandline"), "qemu:arg").map(
      ({ attributes }) => attributes.value,
    );
    expect(args).to.deep.equal(["-netdev", "user,id=strata0,hostfwd=tcp:127.0.0.1:4242-:22"]);
  });

  it("is restored with its present identity and all else as recorded", async () => {
    const present = await parse(RICH);
    const recorded = { ...(await parse(RICH)), name: "inactiveDomain" };
    setResources(recorded, { cpus: 7, memory: 1024n ** 2n * 300n });
    const nic = find(recorded, "devices", "interface", "mac");
    const uuid = find(recorded, "uuid");
    if (nic === undefined || uuid === undefined) {
      throw new Error("the fixture lacks a part");
    }
    nic.attributes.address = "52:54:00:ff:ff:ff";
    uuid.children.splice(0, 1, "00000000-0000-4000-8000-00000000ffff");
    const restored = restoredDomain(recorded, present, new Map([["vda", "/pool/overlay.qcow2"]]), metadata);
    expect(restored.name).to.equal("domain");
    expect(text(find(restored, "uuid"))).to.equal(text(find(present, "uuid")));
    expect(readInterfaces(restored)[0]?.mac).to.equal("52:54:00:aa:bb:cc");
    expect(readResources(restored)).to.deep.equal({ cpus: 7, memory: 1024n ** 2n * 300n });
    expect(readDisk(restored)).to.equal("/pool/overlay.qcow2");
    expect(readMetadata(restored)).to.deep.equal(metadata);
    expect(readDisk(recorded), "the record itself stays").to.equal("/pool/root.qcow2");
  });
});

describe("an XML document from outside", () => {
  it("expands no entities of its own", async () => {
    const bomb = '<!DOCTYPE a [<!ENTITY b "bbbb"><!ENTITY f SYSTEM "file:///etc/passwd">]><a>&b;&f;</a>';
    const shown = await parse(bomb).then(serialize, () => "refused");
    expect(shown).not.to.contain("bbbb").and.not.to.contain("root:");
  });

  it("is refused when it is cut off", async () => {
    const failed = await parse(RICH.slice(0, RICH.length / 2)).then(
      () => false,
      () => true,
    );
    expect(failed).to.equal(true);
  });
});
