import { text } from "node:stream/consumers";
import { expect } from "chai";
import type { Strata } from "../../lib/core/api/strata.ts";

/** An engine as the story sees it: strata on it, and an image that it can launch. */
export interface Stage {
  readonly strata: Strata;
  readonly image: string;
  readonly memory?: bigint;
  /** Takes away what was set up for it. */
  close?(): PromiseLike<void>;
}

/**
 * What users do with an instance and its snapshots, told the same on every engine. Opens the stage once. `running`:
 * whether the engine takes snapshots of running instances.
 */
export function story(name: string, open: () => Promise<Stage>, { running = true } = {}): void {
  let stage: Stage | undefined;
  const strata = () => {
    if (stage === undefined) {
      throw new Error("the stage is not open");
    }
    return stage.strata;
  };
  const write = async (value: string) => {
    await run(strata(), name, ["tee", "note"], value);
    await run(strata(), name, ["sync"]);
  };
  const read = () => run(strata(), name, ["cat", "note"]);
  const tree = async () => {
    const [found] = await strata().snapshots.list([name]);
    const parents = found?.snapshots.map((snapshot) => [snapshot.name, snapshot.parent]) ?? [];
    return { parents: Object.fromEntries(parents), standsOn: found?.standsOn };
  };

  before(async () => {
    stage = await open();
  });
  after(async () => {
    await stage?.strata.delete([{ instance: name }], { purge: true }).catch(() => {});
    await stage?.strata[Symbol.asyncDispose]();
    await stage?.close?.();
  });

  it("launches an instance that runs and answers", async () => {
    const { image = "", memory } = stage ?? {};
    await strata().instances.launch({ image, name, ...(memory === undefined ? {} : { memory }) });
    const [listed] = (await strata().instances.list()).filter((each) => each.name === name);
    expect(listed?.state).to.equal("Running");
    await write("first");
  });

  it("takes snapshots of it as it changes", async () => {
    await strata().instances.stop([name]);
    expect(await strata().snapshots.take(name, { name: "clean", comment: "as launched" })).to.deep.equal({
      instance: name,
      snapshot: "clean",
    });
    await strata().settings.set(`local.${name}.cpus`, "2");
    await strata().instances.start([name]);
    expect(await read()).to.equal("first");
    await write("second");
    await strata().instances.stop([name]);
    expect((await strata().snapshots.take(name)).snapshot).to.equal("snapshot2");
    expect(await tree()).to.deep.equal({
      parents: { clean: null, snapshot2: "clean" },
      standsOn: "snapshot2",
    });
  });

  it("goes back to the first, with its resources, and branches there", async () => {
    await strata().snapshots.restore({ instance: name, snapshot: "clean" });
    expect(await strata().settings.get(`local.${name}.cpus`)).to.equal("1");
    await strata().instances.start([name]);
    expect(await read()).to.equal("first");
    await write("third");
    await strata().instances.stop([name]);
    await strata().snapshots.take(name, { name: "branch" });
    expect((await tree()).parents).to.deep.equal({ clean: null, snapshot2: "clean", branch: "clean" });
  });

  it("deletes the snapshot that both branches stand on, and neither loses anything", async () => {
    await strata().delete([{ instance: name, snapshot: "clean" }]);
    expect(await tree()).to.deep.equal({ parents: { snapshot2: null, branch: null }, standsOn: "branch" });
    await strata().snapshots.restore({ instance: name, snapshot: "snapshot2" });
    expect(await strata().settings.get(`local.${name}.cpus`)).to.equal("2");
    await strata().instances.start([name]);
    expect(await read()).to.equal("second");
    await strata().instances.stop([name]);
  });

  if (running) {
    it("takes a snapshot while it runs, which holds what was written until then", async () => {
      await strata().instances.start([name]);
      await write("until then");
      await strata().snapshots.take(name, { name: "live" });
      await write("later");
      expect(await read()).to.equal("later");
      const [found] = await strata().snapshots.list([name]);
      expect(found?.snapshots.find((each) => each.name === "live")?.consistency).to.equal("crash");
      await strata().instances.stop([name]);
      await strata().snapshots.restore({ instance: name, snapshot: "live" });
      await strata().instances.start([name]);
      expect(await read()).to.equal("until then");
      await strata().delete([{ instance: name, snapshot: "live" }]);
      expect(await read()).to.equal("until then");
      await strata().instances.stop([name]);
      expect((await tree()).standsOn).to.equal("snapshot2");
    });
  }

  it("deletes the instance, takes it back, and removes it for good", async () => {
    await strata().delete([{ instance: name }]);
    await strata().instances.recover([name]);
    expect((await tree()).standsOn).to.equal("snapshot2");
    await strata().delete([{ instance: name }], { purge: true });
    expect((await strata().instances.list()).some((each) => each.name === name)).to.equal(false);
  });
}

/** Runs a command to its end, which must be a good one, and gives its output. */
async function run(strata: Strata, name: string, argv: readonly string[], input = ""): Promise<string> {
  const session = await strata.guest.exec(name, argv);
  session.stdin.end(input);
  session.stderr.resume();
  const [output, { code }] = await Promise.all([text(session.stdout), session.exit]);
  expect(code, argv.join(" ")).to.equal(0);
  return output;
}
