import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { expect } from "chai";
import { openStrata } from "../../lib/core/session/open.ts";
import { context, lockOf } from "../../lib/engine/conformance/fixture.ts";
import { codeOf, whileLocked } from "../support/libvirt/fixture.ts";
import { type Actors, openActors } from "./process.ts";
import { MIB, perform } from "./verb.ts";
import { INSTANCE, openWorld, type State, type World } from "./world.ts";

const on = INSTANCE;

/** A guest without a system: it runs, and does nothing that it is asked for. */
describe("QEMU is killed", () => {
  let world: World;
  let actors: Actors;
  let untouched: State;
  before(async () => {
    world = await openWorld();
    actors = await openActors(world.settings);
    untouched = await world.observe();
  });
  after(async () => {
    await actors[Symbol.asyncDispose]();
    await world[Symbol.asyncDispose]();
  });
  beforeEach(() => perform(world.fixture.engine, { kind: "start", on }));
  afterEach(() => world.reset());

  async function signal(name: NodeJS.Signals): Promise<void> {
    const pid = await readFile(join(world.daemon.folder, "run", "qemu", `${on}.pid`), "utf8");
    process.kill(Number(pid), name);
  }

  async function killed(): Promise<void> {
    const domain = await world.fixture.connection.lookupDomainByName(on);
    const abort = new AbortController();
    const events = await world.fixture.connection.domainEvents("lifecycle", { domain, signal: abort.signal });
    await signal("SIGKILL");
    for await (const event of events) {
      if (event.kind === "lifecycle" && event.event === 5) {
        break;
      }
    }
    abort.abort();
  }

  /** Stopped, with everything as it was, and as good as ever. */
  async function expectWell(): Promise<void> {
    const { engine } = world.fixture;
    expect((await engine.instances.find(on))?.state).to.equal("stopped");
    expect(await world.observe()).to.deep.equal(untouched);
    expect(await engine.maintenance?.audit()).to.deep.equal([]);
    await perform(engine, { kind: "take", on, name: "afterwards", createdAt: 1_700_000_300_000 });
    await perform(engine, { kind: "restore", on, name: "c" });
    await perform(engine, { kind: "start", on });
    expect((await engine.instances.find(on))?.state).to.equal("running");
  }

  it("while its memory is saved: the suspension fails, the instance is stopped", async () => {
    await signal("SIGSTOP");
    const end = await actors.run(
      { kind: "suspend", on },
      { kind: "ask", at: "middle domain_managed_save" },
      () => signal("SIGKILL"),
    );
    expect(end).to.have.nested.property("error.code", "ENGINE_ERROR");
    await world.next();
    await expectWell();
  });

  it("while its shutdown is waited for: that was what was wanted", async () => {
    const instance = await world.fixture.engine.instances.find(on);
    if (instance === null) {
      throw new Error("it is gone");
    }
    await whileLocked(world.fixture, instance, async () => {
      const stopped = world.fixture.engine.instances.stop(lockOf(instance.id), { grace: 60_000 }, context());
      await signal("SIGKILL");
      await stopped;
    });
    await expectWell();
  });

  it("right after it was started", async () => {
    await killed();
    const end = await actors.run(
      { kind: "start", on },
      { kind: "ask", at: "after domain_create_with_flags" },
      killed,
    );
    expect(end).not.to.have.property("error");
    await expectWell();
  });

  it("between a snapshot or a resize that was refused because it ran, and the next try", async () => {
    const { engine } = world.fixture;
    const take = { kind: "take", on, name: "new", createdAt: 1_700_000_200_000 } as const;
    const resize = { kind: "resize", on, cpus: 2, mebibytes: 20 } as const;
    for (const verb of [take, resize]) {
      expect(await codeOf(perform(engine, verb))).to.equal("WRONG_STATE");
    }
    await killed();
    expect(await world.observe()).to.deep.equal(untouched);
    for (const verb of [take, resize]) {
      await perform(engine, verb);
    }
    const now = await engine.instances.find(on);
    expect(now?.resources).to.include({ cpus: 2, disk: 20n * MIB });
    await expectEach(["new"]);
  });

  it("while layers wait for it to be merged: they are merged afterwards", async () => {
    const { engine } = world.fixture;
    await perform(engine, { kind: "delete", on, name: "m2" });
    await killed();
    const findings = (await engine.maintenance?.audit()) ?? [];
    expect(findings.map(({ kind }) => kind)).to.deep.equal(["layer-unmerged"]);
    await perform(engine, { kind: "take", on, name: "new", createdAt: 1_700_000_200_000 });
    for (const finding of (await engine.maintenance?.audit()) ?? []) {
      await engine.maintenance?.repair(finding, context());
    }
    expect(await engine.maintenance?.audit()).to.deep.equal([]);
    await expectEach(["new"], ["m2"]);
  });

  it("while a delayed shutdown is to come: it is told as stopped, and starts without one", async () => {
    const { engine } = world.fixture;
    const instance = await engine.instances.find(on);
    if (instance === null) {
      throw new Error("it is gone");
    }
    await whileLocked(world.fixture, instance, () =>
      engine.instances.annotate(lockOf(instance.id), { shutdownAt: Date.now() + 3_600_000 }),
    );
    await using strata = await openStrata({ driver: "libvirt", engine });
    const state = async () => (await strata.instances.list()).find(({ name }) => name === on)?.state;
    expect(await state()).to.equal("Delayed Shutdown");
    await killed();
    expect(await state()).to.equal("Stopped");
  });

  /** Snapshots are as they were, with others beside them or without some. */
  async function expectEach(more: readonly string[], without: readonly string[] = []): Promise<void> {
    const known = ([state]: State) => new Map(state?.snapshots.map(({ name, contents }) => [name, contents]));
    const [was, is] = [known(untouched), known(await world.observe())];
    for (const name of more) {
      expect(is.get(name)).to.equal(untouched[0]?.contents);
    }
    for (const name of more) {
      is.delete(name);
    }
    for (const name of without) {
      was.delete(name);
    }
    expect([...is].sort()).to.deep.equal([...was].sort());
  }
});
