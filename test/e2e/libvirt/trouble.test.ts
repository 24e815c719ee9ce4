import { once } from "node:events";
import { chmod, mkdtemp, open, readdir, rm, stat, unlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { execa } from "execa";
import { context, newSpec, take } from "../../../lib/backend/conformance/fixture.ts";
import type { Instance, Resources } from "../../../lib/backend/contract.ts";
import { newLayerPath } from "../../../plugins/libvirt/layers.ts";
import { lockFile } from "../../../plugins/libvirt/lock.ts";
import { readHeader } from "../../../plugins/libvirt/qcow2-header.ts";
import { DomainState, SnapshotCreateFlags } from "../../../plugins/libvirt/rpc/index.ts";
import { codeOf, type LibvirtFixture, libvirtFixture, whileHolding } from "../../support/libvirt.ts";
import { strata } from "../../support/program.ts";

/** Everything of an instance that must be the same after a refusal. */
async function snapshotOfRecords(fixture: LibvirtFixture, { id, name }: Instance) {
  const { folder } = await fixture.layers({ id });
  const xml = (await execa("virsh", ["dumpxml", "--inactive", name])).stdout;
  return { tree: await fixture.backend.snapshots.tree(id), files: (await readdir(folder)).sort(), xml };
}

describe("trouble on libvirt", () => {
  let fixture: LibvirtFixture;
  let instance: Instance;
  before(async () => {
    fixture = await libvirtFixture();
    instance = await fixture.backend.instances.create(newSpec(fixture), context());
  });
  after(async () => {
    await held(() => fixture.backend.instances.remove(instance.id, context()));
    await fixture[Symbol.asyncDispose]();
  });

  const held = <T>(work: () => Promise<T>) => whileHolding(fixture, instance, work);

  /** Leaves the note of an operation in the domain as somebody who died would have. */
  const note = (operation: string) => noteOn(instance.id, operation);

  async function noteOn(id: string, operation: string): Promise<void> {
    const domain = await fixture.connection.lookupDomainByUuid(id);
    const xml = await domain.getMetadata(2, "urn:strata:1", 2);
    const inner = xml?.replace(/ xmlns:strata="[^"]*"/, "").replaceAll("strata:", "") ?? "";
    await domain.setMetadata(2, inner.replace("<image", `${operation}<image`), "strata", "urn:strata:1", 2);
  }

  for (const operation of ["take", "restore"])
    it(`a ${operation} that died with its overlay still empty leaves nothing`, async () => {
      const { folder, head } = await fixture.layers(instance);
      const file = newLayerPath(folder);
      await writeFile(file, "", { mode: 0o600 });
      await note(`<operation kind="${operation}" name="empty" file="${file}" taken="1" old="${head}"/>`);
      await held(async () => {});
      expect(await readdir(folder)).to.not.include(file.slice(folder.length + 1));
      expect((await fixture.layers(instance)).head).to.equal(head);
    });

  it("more CPUs or memory than can be had are refused, and nothing is changed", async () => {
    const before = await snapshotOfRecords(fixture, instance);
    const resize = (change: Partial<Resources>) =>
      codeOf(held(() => fixture.backend.instances.resize(instance.id, change, context())));
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
      expect((await fixture.backend.snapshots.tree(instance.id)).snapshots).to.deep.equal([]);
      expect(await readdir(folder)).not.to.include(file.slice(folder.length + 1));
      await take(fixture, instance, "first");
    });
    await held(async () => fixture.audit?.(instance));
  });

  it("a take that died after the disk was switched, before it was recorded, is undone without loss", async () => {
    await held(() => fixture.write(instance, 9));
    const contents = await fixture.read(instance);
    const { folder, head } = await fixture.layers(instance);
    const file = newLayerPath(folder);
    const domain = await fixture.connection.lookupDomainByUuid(instance.id);
    await note(`<operation kind="take" name="half" file="${file}" taken="2"/>`);
    const xml = `<domainsnapshot><name>half</name><memory snapshot="no"/><disks><disk name="vda" snapshot="external"><source file="${file}"/></disk><disk name="vdb" snapshot="no"/></disks></domainsnapshot>`;
    await domain.createSnapshot(xml, SnapshotCreateFlags.DISK_ONLY | SnapshotCreateFlags.NO_METADATA);
    expect((await fixture.layers(instance)).head).to.equal(file);
    await held(async () => {});
    expect((await fixture.layers(instance)).head).to.equal(head);
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
    const { head, folder } = await fixture.layers(instance);
    const { stdout } = await execa("qemu-img", ["info", "--output=json", head]);
    const layer: string = JSON.parse(stdout)["full-backing-filename"];
    const target: string = JSON.parse((await execa("qemu-img", ["info", "--output=json", layer])).stdout)[
      "full-backing-filename"
    ];
    const domain = await fixture.connection.lookupDomainByUuid(instance.id);
    await note(`<operation kind="merge" layer="${layer}" child="${head}" target="${target}"/>`);
    await (await domain.lookupSnapshot("second")).delete(2);
    await execa("qemu-img", ["rebase", "-u", "-f", "qcow2", "-b", target, "-F", "qcow2", head]);
    expect(await fixture.read(instance), "the damage is real").not.to.equal(contents);
    await held(async () => {});
    expect(await fixture.read(instance)).to.equal(contents);
    expect(await readdir(folder)).not.to.include(layer.slice(folder.length + 1));
  });

  for (const [which, below, above] of [
    ["the layer below, where that holds less", 1, 6],
    ["the layer above, where that holds less", 6, 1],
  ] as const)
    it(`a deletion copies ${which}, also when it died after the copy`, async () => {
      for (const dies of [false, true]) {
        const write = async (value: number, mib: number) =>
          execa("qemu-io", [
            ...["-f", "qcow2", "-c", `write -P ${value} 0 ${mib}M`],
            (await fixture.layers(instance)).head,
          ]);
        await held(async () => {
          await write(60, below);
          await take(fixture, instance, "merged");
          await write(61, above);
        });
        const contents = await fixture.read(instance);
        const { head, folder } = await fixture.layers(instance);
        const layer = (await readHeader(head)).backing ?? "";
        const files = { below: (await stat(layer)).ino, above: (await stat(head)).ino };
        const drop = () =>
          fixture.backend.snapshots.drop(
            instance.id,
            { name: "merged", parent: "first", children: [] },
            context(),
          );
        if (dies) {
          const target = (await readHeader(layer)).backing ?? "";
          await note(`<operation kind="merge" layer="${layer}" child="${head}" target="${target}"/>`);
          await (
            await (await fixture.connection.lookupDomainByUuid(instance.id)).lookupSnapshot("merged")
          ).delete(2);
          if (above < below) await execa("qemu-img", ["commit", "-q", "-d", "-f", "qcow2", head]);
          else await execa("qemu-img", ["rebase", "-q", "-f", "qcow2", "-b", target, "-F", "qcow2", head]);
          await held(async () => {});
        } else await held(drop);
        expect((await stat(head)).ino).to.equal(below < above ? files.above : files.below);
        expect(await fixture.read(instance)).to.equal(contents);
        expect(await readdir(folder)).not.to.include(layer.slice(folder.length + 1));
        expect((await fixture.backend.snapshots.tree(instance.id)).standsOn).to.equal("first");
        await held(async () => fixture.audit?.(instance));
      }
    });

  it("a rename that died half-way is finished", async () => {
    await note('<operation kind="rename" from="first" to="renamed"/>');
    await held(async () => {});
    expect(
      (await fixture.backend.snapshots.tree(instance.id)).snapshots.map(({ name }) => name),
    ).to.deep.equal(["renamed"]);
  });

  it("an overlay that virsh made is known to stand on ours when its snapshot is deleted", async () => {
    await held(() => fixture.write(instance, 41));
    const contents = await fixture.read(instance);
    const options = "--disk-only --atomic --diskspec vdb,snapshot=no".split(" ");
    await execa("virsh", ["-q", "snapshot-create-as", instance.name, "foreign", ...options]);
    const { head, folder } = await fixture.layers(instance);
    expect(head.startsWith(folder)).to.equal(true);
    await held(() =>
      fixture.backend.snapshots.drop(
        instance.id,
        { name: "foreign", parent: "renamed", children: [] },
        context(),
      ),
    );
    expect(await fixture.read(instance)).to.equal(contents);
    await held(async () => fixture.audit?.(instance));
    await held(() => fixture.backend.snapshots.revert(instance.id, "renamed", context()));
    // Nobody's records prove this file strata's, so it is still there.
    await unlink(head);
  });

  it("a merge that cannot be done leaves the layer, loses nothing, and is done when it can be", async () => {
    await held(async () => {
      await take(fixture, instance, "lower");
      await fixture.write(instance, 50);
      await take(fixture, instance, "upper");
      await fixture.write(instance, 51);
    });
    const contents = await fixture.read(instance);
    const { head, folder } = await fixture.layers(instance);
    // What qemu-img cannot open for writing it cannot merge into: another process has the child locked.
    const server = execa("qemu-io", ["-f", "qcow2", head], { reject: false, buffer: false });
    await once(server.stdout, "data");
    const before = (await readdir(folder)).length;
    await held(() =>
      fixture.backend.snapshots.drop(
        instance.id,
        { name: "upper", parent: "lower", children: [] },
        context(),
      ),
    ).catch(() => {});
    server.kill("SIGKILL");
    await server;
    expect(await fixture.read(instance)).to.equal(contents);
    await held(async () => {
      await fixture.backend.instances.stop(instance.id, "force", context());
    });
    expect(await fixture.read(instance)).to.equal(contents);
    expect((await readdir(folder)).length).to.equal(before - 1);
    await held(async () => {
      await fixture.backend.snapshots.drop(
        instance.id,
        { name: "lower", parent: "renamed", children: [] },
        context(),
      );
      await fixture.audit?.(instance);
    });
  });

  it("a removal that died after the files were gone is finished, and frees the name", async () => {
    const { instances } = fixture.backend;
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
        const { id } = await instances.create(newSpec(fixture, { name: spec.name }), context());
        await using _hold = await instances.hold(id, { wait: 0 }, context());
        await instances.remove(id, context());
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
    expect(await codeOf(fixture.backend.instances.hold(instance.id, { wait: 0 }, context()))).to.equal(
      "BUSY",
    );
    const waiting = lockFile(lock, { name: instance.name, wait: 20_000 });
    holder.kill("SIGKILL");
    await (await waiting)[Symbol.asyncDispose]();
  });

  it("a suspended instance refuses to be snapshotted, restored or cleared of snapshots", async () => {
    const domain = await fixture.connection.lookupDomainByUuid(instance.id);
    await domain.create();
    await held(() => fixture.backend.instances.suspend?.(instance.id, context()) ?? Promise.resolve());
    const before = await snapshotOfRecords(fixture, instance);
    const removal = { name: "renamed", parent: null, children: [] };
    await held(async () => {
      expect(await codeOf(take(fixture, instance, "never"))).to.equal("INSTANCE_SUSPENDED");
      expect(await codeOf(fixture.backend.snapshots.revert(instance.id, "renamed", context()))).to.equal(
        "INSTANCE_SUSPENDED",
      );
      expect(await codeOf(fixture.backend.snapshots.drop(instance.id, removal, context()))).to.equal(
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
      const ended = await execa("script", ["-qec", command, "/dev/null"], { input: key, reject: false });
      expect(ended.exitCode).to.equal(130);
    }
    expect(await snapshotOfRecords(fixture, instance)).to.deep.equal(before);
    expect(await fixture.read(instance)).to.equal(contents);
  });

  it("a layer that is missing is named, and nothing is changed", async () => {
    await held(() => take(fixture, instance, "top"));
    const { head } = await fixture.layers(instance);
    await unlink(head);
    await held(async () => {
      expect(await codeOf(take(fixture, instance, "never"))).to.equal("LAYER_MISSING");
    });
    expect(
      (await execa("virsh", ["snapshot-list", "--name", instance.name])).stdout.trim().split("\n"),
    ).to.have.length(2);
    await held(() => fixture.backend.snapshots.revert(instance.id, "top", context()));
    await held(async () => fixture.audit?.(instance));
  });
});

/** An image that nobody could fetch: what is refused for another reason is refused before that. */
const NOWHERE = `http://127.0.0.1:1/x#sha256=${"ab".repeat(32)}`;
/** A domain that is none of strata's. */
const FOREIGN = `strata-test-foreign-${process.pid}`;

describe("bad input at the terminal", () => {
  let folder: string;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "strata-bad-"));
    await writeFile(join(folder, "text"), "no image at all\n");
    await writeFile(join(folder, "empty"), "");
    await writeFile(join(folder, "bad.yaml"), "#cloud-config\nusers: [unclosed\n");
    await execa("qemu-img", ["create", "-q", "-f", "qcow2", join(folder, "base"), "2M"]);
    const overlay = [
      "create",
      "-q",
      "-f",
      "qcow2",
      "-b",
      join(folder, "base"),
      "-F",
      "qcow2",
      join(folder, "overlay"),
    ];
    await execa("qemu-img", overlay);
    await execa("dd", [
      "if=/dev/urandom",
      `of=${join(folder, "base")}`,
      "bs=1",
      "seek=65536",
      "count=400000",
      "conv=notrunc",
    ]);
  });
  before(async () => {
    const document = join(folder, "foreign.xml");
    await writeFile(
      document,
      `<domain type='qemu'><name>${FOREIGN}</name><memory>1024</memory><os><type>hvm</type></os></domain>`,
    );
    await execa("virsh", ["define", document]);
  });
  after(() => execa("virsh", ["undefine", FOREIGN]));
  after(() => rm(folder, { recursive: true, force: true }));

  const cases: readonly (readonly [args: string, code: number, message: RegExp])[] = [
    ["info nobody", 3, /instance "nobody" does not exist/],
    ["start nobody", 3, /instance "nobody" does not exist/],
    ["snapshot nobody", 3, /instance "nobody" does not exist/],
    ["restore -d nobody.snap", 3, /instance "nobody" does not exist/],
    ["restore nobody.snap", 2, /needs --destructive/],
    ["restore -d nobody", 2, /names no snapshot/],
    ["delete nobody.snap", 2, /needs --purge/],
    ["delete", 2, /--all/],
    ["snapshot bad_name", 2, /invalid instance name "bad_name"/],
    ["launch debian-micro -n 1x", 2, /invalid instance name "1x"/],
    ["launch debian-micro -n x -m 1.5", 2, /invalid memory size "1.5"/],
    ["launch debian-micro -n x -m 64M", 2, /memory size 64M is below the minimum of 128M/],
    ["launch debian-micro -n x -d 100M", 2, /disk size 100M is below the minimum of 512M/],
    ["launch debian-micro -n x -d 600M", 2, /the image's own size/],
    ["launch debian-micro -n x -c 0", 2, /cpus/],
    ["launch debian-micro -n x -c 1024", 2, /cpus: it is a whole number from 1 to \d+,/],
    ["launch debian-micro -n x -m 999999G", 2, /memory: it is at most \d+M, all that the host has/],
    [`launch ${NOWHERE} -n x -m 999999G`, 2, /memory: it is at most \d+M, all that the host has/],
    [`launch ${NOWHERE} -n x -c 1024`, 2, /cpus: it is a whole number from 1 to \d+,/],
    [`launch ${NOWHERE} -n x --network none`, 2, /network/],
    [`launch ${NOWHERE} -n x --mount FOLDER:/etc`, 2, /the target/],
    [`launch ${NOWHERE} -n x --mount FOLDER --mount FOLDER`, 2, /two folders cannot be mounted/],
    [`launch ${NOWHERE} -n ${FOREIGN}`, 4, new RegExp(`instance "${FOREIGN}" already exists`)],
    ["launch debian-micro -n x --cloud-init FOLDER/bad.yaml", 2, /cloud-init data/],
    ["launch debian-micro -n x --cloud-init FOLDER/none.yaml", 3, /does not exist/],
    ["launch nowhere:it -n x", 3, /no remote "nowhere" for images/],
    ["launch file://FOLDER/none -n x", 3, /does not exist or cannot be read/],
    ["launch file://FOLDER/text -n x", 12, /cannot be read/],
    ["launch file://FOLDER/empty -n x", 12, /cannot be read/],
    ["launch file://FOLDER -n x", 12, /no file/],
    ["launch file://FOLDER/overlay -n x", 12, /refers to another file/],
    ["launch file://FOLDER/base -n x", 12, /cannot be read/],
    ["launch file://FOLDER/text#sha256=zz -n x", 2, /checksum/],
    ["launch ftp://127.0.0.1/x -n x", 2, /only file/],
    ["launch http://127.0.0.1:1/x -n x", 2, /no checksum/],
    ["set local.nobody.cpus=2", 3, /instance "nobody" does not exist/],
    ["set some.key=2", 2, /Unrecognized settings key: 'some.key'/],
    ["get local.libvirt.nothing", 2, /Unrecognized settings key/],
    ["list --format xml", 2, /Allowed choices/],
    ["lanch", 2, /Did you mean launch/],
  ];
  for (const [line, code, message] of cases)
    it(`${line}: exit ${code}`, async () => {
      const args = line.replaceAll("FOLDER", folder).split(" ");
      const env = { XDG_CACHE_HOME: process.env.XDG_CACHE_HOME ?? `${process.env.HOME}/.cache` };
      const ended = await strata(args, { env });
      expect(ended.stderr).to.match(message);
      expect(ended.code).to.equal(code);
      expect(ended.stdout).to.equal("");
    });

  it("leaves no domain behind, of all that was refused", async () => {
    expect((await execa("virsh", ["list", "--all", "--name"])).stdout.trim().split("\n")).not.to.include("x");
  });

  it("says so when there is no libvirtd, and when it may not be used", async () => {
    await chmod(folder, 0o777);
    const env = { STRATA_LIBVIRT_URI: `qemu+unix:///system?socket=${folder}/none` };
    const absent = await strata(["list"], { env });
    expect(absent.code).to.equal(7);
    expect(absent.stderr).to.match(/cannot be reached.*\n.*strata doctor/);
    const program = [
      "--reuid=65534",
      "--regid=65534",
      "--clear-groups",
      process.execPath,
      "dist/bin/strata.js",
      "list",
    ];
    const denied = await execa("setpriv", program, {
      reject: false,
      env: {
        STRATA_LIBVIRT_URI: "qemu:///system",
        HOME: folder,
        XDG_STATE_HOME: folder,
        XDG_CONFIG_HOME: folder,
      },
    });
    expect(denied.stderr).to.contain("permission denied");
    expect(denied.exitCode).to.equal(8);
  });
});
