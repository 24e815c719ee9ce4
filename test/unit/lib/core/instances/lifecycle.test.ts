import { expect } from "chai";
import type { Strata } from "../../../../../lib/core/api/strata.ts";
import { openStrata } from "../../../../../lib/core/session/open.ts";
import { isStrataError } from "../../../../../lib/errors.ts";
import { memoryEngine } from "../../../../../plugins/memory/index.ts";

async function open(): Promise<
  Omit<Strata, "engine"> & { readonly engine: ReturnType<typeof memoryEngine> }
> {
  const engine = memoryEngine();
  const strata = await openStrata({ driver: "memory", engine });
  await strata.instances.launch({ image: "any", name: "web" });
  return { ...strata, engine };
}

async function stateOf(strata: Pick<Strata, "instances">, wanted = "web"): Promise<string | undefined> {
  return (await strata.instances.list()).find(({ name }) => name === wanted)?.state;
}

async function code(work: Promise<unknown>): Promise<string> {
  return work.then(
    () => "nothing was refused",
    (error: unknown) => (isStrataError(error) ? error.code : String(error)),
  );
}

describe("suspending", () => {
  it("keeps an instance from all that would part its memory from its disk, until it is resumed", async () => {
    const strata = await open();
    await strata.instances.stop(["web"]);
    await strata.snapshots.take("web");
    await strata.instances.start(["web"]);
    await strata.instances.suspend(["web"]);
    await strata.instances.suspend(["web"]);
    expect(await stateOf(strata)).to.equal("Suspended");
    for (const refused of [
      () => strata.snapshots.take("web"),
      () => strata.snapshots.restore({ instance: "web", snapshot: "snapshot1" }),
      () => strata.delete([{ instance: "web", snapshot: "snapshot1" }]),
      () => strata.settings.set("local.web.cpus", "2"),
      () => strata.instances.restart(["web"]),
    ]) {
      expect(await code(refused())).to.equal("INSTANCE_SUSPENDED");
    }
    await strata.instances.start(["web"]);
    expect(await stateOf(strata)).to.equal("Running");
  });

  it("is nothing to shut down, which is told and keeps no other instance from it", async () => {
    for (const options of [{}, { after: 60_000 }]) {
      const strata = await open();
      await strata.instances.launch({ image: "any", name: "db" });
      await strata.instances.suspend(["web"]);
      const told: string[] = [];
      await strata.instances.stop(["web", "db"], { ...options, warn: (message) => told.push(message) });
      expect(await stateOf(strata)).to.equal("Suspended");
      expect(await stateOf(strata, "db")).not.to.equal("Running");
      expect(told.join()).to.contain('"web" is Suspended').and.contain("strata stop --force web");
    }
  });

  it("keeps a restart of several from beginning", async () => {
    const strata = await open();
    await strata.instances.launch({ image: "any", name: "db" });
    await strata.instances.stop(["db"]);
    await strata.instances.suspend(["web"]);
    expect(await code(strata.instances.restart(["db", "web"]))).to.equal("INSTANCE_SUSPENDED");
    expect(await stateOf(strata, "db")).to.equal("Stopped");
  });

  it("ends with the memory dropped where the stop is forced", async () => {
    const strata = await open();
    await strata.instances.suspend(["web"]);
    await strata.instances.stop(["web"], { force: true });
    expect(await stateOf(strata)).to.equal("Stopped");
  });

  it("leaves alone what does not run", async () => {
    const strata = await open();
    await strata.instances.stop(["web"]);
    await strata.instances.suspend(["web"]);
    expect(await stateOf(strata)).to.equal("Stopped");
  });
});

describe("a delayed shutdown", () => {
  it("shows, and is over when it is called off, stopped, started or suspended", async () => {
    const strata = await open();
    const endings: readonly [() => Promise<void>, string][] = [
      [() => strata.instances.stop(["web"], { cancel: true }), "Running"],
      [() => strata.instances.start(["web"]), "Running"],
      [() => strata.instances.restart(["web"]), "Running"],
      [() => strata.instances.stop(["web"]), "Stopped"],
      [() => strata.instances.suspend(["web"]), "Suspended"],
    ];
    for (const [end, after] of endings) {
      await strata.instances.start(["web"]);
      await strata.instances.stop(["web"], { after: 60_000 });
      expect(await stateOf(strata)).to.equal("Delayed Shutdown");
      await end();
      expect(await stateOf(strata)).to.equal(after);
      await strata.instances.start(["web"]);
      expect(await stateOf(strata)).to.equal("Running");
    }
  });

  it("leaves commands working, and snapshots like those of any running instance", async () => {
    const strata = await open();
    await strata.instances.stop(["web"], { after: 60_000 });
    const { exit } = await strata.guest.exec("web", ["true"]);
    expect((await exit).code).to.equal(0);
    await strata.snapshots.take("web");
    const [taken] = (await strata.snapshots.tree("web")).snapshots;
    expect(taken?.consistency).to.equal("crash");
    expect(await stateOf(strata)).to.equal("Delayed Shutdown");
  });

  it("is a shutdown at once when there is no time to wait, and nothing where nothing runs", async () => {
    const strata = await open();
    await strata.instances.stop(["web"], { after: 0 });
    expect(await stateOf(strata)).to.equal("Stopped");
    await strata.instances.stop(["web"], { after: 60_000 });
    await strata.instances.stop(["web"], { cancel: true });
    expect(await stateOf(strata)).to.equal("Stopped");
  });

  it("does not show when the guest did not obey", async () => {
    const strata = await open();
    const { guest } = strata.engine;
    if (guest.via !== "engine") {
      throw new Error("the engine runs commands by itself");
    }
    const disobedient = {
      ...strata.engine,
      guest: {
        ...guest,
        exec: (id: string, _: readonly string[], options: object) => guest.exec(id, ["false"], options),
      },
    };
    const other = await openStrata({ driver: "memory", engine: disobedient });
    expect(await code(other.instances.stop(["web"], { after: 60_000 }))).to.equal("PROGRAM_FAILED");
    expect(await stateOf(strata)).to.equal("Running");
  });
});
