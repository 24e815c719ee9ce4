import { mkdir, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { execa } from "execa";
import { context, lockOf, newSpec } from "../../../lib/engine/conformance/fixture.ts";
import { clearLeftovers } from "../../support/leftovers.ts";
import { type LibvirtFixture, libvirtFixture, whileLocked } from "../../support/libvirt/fixture.ts";
import { foreignDomain } from "../../support/libvirt/foreign-domain.ts";

/** The number of a process that has ended. */
async function deadPid(): Promise<number> {
  const ended = execa("true");
  await ended;
  return ended.pid ?? 0;
}

describe("what tests that were killed have left", () => {
  let fixture: LibvirtFixture;
  before(async () => {
    fixture = await libvirtFixture();
  });
  after(() => fixture[Symbol.asyncDispose]());

  it("is taken away by the next run, and nothing of those that live or of a user", async () => {
    const { engine, connection } = fixture;
    const { instances } = engine;
    const dead = await deadPid();
    const create = (name: string) => instances.create(newSpec(fixture, { name }), context());
    const left = [`conf-${dead}-00000000a`, `strata-test-verbs-${dead}-clone1`, `bench-launch-${dead}-1`];
    const others = [`conf-${process.pid}-00000000a`, `conf-${dead}`, `verbs-${dead}`, `bench-${dead}`];
    for (const name of left) {
      await create(name);
    }
    const kept = await Promise.all(others.map(create));
    await using living = await foreignDomain(connection, fixture.folder);
    await using orphan = await foreignDomain(connection, fixture.folder, { owner: dead });
    const folder = join(tmpdir(), `strata-test-${dead}-abcdef`);
    await mkdir(folder);
    await writeFile(join(folder, "image.qcow2"), "");
    try {
      await clearLeftovers("again");
      const names = (await connection.listDomains()).map(({ name }) => name);
      expect(names).to.include.members([...others, living.name]);
      expect(names).not.to.include.oneOf([...left, orphan.name]);
      expect(await stat(folder).catch(() => null)).to.equal(null);
      expect((await stat(fixture.folder)).isDirectory()).to.equal(true);
    } finally {
      for (const instance of kept) {
        await whileLocked(fixture, instance, () => instances.remove(lockOf(instance.id), context()));
      }
    }
  });
});
