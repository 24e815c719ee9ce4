import { once } from "node:events";
import { open, readdir, rm, unlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect } from "chai";
import { execa } from "execa";
import { context, locked, lockOf, newSpec, take } from "../../../lib/engine/conformance/fixture.ts";
import type { Instance, Resources } from "../../../lib/engine/contract.ts";
import { newLayerPath } from "../../../plugins/libvirt/layers/names.ts";
import { lockFile } from "../../../plugins/libvirt/lock/lock.ts";
import { DomainState, SnapshotCreateFlags } from "../../../plugins/libvirt/rpc/index.ts";
import { codeOf, type LibvirtFixture } from "../../support/libvirt/fixture.ts";
import { noteOn, type TroubledInstance, troubledForEach } from "../../support/libvirt/troubled-instance.ts";
import { strata } from "../../support/program.ts";

describe("trouble on libvirt", () => {
  let troubled: TroubledInstance;
  let fixture: LibvirtFixture;
  let instance: Instance;
  troubledForEach((each) => {
    troubled = each;
    ({ fixture, instance } = each);
  });

  for (const operation of ["take", "restore"]) {
    it(`a ${operation} that died with its overlay still empty leaves nothing`, async () => {
      const { folder, activeLayer } = await fixture.layers(instance);
      const file = newLayerPath(folder);
      await writeFile(file, "", { mode: 0o600 });
      await troubled.note(
        `<operation kind="${operation}" name="empty" file="${file}" taken="1" old="${activeLayer}"/>`,
      );
      await troubled.held(async () => {});
      expect(await readdir(folder)).to.not.include(file.slice(folder.length + 1));
      expect((await fixture.layers(instance)).activeLayer).to.equal(activeLayer);
    });
  }

  it("more CPUs or memory than can be had are refused, and nothing is changed", async () => {
    const before = await troubled.records();
    const resize = (change: Partial<Resources>) =>
      codeOf(troubled.held(() => fixture.engine.instances.resize(lockOf(instance.id), change, context())));
    expect(await resize({ cpus: 2, memory: 2n ** 50n })).to.equal("INVALID_VALUE");
    expect(await resize({ cpus: 1024, memory: 2n ** 29n })).to.equal("INVALID_VALUE");
    expect(await troubled.records()).to.deep.equal(before);
  });

  it("a take that died before libvirt's call leaves nothing, and the next one works", async () => {
    const { folder } = await fixture.layers(instance);
    const file = newLayerPath(folder);
    await execa("qemu-img", ["create", "-q", "-f", "qcow2", file, "1M"]);
    await troubled.note(`<operation kind="take" name="lost" file="${file}" taken="1"/>`);
    await troubled.held(async () => {
      expect((await fixture.engine.snapshots.tree(instance.id)).snapshots).to.deep.equal([]);
      expect(await readdir(folder)).not.to.include(file.slice(folder.length + 1));
      await take(fixture, instance, "first");
    });
    await troubled.held(async () => fixture.audit?.(instance));
  });

  it("a take that died after the disk was switched, before it was recorded, is undone without loss", async () => {
    await troubled.held(() => fixture.write(instance, 9));
    const contents = await fixture.read(instance);
    const { folder, activeLayer } = await fixture.layers(instance);
    const file = newLayerPath(folder);
    const domain = await fixture.connection.lookupDomainByUuid(instance.id);
    await troubled.note(`<operation kind="take" name="half" file="${file}" taken="2"/>`);
    const xml = `<domainsnapshot><name>half</name><memory snapshot="no"/><disks><disk name="vda" snapshot="external"><source file="${file}"/></disk><disk name="vdb" snapshot="no"/></disks></domainsnapshot>`;
    await domain.createSnapshot(xml, SnapshotCreateFlags.DISK_ONLY | SnapshotCreateFlags.NO_METADATA);
    expect((await fixture.layers(instance)).activeLayer).to.equal(file);
    await troubled.held(async () => {});
    expect((await fixture.layers(instance)).activeLayer).to.equal(activeLayer);
    expect(await fixture.read(instance)).to.equal(contents);
    expect(await readdir(folder)).not.to.include(file.slice(folder.length + 1));
  });

  it("a rename that died half-way is finished", async () => {
    await troubled.take("first", 9);
    await troubled.note('<operation kind="rename" from="first" to="renamed"/>');
    await troubled.held(async () => {});
    expect(
      (await fixture.engine.snapshots.tree(instance.id)).snapshots.map(({ name }) => name),
    ).to.deep.equal(["renamed"]);
  });

  it("an overlay that virsh made is known to stand on ours when its snapshot is deleted", async () => {
    await troubled.take("first", 9);
    await troubled.held(() => fixture.write(instance, 41));
    const contents = await fixture.read(instance);
    const options = "--disk-only --atomic --diskspec vdb,snapshot=no".split(" ");
    await execa("virsh", ["-q", "snapshot-create-as", instance.name, "foreign", ...options]);
    const { activeLayer, folder } = await fixture.layers(instance);
    expect(activeLayer.startsWith(folder)).to.equal(true);
    await troubled.delete("foreign", "first");
    expect(await fixture.read(instance)).to.equal(contents);
    await troubled.held(async () => fixture.audit?.(instance));
    await troubled.held(() => fixture.engine.snapshots.restore(lockOf(instance.id), "first", context()));
    // Nobody's records prove this file strata's, so it is still there.
    await unlink(activeLayer);
  });

  it("a removal that died after the files were gone is finished, and frees the name", async () => {
    const { instances } = fixture.engine;
    for (const again of ["purge", "launch"] as const) {
      const spec = newSpec(fixture);
      const doomed = await instances.create(spec, context());
      const { folder } = await fixture.layers(doomed);
      await noteOn(fixture, doomed.id, '<operation kind="purge"/>');
      await rm(folder, { recursive: true });
      expect((await instances.find(spec.name))?.record.deleted).to.equal(true);
      if (again === "purge") {
        expect((await strata(["delete", "--purge", spec.name])).code).to.equal(0);
        expect(await instances.find(spec.name)).to.equal(null);
      } else {
        const made = await instances.create(newSpec(fixture, { name: spec.name }), context());
        await using lock = await locked(fixture, made);
        await instances.remove(lock, context());
      }
    }
  });

  it("a holder in another process keeps us out, and not after it was killed", async () => {
    const { folder } = await fixture.layers(instance);
    const lock = join(folder, "lock");
    // Without a fork of its own, flock is the one process that holds the lock and can be killed alone.
    const holder = execa("flock", ["--no-fork", lock, "sh", "-c", "echo held; exec cat"], {
      reject: false,
      buffer: false,
    });
    await once(holder.stdout, "data");
    expect(await codeOf(fixture.engine.instances.lock(instance, { wait: 0 }, context()))).to.equal("BUSY");
    const waiting = lockFile(lock, { name: instance.name, wait: 20_000 });
    holder.kill("SIGKILL");
    await (await waiting)[Symbol.asyncDispose]();
  });

  it("a suspended instance refuses to be snapshotted, restored or cleared of snapshots", async () => {
    await troubled.take("first", 9);
    const domain = await fixture.connection.lookupDomainByUuid(instance.id);
    await domain.create();
    await troubled.held(
      () => fixture.engine.instances.suspend?.(lockOf(instance.id), context()) ?? Promise.resolve(),
    );
    const before = await troubled.records();
    const removal = { name: "first", parent: null, children: [] };
    await troubled.held(async () => {
      expect(await codeOf(take(fixture, instance, "never"))).to.equal("INSTANCE_SUSPENDED");
      expect(
        await codeOf(fixture.engine.snapshots.restore(lockOf(instance.id), "first", context())),
      ).to.equal("INSTANCE_SUSPENDED");
      expect(await codeOf(fixture.engine.snapshots.delete(lockOf(instance.id), removal, context()))).to.equal(
        "INSTANCE_SUSPENDED",
      );
    });
    expect(await troubled.records()).to.deep.equal(before);
    await domain.managedSaveRemove();
    expect((await domain.getState()).state).to.equal(DomainState.SHUTOFF);
  });

  it("a guest that never answers times out, says why, and stays as it is", async () => {
    const raw = join(fixture.folder, "silent.raw");
    await writeFile(raw, Buffer.alloc(2 * 1024 * 1024));
    const file = await open(raw, "r+");
    await file.write(Buffer.from([0x55, 0xaa]), 0, 2, 510);
    await file.close();
    const name = `strata-test-mute-${process.pid}`;
    const env = { XDG_CACHE_HOME: join(fixture.folder, "cache") };
    const { code, stderr } = await strata(
      ["launch", `file://${raw}`, "-n", name, "-d", "512M", "-m", "128M", "--timeout", "3"],
      { env },
    );
    try {
      expect(code).to.equal(10);
      expect(stderr).to.contain(`the guest of "${name}" does not answer`);
      expect((await strata(["info", name, "--format", "json"])).stdout).to.contain('"Starting"');
      expect((await strata(["exec", "--timeout", "3", name, "--", "true"])).code).to.equal(10);
    } finally {
      await strata(["delete", "--purge", name]);
    }
  });

  it("a restore that is walked away from at its question discards nothing", async () => {
    await troubled.take("first", 9);
    await troubled.held(() => fixture.write(instance, 33));
    const before = await troubled.records();
    const contents = await fixture.read(instance);
    for (const key of ["\x03", "\x04"]) {
      const command = `${process.execPath} dist/bin/strata.js restore ${instance.name}.first`;
      const running = execa("script", ["-qec", command, "/dev/null"], { reject: false });
      let shown = "";
      // Typed before the question, the key would be the terminal's own and perhaps lost.
      running.stdout.on("data", (chunk) => {
        const asked = shown.includes("?");
        shown += String(chunk);
        if (!asked && shown.includes("?")) {
          running.stdin.write(key);
        }
      });
      expect((await running).exitCode).to.equal(130);
    }
    expect(await troubled.records()).to.deep.equal(before);
    expect(await fixture.read(instance)).to.equal(contents);
  });

  it("a layer that is missing is named, and nothing is changed", async () => {
    await troubled.take("first", 9);
    await troubled.held(() => take(fixture, instance, "top"));
    const { activeLayer } = await fixture.layers(instance);
    await unlink(activeLayer);
    await troubled.held(async () => {
      expect(await codeOf(take(fixture, instance, "never"))).to.equal("LAYER_MISSING");
    });
    expect(
      (await execa("virsh", ["snapshot-list", "--name", instance.name])).stdout.trim().split("\n"),
    ).to.have.length(2);
    await troubled.held(() => fixture.engine.snapshots.restore(lockOf(instance.id), "top", context()));
    await troubled.held(async () => fixture.audit?.(instance));
  });
});
