import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { chmod, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { expect } from "chai";
import { execa } from "execa";
import {
  CheckpointCreateFlags,
  CheckpointDeleteFlags,
  CheckpointListFlags,
  CheckpointXmlFlags,
  type Connection,
  ConnectionLostError,
  ConsoleFlags,
  CreateFlags,
  connect,
  type Domain,
  DomainState,
  DomainXmlFlags,
  JobOperation,
  JobStatsFlags,
  JobType,
  LibvirtError,
  SaveImageXmlFlags,
  SaveRestoreFlags,
  SetTimeFlags,
  SnapshotCreateFlags,
  SnapshotDeleteFlags,
  type StoragePool,
  StoragePoolState,
  UndefineFlags,
} from "../../../plugins/libvirt/rpc/index.ts";

const NAME = `strata-test-binding-${process.pid}`;
const QUEUED = 50;

async function virsh(...args: string[]): Promise<string> {
  return (await execa("virsh", ["-q", "-c", "qemu:///system", ...args])).stdout.trim();
}

async function refusalOf(work: Promise<unknown>): Promise<LibvirtError> {
  const error = await work.then(
    () => new Error("it was not refused"),
    (reason: unknown) => reason,
  );
  if (!(error instanceof LibvirtError)) {
    throw error;
  }
  return error;
}

/** Each call is judged by virsh, by the files, or by what another call of the daemon answers. */
describe("the binding on a real daemon", () => {
  let connection: Connection;
  let folder: string;
  let disk: string;
  let domain: Domain;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "strata-binding-"));
    await execa("chmod", ["0711", folder]);
    disk = join(folder, "disk.qcow2");
    await execa("qemu-img", ["create", "-q", "-f", "qcow2", disk, "8M"]);
    connection = await connect("qemu:///system", { timeout: 60_000 });
    domain = await connection.defineDomain(`<domain type='qemu'><name>${NAME}</name>
      <memory unit='MiB'>64</memory><vcpu>1</vcpu><features><acpi/></features><os><type arch='x86_64'>hvm</type></os>
      <devices><disk type='file' device='disk'><driver name='qemu' type='qcow2'/>
      <source file='${disk}'/><target dev='vda' bus='virtio'/></disk>
      <channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel></devices></domain>`);
  });
  after(async () => {
    await domain.destroy().catch(() => {});
    await domain.undefine(2);
    await connection.close();
    await rm(folder, { recursive: true, force: true });
  });

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

  it("runs a domain: events, statistics of all in one call, devices, a block job, an agent that is not there", async () => {
    const stop = new AbortController();
    const events = await connection.domainEvents("lifecycle", { domain, signal: stop.signal });
    const jobs = await connection.domainEvents("blockJob2", { domain, signal: stop.signal });
    await domain.create(1); // Paused: nothing is there to boot.
    expect((await domain.getState()).state).to.equal(DomainState.PAUSED);
    const stats = (await connection.allDomainStats(1 | 32)).find(
      ({ domain: { uuid } }) => uuid === domain.uuid,
    );
    expect(stats?.params["state.state"]).to.equal(DomainState.PAUSED);
    expect(stats?.params["block.0.name"]).to.equal("vda");

    const extra = join(folder, "extra.qcow2");
    await execa("qemu-img", ["create", "-q", "-f", "qcow2", extra, "1M"]);
    const device = `<disk type='file'><driver name='qemu' type='qcow2'/><source file='${extra}'/><target dev='vdb' bus='virtio'/></disk>`;
    await domain.attachDevice(device, 1);
    expect(await virsh("domblklist", NAME)).to.contain(extra);
    expect((await domain.blockInfo("vdb")).capacity).to.equal(1024n ** 2n);

    const overlay = join(folder, "overlay.qcow2");
    const xml = `<domainsnapshot><name>live</name><disks><disk name='vda' snapshot='external'><source file='${overlay}'/></disk><disk name='vdb' snapshot='no'/></disks></domainsnapshot>`;
    await domain.createSnapshot(xml, SnapshotCreateFlags.DISK_ONLY | SnapshotCreateFlags.NO_METADATA);
    await domain.blockPull("vda");
    const done = [];
    for await (const event of jobs) {
      if (event.kind !== "blockJob2") {
        continue;
      }
      done.push(event.dst);
      if (event.status === 0) {
        break;
      }
    }
    expect(done).to.deep.equal(["vda"]);
    expect((await domain.blockJobInfo("vda")).found).to.equal(0);
    const pulled = JSON.parse((await execa("qemu-img", ["info", "-U", "--output=json", overlay])).stdout);
    expect(pulled).not.to.have.property("backing-filename");

    await domain.resume();
    const silent = await refusalOf(domain.agentCommand('{"execute":"guest-ping"}', 1));
    expect(silent.codeName).to.equal("AGENT_UNRESPONSIVE");
    await domain.destroy();
    const seen: number[] = [];
    for await (const event of events) {
      if (event.kind !== "lifecycle") {
        continue;
      }
      seen.push(event.event);
      if (event.event === 5) {
        break; // Stopped.
      }
    }
    expect(seen[0]).to.equal(2); // Started.
    stop.abort();
  });

  describe("storage", () => {
    let pool: StoragePool;
    before(async () => {
      pool = await connection.defineStoragePool(
        `<pool type='dir'><name>${NAME}</name><target><path>${join(folder, "pool")}</path></target></pool>`,
      );
      await pool.build();
      await pool.create();
    });
    after(async () => {
      await pool.destroy();
      await pool.undefine();
    });

    it("tells a pool's state and room", async () => {
      const info = await pool.getInfo();
      expect(info.state).to.equal(StoragePoolState.RUNNING);
      expect(info.capacity).to.equal(info.allocation + info.available);
      expect(await pool.isActive()).to.equal(true);
      expect((await connection.listStoragePools()).map(({ name }) => name)).to.include(NAME);
    });

    it("uploads and downloads a volume byte for byte, resizes, lists and deletes it", async () => {
      const content = randomBytes(3 * 1024 * 1024 + 17);
      const volume = await pool.createVolume(
        `<volume><name>v.raw</name><capacity>${content.length}</capacity><target><format type='raw'/></target></volume>`,
      );
      // In pieces that fit no packet.
      await volume.upload(
        (async function* () {
          for (let at = 0; at < content.length; at += 700_001) {
            yield content.subarray(at, at + 700_001);
          }
        })(),
      );
      expect(await readFile(await volume.getPath())).to.deep.equal(content);
      const hash = createHash("sha256");
      for await (const chunk of volume.download()) {
        hash.update(chunk);
      }
      expect(hash.digest("hex")).to.equal(createHash("sha256").update(content).digest("hex"));
      const part: Buffer[] = [];
      for await (const chunk of volume.download({ offset: 1000n, length: 50n })) {
        part.push(chunk);
      }
      expect(Buffer.concat(part)).to.deep.equal(content.subarray(1000, 1050));
      await volume.resize(4n * 1024n ** 2n);
      expect((await volume.getInfo()).capacity).to.equal(4n * 1024n ** 2n);
      expect((await pool.listVolumes()).map(({ name }) => name)).to.deep.equal(["v.raw"]);
      await volume.delete();
      expect((await refusalOf(pool.lookupVolumeByName("v.raw"))).codeName).to.equal("NO_STORAGE_VOL");
    });
  });

  describe("of a running domain without an agent", () => {
    let own: Domain;
    before(async () => {
      const path = join(folder, "own.qcow2");
      await execa("qemu-img", ["create", "-q", "-f", "qcow2", path, "8M"]);
      // The firmware writes to the console, since there is nothing to boot.
      own = await connection.defineDomain(`<domain type='qemu'><name>${NAME}-own</name>
        <memory unit='MiB'>64</memory><vcpu>1</vcpu>
        <os><type arch='x86_64'>hvm</type><bios useserial='yes'/></os>
        <devices><disk type='file' device='disk'><driver name='qemu' type='qcow2'/>
        <source file='${path}'/><target dev='vda' bus='virtio'/></disk><console type='pty'/></devices></domain>`);
      await own.create();
    });
    after(async () => {
      await own.destroy().catch(() => {});
      await own.undefine(UndefineFlags.MANAGED_SAVE | UndefineFlags.CHECKPOINTS_METADATA);
    });

    it("says that what needs one is not supported", async () => {
      const asked = [
        () => own.fsFreeze(),
        () => own.fsThaw(),
        () => own.setTime(0n, 0, SetTimeFlags.SYNC),
        () => own.getTime(),
      ];
      for (const ask of asked) {
        const error = await refusalOf(ask());
        expect(error.codeName).to.equal("ARGUMENT_UNSUPPORTED");
        expect(error.message).to.contain("guest agent is not configured");
      }
      expect((await refusalOf(own.fsThaw(["/"]))).message).to.contain("mountpoints");
      await own.agentSetResponseTimeout(3);
      expect(await virsh("dumpxml", `${NAME}-own`)).not.to.contain("guest_agent");
    });

    it("carries its console both ways, and ends with the signal or with the domain", async () => {
      const stop = new AbortController();
      const first = await own.openConsole(null, ConsoleFlags.SAFE, { signal: stop.signal });
      expect((await refusalOf(own.openConsole(null, ConsoleFlags.SAFE))).codeName).to.equal(
        "OPERATION_FAILED",
      );
      const failed = once(first, "error");
      stop.abort(new Error("enough"));
      expect(String((await failed)[0])).to.contain("enough");
      const second = await own.openConsole(null, ConsoleFlags.FORCE);
      let text = "";
      second.setEncoding("utf8").on("data", (chunk: string) => {
        text += chunk;
      });
      second.write("\r");
      const ended = once(second, "end");
      await execa("virsh", ["-q", "-c", "qemu:///system", "reset", `${NAME}-own`]);
      for (let tries = 0; tries < 200 && !text.includes("SeaBIOS"); tries++) {
        await delay(50);
      }
      expect(text).to.contain("SeaBIOS");
      await own.destroy();
      await ended;
      await own.create();
    });

    it("makes, describes and deletes checkpoints as virsh sees them", async () => {
      const xml = (name: string) => `<domaincheckpoint><name>${name}</name></domaincheckpoint>`;
      const first = await own.createCheckpoint(xml("one"));
      const second = await own.createCheckpoint(xml("two"));
      expect(await virsh("checkpoint-list", `${NAME}-own`, "--name", "--topological")).to.equal("one\ntwo");
      expect(await own.listCheckpoints(CheckpointListFlags.ROOTS)).to.deep.equal(["one"]);
      expect((await second.getParent())?.name).to.equal("one");
      expect(await first.getParent()).to.equal(null);
      expect((await first.listChildren()).map(({ name }) => name)).to.deep.equal(["two"]);
      expect((await own.lookupCheckpoint("two")).name).to.equal("two");
      const flags = CheckpointXmlFlags.NO_DOMAIN | CheckpointXmlFlags.SIZE;
      expect(await second.getXml(flags))
        .to.match(/size='\d+'/)
        .and.not.to.contain("<domain type");
      const record = await second.getXml();
      await second.delete(CheckpointDeleteFlags.METADATA_ONLY);
      expect((await refusalOf(own.lookupCheckpoint("two"))).codeName).to.equal("NO_DOMAIN_CHECKPOINT");
      await own.createCheckpoint(record, CheckpointCreateFlags.REDEFINE);
      await first.delete(CheckpointDeleteFlags.CHILDREN);
      expect(await own.listCheckpoints()).to.deep.equal([]);
    });

    it("is backed up, pushed and pulled, with a checkpoint of the same moment", async () => {
      const events = await connection.domainEvents("jobCompleted", { domain: own });
      const target = join(folder, "backup.qcow2");
      await own.backupBegin(
        `<domainbackup mode='push'><disks><disk name='vda' type='file'><driver type='qcow2'/><target file='${target}'/></disk></disks></domainbackup>`,
        "<domaincheckpoint><name>since</name></domaincheckpoint>",
      );
      for await (const event of events) {
        if (event.kind === "jobCompleted") {
          break;
        }
      }
      const { params } = await own.getJobStats(JobStatsFlags.COMPLETED);
      expect(params.operation).to.equal(JobOperation.BACKUP);
      expect(params.disk_total).to.equal(8n * 1024n ** 2n);
      // QEMU may be about to let go of it.
      await execa("qemu-img", ["check", "-q", "-U", target]);
      expect(await own.listCheckpoints()).to.deep.equal(["since"]);
      expect(await own.backupXml()).to.equal(null);
      expect((await own.getJobInfo()).type).to.equal(JobType.NONE);
      // QEMU itself makes the socket.
      const open = join(folder, "nbd");
      await mkdir(open);
      await chmod(open, 0o777);
      await own.backupBegin(
        `<domainbackup mode='pull'><incremental>since</incremental><server transport='unix' socket='${join(open, "socket")}'/><disks><disk name='vda' type='file'><scratch file='${join(folder, "scratch.qcow2")}'/></disk></disks></domainbackup>`,
      );
      expect(await own.backupXml()).to.contain("<incremental>since</incremental>");
      expect((await own.getJobInfo()).type).to.equal(JobType.UNBOUNDED);
      await own.abortJob();
      expect((await refusalOf(own.abortJob())).codeName).to.equal("OPERATION_INVALID");
      await own.checkpointOfName("since").delete();
    });

    it("is saved to a file and restored, in the state and with the definition that flags and XML name", async () => {
      const file = join(folder, "saved");
      await own.save(file, null, SaveRestoreFlags.PAUSED);
      expect((await own.getState()).state).to.equal(DomainState.SHUTOFF);
      const xml = await connection.saveImageXml(file, SaveImageXmlFlags.SECURE);
      expect((await refusalOf(connection.saveImageXml(`${file}-none`))).codeName).to.equal("SYSTEM_ERROR");
      await connection.saveImageDefineXml(file, xml.replace("<memory", "<title>saved</title><memory"));
      await connection.restoreDomain(file);
      expect((await own.getState()).state).to.equal(DomainState.PAUSED);
      expect(await own.getXml()).to.contain("<title>saved</title>");
      await own.saveParams({ file });
      await connection.restoreDomainParams({ file }, SaveRestoreFlags.RUNNING);
      expect((await own.getState()).state).to.equal(DomainState.RUNNING);
      await own.managedSave(SaveRestoreFlags.PAUSED);
      const managed = (await own.managedSaveXml()) ?? "";
      await own.managedSaveDefineXml(
        managed.replace("saved</title>", "managed</title>"),
        SaveRestoreFlags.RUNNING,
      );
      expect(await own.managedSaveXml(SaveImageXmlFlags.SECURE)).to.contain("<title>managed</title>");
      await own.create();
      expect((await own.getState()).state).to.equal(DomainState.RUNNING);
    });
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

  describe("over ssh", () => {
    const path = process.env.PATH;
    let far: string;
    before(async () => {
      far = join(folder, "bin");
      await mkdir(far);
    });
    afterEach(() => {
      process.env.PATH = path;
    });

    /** Puts a program named ssh before the real one: this host has no other to log in to. */
    async function standIn(script: string): Promise<void> {
      await writeFile(join(far, "ssh"), `#!/bin/sh\n${script}\n`, { mode: 0o755 });
      process.env.PATH = `${far}:${path}`;
    }

    it("speaks to the daemon through the far host's helper, and never lets ssh ask", async () => {
      const log = join(folder, "ssh-arguments");
      await standIn(`echo "$@" > ${log}; while [ "$1" != -- ]; do shift; done; shift 2; exec "$@"`);
      await using there = await connect("qemu+ssh://admin@far.example:2222/system");
      expect((await there.lookupDomainByName(NAME)).uuid).to.equal(domain.uuid);
      expect((await readFile(log, "utf8")).trim()).to.equal(
        "-T -o BatchMode=yes -p 2222 -- admin@far.example virt-ssh-helper qemu:///system",
      );
    });

    it("says what ssh said when the login fails", async () => {
      await standIn("echo 'admin@far.example: Permission denied (publickey).' >&2; exit 255");
      const error = await connect("qemu+ssh://admin@far.example/system").catch((reason: unknown) => reason);
      expect(error).to.be.instanceOf(ConnectionLostError);
      expect(String(error)).to.contain("Permission denied (publickey).");
    });

    it("refuses hosts and users that ssh would take for options", async () => {
      for (const uri of ["qemu+ssh://-oProxyCommand=x@host/system", "qemu+ssh://%2doX=y@host/system"]) {
        const error = await connect(uri).catch((reason: unknown) => reason);
        expect(error, uri).to.be.instanceOf(TypeError);
      }
    });
  });

  it("reads a document of a size that no single packet carries", async () => {
    const text = "x".repeat(900_000);
    await domain.setMetadata(0, text, null, null, 2);
    expect(await domain.getMetadata(0, null, 2)).to.equal(text);
    expect(await domain.getXml(DomainXmlFlags.INACTIVE)).to.contain(text);
    await domain.setMetadata(0, null, null, null, 2);
  });
});
