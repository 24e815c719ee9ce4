import { text } from "node:stream/consumers";
import { expect } from "chai";
import type { Strata } from "../../../../../lib/core/api/strata.ts";
import { openStrata } from "../../../../../lib/core/session/open.ts";
import type { Engine } from "../../../../../lib/engine/contract.ts";
import { failure, isStrataError } from "../../../../../lib/errors.ts";
import { type MemoryEngine, memoryEngine } from "../../../../../plugins/memory/index.ts";
import { restingEngine } from "../../../../support/resting.ts";

const NAMES = ["cache", "db", "web"];
const NOTE = "note";

/** Three instances, of which "cache" is stopped. */
async function open(engine: Engine = memoryEngine()): Promise<Strata> {
  const strata = await openStrata({ driver: "memory", engine });
  for (const name of NAMES) {
    await strata.instances.launch({ image: "any", name });
  }
  await strata.instances.stop("cache");
  return strata;
}

async function write(strata: Strata, name: string, contents: string): Promise<void> {
  const running = await strata.guest.exec(name, ["tee", NOTE]);
  running.stdin.end(contents);
  running.stdout.resume();
  await running.exit;
}

async function read(strata: Strata, name: string): Promise<string> {
  const running = await strata.guest.exec(name, ["cat", NOTE]);
  running.stdin.end();
  running.stderr.resume();
  const found = await text(running.stdout);
  await running.exit;
  return found;
}

async function states(strata: Strata): Promise<string> {
  return (await strata.instances.list()).map(({ name, state }) => `${name} ${state}`).join(", ");
}

/** `INSTANCE.NAME CONSISTENCY` of all. */
async function labels(strata: Strata): Promise<string[]> {
  const trees = await strata.snapshots.list();
  return trees.flatMap(({ snapshots }) =>
    snapshots.map(({ instance, name, consistency }) => `${instance}.${name} ${consistency}`),
  );
}

async function refusal(work: Promise<unknown>): Promise<string> {
  return work.then(
    () => "it was done",
    (error: unknown) => (isStrataError(error) ? `${error.code}: ${error.message}` : String(error)),
  );
}

