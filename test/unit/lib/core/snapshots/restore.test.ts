import { text } from "node:stream/consumers";
import { expect } from "chai";
import type { Strata, StrataEvent } from "../../../../../lib/core/api/strata.ts";
import { openStrata } from "../../../../../lib/core/session/open.ts";
import type { Engine } from "../../../../../lib/engine/contract.ts";
import { failure, isStrataError } from "../../../../../lib/errors.ts";
import { type MemoryEngine, memoryEngine } from "../../../../../plugins/memory/index.ts";
import { restingEngine } from "../../../../support/resting.ts";

const NOTE = "note";
const IN_MEMORY = "/dev/shm/note";

async function open(engine: Engine = memoryEngine()): Promise<Strata> {
  const strata = await openStrata({ driver: "memory", engine });
  await strata.instances.launch({ image: "any", name: "web" });
  return strata;
}

async function write(strata: Strata, file: string, contents: string): Promise<void> {
  const running = await strata.guest.exec("web", ["tee", file]);
  running.stdin.end(contents);
  running.stdout.resume();
  await running.exit;
}

/** "" where there is no such file. */
async function read(strata: Strata, file: string): Promise<string> {
  const running = await strata.guest.exec("web", ["cat", file]);
  running.stdin.end();
  running.stderr.resume();
  const found = await text(running.stdout);
  await running.exit;
  return found;
}

async function stateOf(strata: Strata): Promise<string | undefined> {
  return (await strata.instances.list()).find(({ name }) => name === "web")?.state;
}

async function refusal(work: Promise<unknown>): Promise<string> {
  return work.then(
    () => "it was done",
    (error: unknown) => (isStrataError(error) ? `${error.code}: ${error.message}` : String(error)),
  );
}

/** A running instance with a snapshot "old", at which the note was "old"; it is "new" now. */
async function changed(engine?: Engine): Promise<Strata> {
  const strata = await open(engine);
  await write(strata, NOTE, "old");
  await strata.snapshots.take("web", { name: "old", stop: true });
  await write(strata, NOTE, "new");
  return strata;
}

/** The same where the snapshot has the memory too, and files in it. */
async function changedWithMemory(engine?: Engine): Promise<Strata> {
  const strata = await open(engine);
  await write(strata, NOTE, "old");
  await write(strata, IN_MEMORY, "old");
  await strata.snapshots.take("web", { name: "old", consistency: "memory" });
  await write(strata, NOTE, "new");
  await write(strata, IN_MEMORY, "new");
  return strata;
}

/** An engine some of whose calls on snapshots or instances are replaced. */
function withCalls(
  change: (engine: MemoryEngine) => {
    snapshots?: Partial<Engine["snapshots"]>;
    instances?: Partial<Engine["instances"]>;
  },
): Engine {
  const engine = memoryEngine();
  const { snapshots, instances } = change(engine);
  return {
    ...engine,
    snapshots: { ...engine.snapshots, ...snapshots },
    instances: { ...engine.instances, ...instances },
  };
}

