import { expect } from "chai";
import { openStrata } from "../../../../../lib/core/session/open.ts";
import type { Context, EngineAccess } from "../../../../../lib/engine/contract.ts";
import { asStrataError, failure } from "../../../../../lib/errors.ts";
import { memoryEngine } from "../../../../../plugins/memory/index.ts";

/** Instances whose guests answer once they are let: `wait` is called by whoever waits for one. */
async function open(wait: (timeout: number) => Promise<void>) {
  const memory = memoryEngine();
  const { guest } = memory;
  if (guest.via !== "engine") {
    throw new Error("the engine runs commands by itself");
  }
  const room = { answers: true };
  const silent = () => failure("GUEST_UNREACHABLE", { name: "web", reason: "it boots" });
  const slow: EngineAccess = {
    ...guest,
    async ready(id: string, timeout: number, context: Context) {
      await guest.ready(id, timeout, context);
      if (!room.answers) {
        await wait(timeout);
      }
    },
    exec: (id, argv, options) => (room.answers ? guest.exec(id, argv, options) : Promise.reject(silent())),
  };
  const strata = await openStrata({ driver: "memory", engine: { ...memory, guest: slow } });
  await strata.instances.launch({ image: "any", name: "web" });
  const state = async () => (await strata.instances.list())[0]?.state;
  const run = async (timeout?: number) => {
    const session = await strata.guest.exec("web", ["true"], timeout === undefined ? {} : { timeout });
    session.stdin.end();
    session.stdout.resume();
    session.stderr.resume();
    return (await session.exit).code;
  };
  return { strata, room, silent, state, run, [Symbol.asyncDispose]: () => strata[Symbol.asyncDispose]() };
}

describe("a guest that boots", () => {
  it("counts as Starting until it lets somebody in", async () => {
    const seen: (string | undefined)[] = [];
    await using at = await open(async () => {
      seen.push(await at.state());
    });
    expect(await at.state()).to.equal("Running");
    await at.strata.instances.stop("web");
    at.room.answers = false;
    await at.strata.instances.start("web");
    expect([seen, await at.state()]).to.deep.equal([["Starting"], "Running"]);
    await at.strata.instances.restart("web");
    expect([seen, await at.state()]).to.deep.equal([["Starting", "Starting"], "Running"]);
  });

  it("stays Starting where nobody got in, until somebody does or it is stopped", async () => {
    await using at = await open(() => Promise.reject(at.silent()));
    await at.strata.instances.stop("web");
    at.room.answers = false;
    const start = () =>
      at.strata.instances.start("web").then(
        () => "started",
        (error: unknown) => asStrataError(error).code,
      );
    expect(await start()).to.equal("GUEST_UNREACHABLE");
    expect(await at.state()).to.equal("Starting");
    at.room.answers = true;
    expect(await at.run()).to.equal(0);
    expect(await at.state()).to.equal("Running");
    await at.strata.instances.stop("web");
    at.room.answers = false;
    await start();
    await at.strata.instances.stop("web");
    expect(await at.state()).to.equal("Stopped");
  });

  it("is waited for by commands as long as they say, and a stopped or suspended one is started", async () => {
    const waits: number[] = [];
    await using at = await open(async (timeout) => {
      waits.push(timeout);
      at.room.answers = true;
    });
    at.room.answers = false;
    expect(await at.run(), "one that was started elsewhere").to.equal(0);
    await at.strata.instances.stop("web");
    at.room.answers = false;
    expect(await at.run(7000), "stopped").to.equal(0);
    await at.strata.instances.suspend("web");
    at.room.answers = false;
    expect(await at.run(8000), "suspended").to.equal(0);
    expect(waits).to.deep.equal([300_000, 7000, 8000]);
    expect(await at.state()).to.equal("Running");
  });
});