describe("snapshots of several instances", () => {
  it("are taken of all, as each is, and have one group", async () => {
    await using strata = await open();
    const taken = await strata.snapshots.takeGroup(["web", "db", "cache", "web"], { name: "before" });
    expect(taken.map(String)).to.deep.equal(["cache.before", "db.before", "web.before"]);
    expect(await labels(strata)).to.deep.equal([
      "cache.before stopped",
      "db.before crash",
      "web.before crash",
    ]);
    const trees = await strata.snapshots.list();
    const infos = trees.flatMap(({ snapshots }) => snapshots);
    const groups = new Set(infos.map(({ group }) => group));
    expect([groups.size, groups.has(null)]).to.deep.equal([1, false]);
    expect(new Set(infos.map(({ createdAt }) => createdAt)).size, "one moment").to.equal(1);
    expect(await states(strata)).to.equal("cache Stopped, db Running, web Running");
  });

  it("have a name by default that is free in all of them, and is used up in all of them", async () => {
    await using strata = await open();
    await strata.snapshots.take("web");
    await strata.snapshots.take("web");
    await strata.snapshots.take("db", { name: "snapshot3" });
    const taken = await strata.snapshots.takeGroup(["web", "cache", "db"]);
    expect(taken.map(String)).to.deep.equal(["cache.snapshot4", "db.snapshot4", "web.snapshot4"]);
    expect(`${await strata.snapshots.take("cache")}`).to.equal("cache.snapshot5");
  });

  it("are taken of none where one cannot be", async () => {
    await using strata = await open();
    await strata.snapshots.take("db", { name: "before" });
    await strata.snapshots.take("cache", { name: "before" });
    const several = await refusal(strata.snapshots.takeGroup(NAMES, { name: "before" }));
    expect(several).to.contain("cache.before").and.to.contain("db.before");
    expect(await refusal(strata.snapshots.takeGroup(["web", "none"]))).to.contain("INSTANCE_NOT_FOUND");
    await strata.instances.suspend("db");
    expect(await refusal(strata.snapshots.takeGroup(["web", "db"]))).to.contain("INSTANCE_SUSPENDED");
    expect(await labels(strata)).to.deep.equal(["cache.before stopped", "db.before crash"]);
  });

  it("have frozen file systems of those that run, and are refused where none does", async () => {
    await using strata = await open();
    await strata.snapshots.takeGroup(["web", "cache"], { consistency: "files", name: "quiet" });
    expect(await labels(strata)).to.deep.equal(["cache.quiet stopped", "web.quiet files"]);
    await strata.instances.stop("web");
    expect(await refusal(strata.snapshots.takeGroup(["web", "cache"], { consistency: "files" }))).to.contain(
      "WRONG_STATE",
    );
  });

  it("are of stopped ones where they are stopped for it, and then those run again that ran", async () => {
    await using strata = await open();
    await strata.snapshots.takeGroup(NAMES, { stop: true, name: "clean" });
    expect(await labels(strata)).to.deep.equal([
      "cache.clean stopped",
      "db.clean stopped",
      "web.clean stopped",
    ]);
    expect(await states(strata)).to.equal("cache Stopped, db Running, web Running");
  });

  it("leave those running that ran, whatever fails", async () => {
    const memory = memoryEngine();
    const takeGroup = async () => {
      throw failure("NO_SPACE", { where: "the pool" });
    };
    await using strata = await open({ ...memory, snapshots: { ...memory.snapshots, takeGroup } });
    expect(await refusal(strata.snapshots.takeGroup(NAMES, { stop: true }))).to.contain("NO_SPACE");
    expect(await states(strata)).to.equal("cache Stopped, db Running, web Running");
  });

  it("never wait for each other, in whatever order the instances are named", async () => {
    await using strata = await open();
    const taken = await Promise.all([
      strata.snapshots.takeGroup(["web", "db"], { name: "a" }),
      strata.snapshots.takeGroup(["db", "web"], { name: "b" }),
      strata.snapshots.takeGroup(["db", "cache", "web"], { name: "c" }),
    ]);
    expect(taken.map((each) => each.length)).to.deep.equal([2, 2, 3]);
  });

  it("are refused with the reason where the engine cannot take them together; one is taken alone", async () => {
    await using strata = await open(restingEngine());
    expect(await refusal(strata.snapshots.takeGroup(["web", "db"]))).to.contain("UNSUPPORTED");
    const [alone] = await strata.snapshots.takeGroup(["cache"]);
    expect(`${alone}`).to.equal("cache.snapshot1");
    expect((await strata.snapshots.tree("cache")).snapshots[0]?.group).to.equal(null);
  });
});

