import { chown, readdir, rm, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect } from "chai";
import { cloneSpec } from "../../../lib/engine/conformance/clone.ts";
import { context, locked, lockOf, take } from "../../../lib/engine/conformance/fixture.ts";
import type { Instance } from "../../../lib/engine/contract.ts";
import {
  type Firmware,
  firmwareIn,
  readOr,
  readTpmState,
  rightsOf,
  tpmFolder,
} from "../../support/libvirt/firmware.ts";
import { codeOf, type LibvirtFixture, libvirtFixture, whileLocked } from "../../support/libvirt/fixture.ts";
import { type ForeignDomain, foreignDomain, foreignRecord } from "../../support/libvirt/foreign-domain.ts";
import { virsh } from "../../support/libvirt/virsh.ts";
import { dropSnapshot } from "../../support/snapshots.ts";

describe("the state of a domain's firmware", () => {
  let fixture: LibvirtFixture;
  let firmware: Firmware;
  let foreign: ForeignDomain;
  let instance: Instance;

  before(async () => {
    fixture = await libvirtFixture();
  });
  after(() => fixture[Symbol.asyncDispose]());
  beforeEach(async () => {
    firmware = firmwareIn(fixture.folder);
    foreign = await foreignDomain(fixture.connection, fixture.folder, firmware);
    instance = await adopt(foreign.name);
    await firmware.write(instance.id, "first");
  });
  afterEach(async () => {
    const { folder } = await fixture.layers(instance).catch(() => ({ folder: "" }));
    await foreign[Symbol.asyncDispose]();
    await firmware[Symbol.asyncDispose]();
    await rm(folder || "/nonexistent", { recursive: true, force: true });
  });

  function adopt(name: string): Promise<Instance> {
    const { adoption } = fixture.engine;
    if (adoption === undefined) {
      throw new Error("libvirt adopts");
    }
    return adoption.adopt(name, foreignRecord(), context());
  }

  const inLock = <T>(work: () => Promise<T>): Promise<T> => whileLocked(fixture, instance, work);
  const restore = (name: string, given = context()) =>
    inLock(() => fixture.engine.snapshots.restore(lockOf(instance.id), name, given));
  const packed = async () => {
    const { folder } = await fixture.layers(instance);
    return (await readdir(folder)).filter((name) => name.startsWith("firmware-"));
  };

  it("comes back with a snapshot, with the owner that it has and rights for nobody else", async () => {
    await chown(firmware.variables, 64055, 64055);
    await inLock(() => take(fixture, instance, "one"));
    await firmware.write(instance.id, "second");
    await inLock(() => take(fixture, instance, "two"));
    await firmware.write(instance.id, "third");
    await restore("one");
    expect(await firmware.read(instance.id)).to.deep.equal({
      variables: "variables first",
      tpm: "tpm first",
    });
    expect(await rightsOf(firmware.variables)).to.equal("600 64055:64055");
    await restore("two");
    expect(await firmware.read(instance.id)).to.deep.equal({
      variables: "variables second",
      tpm: "tpm second",
    });
    expect((await readdir(tpmFolder(instance.id))).sort()).to.deep.equal(["tpm2-00.permall"]);
  });

  it("is gone after a restore to a snapshot that was taken before there was any", async () => {
    await rm(firmware.variables);
    await rm(join(tpmFolder(instance.id), "tpm2-00.permall"));
    await inLock(() => take(fixture, instance, "new"));
    await firmware.write(instance.id, "later");
    await restore("new");
    expect(await firmware.read(instance.id)).to.deep.equal({ variables: "", tpm: "" });
  });

  it("is kept once for snapshots that have the same, until the last of them is deleted", async () => {
    await inLock(() => take(fixture, instance, "one"));
    await inLock(() => take(fixture, instance, "two"));
    expect(await packed()).to.have.length(1);
    await inLock(() => dropSnapshot(fixture, instance, "one"));
    expect(await packed()).to.have.length(1);
    await firmware.write(instance.id, "second");
    await restore("two");
    expect(await firmware.read(instance.id)).to.deep.equal({
      variables: "variables first",
      tpm: "tpm first",
    });
    await inLock(() => dropSnapshot(fixture, instance, "two"));
    expect(await packed()).to.deep.equal([]);
  });

  it("survives that a snapshot is renamed and described", async () => {
    await inLock(() => take(fixture, instance, "one"));
    const { snapshots } = fixture.engine;
    await inLock(() => snapshots.rename(lockOf(instance.id), "one", "uno", context()));
    await inLock(() => snapshots.describe(lockOf(instance.id), "uno", "the first", context()));
    await firmware.write(instance.id, "second");
    await restore("uno");
    expect(await firmware.read(instance.id)).to.deep.equal({
      variables: "variables first",
      tpm: "tpm first",
    });
  });

  it("refuses a restore, before it changes anything, while it is missing or damaged", async () => {
    await inLock(() => take(fixture, instance, "one"));
    await firmware.write(instance.id, "second");
    const { folder, activeLayer } = await fixture.layers(instance);
    const [name = ""] = await packed();
    await writeFile(join(folder, name), "rubbish");
    expect(await codeOf(restore("one"))).to.equal("RECORDS_DIFFER");
    await rm(join(folder, name));
    expect(await codeOf(restore("one"))).to.equal("RECORDS_DIFFER");
    expect((await fixture.layers(instance)).activeLayer).to.equal(activeLayer);
    expect(await firmware.read(instance.id)).to.deep.equal({
      variables: "variables second",
      tpm: "tpm second",
    });
  });

  it("stays as it is, and that is said, when a snapshot of another tool is restored", async () => {
    await virsh("snapshot-create-as", foreign.name, "theirs", "--disk-only");
    await firmware.write(instance.id, "second");
    const warnings: string[] = [];
    await restore("theirs", { ...context(), warn: (message) => warnings.push(message) });
    expect(await firmware.read(instance.id)).to.deep.equal({
      variables: "variables second",
      tpm: "tpm second",
    });
    expect(warnings.join()).to.contain("does not have the state of the firmware");
  });

  it("goes into a clone, which keeps it in a folder of its own and takes it along", async () => {
    const spec = cloneSpec(instance);
    const copy = await inLock(async () => {
      if (fixture.engine.instances.clone === undefined) {
        throw new Error("libvirt clones");
      }
      return fixture.engine.instances.clone(lockOf(instance.id), spec, context());
    });
    const { folder } = await fixture.layers(copy);
    const own = join(folder, "variables.fd");
    expect(await readOr(own)).to.equal("variables first");
    expect((await rightsOf(own)).slice(0, 3)).to.equal("600");
    expect(await readTpmState(copy.id)).to.equal("tpm first");
    const xml = await virsh("dumpxml", copy.name);
    expect(xml).to.contain(`<nvram template='/usr/share/OVMF/OVMF_VARS_4M.fd'>${own}</nvram>`);
    await writeFile(own, "its own");
    expect(await readOr(firmware.variables)).to.equal("variables first");
    await locked(fixture, copy);
    {
      await using lock = lockOf(copy.id);
      await fixture.engine.instances.remove(lock, context());
    }
    expect(await readOr(own)).to.equal("");
    expect(await readTpmState(copy.id)).to.equal("");
    expect(await firmware.read(instance.id)).to.deep.equal({
      variables: "variables first",
      tpm: "tpm first",
    });
  });

  it("stays when the domain is released, or removed with all else of strata's", async () => {
    await inLock(() => take(fixture, instance, "one"));
    await inLock(() => dropSnapshot(fixture, instance, "one"));
    await inLock(async () => fixture.engine.adoption?.release(lockOf(instance.id), context()));
    expect(await firmware.read(instance.id)).to.deep.equal({
      variables: "variables first",
      tpm: "tpm first",
    });
    instance = await adopt(foreign.name);
    await locked(fixture, instance);
    {
      await using lock = lockOf(instance.id);
      await fixture.engine.instances.remove(lock, context());
    }
    expect(await firmware.read(instance.id)).to.deep.equal({
      variables: "variables first",
      tpm: "tpm first",
    });
  });

  it("is not read through a link, which a guest that broke out could have put there", async () => {
    await rm(firmware.variables);
    await symlink("/etc/hostname", firmware.variables);
    expect(await codeOf(inLock(() => take(fixture, instance, "one")))).to.equal("ENGINE_ERROR");
    expect(await packed()).to.deep.equal([]);
  });

  for (const [how, named] of [
    ["that its definition names", (path: string) => `<nvram>${path}</nvram>`],
    ["that libvirt names after it", () => ""],
  ] as const) {
    it(`follows a rename of the instance where it is in the file ${how}`, async () => {
      const path = (name: string) => `/var/lib/libvirt/qemu/nvram/${name}_VARS.fd`;
      const xml = await virsh("dumpxml", "--inactive", foreign.name);
      const changed = xml.replace(/<loader.*<\/nvram>/s, named(path(foreign.name)));
      await fixture.connection.defineDomain(
        how.startsWith("that its")
          ? changed.replace(
              "<boot",
              "<loader readonly='yes' type='pflash'>/usr/share/OVMF/OVMF_CODE_4M.fd</loader><boot",
            )
          : changed.replace("<os>", "<os firmware='efi'>"),
      );
      await writeFile(path(foreign.name), "named after it");
      const to = `${foreign.name}-new`;
      await inLock(async () => fixture.engine.instances.rename?.(lockOf(instance.id), to, context()));
      instance = { ...instance, name: to };
      expect(await readOr(path(to))).to.equal("named after it");
      expect(await readOr(path(foreign.name))).to.equal("");
      expect(await virsh("dumpxml", to)).not.to.contain(path(foreign.name));
      await rm(path(to));
    });
  }

  it("keeps a domain out that shares its variables with another, and says with which", async () => {
    await using second = await foreignDomain(fixture.connection, fixture.folder, firmware);
    const found = (await fixture.engine.adoption?.candidates()) ?? [];
    const { obstacle } = found.find(({ name }) => name === second.name) ?? {};
    expect(obstacle).to.contain(firmware.variables).and.to.contain(foreign.name);
  });
});
