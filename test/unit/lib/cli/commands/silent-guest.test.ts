import { expect } from "chai";
import { openStrata } from "../../../../../lib/core/session/open.ts";
import type { EngineAccess } from "../../../../../lib/engine/contract.ts";
import { failure } from "../../../../../lib/errors.ts";
import { memoryEngine } from "../../../../../plugins/memory/index.ts";
import { type CliRoom, cliRoom } from "../../../../support/cli.ts";

/** A room whose guests are silent from the second they are asked about themselves. */
async function silentRoom(change: (guest: EngineAccess) => Partial<EngineAccess>): Promise<CliRoom> {
  const memory = memoryEngine();
  const { guest } = memory;
  if (guest.via !== "engine") {
    throw new Error("the engine runs commands by itself");
  }
  const engine = { ...memory, guest: { ...guest, ...change(guest) } };
  const room = await cliRoom((options) => openStrata({ ...options, engine }));
  await room.done("launch", "any", "--name", "web");
  return room;
}

const silent = failure("GUEST_UNREACHABLE", { name: "web", reason: "it is busy" });

describe("info of a guest that does not answer", () => {
  it("says so on standard error, and shows nothing in the place of what is not known", async () => {
    await using at = await silentRoom(() => ({ exec: () => Promise.reject(silent) }));
    const { code, stdout, stderr } = await at.strata("info", "web", "--format", "json");
    expect(code).to.equal(0);
    expect(stderr).to.match(/^strata: warning: the guest of "web" does not answer/);
    const { errors, info } = JSON.parse(stdout);
    expect(errors).to.have.length(1);
    expect(errors[0]).to.contain('"web" does not answer');
    expect([info.web.state, info.web.load, info.web.disks, info.web.memory]).to.deep.equal([
      "Running",
      null,
      null,
      null,
    ]);
  });

  it("fails with --wait, within the time that is given", async () => {
    const waits: number[] = [];
    await using at = await silentRoom(({ ready }) => ({
      async ready(id, timeout, context) {
        // The launch waits without --timeout.
        if (timeout === 300_000) {
          return ready(id, timeout, context);
        }
        waits.push(timeout);
        throw silent;
      },
    }));
    const { code, stdout, stderr } = await at.strata("info", "web", "--wait", "--timeout", "7");
    expect(code).to.equal(10);
    expect(stderr).to.contain("does not answer");
    expect(stdout).to.match(/^State: +Running$/m);
    expect(waits).to.deep.equal([7000]);
    expect((await at.strata("info", "web", "--timeout", "7")).stderr).to.contain("--timeout needs --wait");
  });

  it("is not asked for with --no-runtime-information", async () => {
    await using at = await silentRoom(() => ({ exec: () => Promise.reject(silent) }));
    const { code, stdout, stderr } = await at.strata(
      ...["info", "--no-runtime-information", "--format", "json"],
    );
    expect([code, stderr]).to.deep.equal([0, ""]);
    expect(JSON.parse(stdout).info.web.memory).to.deep.equal({});
  });
});
