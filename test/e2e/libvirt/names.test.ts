import { expect } from "chai";
import { execa } from "execa";
import { asStrataError } from "../../../lib/errors.ts";
import type { Strata } from "../../../lib/index.ts";
import { foreignDomain } from "../../support/libvirt/foreign-domain.ts";
import { stageForAll } from "../../support/libvirt/scene-hooks.ts";
import type { Stage } from "../../support/libvirt/virsh-scene.ts";

/** Domains of others keep their names; strata finds each by its own or by the one that it was adopted under. */
describe("names of adopted domains", () => {
  let stage: Stage;
  let strata: Strata;
  stageForAll((opened) => {
    stage = opened;
    strata = stage.strata;
  });

  /** A domain with a name of that form, and the name. */
  async function named(form: string) {
    const { connection, folder } = stage.fixture;
    const foreign = await foreignDomain(connection, folder);
    const name = `${foreign.name}${form}`;
    await execa("virsh", ["domrename", foreign.name, name]);
    return { name, [Symbol.asyncDispose]: () => foreign[Symbol.asyncDispose]() };
  }

  async function refused(work: Promise<unknown>): Promise<string> {
    return work.then(
      () => "nothing was refused",
      (error: unknown) => asStrataError(error).code,
    );
  }

  const isListed = async (name: string) =>
    (await strata.instances.list()).some((instance) => instance.name === name);

  for (const form of [".example.com", "_default", " 11 (2)", "-büro", "日本"]) {
    it(`with ${JSON.stringify(form)} are used as they are`, async () => {
      await using domain = await named(form);
      const { name } = domain;
      await strata.instances.adopt(name);
      expect(await isListed(name)).to.equal(true);
      const taken = await strata.snapshots.take(name, { name: "clean" });
      expect(`${taken}`).to.equal(`${name}.clean`);
      expect(await strata.resolve(`${taken}`)).to.deep.equal({ instance: name, snapshot: "clean" });
      expect(await strata.resolve(name)).to.deep.equal({ instance: name });
      await strata.snapshots.restore(`${name}.clean`);
      await strata.settings.set(`local.${name}.cpus`, "2");
      expect(await strata.settings.get(`local.${name}.cpus`)).to.equal("2");
      await strata.settings.set(`local.${name}.clean.comment`, "as it was");
      expect(await strata.settings.keys()).to.include(`local.${name}.clean.name`);
      await strata.delete(`${name}.clean`);
      await strata.instances.release(name);
      expect(await isListed(name)).to.equal(false);
    });
  }

  it("mean the longest instance that exists, and no snapshot may hide behind one", async () => {
    await using short = await named("b");
    await using long = await named(".x");
    await execa("virsh", ["domrename", long.name, `${short.name}.clean`]);
    await strata.instances.adopt(short.name);
    await strata.snapshots.take(short.name, { name: "clean" });
    expect(await refused(strata.instances.adopt(`${short.name}.clean`))).to.equal("INVALID_VALUE");
    await strata.delete(`${short.name}.clean`);
    await strata.instances.adopt(`${short.name}.clean`);
    expect(await strata.resolve(`${short.name}.clean`)).to.deep.equal({ instance: `${short.name}.clean` });
    expect(await strata.resolve(`${short.name}.clean.clean`)).to.deep.equal({
      instance: `${short.name}.clean`,
      snapshot: "clean",
    });
    await strata.instances.release(`${short.name}.clean`);
    await strata.instances.release(short.name);
  });

  it("may be strata's alone, while the domain keeps its own", async () => {
    await using domain = await named(" {x}");
    const other = `win-${process.pid}`;
    const found = (await strata.instances.candidates()).find(({ name }) => name === domain.name);
    expect(found?.obstacle).to.contain(`strata adopt '${domain.name}' --name NAME`);
    expect(await refused(strata.instances.adopt(domain.name))).to.equal("INVALID_VALUE");
    expect(await refused(strata.instances.adopt(domain.name, { name: "a.b" }))).to.equal("INVALID_NAME");
    await strata.instances.adopt(domain.name, { name: other });
    expect(await isListed(other)).to.equal(true);
    expect((await execa("virsh", ["domstate", domain.name])).stdout).to.contain("shut off");
    expect(await refused(strata.instances.adopt(domain.name))).to.equal("INVALID_VALUE");
    await using second = await named(".two");
    expect(await refused(strata.instances.adopt(second.name, { name: other }))).to.equal("INSTANCE_EXISTS");
    await strata.snapshots.take(other, { name: "clean" });
    await strata.instances.rename(other, `${other}b`);
    await strata.snapshots.restore(`${other}b.clean`);
    expect(await isListed(`${other}b`)).to.equal(true);
    expect((await execa("virsh", ["domstate", domain.name])).stdout).to.contain("shut off");
    await strata.delete(`${other}b.clean`);
    await strata.instances.release(`${other}b`);
    expect((await execa("virsh", ["dumpxml", domain.name])).stdout).not.to.contain("urn:strata");
  });
});
