import { once } from "node:events";
import { open, readdir, rm, stat, unlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect } from "chai";
import { execa } from "execa";
import { context, locked, lockOf, newSpec, take } from "../../../lib/engine/conformance/fixture.ts";
import type { Instance, Resources } from "../../../lib/engine/contract.ts";
import { newLayerPath } from "../../../plugins/libvirt/layers/names.ts";
import { lockFile } from "../../../plugins/libvirt/lock/lock.ts";
import { readHeader } from "../../../plugins/libvirt/qcow2/header.ts";
import { DomainState, SnapshotCreateFlags } from "../../../plugins/libvirt/rpc/index.ts";
import { listCopies, removeRecordCopies } from "../../../plugins/libvirt/snapshots/record-copies.ts";
import { codeOf, type LibvirtFixture, libvirtFixture, whileLocked } from "../../support/libvirt/fixture.ts";
import { strata } from "../../support/program.ts";

/** Everything of an instance that must be the same after a refusal. */
async function snapshotOfRecords(fixture: LibvirtFixture, { id, name }: Instance) {
  const { folder } = await fixture.layers({ id });
  const xml = (await execa("virsh", ["dumpxml", "--inactive", name])).stdout;
  return { tree: await fixture.engine.snapshots.tree(id), files: (await readdir(folder)).sort(), xml };
}

