import { expect } from "chai";
import { openStrata } from "../../../../../lib/core/session/open.ts";
import type { Engine } from "../../../../../lib/engine/contract.ts";
import { asStrataError } from "../../../../../lib/errors.ts";
import { memoryEngine } from "../../../../../plugins/memory/index.ts";

const FOLDER = import.meta.dirname;

/** An engine in memory with the members n1, where everything is, and n2. */
async function open() {
  const memory = memoryEngine();
  const { instances } = memory;
  const moved: string[] = [];
  const engine: Engine = {
    ...memory,
    info: async () => {
      const info = await memory.info();
      return { ...info, engine: "Fake 3", features: new Set([...info.features, "cluster"]) };
    },
    instances: {
      ...instances,
      async find(name) {
        const found = await instances.find(name);
        return found === null ? null : { ...found, member: "n1" };
      },
      async lock(which, options, context) {
        const lock = await instances.lock(which, options, context);
        return Object.assign(lock, { instance: { ...lock.instance, member: "n1" } });
      },
    },
    cluster: {
      members: async () => ["n1", "n2"].map((name) => ({ name, online: true, detail: "" })),
      move: async (_, member) => void moved.push(member),
    },
  };
  const strata = await openStrata({ driver: "memory", engine });
  await strata.instances.launch({ image: "any", name: "web", mounts: [{ source: FOLDER, target: "/srv" }] });
  await strata.instances.stop(["web"]);
  return { strata, moved };
}

describe("moving an instance", () => {
  it("is refused while a folder of its host is mounted in it, with what to do", async () => {
    const { strata, moved } = await open();
    const error = await strata.instances.move("web", "n2").then(() => undefined, asStrataError);
    expect(error?.code).to.equal("UNSUPPORTED");
    expect(error?.message).to.contain(`the folder ${FOLDER} stays on n1`).and.contain("strata umount web");
    expect(moved).to.deep.equal([]);
    await strata.instances.move("web", "n1");
    await strata.mounts.umount([{ instance: "web" }]);
    await strata.instances.move("web", "n2");
    expect(moved).to.deep.equal(["n1", "n2"]);
  });

  it("tells of snapshots that have such mounts, which another member's folders would take the place of", async () => {
    const { strata } = await open();
    await strata.snapshots.take("web");
    await strata.mounts.umount([{ instance: "web" }]);
    await strata.snapshots.take("web");
    const told: string[] = [];
    await strata.instances.move("web", "n2", { warn: (message) => void told.push(message) });
    expect(told).to.have.length(1);
    expect(told[0]).to.contain("web.snapshot1").and.not.contain("snapshot2");
  });
});
