import { expect } from "chai";
import { openStrata } from "../../../../../lib/core/session/open.ts";
import { memoryEngine } from "../../../../../plugins/memory/index.ts";
import { cliRoom } from "../../../../support/cli.ts";

describe("--quiet", () => {
  it("keeps results and errors, and leaves out warnings, wherever it stands", async () => {
    await using at = await cliRoom(async (options) => {
      const strata = await openStrata({ ...options, engine: memoryEngine() });
      const stop: typeof strata.instances.stop = async (names, more) => {
        more?.warn?.("something to know");
        await strata.instances.stop(names, more);
      };
      return { ...strata, instances: { ...strata.instances, stop } };
    });
    const { stderr } = await at.strata("stop", "web");
    expect(stderr).to.contain("strata: warning: something to know\n").and.contain("does not exist");
    for (const args of [
      ["--quiet", "stop", "web"],
      ["stop", "web", "--quiet"],
    ]) {
      const ended = await at.strata(...args);
      expect([ended.code, ended.stderr.split("\n")[0]]).to.deep.equal([
        3,
        'strata: instance "web" does not exist',
      ]);
    }
    expect(await at.done("launch", "any", "--name", "web", "--quiet")).to.equal("Launched: web\n");
  });
});
