import { readFile, writeFile } from "node:fs/promises";
import { expect } from "chai";
import { definitionOf, ForeignLab, readAll, writeAll } from "../../support/libvirt/foreign-lab.ts";
import { stageForAll } from "../../support/libvirt/scene-hooks.ts";
import { SHAPES, type Shape } from "../../support/libvirt/shapes.ts";
import type { Stage } from "../../support/libvirt/virsh-scene.ts";

/** Domains as other tools make them: each is adopted, snapshotted, restored and given back, or refused with every reason. */
describe("domains as they are", () => {
  let stage: Stage;
  let lab: ForeignLab;
  stageForAll((opened) => {
    stage = opened;
  });
  beforeEach(async () => {
    lab = await ForeignLab.open(stage.fixture.folder);
  });
  afterEach(() => lab[Symbol.asyncDispose]());

  const nameOf = ({ suffix = "" }: Shape, at: number) => `strata-test-shape-${process.pid}-${at}${suffix}`;
  const without = (all: Readonly<Record<string, string>>, left: readonly string[] = []) =>
    Object.fromEntries(Object.entries(all).filter(([target]) => !left.includes(target)));

  for (const [at, shape] of SHAPES.entries()) {
    const { title, refused } = shape;
    if (refused === undefined) {
      it(`${title}: comes back from snapshots, and is given back as it was`, () => runThrough(shape, at));
    } else {
      it(`${title}: is refused, with what to do`, () => requireRefused(shape, refused, at));
    }
  }

  async function requireRefused(shape: Shape, reasons: readonly RegExp[], at: number): Promise<void> {
    const name = await shape.make(lab, nameOf(shape, at));
    const before = await definitionOf(name);
    const error = await stage.strata.instances.adopt(name).then(
      () => "it was adopted",
      (reason: unknown) => String(reason),
    );
    const candidates = await stage.strata.instances.candidates();
    const { obstacle } = candidates.find((each) => each.name === name) ?? {};
    for (const reason of reasons) {
      expect(error).to.match(reason);
      expect(obstacle).to.match(reason);
    }
    expect(await definitionOf(name)).to.equal(before);
  }

  async function runThrough(shape: Shape, at: number): Promise<void> {
    const domain = await shape.make(lab, nameOf(shape, at));
    const { exclude = [], left, adoptAs: name = domain } = shape;
    const variables = shape.variables?.(lab, domain);
    /** What snapshots are to keep: each disk that they cover, and what the firmware keeps. */
    const contents = async () => ({
      ...without(await readAll(domain, stage.fixture.folder), left),
      ...(variables === undefined ? {} : { variables: await readFile(variables, "utf8") }),
    });
    const write = async (mark: number) => {
      await writeAll(domain, mark, left);
      if (variables !== undefined) {
        await writeFile(variables, `variables ${mark}`, { mode: 0o600 });
      }
    };
    const { snapshots, instances, maintenance } = stage.strata;
    const take = (snapshot: string) => snapshots.take(name, { name: snapshot });
    const restore = (snapshot: string) => snapshots.restore({ instance: name, snapshot });
    const drop = (snapshot: string) => stage.strata.delete([{ instance: name, snapshot }]);

    const [definition, a] = [await definitionOf(domain), await contents()];
    await instances.adopt(domain, { exclude, ...(name === domain ? {} : { name }) });
    const [info] = await instances.info([name]);
    const excluded = (info?.resources.disks ?? []).filter((disk) => disk.excluded === true);
    const told = excluded.map((disk) => disk.name);
    expect(told, "what is said to be left out").to.deep.equal(left ?? []);
    await take("a");
    await write(1);
    const b = await contents();
    await take("b");
    await write(2);
    const c = await contents();
    await take("c");
    await write(3);
    await restore("a");
    expect(await contents(), "a").to.deep.equal(a);
    await restore("b");
    expect(await contents(), "b").to.deep.equal(b);
    const found = (await maintenance.audit()).filter(({ instance }) => instance === name);
    expect(found).to.deep.equal([]);
    await drop("b");
    await restore("a");
    expect(await contents(), "a without b").to.deep.equal(a);
    await restore("c");
    expect(await contents(), "c without b").to.deep.equal(c);
    await drop("a");
    await drop("c");
    await instances.release(name);
    expect(await contents(), "released").to.deep.equal(c);
    expect(await definitionOf(domain)).to.equal(definition);
    await lab.requireUntouched();
  }

  it("are as many as the table of the documentation has", async () => {
    const table = await readFile(new URL("../../../docs/adopt.md", import.meta.url), "utf8");
    const missing = SHAPES.map(({ title }) => title).filter((title) => !table.includes(`| ${title} `));
    expect(missing).to.deep.equal([]);
  });
});
