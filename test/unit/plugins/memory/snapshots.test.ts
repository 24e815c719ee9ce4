import { expect } from "chai";
import {
  context,
  locked,
  lockOf,
  newSpec,
  recordOf,
  take,
} from "../../../../lib/engine/conformance/fixture.ts";
import type { Instance } from "../../../../lib/engine/contract.ts";
import { type MemoryEngine, memoryEngine } from "../../../../plugins/memory/index.ts";
import type { Contents } from "../../../../plugins/memory/world.ts";

const IMAGE = { path: "", format: "any", sha256: "0".repeat(64), virtualSize: 0n };

/** Instances that run, locked. */
async function running(engine: MemoryEngine, count: number): Promise<Instance[]> {
  const made: Instance[] = [];
  for (let each = 0; each < count; each++) {
    const instance = await engine.instances.create(newSpec({ image: IMAGE }), context());
    await locked({ engine }, instance);
    await engine.instances.start(lockOf(instance.id), context());
    made.push(instance);
  }
  return made;
}

async function contentsOf({ world }: MemoryEngine, { id }: Instance, name: string): Promise<Contents> {
  const found = (await world.get(id)).snapshots.find((snapshot) => snapshot.name === name);
  if (found === undefined) {
    throw new Error(`${name} is not there`);
  }
  return found.contents;
}

describe("snapshots of running instances of the memory engine", () => {
  it("are of one moment in a group, while the guests write one after the other", async () => {
    const engine = memoryEngine();
    const [first, second] = await running(engine, 2);
    if (first === undefined || second === undefined) {
      throw new Error("they are not there");
    }
    let over = false;
    const write = ({ id }: Instance, value: number) =>
      engine.world.change([id], (stored) => ({ ...stored, contents: { "/count": String(value) } }));
    const writing = (async () => {
      for (let value = 1; !over; value++) {
        await write(first, value);
        await write(second, value);
      }
    })();
    for (const name of ["a", "b", "c", "d"]) {
      const members = await Promise.all(
        [first, second].map(async (instance) => ({
          lock: lockOf(instance.id),
          ...(await recordOf({ engine }, instance, name, { consistency: "crash", group: name })),
        })),
      );
      await engine.snapshots.takeGroup?.(members, context());
      const [ahead, behind] = await Promise.all(
        [first, second].map(async (instance) =>
          Number((await contentsOf(engine, instance, name))["/count"] ?? 0),
        ),
      );
      expect(Number(ahead) - Number(behind), `the first is at ${ahead}`).to.be.within(0, 1);
    }
    over = true;
    await writing;
  });

  it("lose nothing that the guest writes meanwhile", async () => {
    const engine = memoryEngine();
    const [instance] = await running(engine, 1);
    if (instance === undefined || engine.guest.via !== "engine") {
      throw new Error("it is not there");
    }
    const { guest } = engine;
    const write = async (name: string) => {
      const { stdin, exit, stdout } = await guest.exec(instance.id, ["tee", `/${name}`], {});
      stdout.resume();
      stdin.end(name);
      await exit;
    };
    const names = Array.from({ length: 20 }, (_, at) => `f${at}`);
    await Promise.all([
      ...names.map(write),
      take({ engine }, instance, "live", { consistency: "crash" }),
      engine.instances.annotate(lockOf(instance.id), { hostKey: "ssh-ed25519 AAAA" }),
    ]);
    expect(Object.values((await engine.world.get(instance.id)).contents)).to.have.members(names);
  });

  it("have files in memory, which a suspension keeps and a stop loses", async () => {
    const engine = memoryEngine();
    const [instance] = await running(engine, 1);
    if (instance === undefined || engine.guest.via !== "engine") {
      throw new Error("it is not there");
    }
    const { id } = instance;
    const { exit, stdin, stdout } = await engine.guest.exec(id, ["tee", "/dev/shm/x"], {});
    stdout.resume();
    stdin.end("kept");
    await exit;
    const memory = async () => (await engine.world.get(id)).memory?.["/dev/shm/x"];
    await engine.instances.suspend?.(lockOf(id), context());
    await engine.instances.start(lockOf(id), context());
    expect(await memory()).to.equal("kept");
    await engine.instances.stop(lockOf(id), "force", context());
    await engine.instances.start(lockOf(id), context());
    expect(await memory()).to.equal(undefined);
  });
});
