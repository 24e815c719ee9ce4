import { chmod, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect } from "chai";
import { context, lockOf, take } from "../../../lib/engine/conformance/fixture.ts";
import type { Instance } from "../../../lib/engine/contract.ts";
import { asStrataError } from "../../../lib/errors.ts";
import { codeOf, type LibvirtFixture, libvirtFixture, whileLocked } from "../../support/libvirt/fixture.ts";
import { type ForeignDomain, foreignDomain, foreignRecord } from "../../support/libvirt/foreign-domain.ts";
import { virsh } from "../../support/libvirt/virsh.ts";

describe("what is in the drives of a domain", () => {
  let fixture: LibvirtFixture;
  let foreign: ForeignDomain;
  let instance: Instance;
  let iso: string;
  before(async () => {
    fixture = await libvirtFixture();
    // For QEMU, which runs as another user.
    await chmod(fixture.folder, 0o755);
  });
  after(() => fixture[Symbol.asyncDispose]());
  beforeEach(async () => {
    iso = join(fixture.folder, "it's an installer.iso");
    await writeFile(iso, Buffer.alloc(1024 * 1024));
  });
  afterEach(async () => {
    await engine().instances.cut?.(instance.id, context());
    const { folder } = await fixture.layers(instance);
    await foreign[Symbol.asyncDispose]();
    await rm(folder, { recursive: true, force: true });
  });

  const engine = () => fixture.engine;
  const inLock = <T>(work: () => Promise<T>): Promise<T> => whileLocked(fixture, instance, work);
  const xml = () => virsh("dumpxml", foreign.name);
  const eject = (drive?: string) =>
    inLock(async () => engine().instances.eject?.(lockOf(instance.id), drive, context()));
  const start = () => inLock(() => engine().instances.start(lockOf(instance.id), context()));

  /** Adopts a domain whose second CD drive, sdc, has the medium; the first, sda, is empty. */
  async function adopt(policy = ""): Promise<void> {
    const { adoption } = engine();
    const path = iso.replaceAll("'", "&apos;");
    const devices = `<disk type='file' device='cdrom'><driver name='qemu' type='raw'/><source file='${path}'${policy}/><target dev='sdc' bus='sata'/><readonly/></disk>`;
    foreign = await foreignDomain(fixture.connection, fixture.folder, { devices });
    if (adoption === undefined) {
      throw new Error("libvirt adopts");
    }
    instance = await adoption.adopt(foreign.name, foreignRecord(), context());
  }

  it("is named when it is gone, with what takes it out, at a restore and at a start", async () => {
    await adopt();
    await inLock(() => take(fixture, instance, "one"));
    await rm(iso);
    await eject();
    const warnings: string[] = [];
    const hear = { ...context(), warn: (message: string) => warnings.push(message) };
    await inLock(() => engine().snapshots.restore(lockOf(instance.id), "one", hear));
    expect(warnings.join()).to.contain(iso).and.to.contain(`strata disk eject ${foreign.name} sdc`);
    const refusal = await start().then(() => undefined, asStrataError);
    expect(refusal?.code).to.equal("MEDIUM_MISSING");
    expect(refusal?.message).to.contain(iso);
    expect(refusal?.hint).to.contain(`strata disk eject ${foreign.name} sdc`);
    expect(await eject("sdc")).to.equal("sdc");
    await start();
  });

  it("keeps nobody from a start where the definition says that it is optional", async () => {
    await adopt(" startupPolicy='optional'");
    await rm(iso);
    await start();
  });

  it("is taken out of a running guest as well, for this and the next boot", async () => {
    await adopt();
    await start();
    expect(await eject()).to.equal("sdc");
    expect(await xml()).not.to.contain("installer.iso");
    await engine().instances.cut?.(instance.id, context());
    expect(await xml()).not.to.contain("installer.iso");
  });

  it("is looked for in drives that are there", async () => {
    await adopt();
    expect(await codeOf(eject("vda"))).to.equal("INVALID_VALUE");
    expect(await eject("sda"), "an empty one").to.equal("sda");
    await eject("sdc");
    expect(await codeOf(eject())).to.equal("INVALID_VALUE");
  });
});
