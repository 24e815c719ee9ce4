import { join } from "node:path";
import { expect } from "chai";
import {
  type Connection,
  CreateFlags,
  connect,
  type Domain,
  DomainState,
  DomainXmlFlags,
  SnapshotCreateFlags,
  SnapshotDeleteFlags,
} from "../../../plugins/libvirt/rpc/index.ts";
import { type BindingRoom, bindingRoom, NAME, refusalOf } from "../../support/libvirt/binding-room.ts";
import { virsh } from "../../support/libvirt/virsh.ts";

const QUEUED = 50;

/** Each call is judged by virsh, by the files, or by what another call of the daemon answers. */
describe("the binding on a real daemon", () => {
  let room: BindingRoom;
  let connection: Connection;
  let folder: string;
  let domain: Domain;
  before(async () => {
    room = await bindingRoom();
    ({ connection, folder, domain } = room);
  });
  after(() => room[Symbol.asyncDispose]());

  it("tells versions and host as virsh does", async () => {
    const { major, minor, release } = await connection.libVersion();
    expect(await virsh("version", "--daemon")).to.contain(`libvirt ${major}.${minor}.${release}`);
    expect(await connection.hostname()).to.equal(await virsh("hostname"));
    const info = await connection.nodeInfo();
    expect(await virsh("nodeinfo")).to.contain(`${info.memory} KiB`);
    expect(await connection.capabilities()).to.contain("<capabilities>");
    expect(await connection.domainCapabilities({ virtType: "qemu" })).to.contain("<domainCapabilities>");
  });

  it("finds a domain by name and UUID, lists it, and reads the document that virsh reads", async () => {
    const found = await connection.lookupDomainByName(NAME);
    expect(found.uuid).to.equal(domain.uuid);
    expect((await connection.lookupDomainByUuid(domain.uuid)).name).to.equal(NAME);
    expect((await connection.listDomains()).map(({ name }) => name)).to.include(NAME);
    expect((await connection.domainOfUuid(domain.uuid).getXml()).trim()).to.equal(
      await virsh("dumpxml", NAME),
    );
  });

  it("keeps metadata, autostart, CPUs and memory where virsh finds them", async () => {
    await domain.setMetadata(2, "<note>ä &amp; &lt;b&gt;</note>", "t", "urn:test", 2);
    expect(await virsh("metadata", NAME, "urn:test", "--config")).to.contain("ä &amp; &lt;b&gt;");
    expect(await domain.getMetadata(2, "urn:test", 2)).to.contain("ä &amp; &lt;b&gt;");
    expect(await domain.getMetadata(2, "urn:other", 2)).to.equal(null);
    await domain.setAutostart(true);
    expect(await virsh("dominfo", NAME)).to.match(/Autostart:\s+enable/);
    await domain.setAutostart(false);
    await domain.setMemory(96n * 1024n, 2 | 4);
    await domain.setMemory(96n * 1024n, 2);
    expect(await virsh("dominfo", NAME)).to.match(/Max memory:\s+98304 KiB/);
  });

  it("renames a domain and back", async () => {
    await domain.rename(`${NAME}-x`);
    expect(await virsh("domuuid", `${NAME}-x`)).to.equal(domain.uuid);
    await domain.rename(NAME);
    expect(await virsh("domuuid", NAME)).to.equal(domain.uuid);
  });

  it("takes, redefines, lists and deletes snapshots as virsh sees them", async () => {
    const xml = (name: string) =>
      `<domainsnapshot><name>${name}</name><description>a "b" ✓</description><memory snapshot='no'/><disks><disk name='vda' snapshot='external'><source file='${join(folder, `${name}.qcow2`)}'/></disk></disks></domainsnapshot>`;
    const first = await domain.createSnapshot(xml("a"), SnapshotCreateFlags.DISK_ONLY);
    const second = await domain.createSnapshot(xml("b"), SnapshotCreateFlags.DISK_ONLY);
    expect((await second.getParent())?.name).to.equal("a");
    expect(await first.getParent()).to.equal(null);
    expect((await domain.currentSnapshot())?.name).to.equal("b");
    expect(await virsh("snapshot-list", NAME, "--name")).to.equal("a\nb");
    const redefine = SnapshotCreateFlags.REDEFINE | SnapshotCreateFlags.CURRENT;
    await domain.createSnapshot(
      (await first.getXml()).replace(/(<description>).*(?=<)/, "$1other"),
      redefine,
    );
    expect(await virsh("snapshot-current", NAME, "--name")).to.equal("a");
    expect(await virsh("snapshot-dumpxml", NAME, "a")).to.contain("<description>other</description>");
    expect((await first.listChildren()).map(({ name }) => name)).to.deep.equal(["b"]);
    expect(await domain.snapshotCount()).to.equal(2);
    await second.delete(SnapshotDeleteFlags.METADATA_ONLY);
    await first.delete(SnapshotDeleteFlags.METADATA_ONLY);
    expect(await domain.listSnapshots()).to.deep.equal([]);
    expect(await domain.currentSnapshot()).to.equal(null);
  });

  it("lists the checkpoints that virsh lists, of a running domain and of a stopped one", async () => {
    expect(await domain.listCheckpoints()).to.deep.equal([]);
    await domain.create(CreateFlags.START_PAUSED);
    try {
      for (const name of ["full", "later"]) {
        await virsh("checkpoint-create-as", NAME, name);
      }
      expect(await domain.listCheckpoints()).to.have.members(["full", "later"]);
      await domain.destroy();
      expect(await domain.listCheckpoints()).to.have.members(["full", "later"]);
    } finally {
      if (await domain.isActive()) {
        await domain.destroy();
      }
      for (const name of await domain.listCheckpoints()) {
        await virsh("checkpoint-delete", NAME, name, "--metadata");
      }
    }
    expect(await domain.listCheckpoints()).to.deep.equal([]);
  });

  it("keeps code, domain, level and message of what the daemon refuses", async () => {
    const missing = await refusalOf(connection.lookupDomainByName("no-such-domain"));
    expect(missing).to.include({ codeName: "NO_DOMAIN", code: 42, domain: 10, level: 2 });
    expect(missing.message).to.contain("no-such-domain");
    expect((await refusalOf(connection.defineDomain("<domain>"))).codeName).to.equal("XML_DETAIL");
    expect((await refusalOf(domain.shutdown())).codeName).to.equal("OPERATION_INVALID");
    expect((await refusalOf(domain.lookupSnapshot("none"))).codeName).to.equal("NO_DOMAIN_SNAPSHOT");
    expect((await refusalOf(connection.lookupNetworkByName("none"))).codeName).to.equal("NO_NETWORK");
    expect((await refusalOf(connection.lookupStoragePoolByName("none"))).codeName).to.equal(
      "NO_STORAGE_POOL",
    );
  });

  it("refuses changes on a connection that only reads", async () => {
    await using reader = await connect("qemu:///system", { readOnly: true });
    const found = await reader.lookupDomainByName(NAME);
    expect((await found.getState()).state).to.equal(DomainState.SHUTOFF);
    expect((await refusalOf(found.setAutostart(true))).codeName).to.equal("OPERATION_DENIED");
  });

  it("answers many calls at once, each its own", async () => {
    const names = ["default", ...Array.from({ length: QUEUED }, (_, at) => `none-${at}`)];
    const answers = await Promise.all(
      names.map((name) =>
        connection.lookupNetworkByName(name).then(
          (network) => network.name,
          (error: Error) => error.message,
        ),
      ),
    );
    expect(answers[0]).to.equal("default");
    for (const [at, name] of names.entries()) {
      expect(answers[at]).to.contain(name);
    }
  });

  it("tells networks and their leases", async () => {
    const network = await connection.lookupNetworkByName("default");
    expect(await network.isActive()).to.equal(true);
    expect(await virsh("net-info", "default")).to.contain(await network.bridgeName());
    const known = await virsh("net-dhcp-leases", "default");
    for (const { ip, mac } of await network.dhcpLeases()) {
      expect(known).to.contain(ip);
      expect(known).to.contain(mac);
    }
  });

  it("reads a document of a size that no single packet carries", async () => {
    const text = "x".repeat(900_000);
    await domain.setMetadata(0, text, null, null, 2);
    expect(await domain.getMetadata(0, null, 2)).to.equal(text);
    expect(await domain.getXml(DomainXmlFlags.INACTIVE)).to.contain(text);
    await domain.setMetadata(0, null, null, null, 2);
  });
});
