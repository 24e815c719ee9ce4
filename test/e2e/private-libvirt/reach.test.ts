import { chmod, chown, mkdir, rm, stat, truncate } from "node:fs/promises";
import { dirname, join } from "node:path";
import { expect } from "chai";
import { execa } from "execa";
import { context, lockOf, newSpec } from "../../../lib/engine/conformance/fixture.ts";
import type { Finding, Instance } from "../../../lib/engine/contract.ts";
import { readHeader } from "../../../plugins/libvirt/qcow2/header.ts";
import { type LibvirtFixture, libvirtFixture, whileLocked } from "../../support/libvirt/fixture.ts";
import { type PrivateDaemon, privateDaemon } from "../../support/libvirt/private-daemon.ts";

/** What is wrong with the pool as a whole, on a pool that is the test's alone. */
describe("what QEMU can reach of the pool", () => {
  let daemon: PrivateDaemon;
  let fixture: LibvirtFixture;
  let instance: Instance;

  before(async () => {
    daemon = await privateDaemon();
    fixture = await libvirtFixture({ uri: daemon.uri });
    instance = await fixture.engine.instances.create(newSpec(fixture), context());
  });
  after(async () => {
    await fixture?.[Symbol.asyncDispose]();
    await daemon?.[Symbol.asyncDispose]();
  });

  const audit = async () => (await fixture.engine.maintenance?.audit()) ?? [];
  const brief = (findings: readonly Finding[]) =>
    findings.map(({ kind, subject, instance: name }) => [kind, subject, name]);

  /** Why a guest cannot be started; "" where it can. */
  async function refusal(): Promise<string> {
    const domain = await fixture.connection.lookupDomainByUuid(instance.id);
    const { stderr, failed } = await execa(
      "virsh",
      ["-c", daemon.uri, "-q", "start", "--paused", instance.name],
      { reject: false },
    );
    if (!failed) {
      await domain.destroy();
    }
    return failed ? stderr : "";
  }

  /** Has doctor find one thing, and put it right. */
  async function repairOnly(): Promise<void> {
    const [finding, ...others] = await audit();
    if (finding?.repair === undefined || others.length > 0) {
      throw new Error("one repair was to be offered");
    }
    expect(await fixture.engine.maintenance?.repair(finding, context())).to.equal(true);
    expect(await audit()).to.deep.equal([]);
    expect(await refusal()).to.equal("");
    expect(await fixture.engine.maintenance?.repair(finding, context())).to.equal(false);
  }

  it("is all of it at first", async () => {
    expect(await audit()).to.deep.equal([]);
    expect(await refusal()).to.equal("");
  });

  it("an instance's folder without its group keeps it from starting, and is given back", async () => {
    const { folder } = await fixture.layers(instance);
    await chown(folder, 0, 0);
    expect(await refusal()).to.match(/[Pp]ermission denied/);
    expect(brief(await audit())).to.deep.equal([["folder-unreachable", folder, instance.name]]);
    await repairOnly();
    expect((await stat(folder)).mode & 0o777).to.equal(0o710);
  });

  it("a folder of the pool that nobody may enter is one finding, whoever needs it", async () => {
    const another = await fixture.engine.instances.create(newSpec(fixture), context());
    for (const name of ["instances", "images"]) {
      const folder = join(daemon.pool, name);
      await chmod(folder, 0o700);
      expect(await refusal()).to.match(/[Pp]ermission denied/);
      const found = await audit();
      expect(brief(found)).to.deep.equal([["folder-unreachable", folder, undefined]]);
      for (const each of [instance, another]) {
        expect(found[0]?.detail).to.contain(`"${each.name}"`);
      }
      await repairOnly();
    }
    await whileLocked(fixture, another, () => fixture.engine.instances.remove(lockOf(another.id), context()));
  });

  it("a folder above the pool is the administrator's: doctor says what would let QEMU in", async () => {
    for (const folder of [daemon.pool, daemon.disk]) {
      const { mode } = await stat(folder);
      await chmod(folder, 0o700);
      try {
        expect(await refusal()).to.match(/[Pp]ermission denied/);
        const [finding, ...others] = await audit();
        expect([finding?.subject, finding?.repair, others.length]).to.deep.equal([folder, undefined, 0]);
        const [, fix = ""] = /`(.*)`/.exec(finding?.detail ?? "") ?? [];
        const [program = "", ...args] = fix.split(" ");
        await execa(program, args);
        expect(await audit()).to.deep.equal([]);
        expect(await refusal()).to.equal("");
      } finally {
        await chmod(folder, mode & 0o7777);
      }
    }
  });

  it("QEMU's user comes with all the groups that libvirt gives it", async () => {
    const { stdout } = await execa("id", ["-G", "libvirt-qemu"]);
    const { folder } = await fixture.layers(instance);
    const { gid } = await stat(folder);
    try {
      for (const group of stdout.split(" ").map(Number)) {
        await chown(folder, 0, group);
        expect(await audit(), String(group)).to.deep.equal([]);
        expect(await refusal(), String(group)).to.equal("");
      }
    } finally {
      await chown(folder, 0, gid);
    }
  });

  it("a base image elsewhere is looked for where it is", async () => {
    const { activeLayer } = await fixture.layers(instance);
    const { backing } = await readHeader(activeLayer);
    if (backing === null) {
      throw new Error("no base image");
    }
    const elsewhere = join(daemon.disk, "else where");
    await mkdir(elsewhere, { mode: 0o700 });
    const base = join(elsewhere, "base.qcow2");
    await execa("cp", [backing, base]);
    await execa("qemu-img", ["rebase", "-u", "-f", "qcow2", "-b", base, "-F", "qcow2", activeLayer]);
    try {
      expect(await refusal()).to.match(/[Pp]ermission denied/);
      const found = (await audit()).filter(({ kind }) => kind === "folder-unreachable");
      expect(found.map(({ subject }) => subject)).to.deep.equal([elsewhere]);
      expect(found[0]?.detail).to.contain(`\`chmod o+x '${elsewhere}'\``);
    } finally {
      await execa("qemu-img", ["rebase", "-u", "-f", "qcow2", "-b", backing, "-F", "qcow2", activeLayer]);
      await rm(elsewhere, { recursive: true });
    }
  });

  it("a base image that was cut off is found for whoever stands on it", async () => {
    const { activeLayer } = await fixture.layers(instance);
    const { backing } = await readHeader(activeLayer);
    if (backing === null) {
      throw new Error("no base image");
    }
    const { size } = await stat(backing);
    await execa("cp", [backing, `${dirname(daemon.pool)}/base`]);
    await truncate(backing, size - 65536);
    try {
      expect(brief(await audit())).to.deep.equal([["layer-truncated", backing, instance.name]]);
    } finally {
      await execa("cp", [`${dirname(daemon.pool)}/base`, backing]);
    }
  });
});
