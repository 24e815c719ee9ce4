import { expect } from "chai";
import { openStrata } from "../../../../../lib/core/session/open.ts";
import { asStrataError } from "../../../../../lib/errors.ts";
import { memoryEngine } from "../../../../../plugins/memory/index.ts";

describe("a guest", () => {
  it("is reached as the engine says for this one: by the engine itself, or over ssh", async () => {
    const memory = memoryEngine();
    const { guest } = memory;
    if (guest.via !== "engine") {
      throw new Error("the engine runs commands by itself");
    }
    const ssh = async (id: string) => {
      const { name } = await memory.world.get(id);
      return name === "machine" ? { via: "ssh" as const, endpoint: async () => null } : null;
    };
    const engine = { ...memory, guest: { ...guest, ssh } };
    await using strata = await openStrata({ driver: "memory", engine });
    await strata.instances.launch({ image: "any", name: "box" });
    const reached = await strata.guest.exec("box", ["true"]);
    reached.stdin.end();
    reached.stdout.resume();
    expect((await reached.exit).code).to.equal(0);
    const late = await strata.instances
      .launch({ image: "any", name: "machine", timeout: 0 })
      .then(() => undefined, asStrataError);
    expect([late?.code, late?.details.reason]).to.deep.equal([
      "GUEST_UNREACHABLE",
      "no answer within 0 s; last error: it has no address yet",
    ]);
    const refused = await strata.guest
      .exec("machine", ["true"], { timeout: 0 })
      .then(() => undefined, asStrataError);
    expect([refused?.code, refused?.details.reason]).to.deep.equal([
      "GUEST_UNREACHABLE",
      "no answer within 0 s; last error: it has no address yet",
    ]);
  });
});
