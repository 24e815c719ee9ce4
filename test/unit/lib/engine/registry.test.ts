import { mock } from "node:test";
import { expect } from "chai";
import { load, pluginEntries } from "../../../../lib/engine/registry.ts";
import { isStrataError } from "../../../../lib/errors.ts";
import plugin from "../../../../plugins/memory/index.ts";

describe("loading a plugin", () => {
  it("does not wait for a module that never ends loading", async () => {
    mock.timers.enable({ apis: ["setTimeout"] });
    try {
      const loading = load("slow", () => new Promise(() => {})).catch((error: unknown) => error);
      mock.timers.tick(10_000);
      const error = await loading;
      expect(isStrataError(error) && error.message).to.contain("did not load within 10 s");
    } finally {
      mock.timers.reset();
    }
  });

  it("takes an engine of an earlier minor version of the contract, and none of a later one", async () => {
    const made = (apiVersion: string) =>
      load("memory", async () => ({ default: { ...plugin, apiVersion } })).then(
        ({ name }) => name,
        (error: unknown) => (isStrataError(error) ? error.code : error),
      );
    expect(await made("3.0.0")).to.equal("memory");
    for (const version of ["3.999.0", "4.0.0", "2.0.0", "", "one"]) {
      expect(await made(version), version).to.equal("PLUGIN_INCOMPATIBLE");
    }
  });

  it("reads the setting as entries, each once", () => {
    expect(pluginEntries(" lxd, strata-plugin-a,,/opt/b ,lxd")).to.deep.equal([
      "lxd",
      "strata-plugin-a",
      "/opt/b",
    ]);
    expect(pluginEntries("")).to.deep.equal([]);
  });
});
