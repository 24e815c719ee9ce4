import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, readdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect } from "chai";
import { execa } from "execa";
import { locked, lockOf } from "../../../lib/engine/conformance/fixture.ts";
import type { Engine } from "../../../lib/engine/contract.ts";
import { operationKeys } from "../../../plugins/lxd/domain/records.ts";
import { serverPlugin } from "../../../plugins/lxd/plugin.ts";
import { refusal } from "../../support/images/images.ts";
import { silent } from "../../support/libvirt/fixture.ts";
import { context, newInstanceSpec } from "../../support/libvirt/instance-spec.ts";
import { type LxdFixture, lxdFixture } from "../../support/lxd/fixture.ts";
import { type LxdTestInstance, lxdInstance } from "../../support/lxd/instance.ts";
import { openServer, testServer } from "../../support/lxd/server.ts";

const HOLDER = fileURLToPath(new URL("../../support/lxd/holder.ts", import.meta.url));

describe(`a daemon of ${testServer.flavour.title}`, () => {
  let fixture: LxdFixture;
  let engine: Engine;
  let own: LxdTestInstance;

  before(async () => {
    fixture = await lxdFixture();
    engine = fixture.engine;
    own = await lxdInstance(fixture, "lxd-e2e");
  });
  after(() => fixture?.[Symbol.asyncDispose]());

  const holder = async (...more: readonly string[]) => {
    const args = [
      "--import",
      "tsx",
      HOLDER,
      fixture.daemon.socket,
      fixture.folder,
      own.instance.name,
      ...more,
    ];
    const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "inherit"] });
    await once(child.stdout, "data");
    return child;
  };

  it("keeps a lock while its holder lives, in whatever process, and no longer", async () => {
    const child = await holder();
    expect((await refusal(engine.instances.lock(own.instance, { wait: 500 }, context()))).code).to.equal(
      "BUSY",
    );
    child.kill("SIGKILL");
    await once(child, "exit");
    await using _lock = await locked({ engine }, own.instance);
  });

  it("finishes a restore whose process was killed while LXD was at it", async () => {
    await own.cut();
    await fixture.write(own.instance, 1);
    await own.take("first", 1);
    const contents = await fixture.read(own.instance);
    await fixture.write(own.instance, 2);
    await own.take("second", 2);
    await fixture.write(own.instance, 3);
    const child = await holder("first");
    await once(child, "exit");
    await own.whileLocked(async () => {});
    const tree = await engine.snapshots.tree(own.instance.id);
    expect(tree.standsOn).to.equal("first");
    expect(tree.snapshots.map(({ name, parent }) => [name, parent])).to.deep.equal([
      ["first", null],
      ["second", "first"],
    ]);
    expect((await engine.instances.find(own.instance.name))?.record.snapshotsTaken).to.equal(2);
    expect(await fixture.read(own.instance)).to.equal(contents);
    // Nothing of what was set aside is left, and the name is not reserved.
    expect(await fixture.daemon.lxc("query", `/1.0/instances/${own.instance.name}/snapshots`)).not.to.contain(
      "restoring",
    );
  });

  it("keeps a restored disk within its size", async () => {
    await own.start();
    const write = ["dd", "if=/dev/zero", "of=/root/big", "bs=1M", "count=200"];
    const { code, complaint } = await own.run(write, { user: "root" });
    expect({ failed: code !== 0, quota: /quota|space/i.test(complaint) }).to.deep.equal({
      failed: true,
      quota: true,
    });
    await own.run(["rm", "/root/big"], { user: "root" });
    await own.cut();
  });

  it("takes snapshots of a container that runs, and gives their room back while it does", async () => {
    const live = await lxdInstance(fixture, "lxd-live");
    const { id, name } = live.instance;
    const below = join(fixture.daemon.pools, "default/containers-snapshots", name);
    await live.start();
    await live.run(["sh", "-c", "echo then > /srv/note"], { user: "root" });
    await live.take("live", 1, "crash");
    await live.run(["sh", "-c", "echo later > /srv/note"], { user: "root" });
    await fixture.daemon.lxc("snapshot", name, "by-hand");
    const { snapshots } = await engine.snapshots.tree(id);
    expect(snapshots.map((each) => [each.name, each.consistency])).to.deep.equal([
      ["live", "crash"],
      ["by-hand", "crash"],
    ]);
    await live.cut();
    await live.whileLocked((call) => engine.snapshots.restore(lockOf(id), "live", call));
    // LXD would start it with its host if it took over that it ran when the snapshot was taken.
    const { config } = JSON.parse(await fixture.daemon.lxc("query", `/1.0/instances/${name}`));
    expect(config["volatile.last_state.power"]).to.equal("STOPPED");
    await live.start();
    expect((await live.run(["cat", "/srv/note"])).out).to.equal("then");
    expect(await readdir(below)).to.have.members(["live", "by-hand"]);
    await live.whileLocked((call) =>
      engine.snapshots.delete(lockOf(id), { name: "live", parent: null, children: [] }, call),
    );
    expect(await readdir(below)).to.deep.equal(["by-hand"]);
    expect((await engine.instances.find(name))?.state).to.equal("running");
    await live.whileLocked((call) => engine.instances.remove(lockOf(id), call));
  });

  it("lets a container go on that was frozen for a snapshot which never came", async () => {
    const live = await lxdInstance(fixture, "lxd-frozen");
    const { id, name } = live.instance;
    await live.start();
    const config = operationKeys({ kind: "take", id: "never", taken: 1, live: "cut" });
    const body = JSON.stringify({ config });
    await fixture.daemon.lxc("query", "--wait", "-X", "PATCH", "-d", body, `/1.0/instances/${name}`);
    await fixture.daemon.lxc("pause", name);
    expect((await engine.instances.find(name))?.state).to.equal("suspended");
    await live.whileLocked(async () => {});
    expect((await engine.instances.find(name))?.state).to.equal("running");
    expect((await engine.snapshots.tree(id)).snapshots).to.deep.equal([]);
    await live.whileLocked((call) => engine.instances.remove(lockOf(id), call));
  });

  it("says of a container that does not shut down that its time is up, and cuts its power", async () => {
    const { name, id } = own.instance;
    await own.start();
    const state: unknown = JSON.parse(await fixture.daemon.lxc("query", `/1.0/instances/${name}/state`));
    // Its init hears nothing then, whatever signal LXD sends.
    process.kill(Number(Reflect.get(Object(state), "pid")), "SIGSTOP");
    const stopping = own.whileLocked((call) => engine.instances.stop(lockOf(id), { grace: 1000 }, call));
    expect((await refusal(stopping)).code).to.equal("TIMEOUT");
    expect((await engine.instances.find(name))?.state).to.equal("running");
    await own.cut();
    expect((await engine.instances.find(name))?.state).to.equal("stopped");
  });

  it("says of a container that does not start what its own log says", async () => {
    const root = join(fixture.daemon.pools, "default/containers", own.instance.name, "rootfs");
    await rm(join(root, "sbin/init"));
    const { code, reason } = await refusal(own.start());
    expect(code).to.equal("ENGINE_ERROR");
    expect(reason).to.contain("/sbin/init");
  });

  it("has a name free that a launch which died has left, also for who only asks", async () => {
    const left = await lxdInstance(fixture, "lxd-left");
    const { name, id, resources } = left.instance;
    const plan = { name, resources, mounts: [], networks: [] };
    const asked = async () => engine.instances.check?.(plan);
    expect((await refusal(asked())).code).to.equal("INSTANCE_EXISTS");
    const body = JSON.stringify({ config: operationKeys({ kind: "create" }) });
    await fixture.daemon.lxc("query", "--wait", "-X", "PATCH", "-d", body, `/1.0/instances/${name}`);
    await asked();
    const again = await engine.instances.create(newInstanceSpec(fixture.image, { name }), context());
    expect(again.id).not.to.equal(id);
    await using _lock = await locked(fixture, again);
    await engine.instances.remove(lockOf(again.id), context());
  });

  it("keeps an image for the next instance until it is deleted, and takes away none of others", async () => {
    const { daemon, image } = fixture;
    const known = async () =>
      (await daemon.lxc("image", "list", "--format", "csv", "--columns", "F")).split("\n");
    const foreign = join(fixture.folder, "foreign.tar");
    await execa("tar", ["-C", join(fixture.folder, "image"), "-cf", foreign, "metadata.yaml", "rootfs"]);
    await daemon.lxc("image", "import", foreign);
    const others = (await known()).filter((each) => each !== image.sha256);
    expect(others).to.have.lengthOf(1);
    expect(await known()).to.contain(image.sha256);
    const options = { settings: { socket: daemon.socket }, dataFolder: fixture.folder, log: silent };
    await serverPlugin(testServer.flavour).forgetImages?.(options, [image.sha256, ...others]);
    expect(await known()).to.deep.equal(others);
    expect((await engine.instances.find(own.instance.name))?.name).to.equal(own.instance.name);
    const again = await lxdInstance(fixture, "lxd-again");
    expect(await known()).to.have.members([image.sha256, ...others]);
    await again.whileLocked((call) => engine.instances.remove(lockOf(again.instance.id), call));
  });

  it("sees no instances but strata's, and takes no name from the others", async () => {
    await fixture.daemon.lxc("init", fixture.image.sha256, "foreign", "--storage", "default");
    expect((await engine.instances.list()).map(({ name }) => name)).to.deep.equal([own.instance.name]);
    expect(await engine.instances.find("foreign")).to.equal(null);
    const taken = await refusal(
      engine.instances.create(newInstanceSpec(fixture.image, { name: "foreign" }), context()),
    );
    expect(taken.code).to.equal("INSTANCE_EXISTS");
  });

  it("says of a pool without limits that disks do not grow in it, and restores there all the same", async () => {
    await fixture.daemon.lxc("storage", "create", "plain", "dir");
    const dataFolder = join(fixture.folder, "plain-data");
    await mkdir(dataFolder);
    const settings = { socket: fixture.daemon.socket, pool: "plain" };
    await using plain = await openServer({ settings, dataFolder, log: silent });
    const { features, missing } = await plain.info();
    expect(features.has("disk.grow")).to.equal(false);
    expect(missing.get("disk.grow")).to.contain("dir");
    const { id, name } = await plain.instances.create(
      newInstanceSpec(fixture.image, { name: "lxd-dir" }),
      context(),
    );
    await using lock = await plain.instances.lock({ id, name }, { wait: 0 }, context());
    const folder = join(fixture.daemon.pools, "plain/containers", name, "rootfs/mnt");
    const found = await plain.instances.find(name);
    if (found === null) {
      throw new Error("it is gone");
    }
    const { resources, mounts, nics } = found;
    const record = { comment: "", parent: null, resources, mounts, nics, cloudInstanceId: "i-1" };
    await plain.snapshots.take(lock, { ...record, name: "empty", createdAt: Date.now() }, 1, context());
    await writeFile(join(folder, "note"), "later");
    await plain.snapshots.restore(lock, "empty", context());
    expect(await readdir(folder)).to.deep.equal([]);
    await plain.instances.remove(lock, context());
  });
});
