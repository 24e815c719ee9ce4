import { expect } from "chai";
import { openStrata } from "../../../../../lib/core/session/open.ts";
import type { Engine } from "../../../../../lib/engine/contract.ts";
import { memoryEngine } from "../../../../../plugins/memory/index.ts";
import { type CliRoom, cliRoom } from "../../../../support/cli.ts";

/** When somebody else removes "web": after the instances were listed, or when it is about to be held. */
type Moment = "listed" | "held";

/** Commands on an engine with the instances `web` and `db`, of which `web` is removed at the moment. */
async function roomWhere(moment: Moment): Promise<CliRoom & { armed: boolean }> {
  const engine = memoryEngine();
  const { instances, world } = engine;
  const removeWeb = async () => {
    const web = await instances.find("web");
    if (room.armed && web !== null) {
      await world.remove(web.id);
    }
  };
  const meddled: Engine = {
    ...engine,
    instances: {
      ...instances,
      async list() {
        const listed = await instances.list();
        if (moment === "listed") {
          await removeWeb();
        }
        return listed;
      },
      async lock(instance, options, context) {
        if (moment === "held") {
          await removeWeb();
        }
        return instances.lock(instance, options, context);
      },
    },
  };
  const open = (options: object) => openStrata({ ...options, driver: "memory", engine: meddled });
  const room = Object.assign(await cliRoom(open), { armed: false });
  for (const name of ["web", "db"]) {
    await room.done("launch", "any", "--name", name);
  }
  return room;
}

describe("an instance that is gone by its turn", () => {
  const about: Readonly<Record<string, { readonly first?: string; readonly left: string }>> = {
    start: { first: "stop", left: "Running" },
    stop: { left: "Stopped" },
    suspend: { left: "Suspended" },
    restart: { left: "Running" },
    delete: { left: "Deleted" },
    "delete --purge": { left: "" },
    recover: { first: "delete", left: "Stopped" },
  };

  for (const moment of ["listed", "held"] as const) {
    it(`keeps no command with --all from the others, removed once it was ${moment}`, async () => {
      for (const [verb, { first, left }] of Object.entries(about)) {
        await using room = await roomWhere(moment);
        if (first !== undefined) {
          await room.done(first, "--all");
        }
        room.armed = true;
        await room.done(...verb.split(" "), "--all");
        const lines = (await room.done("list", "--format", "csv")).trim().split("\n").slice(1);
        expect(
          lines.map((line) => line.split(",").slice(0, 2).join()),
          verb,
        ).to.deep.equal(left === "" ? [] : [`db,${left}`]);
      }
    });
  }

  it("is told by its name to who named it", async () => {
    for (const verb of ["start", "stop", "suspend", "restart", "delete", "snapshot", "clone"]) {
      await using room = await roomWhere("held");
      room.armed = true;
      const { code, stderr } = await room.strata(verb, "web");
      expect(code, verb).to.equal(3);
      expect(stderr, verb).to.contain('instance "web" does not exist');
    }
  });

  it("is not among those that a purge has removed, and does not end it", async () => {
    await using room = await roomWhere("held");
    await room.done("delete", "--all");
    room.armed = true;
    expect(await room.done("purge")).to.equal("Purged: db\n");
  });

  it("is left out where all are shown", async () => {
    await using room = await roomWhere("listed");
    await room.done("stop", "--all");
    await room.done("snapshot", "web");
    room.armed = true;
    expect(await room.done("list", "--snapshots")).to.equal("No snapshots found.\n");
  });
});