describe("restoring a running instance", () => {
  it("brings back the contents and starts it again", async () => {
    await using strata = await changed();
    expect(await strata.snapshots.checkRestore("web.old")).to.include({ running: true, memory: false });
    expect(await strata.snapshots.restore("web.old")).to.deep.equal({ saved: null, resumes: false });
    expect(await stateOf(strata)).to.equal("Running");
    expect(await read(strata, NOTE)).to.equal("old");
  });

  it("leaves it stopped where it is not to be started", async () => {
    await using strata = await changed();
    await strata.snapshots.restore("web.old", { start: false });
    expect(await stateOf(strata)).to.equal("Stopped");
  });

  it("starts a stopped one where that is asked for, and no other", async () => {
    await using strata = await changed();
    await strata.instances.stop("web");
    await strata.snapshots.restore("web.old");
    expect(await stateOf(strata)).to.equal("Stopped");
    await strata.snapshots.restore("web.old", { start: true });
    expect(await stateOf(strata)).to.equal("Running");
  });

  it("keeps every write of the guest in the snapshot that is taken first", async () => {
    let strata: Strata | undefined;
    const engine = withCalls(({ snapshots, instances }) => ({
      snapshots: {
        // What can still be written is written before the power goes.
        async take(...args) {
          if (strata !== undefined) {
            await write(strata, NOTE, "last");
          }
          await snapshots.take(...args);
        },
      },
      instances: {
        async stop(lock, ...args) {
          if (strata !== undefined) {
            await write(strata, NOTE, "lost");
          }
          await instances.stop(lock, ...args);
        },
      },
    }));
    strata = await changed(engine);
    const { saved } = await strata.snapshots.restore("web.old", { saveFirst: true });
    expect(`${saved}`).to.equal("web.snapshot2");
    expect(await read(strata, NOTE)).to.equal("old");
    const kept = strata;
    strata = undefined;
    const { snapshots } = await kept.snapshots.tree("web");
    expect(snapshots.map(({ name, consistency }) => `${name} ${consistency}`)).to.deep.equal([
      "old stopped",
      "snapshot2 crash",
    ]);
    await kept.snapshots.restore("web.snapshot2");
    expect(await read(kept, NOTE)).to.equal("last");
  });

  it("shuts it down for that snapshot where the engine takes none of running ones", async () => {
    await using strata = await changed(restingEngine());
    const { saved } = await strata.snapshots.restore("web.old", { saveFirst: true });
    const { snapshots } = await strata.snapshots.tree("web");
    expect(snapshots.find(({ name }) => name === saved?.snapshot)?.consistency).to.equal("stopped");
    expect(await read(strata, NOTE)).to.equal("old");
  });

  it("leaves it running as it is where the snapshot before cannot be taken", async () => {
    await using strata = await changed(
      withCalls(({ snapshots }) => ({
        snapshots: {
          async take(lock, record, ...rest) {
            if (record.name === "snapshot2") {
              throw failure("NO_SPACE", { where: "the pool" });
            }
            await snapshots.take(lock, record, ...rest);
          },
        },
      })),
    );
    expect(await refusal(strata.snapshots.restore("web.old", { saveFirst: true }))).to.contain("NO_SPACE");
    expect(await stateOf(strata)).to.equal("Running");
    expect(await read(strata, NOTE)).to.equal("new");
  });

  it("starts it again as it was where it cannot be restored, and says so", async () => {
    await using strata = await changed(
      withCalls(() => ({
        snapshots: {
          restore: async () => {
            throw failure("NO_SPACE", { where: "the pool" });
          },
        },
      })),
    );
    const told: string[] = [];
    const warn = (message: string) => void told.push(message);
    expect(await refusal(strata.snapshots.restore("web.old", { saveFirst: true, warn }))).to.contain(
      "NO_SPACE",
    );
    expect(told).to.deep.equal([
      '"web" is not restored, and was started again; snapshot web.snapshot2 was taken',
    ]);
    await strata.instances.start("web");
    expect(await read(strata, NOTE)).to.equal("new");
  });

  it("is called off before the power is cut, or not at all", async () => {
    const abort = new AbortController();
    const engine = withCalls(({ instances, snapshots }) => ({
      instances: {
        async stop(...args) {
          await instances.stop(...args);
          abort.abort();
        },
      },
      snapshots: {
        async restore(lock, name, context, options) {
          if (context.signal.aborted) {
            throw failure("CANCELLED");
          }
          await snapshots.restore(lock, name, context, options);
        },
      },
    }));
    const strata = await open(engine);
    await write(strata, NOTE, "old");
    await strata.snapshots.take("web", { name: "old" });
    await write(strata, NOTE, "new");
    const { signal } = abort;
    expect(await refusal(strata.snapshots.restore("web.old", { signal: AbortSignal.abort() }))).to.contain(
      "CANCELLED",
    );
    expect(await read(strata, NOTE), "nothing has happened").to.equal("new");
    expect(await refusal(strata.snapshots.restore("web.old", { signal }))).to.contain("CANCELLED");
    await strata.instances.start("web");
    expect(await read(strata, NOTE), "it is restored, and was not started").to.equal("old");
  });

  it("says that it is restored and started where nothing waits for its guest any more", async () => {
    const abort = new AbortController();
    const memory = memoryEngine();
    const { guest } = memory;
    if (guest.via !== "engine") {
      throw new Error("the engine does not reach its guests itself");
    }
    const ready: typeof guest.ready = async (id, timeout, context) => {
      if (context.signal === abort.signal) {
        abort.abort();
        throw failure("CANCELLED");
      }
      await guest.ready(id, timeout, context);
    };
    await using strata = await changed({ ...memory, guest: { ...guest, ready } });
    const told: string[] = [];
    const { signal } = abort;
    const warn = (message: string) => void told.push(message);
    expect(await refusal(strata.snapshots.restore("web.old", { signal, warn }))).to.contain("CANCELLED");
    expect(told).to.deep.equal(['"web" is restored to old and started']);
  });

  it("forgets a shutdown that was scheduled", async () => {
    await using strata = await changed();
    await strata.instances.stop("web", { after: 600_000 });
    await strata.snapshots.restore("web.old");
    expect(await stateOf(strata)).to.equal("Running");
  });

  it("shows as its events, and the restore among them", async () => {
    await using strata = await changed();
    const abort = new AbortController();
    const heard: StrataEvent["kind"][] = [];
    const events = strata.events(abort)[Symbol.asyncIterator]();
    await events.next();
    const restored = strata.snapshots.restore("web.old", { saveFirst: true });
    for (let last = ""; last !== "restore"; ) {
      const { value } = await events.next();
      last = value?.kind;
      heard.push(last as StrataEvent["kind"]);
    }
    await restored;
    abort.abort();
    expect(heard).to.include.members(["snapshot", "state", "restore"]);
  });
});

