import { readFile } from "node:fs/promises";
import { expect } from "chai";
import { isStrataError } from "../../../../../lib/errors.ts";
import { readManaged } from "../../../../../plugins/libvirt/engine.ts";
import type { Domain } from "../../../../../plugins/libvirt/rpc/index.ts";
import { parse } from "../../../../../plugins/libvirt/xml/document.ts";
import { readSnapshot } from "../../../../../plugins/libvirt/xml/snapshot.ts";

/** What strata 0.1.0 wrote: it must be read for ever. */
const fixture = (file: string) =>
  readFile(new URL(`../../../../fixtures/record-1/${file}`, import.meta.url), "utf8");

/** As much of a domain as is asked for its definition. */
const domainOf = (xml: string) => ({ getXml: async () => xml }) as unknown as Domain;

async function codeOf(xml: string): Promise<string> {
  return readManaged(domainOf(xml)).then(
    () => "nothing",
    (error: unknown) => (isStrataError(error) ? error.code : String(error)),
  );
}

describe("records by their version", () => {
  it("version 1 of a domain's is read", async () => {
    const managed = await readManaged(domainOf(await fixture("domain.xml")));
    expect(managed?.name).to.equal("web");
    expect(managed?.metadata).to.deep.equal({
      record: {
        version: 1,
        image: {
          sha256: "0e7db0d4ad0a3b83d343a88d5991fc5024f7a9ec21c1d0e5f15261ebc3fd587e",
          release: "1",
          os: "Test",
        },
        username: "tester",
        deleted: false,
        snapshotsTaken: 7,
        cloudInstanceId: "i-1",
        createdAt: 1_700_000_000_123,
      },
      folder: "/var/lib/libvirt/images/strata/instances/ceddbe8a-2068-4f1a-ae55-61295533f523",
      mounts: [],
    });
  });

  it("version 1 of a snapshot's is read", async () => {
    const snapshot = readSnapshot(await parse(await fixture("snapshot.xml")));
    expect(snapshot.name).to.equal("b");
    expect(snapshot.parent).to.equal("a");
    expect(snapshot.createdAt).to.equal(1_700_000_002_000);
    expect(snapshot.frozen).to.match(/ceddbe8a-2068-4f1a-ae55-61295533f523.layer-[0-9a-f-]{36}.qcow2$/);
  });

  it("a newer one is refused, whatever else is in it", async () => {
    const xml = await fixture("domain.xml");
    expect(await codeOf(xml.replace('version="1" folder', 'version="2" folder'))).to.equal("RECORD_TOO_NEW");
  });

  it("version 2 is read where it has the files that a domain brought along", async () => {
    const own = '<strata:own-file target="vda" file="/dev/vg/web" format="raw" type="block"/><strata:image ';
    const xml = (await fixture("domain.xml")).replace('version="1" folder', 'version="2" folder');
    expect(await codeOf(xml.replace("<strata:image ", own))).to.equal("nothing");
  });

  it("one without a version, or with nonsense for it, is not believed", async () => {
    const xml = await fixture("domain.xml");
    expect(await codeOf(xml.replace(' version="1" folder', " folder"))).to.equal("RECORDS_DIFFER");
    expect(await codeOf(xml.replace('version="1" folder', 'version="x" folder'))).to.equal("RECORDS_DIFFER");
  });
});
