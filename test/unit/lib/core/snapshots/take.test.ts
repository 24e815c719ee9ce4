import { PassThrough, Readable } from "node:stream";
import { expect } from "chai";
import type { Strata, TakeOptions } from "../../../../../lib/core/api/strata.ts";
import { openStrata } from "../../../../../lib/core/session/open.ts";
import type { Engine, ExecSession } from "../../../../../lib/engine/contract.ts";
import { failure, isStrataError } from "../../../../../lib/errors.ts";
import { memoryEngine } from "../../../../../plugins/memory/index.ts";
import { restingEngine } from "../../../../support/resting.ts";

async function open(engine: Engine = memoryEngine()): Promise<Strata> {
  const strata = await openStrata({ driver: "memory", engine });
  await strata.instances.launch({ image: "any", name: "web" });
  return strata;
}

async function refusal(work: Promise<unknown>): Promise<string> {
  return work.then(
    () => "it was done",
    (error: unknown) => (isStrataError(error) ? `${error.code}: ${error.message}` : String(error)),
  );
}

async function stateOf(strata: Strata): Promise<string | undefined> {
  return (await strata.instances.list()).find(({ name }) => name === "web")?.state;
}

async function labels(strata: Strata): Promise<string[]> {
  const { snapshots } = await strata.snapshots.tree("web");
  return snapshots.map(({ name, consistency }) => `${name} ${consistency}`);
}

describe("a snapshot of a running instance", () => {
  it("is labelled with what its contents agree with, and the instance goes on", async () => {
    await using strata = await open();
    await strata.snapshots.take("web");
    await strata.snapshots.take("web", { consistency: "crash" });
    await strata.snapshots.take("web", { consistency: "files" });
    await strata.snapshots.take("web", { consistency: "memory" });
    expect(await stateOf(strata)).to.equal("Running");
    await strata.instances.stop("web");
    await strata.snapshots.take("web");
    expect(await labels(strata)).to.deep.equal([
      "snapshot1 crash",
      "snapshot2 crash",
      "snapshot3 files",
      "snapshot4 memory",
      "snapshot5 stopped",
    ]);
  });

  it("is refused with the engine's reason where the engine takes none", async () => {
    await using strata = await open(restingEngine());
    expect(await refusal(strata.snapshots.take("web"))).to.equal(
      'WRONG_STATE: Only stopped instances can be snapshotted (its disks are of stone): "web" is Running',
    );
    for (const consistency of ["crash", "files", "memory"] as const) {
      expect(await refusal(strata.snapshots.take("web", { consistency }))).to.contain("UNSUPPORTED");
    }
    expect(await labels(strata)).to.deep.equal([]);
  });

  it("is refused where it was to be of a stopped one, and the other way round", async () => {
    await using strata = await open();
    expect(await refusal(strata.snapshots.take("web", { consistency: "stopped" }))).to.contain("WRONG_STATE");
    await strata.instances.stop("web");
    for (const [consistency, reason] of [
      ["files", "has file systems to freeze"],
      ["memory", "has memory to save"],
    ] as const) {
      expect(await refusal(strata.snapshots.take("web", { consistency }))).to.equal(
        `WRONG_STATE: Only a running instance ${reason}: "web" is Stopped`,
      );
    }
    expect(await labels(strata)).to.deep.equal([]);
  });

  it("is not taken of a suspended one", async () => {
    await using strata = await open();
    await strata.instances.suspend("web");
    const every: TakeOptions[] = [{}, { stop: true }, { consistency: "files" }, { consistency: "memory" }];
    for (const options of every) {
      expect(await refusal(strata.snapshots.take("web", options))).to.contain("INSTANCE_SUSPENDED");
    }
  });

  it("is not taken with the memory of a guest that is about to shut down, as it would again", async () => {
    await using strata = await open();
    await strata.instances.stop("web", { after: 600_000 });
    expect(await refusal(strata.snapshots.take("web", { consistency: "memory" }))).to.equal(
      'WRONG_STATE: A scheduled shutdown would come back with the memory: "web" is Delayed Shutdown',
    );
    await strata.snapshots.take("web");
    expect(await labels(strata)).to.deep.equal(["snapshot1 crash"]);
  });

  it("is not taken without an agent where the file systems were to be frozen", async () => {
    const memory = memoryEngine();
    await using strata = await open(memory);
    const [web] = await memory.world.all();
    if (web === undefined) {
      throw new Error("there is no web");
    }
    await memory.world.put({ ...web, contents: { "/etc/no-agent": "" } });
    expect(await refusal(strata.snapshots.take("web", { consistency: "files" }))).to.contain("AGENT_MISSING");
    expect(await labels(strata)).to.deep.equal([]);
  });
});

