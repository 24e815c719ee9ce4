import { mkdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { expect } from "chai";
import { openStrata } from "../../../lib/core/session/open.ts";
import { locked, lockOf } from "../../../lib/engine/conformance/fixture.ts";
import type { Engine, ImageSource } from "../../../lib/engine/contract.ts";
import { serverPlugin } from "../../../plugins/lxd/plugin.ts";
import { refusal } from "../../support/images/images.ts";
import { silent } from "../../support/libvirt/fixture.ts";
import { context, newInstanceSpec } from "../../support/libvirt/instance-spec.ts";
import { type LxdDaemon, lxdFolder, startDaemon } from "../../support/lxd/daemon.ts";
import { setting } from "../../support/lxd/fixture.ts";
import { makeContainerImage } from "../../support/lxd/image.ts";
import { imitateMachines } from "../../support/lxd/machines.ts";
import { openServer, testServer } from "../../support/lxd/server.ts";
import { guestImage } from "../../support/program.ts";
import { story } from "../../support/story.ts";

const GIB = 1024n ** 3n;
const NAME = `machine-${process.pid}`;

describe(`virtual machines on ${testServer.flavour.title}, where its host is taken for one that runs them`, () => {
  const open: AsyncDisposable[] = [];
  const keep = <T extends AsyncDisposable>(each: T): T => {
    open.unshift(each);
    return each;
  };
  let folder: string;
  let daemon: LxdDaemon;
  let settings: { readonly socket: string; readonly network: string };
  let engine: Engine;
  let image: ImageSource;

  before(async () => {
    const { sha256, path } = await guestImage();
    image = { path, sha256, format: "qcow2", virtualSize: GIB };
    folder = keep(await lxdFolder()).path;
    const { network, preseed } = setting("6GiB");
    const surroundings = await imitateMachines(join(folder, "bin"));
    daemon = keep(await startDaemon(join(folder, "lxd"), preseed, surroundings));
    settings = { socket: daemon.socket, network };
    await mkdir(join(folder, "data"));
    engine = keep(await openServer({ settings, dataFolder: join(folder, "data"), log: silent }));
  });
  after(async () => {
    for (const each of open) {
      await each[Symbol.asyncDispose]();
    }
  });

  const whileLocked = async (
    instance: { readonly id: string; readonly name: string },
    work: () => Promise<unknown>,
  ) => {
    await using _lock = await locked({ engine }, instance, 10_000);
    await work();
  };
  const diskOf = async (name: string) =>
    (await stat(join(daemon.pools, "default/virtual-machines", name, "root.img"), { bigint: true })).size;
  const asLxdHasIt = async (name: string) => JSON.parse(await daemon.lxc("query", `/1.0/instances/${name}`));
  const resources = { cpus: 1, memory: GIB / 4n, disk: GIB };

  it("are made from disks, and containers from root folders, which come first", async () => {
    const { features, imageFormats } = await engine.info();
    expect(features.has("vm")).to.equal(true);
    expect(imageFormats).to.deep.equal(["lxd-rootfs", "qcow2"]);
    const root = await makeContainerImage(folder);
    const { id, name } = await engine.instances.create(newInstanceSpec(root, { name: "box" }), context());
    expect((await asLxdHasIt(name)).type).to.equal("container");
    if (engine.guest.via === "engine") {
      expect(await engine.guest.ssh?.(id)).to.equal(null);
    }
    await whileLocked({ id, name }, () => engine.instances.remove(lockOf(id), context()));
  });

  it("are refused what they cannot have there, before anything is changed", async () => {
    const mount = { source: folder, target: "/mnt/x", type: "native", uidMap: [], gidMap: [] } as const;
    const wishes = [
      { mounts: [mount] },
      { networks: [{ network: settings.network, mode: "auto" }] },
      { resources: { ...resources, cpus: 4096 } },
      { resources: { ...resources, memory: 4096n * GIB } },
    ] as const;
    const codes: string[] = [];
    for (const wish of wishes) {
      const spec = newInstanceSpec(image, { name: "wishful", resources, ...wish });
      codes.push((await refusal(engine.instances.create(spec, context()))).code);
    }
    expect(codes).to.deep.equal(["UNSUPPORTED", "UNSUPPORTED", "INVALID_VALUE", "INVALID_VALUE"]);
    expect(await daemon.lxc("image", "list", "--format", "csv", "type=virtual-machine")).to.equal("");
    expect(await engine.instances.find("wishful")).to.equal(null);
  });

  describe("tell the same story", () => {
    story(NAME, async () => ({
      strata: await openStrata({
        driver: testServer.flavour.name,
        settings: Object.fromEntries(
          Object.entries(settings).map(([key, value]) => [`local.${testServer.flavour.name}.${key}`, value]),
        ),
        folders: { config: folder },
      }),
      image: "debian-micro",
      memory: resources.memory,
    }));
  });

  it("have their old size again after a restore, and LXD starts them with it", async () => {
    const { instances, snapshots } = engine;
    const seed = { metaData: "instance-id: i-1\n", userData: "", vendorData: "" };
    const spec = newInstanceSpec(image, { name: "grower", resources, seed });
    const { id, name } = await instances.create(spec, context());
    const record = { name: "small", comment: "", parent: null, resources, mounts: [], nics: [] };
    await whileLocked({ id, name }, async () => {
      await snapshots.take(
        lockOf(id),
        { ...record, cloudInstanceId: "i-1", createdAt: Date.now() },
        1,
        context(),
      );
      await instances.resize(lockOf(id), { disk: 2n * GIB, cpus: 2 }, context());
      expect(await diskOf("grower")).to.equal(2n * GIB);
      await snapshots.restore(lockOf(id), "small", context());
      expect(await diskOf("grower")).to.equal(GIB);
      await instances.start(lockOf(id), context());
    });
    expect(await instances.find("grower")).to.deep.include({ state: "running", resources });
    await whileLocked({ id, name }, () => instances.stop(lockOf(id), "force", context()));
  });

  it("are snapshotted while they run, which they go on doing unless their power is cut there", async () => {
    const { instances, snapshots } = engine;
    const seed = { metaData: "instance-id: i-1\n", userData: "", vendorData: "" };
    const made = await instances.create(
      newInstanceSpec(image, { name: "runner", resources, seed }),
      context(),
    );
    const { id } = made;
    const record = { comment: "", resources, mounts: [], nics: [], cloudInstanceId: "i-1" };
    const crash = { ...record, consistency: "crash" } as const;
    const state = async () => (await instances.find("runner"))?.state;
    await whileLocked(made, async () => {
      await instances.start(lockOf(id), context());
      const live = { ...crash, name: "live", parent: null, createdAt: Date.now() };
      await snapshots.take(lockOf(id), live, 1, context());
      expect(await state()).to.equal("running");
      const last = { ...crash, name: "last", parent: "live", createdAt: Date.now() };
      await snapshots.take(lockOf(id), last, 2, context(), { cut: true });
      expect(await state()).to.equal("stopped");
      await snapshots.restore(lockOf(id), "live", context());
      await instances.start(lockOf(id), context());
      expect(await state()).to.equal("running");
      await instances.remove(lockOf(id), context());
    });
  });

  it("are cloned as other instances to cloud-init, with addresses of their own", async () => {
    const { instances } = engine;
    const original = await instances.find("grower");
    if (original === null) {
      throw new Error("grower is gone");
    }
    const seed = { metaData: "instance-id: i-2\n", userData: "", vendorData: "" };
    const copy = { name: "grown", seed, record: { ...original.record, cloudInstanceId: "i-2" } };
    await whileLocked(
      original,
      () => instances.clone?.(lockOf(original.id), copy, context()) ?? Promise.reject(),
    );
    const [one, other] = [await asLxdHasIt("grower"), await asLxdHasIt("grown")];
    expect([other.type, one.config["user.meta-data"], other.config["user.meta-data"]]).to.deep.equal([
      "virtual-machine",
      "instance-id: i-1\n",
      "instance-id: i-2\n",
    ]);
    expect(other.config["volatile.eth0.hwaddr"]).not.to.equal(one.config["volatile.eth0.hwaddr"]);
    for (const name of ["grower", "grown"]) {
      const found = await instances.find(name);
      if (found !== null) {
        await whileLocked(found, () => instances.remove(lockOf(found.id), context()));
      }
    }
  });

  it("leave their image with LXD until it is deleted here too", async () => {
    const images = () => daemon.lxc("image", "list", "--format", "csv", "--columns", "t");
    expect(await images()).to.contain("VIRTUAL-MACHINE");
    await serverPlugin(testServer.flavour).forgetImages?.(
      { settings, dataFolder: join(folder, "data"), log: silent },
      [image.sha256],
    );
    expect(await images()).not.to.contain("VIRTUAL-MACHINE");
  });
});
