import { once } from "node:events";
import { chmod, mkdir } from "node:fs/promises";
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
  ConsoleFlags,
  type Domain,
  DomainState,
  JobOperation,
  JobStatsFlags,
  JobType,
  SaveImageXmlFlags,
  SaveRestoreFlags,
  SetTimeFlags,
  SnapshotCreateFlags,
  UndefineFlags,
} from "../../../plugins/libvirt/rpc/index.ts";
import { type BindingRoom, bindingRoom, NAME, refusalOf } from "../../support/libvirt/binding-room.ts";
import { virsh } from "../../support/libvirt/virsh.ts";

/** Flag of `create`: nothing is there to boot. */
const PAUSED = 1;
/** Events of a domain's life. */
const STARTED = 2;
const STOPPED = 5;

/** Reads events until one of them is the last. */
async function until<T>(events: AsyncIterable<T>, isLast: (event: T) => boolean): Promise<void> {
  for await (const event of events) {
    if (isLast(event)) {
      return;
    }
  }
}

describe("the binding of a running domain", () => {
  let room: BindingRoom;
  let connection: Connection;
  let folder: string;
  let domain: Domain;
  before(async () => {
    room = await bindingRoom();
    ({ connection, folder, domain } = room);
  });
  after(() => room[Symbol.asyncDispose]());
  afterEach(() => domain.destroy().catch(() => {}));

  it("tells what happens to it, and its statistics with those of all", async () => {
    const stop = new AbortController();
    const events = await connection.domainEvents("lifecycle", { domain, signal: stop.signal });
    await domain.create(PAUSED);
    expect((await domain.getState()).state).to.equal(DomainState.PAUSED);
    const stats = (await connection.allDomainStats(1 | 32)).find(
      ({ domain: { uuid } }) => uuid === domain.uuid,
    );
    expect(stats?.params["state.state"]).to.equal(DomainState.PAUSED);
    expect(stats?.params["block.0.name"]).to.equal("vda");
    await domain.destroy();
    const seen: number[] = [];
    await until(events, (event) => {
      if (event.kind === "lifecycle") {
        seen.push(event.event);
      }
      return seen.includes(STOPPED);
    });
    expect(seen[0]).to.equal(STARTED);
    stop.abort();
  });

  it("gets a device, and its layers are pulled together by a job whose end is told", async () => {
    const stop = new AbortController();
    const jobs = await connection.domainEvents("blockJob2", { domain, signal: stop.signal });
    await domain.create(PAUSED);
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
    const done: string[] = [];
    await until(jobs, (event) => {
      if (event.kind !== "blockJob2") {
        return false;
      }
      done.push(event.dst);
      return event.status === 0;
    });
    expect(done).to.deep.equal(["vda"]);
    expect((await domain.blockJobInfo("vda")).found).to.equal(0);
    const pulled = JSON.parse((await execa("qemu-img", ["info", "-U", "--output=json", overlay])).stdout);
    expect(pulled).not.to.have.property("backing-filename");
    stop.abort();
  });

  it("is told that its agent does not answer", async () => {
    await domain.create();
    const silent = await refusalOf(domain.agentCommand('{"execute":"guest-ping"}', 1));
    expect(silent.codeName).to.equal("AGENT_UNRESPONSIVE");
  });
});

describe("the binding of a running domain without an agent", () => {
  let room: BindingRoom;
  let connection: Connection;
  let folder: string;
  before(async () => {
    room = await bindingRoom();
    ({ connection, folder } = room);
  });
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
    await room[Symbol.asyncDispose]();
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
    expect((await refusalOf(own.openConsole(null, ConsoleFlags.SAFE))).codeName).to.equal("OPERATION_FAILED");
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