describe("restoring a snapshot with memory", () => {
  it("brings back the guest as it ran, if it runs now", async () => {
    await using strata = await changedWithMemory();
    expect(await strata.snapshots.checkRestore("web.old")).to.include({ running: true, memory: true });
    for (const round of [1, 2]) {
      expect(await strata.snapshots.restore("web.old")).to.deep.equal({ saved: null, resumes: false });
      expect(await stateOf(strata)).to.equal("Running");
      expect([await read(strata, NOTE), await read(strata, IN_MEMORY)], `${round}`).to.deep.equal([
        "old",
        "old",
      ]);
      await write(strata, IN_MEMORY, "new");
    }
  });

  it("leaves a stopped one suspended, which the next start resumes", async () => {
    await using strata = await changedWithMemory();
    await strata.instances.stop("web");
    expect(await strata.snapshots.restore("web.old")).to.deep.equal({ saved: null, resumes: true });
    expect(await stateOf(strata)).to.equal("Suspended");
    const [web] = await strata.instances.info("web");
    expect(web?.resumes).to.equal("old");
    await strata.instances.start("web");
    expect(await read(strata, IN_MEMORY)).to.equal("old");
    expect((await strata.instances.info("web"))[0]?.resumes).to.equal(null);
  });

  it("resumes a stopped one at once where it is to be started", async () => {
    await using strata = await changedWithMemory();
    await strata.instances.stop("web");
    await strata.snapshots.restore("web.old", { start: true });
    expect(await stateOf(strata)).to.equal("Running");
    expect(await read(strata, IN_MEMORY)).to.equal("old");
  });

  it("leaves the memory alone where only the disks are wanted", async () => {
    await using strata = await changedWithMemory();
    await strata.snapshots.restore("web.old", { diskOnly: true });
    expect(await stateOf(strata)).to.equal("Running");
    expect([await read(strata, NOTE), await read(strata, IN_MEMORY)]).to.deep.equal(["old", ""]);
  });

  it("can be followed by another restore before it was resumed, since nothing is lost by that", async () => {
    await using strata = await changedWithMemory();
    await strata.snapshots.restore("web.old", { start: false });
    const { saved } = await strata.snapshots.restore("web.old", { diskOnly: true, saveFirst: true });
    expect(`${saved}`).to.equal("web.snapshot2");
    expect(await stateOf(strata)).to.equal("Stopped");
    await strata.instances.start("web");
    expect([await read(strata, NOTE), await read(strata, IN_MEMORY)]).to.deep.equal(["old", ""]);
  });

  it("has its memory given up by a forced stop, and kept by any other", async () => {
    await using strata = await changedWithMemory();
    await strata.snapshots.restore("web.old", { start: false });
    const told: string[] = [];
    await strata.instances.stop("web", { warn: (message) => void told.push(message) });
    expect(told.join()).to.contain("has it boot from its disks, and not resume old");
    expect(await stateOf(strata)).to.equal("Suspended");
    await strata.instances.stop("web", { force: true });
    expect(await stateOf(strata)).to.equal("Stopped");
    await strata.instances.start("web");
    expect([await read(strata, NOTE), await read(strata, IN_MEMORY)]).to.deep.equal(["old", ""]);
  });

  it("says that it is restored where its memory cannot be loaded, and the disks can be had", async () => {
    await using strata = await changedWithMemory(
      withCalls(({ instances }) => ({
        instances: {
          async start(lock, context) {
            if ((await instances.find("web"))?.resumes !== undefined) {
              const details = { name: "web", snapshot: "old", reason: "another CPU" };
              throw failure("MEMORY_UNLOADABLE", details);
            }
            await instances.start(lock, context);
          },
        },
      })),
    );
    const told: string[] = [];
    const warn = (message: string) => void told.push(message);
    expect(await refusal(strata.snapshots.restore("web.old", { warn }))).to.contain("MEMORY_UNLOADABLE");
    expect(told).to.deep.equal(['"web" is restored to old, but not started']);
    expect(await stateOf(strata)).to.equal("Suspended");
    await strata.snapshots.restore("web.old", { diskOnly: true, start: true });
    expect(await read(strata, NOTE)).to.equal("old");
  });

  it("is refused where the engine cannot do it now, unless only the disks are wanted", async () => {
    const engine = memoryEngine();
    const info = async () => {
      const known = await engine.info();
      const features = new Set([...known.features].filter((each) => each !== "snapshot.memory"));
      return { ...known, features };
    };
    const find = async (id: string, name: string) =>
      (await engine.snapshots.tree(id)).snapshots.find((each) => each.name === name) ?? null;
    await (await changedWithMemory(engine))[Symbol.asyncDispose]();
    const strata = await openStrata({
      driver: "memory",
      engine: { ...engine, info, snapshots: { ...engine.snapshots, find } },
    });
    for (const refused of [strata.snapshots.checkRestore("web.old"), strata.snapshots.restore("web.old")]) {
      expect(await refusal(refused)).to.contain("UNSUPPORTED: restoring the memory of web.old");
    }
    expect(await read(strata, NOTE)).to.equal("new");
    await strata.snapshots.restore("web.old", { diskOnly: true });
    expect(await read(strata, NOTE)).to.equal("old");
  });

  it("is not possible of what was suspended otherwise, whose memory would be lost", async () => {
    await using strata = await changedWithMemory();
    await strata.instances.suspend("web");
    for (const options of [{}, { diskOnly: true }, { saveFirst: true }]) {
      expect(await refusal(strata.snapshots.restore("web.old", options))).to.contain("INSTANCE_SUSPENDED");
    }
  });
});