describe("trouble on libvirt", () => {
  let fixture: LibvirtFixture;
  let instance: Instance;
  before(async () => {
    fixture = await libvirtFixture();
    instance = await fixture.engine.instances.create(newSpec(fixture), context());
  });
  after(async () => {
    await held(() => fixture.engine.instances.remove(lockOf(instance.id), context()));
    await fixture[Symbol.asyncDispose]();
  });

  const held = <T>(work: () => Promise<T>) => whileLocked(fixture, instance, work);

  /** Leaves the note of an operation in the domain as somebody who died would have. */
  const note = (operation: string) => noteOn(instance.id, operation);

  /** Takes a snapshot's record away with its copy, as a deletion has done when it comes to the layers. */
  async function forgetSnapshot(name: string): Promise<void> {
    const { folder } = await fixture.layers(instance);
    const domain = await fixture.connection.lookupDomainByUuid(instance.id);
    await (await domain.lookupSnapshot(name)).delete(2);
    await removeRecordCopies(await listCopies(folder), name);
  }

  async function noteOn(id: string, operation: string): Promise<void> {
    const domain = await fixture.connection.lookupDomainByUuid(id);
    const xml = await domain.getMetadata(2, "urn:strata:1", 2);
    const inner = xml?.replace(/ xmlns:strata="[^"]*"/, "").replaceAll("strata:", "") ?? "";
    await domain.setMetadata(2, inner.replace("<image", `${operation}<image`), "strata", "urn:strata:1", 2);
  }

  for (const operation of ["take", "restore"]) {
    it(`a ${operation} that died with its overlay still empty leaves nothing`, async () => {
      const { folder, activeLayer } = await fixture.layers(instance);
      const file = newLayerPath(folder);
      await writeFile(file, "", { mode: 0o600 });
      await note(
        `<operation kind="${operation}" name="empty" file="${file}" taken="1" old="${activeLayer}"/>`,
      );
      await held(async () => {});
      expect(await readdir(folder)).to.not.include(file.slice(folder.length + 1));
      expect((await fixture.layers(instance)).activeLayer).to.equal(activeLayer);
    });
  }

  it("more CPUs or memory than can be had are refused, and nothing is changed", async () => {
    const before = await snapshotOfRecords(fixture, instance);
    const resize = (change: Partial<Resources>) =>
      codeOf(held(() => fixture.engine.instances.resize(lockOf(instance.id), change, context())));
    expect(await resize({ cpus: 2, memory: 2n ** 50n })).to.equal("INVALID_VALUE");
    expect(await resize({ cpus: 1024, memory: 2n ** 29n })).to.equal("INVALID_VALUE");
    expect(await snapshotOfRecords(fixture, instance)).to.deep.equal(before);
  });

  it("a take that died before libvirt's call leaves nothing, and the next one works", async () => {
    const { folder } = await fixture.layers(instance);
    const file = newLayerPath(folder);
    await execa("qemu-img", ["create", "-q", "-f", "qcow2", file, "1M"]);
    await note(`<operation kind="take" name="lost" file="${file}" taken="1"/>`);
    await held(async () => {
      expect((await fixture.engine.snapshots.tree(instance.id)).snapshots).to.deep.equal([]);
      expect(await readdir(folder)).not.to.include(file.slice(folder.length + 1));
      await take(fixture, instance, "first");
    });
    await held(async () => fixture.audit?.(instance));
  });

  it("a take that died after the disk was switched, before it was recorded, is undone without loss", async () => {
    await held(() => fixture.write(instance, 9));
    const contents = await fixture.read(instance);
    const { folder, activeLayer } = await fixture.layers(instance);
    const file = newLayerPath(folder);
    const domain = await fixture.connection.lookupDomainByUuid(instance.id);
    await note(`<operation kind="take" name="half" file="${file}" taken="2"/>`);
    const xml = `<domainsnapshot><name>half</name><memory snapshot="no"/><disks><disk name="vda" snapshot="external"><source file="${file}"/></disk><disk name="vdb" snapshot="no"/></disks></domainsnapshot>`;
    await domain.createSnapshot(xml, SnapshotCreateFlags.DISK_ONLY | SnapshotCreateFlags.NO_METADATA);
    expect((await fixture.layers(instance)).activeLayer).to.equal(file);
    await held(async () => {});
    expect((await fixture.layers(instance)).activeLayer).to.equal(activeLayer);
    expect(await fixture.read(instance)).to.equal(contents);
    expect(await readdir(folder)).not.to.include(file.slice(folder.length + 1));
  });

  it("a merge that was killed after the pointer was switched is done again from the start", async () => {
    // As a killed rebase leaves it: the child points past the layer, whose data it has not copied.
    await held(async () => {
      await fixture.write(instance, 17);
      await take(fixture, instance, "second");
    });
    const contents = await fixture.read(instance);
    const { activeLayer, folder } = await fixture.layers(instance);
    const { stdout } = await execa("qemu-img", ["info", "--output=json", activeLayer]);
    const layer: string = JSON.parse(stdout)["full-backing-filename"];
    const target: string = JSON.parse((await execa("qemu-img", ["info", "--output=json", layer])).stdout)[
      "full-backing-filename"
    ];
    await note(`<operation kind="merge" layer="${layer}" child="${activeLayer}" target="${target}"/>`);
    await forgetSnapshot("second");
    await execa("qemu-img", ["rebase", "-u", "-f", "qcow2", "-b", target, "-F", "qcow2", activeLayer]);
    expect(await fixture.read(instance), "the damage is real").not.to.equal(contents);
    await held(async () => {});
    expect(await fixture.read(instance)).to.equal(contents);
    expect(await readdir(folder)).not.to.include(layer.slice(folder.length + 1));
  });

  for (const [which, below, above] of [
    ["the layer below, where that holds less", 1, 6],
    ["the layer above, where that holds less", 6, 1],
  ] as const) {
    it(`a deletion copies ${which}, also when it died after the copy`, async () => {
      for (const dies of [false, true]) {
        const write = async (value: number, mib: number) =>
          execa("qemu-io", [
            // Flushed, so that it takes its room: which is the smaller goes by that.
            ...["-f", "qcow2", "-c", `write -P ${value} 0 ${mib}M`, "-c", "flush"],
            (await fixture.layers(instance)).activeLayer,
          ]);
        await held(async () => {
          await write(60, below);
          await take(fixture, instance, "merged");
          await write(61, above);
        });
        const contents = await fixture.read(instance);
        const { activeLayer, folder } = await fixture.layers(instance);
        const layer = (await readHeader(activeLayer)).backing ?? "";
        const files = { below: (await stat(layer)).ino, above: (await stat(activeLayer)).ino };
        const drop = () =>
          fixture.engine.snapshots.delete(
            lockOf(instance.id),
            { name: "merged", parent: "first", children: [] },
            context(),
          );
        if (dies) {
          const target = (await readHeader(layer)).backing ?? "";
          await note(`<operation kind="merge" layer="${layer}" child="${activeLayer}" target="${target}"/>`);
          await forgetSnapshot("merged");
          if (above < below) {
            await execa("qemu-img", ["commit", "-q", "-d", "-f", "qcow2", activeLayer]);
          } else {
            await execa("qemu-img", [
              "rebase",
              "-q",
              "-f",
              "qcow2",
              "-b",
              target,
              "-F",
              "qcow2",
              activeLayer,
            ]);
          }
          await held(async () => {});
        } else {
          await held(drop);
        }
        expect((await stat(activeLayer)).ino).to.equal(below < above ? files.above : files.below);
        expect(await fixture.read(instance)).to.equal(contents);
        expect(await readdir(folder)).not.to.include(layer.slice(folder.length + 1));
        expect((await fixture.engine.snapshots.tree(instance.id)).standsOn).to.equal("first");
        await held(async () => fixture.audit?.(instance));
      }
    });
  }

  it("a rename that died half-way is finished", async () => {
    await note('<operation kind="rename" from="first" to="renamed"/>');
    await held(async () => {});
    expect(
      (await fixture.engine.snapshots.tree(instance.id)).snapshots.map(({ name }) => name),
    ).to.deep.equal(["renamed"]);
  });

  it("an overlay that virsh made is known to stand on ours when its snapshot is deleted", async () => {
    await held(() => fixture.write(instance, 41));
    const contents = await fixture.read(instance);
    const options = "--disk-only --atomic --diskspec vdb,snapshot=no".split(" ");
    await execa("virsh", ["-q", "snapshot-create-as", instance.name, "foreign", ...options]);
    const { activeLayer, folder } = await fixture.layers(instance);
    expect(activeLayer.startsWith(folder)).to.equal(true);
    await held(() =>
      fixture.engine.snapshots.delete(
        lockOf(instance.id),
        { name: "foreign", parent: "renamed", children: [] },
        context(),
      ),
    );
    expect(await fixture.read(instance)).to.equal(contents);
    await held(async () => fixture.audit?.(instance));
    await held(() => fixture.engine.snapshots.restore(lockOf(instance.id), "renamed", context()));
    // Nobody's records prove this file strata's, so it is still there.
    await unlink(activeLayer);
  });

  it("a merge that cannot be done leaves the layer, loses nothing, and is done when it can be", async () => {
    await held(async () => {
      await take(fixture, instance, "lower");
      await fixture.write(instance, 50);
      await take(fixture, instance, "upper");
      await fixture.write(instance, 51);
    });
    const contents = await fixture.read(instance);
    const { activeLayer, folder } = await fixture.layers(instance);
    // What qemu-img cannot open for writing it cannot merge into: another process has the child locked.
    const server = execa("qemu-io", ["-f", "qcow2", activeLayer], { reject: false, buffer: false });
    await once(server.stdout, "data");
    const layers = async () => (await readdir(folder)).filter((file) => file.endsWith(".qcow2")).length;
    const before = await layers();
    await held(() =>
      fixture.engine.snapshots.delete(
        lockOf(instance.id),
        { name: "upper", parent: "lower", children: [] },
        context(),
      ),
    ).catch(() => {});
    server.kill("SIGKILL");
    await server;
    expect(await fixture.read(instance)).to.equal(contents);
    await held(async () => {
      await fixture.engine.instances.stop(lockOf(instance.id), "force", context());
    });
    expect(await fixture.read(instance)).to.equal(contents);
    expect(await layers()).to.equal(before - 1);
    await held(async () => {
      await fixture.engine.snapshots.delete(
        lockOf(instance.id),
        { name: "lower", parent: "renamed", children: [] },
        context(),
      );
      await fixture.audit?.(instance);
    });
  });

  it("a removal that died after the files were gone is finished, and frees the name", async () => {
    const { instances } = fixture.engine;
    for (const again of ["purge", "launch"] as const) {
      const spec = newSpec(fixture);
      const doomed = await instances.create(spec, context());
      const { folder } = await fixture.layers(doomed);
      await noteOn(doomed.id, '<operation kind="purge"/>');
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
    const domain = await fixture.connection.lookupDomainByUuid(instance.id);
    await domain.create();
    await held(() => fixture.engine.instances.suspend?.(lockOf(instance.id), context()) ?? Promise.resolve());
    const before = await snapshotOfRecords(fixture, instance);
    const removal = { name: "renamed", parent: null, children: [] };
    await held(async () => {
      expect(await codeOf(take(fixture, instance, "never"))).to.equal("INSTANCE_SUSPENDED");
      expect(
        await codeOf(fixture.engine.snapshots.restore(lockOf(instance.id), "renamed", context())),
      ).to.equal("INSTANCE_SUSPENDED");
      expect(await codeOf(fixture.engine.snapshots.delete(lockOf(instance.id), removal, context()))).to.equal(
        "INSTANCE_SUSPENDED",
      );
    });
    expect(await snapshotOfRecords(fixture, instance)).to.deep.equal(before);
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
      expect((await strata(["info", name, "--format", "json"])).stdout).to.contain('"Running"');
      expect((await strata(["exec", name, "--", "true"])).code).to.equal(10);
    } finally {
      await strata(["delete", "--purge", name]);
    }
  });

  it("a restore that is walked away from at its question discards nothing", async () => {
    await held(() => fixture.write(instance, 33));
    const before = await snapshotOfRecords(fixture, instance);
    const contents = await fixture.read(instance);
    for (const key of ["\x03", "\x04"]) {
      const command = `${process.execPath} dist/bin/strata.js restore ${instance.name}.renamed`;
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
    expect(await snapshotOfRecords(fixture, instance)).to.deep.equal(before);
    expect(await fixture.read(instance)).to.equal(contents);
  });

  it("a layer that is missing is named, and nothing is changed", async () => {
    await held(() => take(fixture, instance, "top"));
    const { activeLayer } = await fixture.layers(instance);
    await unlink(activeLayer);
    await held(async () => {
      expect(await codeOf(take(fixture, instance, "never"))).to.equal("LAYER_MISSING");
    });
    expect(
      (await execa("virsh", ["snapshot-list", "--name", instance.name])).stdout.trim().split("\n"),
    ).to.have.length(2);
    await held(() => fixture.engine.snapshots.restore(lockOf(instance.id), "top", context()));
    await held(async () => fixture.audit?.(instance));
  });
});