describe("a snapshot with memory", () => {
  /** An engine whose guest has a mount; `busy` keeps it from being taken away. Both are told to `heard`. */
  function mounted(heard: string[], guest: { busy: boolean; full?: boolean }): Engine {
    const engine = memoryEngine();
    const session = (complaint: string): ExecSession => ({
      stdin: new PassThrough(),
      stdout: Readable.from([]),
      stderr: Readable.from([complaint]),
      resize() {},
      exit: Promise.resolve({ code: complaint === "" ? 0 : 32 }),
    });
    return {
      ...engine,
      snapshots: {
        ...engine.snapshots,
        async take(...args) {
          heard.push("take");
          if (guest.full === true) {
            throw failure("NO_SPACE", { where: "the pool" });
          }
          await engine.snapshots.take(...args);
        },
      },
      guest: {
        via: "engine",
        ready: async () => {},
        exec: async (_, argv) => {
          const verb = argv.includes("umount") ? "umount" : "mount";
          heard.push(verb);
          return session(verb === "umount" && guest.busy ? "umount: /a: target is busy." : "");
        },
      },
      mounts: {
        attach: async () => "applied",
        detach: async () => "applied",
        inside: async () => [{ target: "/a", source: "strata-1", filesystem: "9p", options: "" }],
      },
    };
  }

  async function taken(guest: { busy: boolean; full?: boolean }, options: TakeOptions) {
    const heard: string[] = [];
    await using strata = await openStrata({ driver: "memory", engine: mounted(heard, guest) });
    await strata.instances.launch({
      image: "any",
      name: "web",
      mounts: [{ source: "/usr", target: "/a" }],
    });
    heard.length = 0;
    const outcome = await refusal(strata.snapshots.take("web", options));
    return { outcome, heard, labels: await labels(strata) };
  }

  it("has the mounts out of the guest meanwhile, and in it afterwards", async () => {
    const { heard, labels: found } = await taken({ busy: false }, { consistency: "memory" });
    expect(heard).to.deep.equal(["umount", "take", "mount"]);
    expect(found).to.deep.equal(["snapshot1 memory"]);
  });

  it("has them in it afterwards also where it could not be taken", async () => {
    const { heard, outcome } = await taken({ busy: false, full: true }, { consistency: "memory" });
    expect(heard).to.deep.equal(["umount", "take", "mount"]);
    expect(outcome).to.contain("NO_SPACE");
  });

  it("is refused while a mount is in use, before anything is taken", async () => {
    const { heard, outcome, labels: found } = await taken({ busy: true }, { consistency: "memory" });
    expect(outcome).to.contain("MOUNT_BUSY");
    expect(heard).not.to.contain("take");
    expect(found).to.deep.equal([]);
  });

  it("is the only one for which mounts are touched", async () => {
    expect((await taken({ busy: true }, { consistency: "files" })).heard).to.deep.equal(["take"]);
  });
});

describe("a snapshot with a stop", () => {
  it("is one of a stopped instance, which runs again afterwards", async () => {
    await using strata = await open();
    await strata.snapshots.take("web", { stop: true, name: "clean" });
    expect(await labels(strata)).to.deep.equal(["clean stopped"]);
    expect(await stateOf(strata)).to.equal("Running");
  });

  it("leaves the instance running also where it cannot be taken", async () => {
    const engine = memoryEngine();
    const take = async () => {
      throw failure("NO_SPACE", { where: "the pool" });
    };
    await using strata = await open({ ...engine, snapshots: { ...engine.snapshots, take } });
    expect(await refusal(strata.snapshots.take("web", { stop: true }))).to.contain("NO_SPACE");
    expect(await stateOf(strata)).to.equal("Running");
  });

  it("is refused before anything is stopped where its name is taken", async () => {
    const engine = memoryEngine();
    let stops = 0;
    const stop: Engine["instances"]["stop"] = async (...args) => {
      stops += 1;
      await engine.instances.stop(...args);
    };
    await using strata = await open({ ...engine, instances: { ...engine.instances, stop } });
    await strata.snapshots.take("web", { name: "clean" });
    expect(await refusal(strata.snapshots.take("web", { stop: true, name: "clean" }))).to.contain(
      "SNAPSHOT_EXISTS",
    );
    expect(stops).to.equal(0);
  });

  it("starts the instance again also where it is called off while it is stopped", async () => {
    const engine = memoryEngine();
    const abort = new AbortController();
    const calledOff: Engine = {
      ...engine,
      snapshots: {
        ...engine.snapshots,
        async take() {
          abort.abort();
          throw failure("CANCELLED");
        },
      },
    };
    await using strata = await open(calledOff);
    const { signal } = abort;
    expect(await refusal(strata.snapshots.take("web", { stop: true, signal }))).to.contain("CANCELLED");
    expect(await stateOf(strata), "nothing waits for its guest").to.equal("Starting");
  });

  it("does not start what was stopped", async () => {
    await using strata = await open();
    await strata.instances.stop("web");
    await strata.snapshots.take("web", { stop: true });
    expect(await stateOf(strata)).to.equal("Stopped");
  });

  it("works with an engine that takes only those of stopped instances", async () => {
    await using strata = await open(restingEngine());
    await strata.snapshots.take("web", { stop: true });
    expect(await labels(strata)).to.deep.equal(["snapshot1 stopped"]);
    expect(await stateOf(strata)).to.equal("Running");
  });

  it("cannot have the consistency of a running one", async () => {
    await using strata = await open();
    for (const consistency of ["crash", "files", "memory"] as const) {
      expect(await refusal(strata.snapshots.take("web", { stop: true, consistency }))).to.contain("USAGE");
    }
    expect(await stateOf(strata)).to.equal("Running");
  });
});
