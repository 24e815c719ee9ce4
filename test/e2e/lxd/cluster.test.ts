import { mkdir, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { text } from "node:stream/consumers";
import { expect } from "chai";
import { locked, lockOf } from "../../../lib/engine/conformance/fixture.ts";
import type { Context, Engine, ImageSource, Instance } from "../../../lib/engine/contract.ts";
import { serverPlugin } from "../../../plugins/lxd/plugin.ts";
import { refusal } from "../../support/images/images.ts";
import { silent } from "../../support/libvirt/fixture.ts";
import { context, newInstanceSpec } from "../../support/libvirt/instance-spec.ts";
import { type LxdCluster, lxdCluster, trust } from "../../support/lxd/cluster.ts";
import { makeContainerImage } from "../../support/lxd/image.ts";
import { testServer } from "../../support/lxd/server.ts";

describe(`a cluster of ${testServer.flavour.title}, over TLS`, () => {
  let cluster: LxdCluster;
  let image: ImageSource;
  let engine: Engine;

  before(async () => {
    cluster = await lxdCluster();
    image = await makeContainerImage(cluster.folder);
    await mkdir(join(cluster.folder, "data"));
  });
  after(async () => {
    await engine?.[Symbol.asyncDispose]();
    await cluster?.[Symbol.asyncDispose]();
  });

  const open = (settings: Readonly<Record<string, string>>) =>
    serverPlugin(testServer.flavour).open({
      settings,
      dataFolder: join(cluster.folder, "data"),
      log: silent,
    });
  const url = () => cluster.urls.join(",");
  const group = () => {
    const { cluster: found } = engine;
    if (found === undefined) {
      throw new Error("the engine has no cluster");
    }
    return found;
  };
  const find = async ({ name }: Instance) => {
    const found = await engine.instances.find(name);
    if (found === null) {
      throw new Error(`${name} is gone`);
    }
    return found;
  };
  const whileLocked = async (instance: Instance, work: (call: Context) => Promise<unknown>) => {
    await using _lock = await locked({ engine }, instance, 10_000);
    await work(context());
  };
  const run = async ({ id }: Instance, ...argv: string[]) => {
    if (engine.guest.via !== "engine") {
      throw new Error("the engine runs no commands");
    }
    const session = await engine.guest.exec(id, argv, { user: "root" });
    session.stdin.end();
    session.stderr.resume();
    const [out] = await Promise.all([text(session.stdout), session.exit]);
    return out.trim();
  };

  it("is not spoken to unless its certificate is pinned, and says which one it has", async () => {
    const unpinned = await refusal(open({ url: url() }));
    expect(unpinned.code).to.equal("PERMISSION_DENIED");
    expect(unpinned.reason).to.contain(cluster.fingerprint);
    const other = await refusal(open({ url: url(), fingerprint: "0".repeat(64) }));
    expect(other.code).to.equal("PERMISSION_DENIED");
    expect(other.reason).to.contain("nothing was sent");
  });

  it("lets in whom it was told to trust", async () => {
    const settings = { url: url(), fingerprint: cluster.fingerprint };
    const stranger = await refusal(open(settings));
    expect(stranger.code).to.equal("PERMISSION_DENIED");
    const certificate = /copy of (\S+)/.exec(stranger.reason)?.[1] ?? "";
    const key = join(dirname(certificate), "client.key");
    const modes = [key, dirname(key)].map(async (path) => (await stat(path)).mode & 0o777);
    expect(await Promise.all(modes), "for its owner alone").to.deep.equal([0o600, 0o700]);
    await trust(cluster, certificate);
    engine = await open(settings);
    const info = await engine.info();
    expect(info.features.has("cluster")).to.equal(true);
    expect(info.missing.get("mount.native")).to.contain("URL");
    expect((await group().members()).map(({ name, online }) => [name, online])).to.deep.equal([
      ["n1", true],
      ["n2", true],
      ["n3", true],
    ]);
  });

  it("puts what mounts folders of this host on the member that has them, and mounts none elsewhere", async () => {
    await using here = await open({ socket: cluster.members.n2.socket });
    const mount = { source: cluster.folder, target: "/srv", type: "native", uidMap: [], gidMap: [] } as const;
    const spec = newInstanceSpec(image, { name: "lxd-c-mount", mounts: [mount] });
    const refused = await refusal(here.instances.create({ ...spec, member: "n3" }, context()));
    expect(refused).to.deep.equal({
      code: "UNSUPPORTED",
      reason: "the folders of this host are on the member n2, not on n3",
    });
    const made = await here.instances.create(spec, context());
    expect([made.member, made.mounts]).to.deep.equal(["n2", [mount]]);
    await using _lock = await locked({ engine: here }, made);
    await here.instances.remove(lockOf(made.id), context());
  });

  it("runs instances on chosen members, moves one with its snapshots, and outlives a member", async () => {
    const { instances, snapshots } = engine;
    const refused = await refusal(
      instances.create(newInstanceSpec(image, { name: "lxd-c-none", member: "n9" }), context()),
    );
    expect(refused).to.deep.equal({ code: "INVALID_VALUE", reason: "must be one of n1, n2, n3" });

    const moving = await instances.create(
      newInstanceSpec(image, { name: "lxd-c-a", member: "n3" }),
      context(),
    );
    const staying = await instances.create(
      newInstanceSpec(image, { name: "lxd-c-b", member: "n2" }),
      context(),
    );
    expect([(await find(moving)).member, (await find(staying)).member]).to.deep.equal(["n3", "n2"]);

    await whileLocked(moving, (call) => instances.start(lockOf(moving.id), call));
    await run(moving, "sh", "-c", "echo first > /root/note && sync");
    await whileLocked(moving, (call) => instances.stop(lockOf(moving.id), "force", call));
    await whileLocked(moving, (call) => take(moving, "first", null, 1, call));
    await whileLocked(moving, (call) => instances.start(lockOf(moving.id), call));
    await run(moving, "sh", "-c", "echo second > /root/note && sync");
    expect(
      (await refusal(whileLocked(moving, (call) => group().move(lockOf(moving.id), "n2", call)))).code,
    ).to.equal("WRONG_STATE");
    await whileLocked(moving, (call) => instances.stop(lockOf(moving.id), "force", call));
    await whileLocked(moving, (call) => take(moving, "second", "first", 2, call));
    const before = await snapshots.tree(moving.id);

    await whileLocked(moving, (call) => group().move(lockOf(moving.id), "n2", call));
    expect((await find(moving)).member).to.equal("n2");
    expect(await snapshots.tree(moving.id)).to.deep.equal(before);
    expect((await find(moving)).record).to.deep.equal({ ...moving.record, snapshotsTaken: 2 });

    const lost = await instances.create(
      newInstanceSpec(image, { name: "lxd-c-lost", member: "n1" }),
      context(),
    );

    // The member that it was on, and that the first of the URLs leads to, are not needed any more.
    await cluster.members.n1.kill();
    await whileLocked(moving, (call) => snapshots.restore(lockOf(moving.id), "first", call));
    await whileLocked(moving, (call) => instances.start(lockOf(moving.id), call));
    expect(await run(moving, "cat", "/root/note")).to.equal("first");
    await whileLocked(staying, (call) => instances.start(lockOf(staying.id), call));
    const running = (await instances.list()).filter(({ state }) => state === "running");
    expect(running.map(({ name }) => name).sort()).to.deep.equal(["lxd-c-a", "lxd-c-b"]);
    // Those of the member that is gone are told of, as far as anybody knows, and nothing is done to them.
    const told = (await instances.list()).find(({ name }) => name === lost.name);
    expect([told?.state, told?.member]).to.deep.equal(["unknown", "n1"]);
    const unreached = {
      code: "ENGINE_UNAVAILABLE",
      reason: '"lxd-c-lost" is on the member n1, which does not answer',
    };
    expect(await refusal(instances.find(lost.name))).to.deep.equal(unreached);
    expect(
      await refusal(instances.lock({ name: lost.name, id: told?.id ?? "" }, { wait: 0 }, context())),
    ).to.deep.equal(unreached);

    for (const instance of [moving, staying]) {
      await whileLocked(instance, (call) => instances.remove(lockOf(instance.id), call));
    }
  });

  async function take(
    instance: Instance,
    name: string,
    parent: string | null,
    taken: number,
    call: Context,
  ): Promise<void> {
    const { resources, mounts, nics, record } = await find(instance);
    const { cloudInstanceId } = record;
    const described = { comment: "", resources, mounts, nics, cloudInstanceId, createdAt: Date.now() };
    await engine.snapshots.take(lockOf(instance.id), { ...described, name, parent }, taken, call);
  }
});
