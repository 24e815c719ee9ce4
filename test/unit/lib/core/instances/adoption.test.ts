import { expect } from "chai";
import { openStrata } from "../../../../../lib/core/session/open.ts";
import { asStrataError, failure, isStrataError } from "../../../../../lib/errors.ts";
import { memoryEngine } from "../../../../../plugins/memory/index.ts";

async function code(work: Promise<unknown>): Promise<string> {
  return work.then(
    () => "nothing was refused",
    (error: unknown) => (isStrataError(error) ? error.code : String(error)),
  );
}

describe("an instance that was adopted without a user name", () => {
  it("is started without waiting for a guest that lets nobody in, and says so of commands", async () => {
    const memory = memoryEngine();
    await (await openStrata({ driver: "memory", engine: memory })).instances.launch({
      image: "any",
      name: "web",
    });
    const [stored] = await memory.world.all();
    if (stored === undefined) {
      throw new Error("it was not launched");
    }
    await memory.world.put({ ...stored, state: "stopped", record: { ...stored.record, username: "" } });
    const endpoint = async () => {
      throw new Error("nobody should look for it");
    };
    const strata = await openStrata({
      driver: "memory",
      engine: { ...memory, guest: { via: "ssh", endpoint } },
    });
    await strata.instances.start(["web"]);
    expect((await strata.instances.list()).map(({ state }) => state)).to.deep.equal(["Running"]);
    expect(await code(strata.guest.exec("web", ["true"]))).to.equal("NO_LOGIN");
    expect(await code(strata.instances.stop(["web"], { after: 60_000 }))).to.equal("NO_LOGIN");
    expect((await strata.instances.list()).map(({ state }) => state)).to.deep.equal(["Running"]);
  });
});

describe("adopting", () => {
  it("says that there is no such domain, and where those are that there are", async () => {
    const memory = memoryEngine();
    const nobody = async () => {
      throw failure("INSTANCE_NOT_FOUND", { name: "nope" });
    };
    const adoption = { candidates: async () => [], adopt: nobody, release: nobody };
    const info = async () => ({ ...(await memory.info()), features: new Set(["adopt" as const]) });
    const strata = await openStrata({ driver: "memory", engine: { ...memory, info, adoption } });
    const error = await strata.instances.adopt("nope").then(() => undefined, asStrataError);
    expect([error?.message, error?.exitCode]).to.deep.equal(['domain "nope" does not exist', 3]);
    expect(error?.hint).to.contain("`strata adopt` without a name");
  });

  it("is refused by an engine that has no domains of others", async () => {
    const strata = await openStrata({ driver: "memory", engine: memoryEngine() });
    for (const refused of [() => strata.instances.adopt("web"), () => strata.instances.candidates()]) {
      expect(await code(refused())).to.equal("UNSUPPORTED");
    }
  });
});