describe("a group of snapshots", () => {
  /** One called "before" of db and web, whose notes were "old" then and are "new" now. */
  async function grouped(engine?: Engine): Promise<Strata> {
    const strata = await open(engine);
    await write(strata, "db", "old");
    await write(strata, "web", "old");
    await strata.snapshots.takeGroup(["web", "db"], { name: "before" });
    await write(strata, "db", "new");
    await write(strata, "web", "new");
    return strata;
  }

  it("is restored whole, and what ran runs again", async () => {
    await using strata = await grouped();
    await strata.instances.stop("db");
    const restored = await strata.snapshots.restoreGroup("before");
    expect(restored.map(({ snapshot, saved, resumes }) => [`${snapshot}`, saved, resumes])).to.deep.equal([
      ["db.before", null, false],
      ["web.before", null, false],
    ]);
    expect(await states(strata)).to.equal("cache Stopped, db Stopped, web Running");
    await strata.instances.start("db");
    expect([await read(strata, "db"), await read(strata, "web")]).to.deep.equal(["old", "old"]);
  });

  it("is restored after snapshots of what is given up", async () => {
    await using strata = await grouped();
    const restored = await strata.snapshots.restoreGroup("before", { saveFirst: true });
    expect(restored.map(({ saved }) => `${saved}`)).to.deep.equal(["db.snapshot2", "web.snapshot2"]);
  });

  it("starts nothing before all are restored", async () => {
    const steps: string[] = [];
    const memory = memoryEngine();
    const noted = <T extends readonly [{ readonly instance: { readonly name: string } }, ...unknown[]]>(
      what: string,
      work: (...args: T) => Promise<void>,
    ) => {
      return async (...args: T) => {
        steps.push(`${what} ${args[0].instance.name}`);
        await work(...args);
      };
    };
    await using strata = await grouped({
      ...memory,
      snapshots: { ...memory.snapshots, restore: noted("restore", memory.snapshots.restore) },
      instances: { ...memory.instances, start: noted("start", memory.instances.start) },
    });
    steps.length = 0;
    await strata.snapshots.restoreGroup("before");
    expect(steps).to.deep.equal(["restore db", "restore web", "start db", "start web"]);
  });

  it("is not touched where one of its instances cannot be restored", async () => {
    await using strata = await grouped();
    await strata.instances.suspend("web");
    expect(await refusal(strata.snapshots.restoreGroup("before"))).to.contain("INSTANCE_SUSPENDED");
    expect(await read(strata, "db")).to.equal("new");
  });

  it("leaves running what ran where a restore fails half-way, and says which are restored", async () => {
    const memory: MemoryEngine = memoryEngine();
    const { snapshots } = memory;
    await using strata = await grouped({
      ...memory,
      snapshots: {
        ...snapshots,
        async restore(lock, ...args) {
          if (lock.instance.name === "web") {
            throw failure("NO_SPACE", { where: "the pool" });
          }
          await snapshots.restore(lock, ...args);
        },
      },
    });
    const told: string[] = [];
    const warn = (message: string) => void told.push(message);
    expect(await refusal(strata.snapshots.restoreGroup("before", { warn }))).to.contain("NO_SPACE");
    expect(told).to.include('"db" is restored to before and started');
    await strata.instances.start(["db", "web"]);
    expect([await read(strata, "db"), await read(strata, "web")]).to.deep.equal(["old", "new"]);
  });

  it("is found by the name of any of its snapshots, also when others are renamed or gone", async () => {
    await using strata = await grouped();
    const { id } = await strata.snapshots.findGroup("before");
    await strata.snapshots.rename("web.before", "was");
    for (const name of ["before", "was", id, id.slice(0, 8)]) {
      const { snapshots } = await strata.snapshots.findGroup(name);
      expect(snapshots.map(String), name).to.deep.equal(["db.before", "web.was"]);
    }
    await strata.snapshots.delete("web.was");
    expect((await strata.snapshots.findGroup("before")).snapshots.map(String)).to.deep.equal(["db.before"]);
  });

  it("is told apart by its id from another of the same name", async () => {
    await using strata = await grouped();
    const { id } = await strata.snapshots.findGroup("before");
    await strata.instances.launch({ image: "any", name: "mail" });
    await strata.snapshots.takeGroup(["mail", "cache"], { name: "before" });
    const refused = await refusal(strata.snapshots.restoreGroup("before"));
    expect(refused).to.match(/^INVALID_VALUE: .*\(db, web\).*\(cache, mail\)/);
    expect((await strata.snapshots.findGroup(id.slice(0, 8))).snapshots.map(String)).to.deep.equal([
      "db.before",
      "web.before",
    ]);
  });

  it("leaves deleted instances alone and says so; where all are deleted, that is the error", async () => {
    await using strata = await grouped();
    await strata.instances.delete("web");
    const told: string[] = [];
    const warn = (message: string) => void told.push(message);
    const restored = await strata.snapshots.restoreGroup("before", { warn });
    expect(restored.map(({ snapshot }) => `${snapshot}`)).to.deep.equal(["db.before"]);
    expect(told).to.include('"web" is deleted; its snapshot before is left alone');
    await strata.instances.delete("db");
    expect(await refusal(strata.snapshots.restoreGroup("before"))).to.contain("INSTANCE_DELETED");
  });

  it("is none where no snapshots were taken together under that name", async () => {
    await using strata = await grouped();
    await strata.snapshots.take("web", { name: "alone" });
    for (const name of ["alone", "none", "00000000"]) {
      expect(await refusal(strata.snapshots.findGroup(name)), name).to.contain("GROUP_NOT_FOUND");
    }
  });
});
