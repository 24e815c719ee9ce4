import { spawn } from "node:child_process";
import { once } from "node:events";
import { chmod, chown, mkdir, mkdtemp, readdir, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import { expect } from "chai";
import type { Backend, Context, ExecOptions, Instance } from "../../../lib/backend/contract.ts";
import { asStrataError } from "../../../lib/errors.ts";
import { lxdBackend } from "../../../plugins/lxd/index.ts";
import { context, newInstanceSpec } from "../../support/instance-spec.ts";
import { silent } from "../../support/libvirt.ts";
import { type LxdFixture, lxdFixture } from "../../support/lxd.ts";

const HOLDER = fileURLToPath(new URL("../../support/lxd-holder.ts", import.meta.url));

describe("a daemon of LXD", () => {
  let fixture: LxdFixture;
  let backend: Backend;
  let instance: Instance;

  before(async () => {
    fixture = await lxdFixture();
    backend = fixture.backend;
    instance = await backend.instances.create(newInstanceSpec(fixture.image, { name: "lxd-e2e" }), context());
  });
  after(() => fixture?.[Symbol.asyncDispose]());

  const held = async (work: (call: Context) => Promise<unknown>) => {
    await using _hold = await backend.instances.hold(instance.id, { wait: 10_000 }, context());
    await work(context());
  };
  const start = () => held((call) => backend.instances.start(instance.id, call));
  const cut = () => held((call) => backend.instances.stop(instance.id, "force", call));
  const open = (argv: readonly string[], options: ExecOptions = {}) => {
    if (backend.guest.via !== "engine") throw new Error("the engine runs no commands");
    return backend.guest.exec(instance.id, argv, options);
  };
  const run = async (argv: readonly string[], options: ExecOptions = {}) => {
    const session = await open(argv, options);
    session.stdin.end();
    const [out, complaint, { code }] = await Promise.all([
      text(session.stdout),
      text(session.stderr),
      session.exit,
    ]);
    return { out: out.trim(), complaint: complaint.trim(), code };
  };
  const refusal = async (work: Promise<unknown>) => {
    const error = await work.then(() => undefined, asStrataError);
    return { code: error?.code, reason: String(error?.details.reason ?? "") };
  };
  const take = (name: string, taken: number) =>
    held(async (call) => {
      const { standsOn: parent } = await backend.snapshots.outline(instance.id);
      const { resources, mounts, nics } = instance;
      const record = { name, comment: "", parent, resources, mounts, nics, createdAt: Date.now() };
      await backend.snapshots.capture(instance.id, { ...record, cloudInstanceId: "i-1" }, taken, call);
    });
  const holder = async (...more: readonly string[]) => {
    const args = ["--import", "tsx", HOLDER, fixture.daemon.socket, fixture.folder, instance.id, ...more];
    const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "inherit"] });
    await once(child.stdout, "data");
    return child;
  };

  it("runs commands as the default user at home, as another one elsewhere, and as none that is not there", async () => {
    await start();
    const own = await run(["sh", "-c", 'echo "$(id -un) $HOME $PWD"']);
    expect(own).to.deep.equal({ out: "tester /home/tester /home/tester", complaint: "", code: 0 });
    expect((await run(["sh", "-c", "id -u; pwd"], { user: "root", cwd: "/etc" })).out).to.equal("0\n/etc");
    const nobody = await run(["true"], { user: "nobody-here" });
    expect(nobody).to.deep.equal({ out: "", complaint: "there is no user nobody-here", code: 126 });
  });

  it("loses nothing of what a command says that ends at once, however often", async () => {
    const said: string[] = [];
    for (let round = 0; round < 200; round++)
      said.push((await run(["pwd"], { user: "root", cwd: "/tmp" })).out);
    expect(said.filter((each) => each !== "/tmp")).to.deep.equal([]);
  });

  it("keeps a hold while its holder lives, in whatever process, and no longer", async () => {
    const child = await holder();
    expect((await refusal(backend.instances.hold(instance.id, { wait: 500 }, context()))).code).to.equal(
      "BUSY",
    );
    child.kill("SIGKILL");
    await once(child, "exit");
    await using _hold = await backend.instances.hold(instance.id, { wait: 0 }, context());
  });

  it("finishes a restore whose process was killed while LXD was at it", async () => {
    await cut();
    await fixture.write(instance, 1);
    await take("first", 1);
    const contents = await fixture.read(instance);
    await fixture.write(instance, 2);
    await take("second", 2);
    await fixture.write(instance, 3);
    const child = await holder("first");
    await once(child, "exit");
    await held(async () => {});
    const tree = await backend.snapshots.tree(instance.id);
    expect(tree.standsOn).to.equal("first");
    expect(tree.snapshots.map(({ name, parent }) => [name, parent])).to.deep.equal([
      ["first", null],
      ["second", "first"],
    ]);
    expect((await backend.instances.find(instance.name))?.record.snapshotsTaken).to.equal(2);
    expect(await fixture.read(instance)).to.equal(contents);
    // Nothing of what was set aside is left, and the name is not reserved.
    expect(await fixture.daemon.lxc("query", `/1.0/instances/${instance.name}/snapshots`)).not.to.contain(
      "restoring",
    );
  });

  it("keeps a restored disk within its size", async () => {
    await start();
    const write = ["dd", "if=/dev/zero", "of=/root/big", "bs=1M", "count=200"];
    const { code, complaint } = await run(write, { user: "root" });
    expect({ failed: code !== 0, quota: /quota|space/i.test(complaint) }).to.deep.equal({
      failed: true,
      quota: true,
    });
    await run(["rm", "/root/big"], { user: "root" });
  });

  it("mounts a folder in a running container at once, and takes it away again", async () => {
    const { mounts } = backend;
    if (mounts === undefined) throw new Error("the engine has no mounts");
    const source = await mkdtemp(join(fixture.folder, "share-"));
    await chmod(source, 0o755);
    await writeFile(join(source, "note"), "from the host", { mode: 0o644 });
    const mount = { source, target: "/srv/share", type: "native", uidMap: [], gidMap: [] } as const;
    await held(async (call) => {
      expect(await mounts.attach(instance.id, mount, call)).to.equal("applied");
    });
    expect((await run(["cat", "/srv/share/note"])).out).to.equal("from the host");
    await held((call) => mounts.detach(instance.id, mount.target, call));
    expect((await run(["ls", "/srv/share"])).out).to.equal("");
    await cut();
  });

  it("gives a mount's files the owners that its map says, inside and on the host, also after a restore", async () => {
    const { mounts, snapshots } = backend;
    if (mounts === undefined) throw new Error("the engine has no mounts");
    const source = await mkdtemp(join(fixture.folder, "mapped-"));
    await writeFile(join(source, "note"), "mine\n", { mode: 0o600 });
    for (const path of [source, join(source, "note")]) await chown(path, 1002, 1002);
    const map = [{ host: 1002, guest: 1001 }];
    const mount = { source, target: "/srv/mapped", type: "native", uidMap: map, gidMap: map } as const;
    await held(async (call) => {
      expect(await mounts.attach(instance.id, mount, call)).to.equal("restart");
    });
    await take("mapped", 3);
    await held((call) => mounts.detach(instance.id, mount.target, call));
    await start();
    expect((await run(["ls", "/srv/mapped"])).out).to.equal("");
    await cut();
    await held((call) => snapshots.revert(instance.id, "mapped", call));
    await start();
    const inside = "cat note; echo more > made; stat -c %u:%g note made /home/tester /home/ubuntu /root";
    const seen = await run(["sh", "-c", inside], { cwd: mount.target });
    expect(seen).to.deep.equal({
      out: "mine\n1001:1001\n1001:1001\n1001:1001\n1000:1000\n0:0",
      complaint: "",
      code: 0,
    });
    const { uid, gid } = await stat(join(source, "made"));
    expect([uid, gid]).to.deep.equal([1002, 1002]);
    expect((await run(["touch", "/srv/mapped/other"], { user: "ubuntu" })).code).to.equal(1);
    await cut();
    await held((call) => mounts.detach(instance.id, mount.target, call));
  });

  it("maps no id that the host keeps to itself, says what lets it, and changes nothing", async () => {
    const { mounts } = backend;
    if (mounts === undefined) throw new Error("the engine has no mounts");
    const mount = { source: fixture.folder, target: "/srv/no", type: "native", gidMap: [] } as const;
    const attach = (host: number) =>
      held((call) => mounts.attach(instance.id, { ...mount, uidMap: [{ host, guest: 1001 }] }, call));
    expect(await refusal(attach(1003))).to.deep.equal({
      code: "UNSUPPORTED",
      reason: "the host does not let LXD map these ids; it does with the lines root:1003:1 in /etc/subuid",
    });
    const root = await refusal(attach(0));
    expect(root.code).to.equal("UNSUPPORTED");
    expect(root.reason).to.contain("the host's root");
    expect((await backend.instances.find(instance.name))?.mounts).to.deep.equal([]);
    await start();
    await cut();
  });

  it("has no id maps on a host that lets LXD map none, and tries again once that has changed", async () => {
    const dataFolder = join(fixture.folder, "unmapped");
    const settings = { socket: fixture.daemon.socket };
    await fixture.daemon.allow([]);
    await using other = await lxdBackend({ settings, dataFolder, log: silent });
    const { features, missing } = await other.info();
    expect(features.has("mount.native") && !features.has("mount.idmap")).to.equal(true);
    expect(missing.get("mount.idmap")).to.contain("root:1000:1 in /etc/subuid, root:1000:1 in /etc/subgid");
    await fixture.daemon.allow([1000]);
    // What a trial has found counts only for the host as it was then, which a real one tells by its files.
    await rm(dataFolder, { recursive: true });
    expect((await other.info()).features.has("mount.idmap")).to.equal(true);
  });

  it("says of a container that does not start what its own log says", async () => {
    const root = join(fixture.daemon.pools, "default/containers", instance.name, "rootfs");
    await rm(join(root, "sbin/init"));
    const { code, reason } = await refusal(start());
    expect(code).to.equal("ENGINE_ERROR");
    expect(reason).to.contain("/sbin/init");
  });

  it("sees no instances but strata's, and takes no name from the others", async () => {
    await fixture.daemon.lxc("init", fixture.image.sha256, "foreign", "--storage", "default");
    expect((await backend.instances.list()).map(({ name }) => name)).to.deep.equal([instance.name]);
    expect(await backend.instances.find("foreign")).to.equal(null);
    const taken = await refusal(
      backend.instances.create(newInstanceSpec(fixture.image, { name: "foreign" }), context()),
    );
    expect(taken.code).to.equal("INSTANCE_EXISTS");
  });

  it("says of a pool without limits that disks do not grow in it, and restores there all the same", async () => {
    await fixture.daemon.lxc("storage", "create", "plain", "dir");
    const dataFolder = join(fixture.folder, "plain-data");
    await mkdir(dataFolder);
    const settings = { socket: fixture.daemon.socket, pool: "plain" };
    await using plain = await lxdBackend({ settings, dataFolder, log: silent });
    const { features, missing } = await plain.info();
    expect(features.has("disk.grow")).to.equal(false);
    expect(missing.get("disk.grow")).to.contain("dir");
    const { id, name } = await plain.instances.create(
      newInstanceSpec(fixture.image, { name: "lxd-dir" }),
      context(),
    );
    await using _hold = await plain.instances.hold(id, { wait: 0 }, context());
    const folder = join(fixture.daemon.pools, "plain/containers", name, "rootfs/mnt");
    const found = await plain.instances.find(name);
    if (found === null) throw new Error("it is gone");
    const { resources, mounts, nics } = found;
    const record = { comment: "", parent: null, resources, mounts, nics, cloudInstanceId: "i-1" };
    await plain.snapshots.capture(id, { ...record, name: "empty", createdAt: Date.now() }, 1, context());
    await writeFile(join(folder, "note"), "later");
    await plain.snapshots.revert(id, "empty", context());
    expect(await readdir(folder)).to.deep.equal([]);
    await plain.instances.remove(id, context());
  });
});
