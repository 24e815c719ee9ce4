import { expect } from "chai";
import { context, lockOf, newSpec, take } from "../../../lib/engine/conformance/fixture.ts";
import type { Instance, SnapshotTree } from "../../../lib/engine/contract.ts";
import { failure } from "../../../lib/errors.ts";
import { Connection } from "../../../plugins/libvirt/rpc/index.ts";
import { exists } from "../../../plugins/libvirt/storage/pool.ts";
import { codeOf, type LibvirtFixture, libvirtFixture, whileLocked } from "../../support/libvirt/fixture.ts";
import { type PrivateDaemon, privateDaemon } from "../../support/libvirt/private-daemon.ts";

/** Calls that change what libvirt keeps. */
const CHANGES: readonly string[] = [
  "domain_rename",
  "domain_snapshot_delete",
  "domain_snapshot_create_xml",
  "domain_set_metadata",
];

/**
 * Has libvirt be gone from the nth change on, before it or right after it, as it is for a process that dies there:
 * nothing of what a failed operation puts right can happen.
 */
function dieAt(step: number, when: "before" | "after"): Disposable & { readonly struck: boolean } {
  const { call } = Connection.prototype;
  let changes = 0;
  let struck = false;
  const gone = () => failure("ENGINE_LOST", { engine: "libvirt", reason: "it was to die here" });
  Connection.prototype.call = async function (this: Connection, ...args: Parameters<typeof call>) {
    if (struck) {
      throw gone();
    }
    changes += CHANGES.includes(args[0]) ? 1 : 0;
    if (changes < step) {
      return call.apply(this, args);
    }
    struck = true;
    if (when === "after") {
      await call.apply(this, args);
    }
    throw gone();
  } as typeof call;
  return {
    get struck() {
      return struck;
    },
    [Symbol.dispose]() {
      Connection.prototype.call = call;
    },
  };
}

describe("an instance that is renamed", () => {
  let daemon: PrivateDaemon;
  let fixture: LibvirtFixture;
  before(async () => {
    daemon = await privateDaemon();
    fixture = await libvirtFixture({ uri: daemon.uri });
  });
  after(async () => {
    await fixture?.[Symbol.asyncDispose]();
    await daemon?.[Symbol.asyncDispose]();
  });

  /** An instance with a tree of two branches, and something written since. */
  async function grown(): Promise<Instance> {
    const instance = await fixture.engine.instances.create(newSpec(fixture), context());
    await whileLocked(fixture, instance, async () => {
      await fixture.write(instance, 1);
      await take(fixture, instance, "root", { comment: "with a comment" });
      await fixture.write(instance, 2);
      await take(fixture, instance, "left");
      await fixture.engine.snapshots.restore(lockOf(instance.id), "root", context());
      await fixture.write(instance, 3);
      await take(fixture, instance, "right");
      await fixture.write(instance, 4);
    });
    return instance;
  }
  const seen = async (instance: Instance): Promise<{ tree: SnapshotTree; contents: string }> => ({
    tree: await fixture.engine.snapshots.tree(instance.id),
    contents: await fixture.read(instance),
  });
  const rename = async (instance: Instance, to: string) =>
    whileLocked(fixture, instance, async () =>
      fixture.engine.instances.rename?.(lockOf(instance.id), to, context()),
    );
  const remove = async (instance: Instance) =>
    whileLocked(fixture, instance, () => fixture.engine.instances.remove(lockOf(instance.id), context()));
  const named = async (...names: string[]) => {
    const found = await Promise.all(names.map((name) => fixture.engine.instances.find(name)));
    return found.filter((each) => each !== null);
  };

  it("has its domain and the domains in its snapshots' records under the new name", async () => {
    const instance = await grown();
    const before = await seen(instance);
    const to = newSpec(fixture).name;
    await rename(instance, to);
    const domain = await fixture.connection.lookupDomainByName(to);
    expect(domain.uuid).to.equal(instance.id);
    for (const snapshot of await domain.listSnapshots()) {
      const names = [...(await snapshot.getXml()).matchAll(/<domain [^>]*>\s*<name>([^<]*)</g)];
      expect(
        names.map(([, name]) => name),
        snapshot.name,
      ).to.deep.equal([to]);
    }
    expect((await domain.currentSnapshot())?.name).to.equal("right");
    expect(await seen(instance)).to.deep.equal(before);
    await fixture.audit?.({ ...instance, name: to });
    expect(await fixture.engine.maintenance?.audit()).to.deep.equal([]);
    await remove({ ...instance, name: to });
  });

  for (const when of ["before", "after"] as const) {
    it(`has one of its names and all that it had, if strata dies right ${when} any step`, async () => {
      let step = 1;
      for (let struck = true; struck; step++) {
        const instance = await grown();
        const before = await seen(instance);
        const to = newSpec(fixture).name;
        {
          using death = dieAt(step, when);
          await rename(instance, to).catch(() => undefined);
          struck = death.struck;
        }
        const [left, ...others] = await named(instance.name, to);
        expect(others).to.deep.equal([]);
        expect(left?.id, `step ${step}`).to.equal(instance.id);
        // The next lock finishes what was begun.
        const finished = { ...instance, name: left?.name ?? "" };
        await whileLocked(fixture, finished, async () => {});
        const after = (await named(instance.name, to))[0];
        expect(after?.name, `step ${step}`).to.equal(to);
        expect(await seen(instance), `step ${step}`).to.deep.equal(before);
        const { folder } = await fixture.layers(instance);
        expect(await exists(`${folder}/journal.json`)).to.equal(false);
        const renamed = { ...instance, name: to };
        await fixture.audit?.(renamed);
        expect(await fixture.engine.maintenance?.audit(), `step ${step}`).to.deep.equal([]);
        await remove(renamed);
      }
      // Three snapshots that go, the rename, and three that come back, at least.
      expect(step).to.be.above(7);
    });
  }

  it("keeps its name and its snapshots where another hand takes the new one at the last moment", async () => {
    const instance = await grown();
    const before = await seen(instance);
    const to = newSpec(fixture).name;
    const { call } = Connection.prototype;
    Connection.prototype.call = async function (this: Connection, ...args: Parameters<typeof call>) {
      if (args[0] === "domain_rename") {
        Connection.prototype.call = call;
        const xml = `<domain type="qemu"><name>${to}</name><memory>65536</memory><os><type>hvm</type></os></domain>`;
        await fixture.connection.defineDomain(xml);
      }
      return call.apply(this, args);
    } as typeof call;
    try {
      expect(await codeOf(rename(instance, to))).to.equal("INSTANCE_EXISTS");
    } finally {
      Connection.prototype.call = call;
      await (await fixture.connection.lookupDomainByName(to)).undefine();
    }
    expect((await named(instance.name))[0]?.id).to.equal(instance.id);
    expect(await seen(instance)).to.deep.equal(before);
    await fixture.audit?.(instance);
    await remove(instance);
  });

  it("is refused while a layer of one of its snapshots is missing", async () => {
    const instance = await grown();
    const { rename: move } = await import("node:fs/promises");
    const record = await (await fixture.connection.lookupDomainByUuid(instance.id)).lookupSnapshot("left");
    const frozen = /frozen="([^"]+)"/.exec(await record.getXml())?.[1] ?? "";
    await move(frozen, `${frozen}.away`);
    expect(await codeOf(rename(instance, newSpec(fixture).name))).to.equal("LAYER_MISSING");
    await move(`${frozen}.away`, frozen);
    expect((await seen(instance)).tree.snapshots.map(({ name }) => name)).to.have.members([
      "root",
      "left",
      "right",
    ]);
    await remove(instance);
  });
});
