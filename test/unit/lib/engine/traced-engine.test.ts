import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { expect } from "chai";
import { tracedEngine } from "../../../../lib/engine/traced-engine.ts";
import { failure, isStrataError } from "../../../../lib/errors.ts";
import { ACT_CHANNEL, type ActTrace } from "../../../../lib/util/trace.ts";
import { memoryEngine } from "../../../../plugins/memory/index.ts";

describe("a traced engine", () => {
  it("reports each call by the names in it, its time and its failure", async () => {
    const heard: Partial<ActTrace>[] = [];
    const hear = (act: unknown) => heard.push(act as ActTrace);
    const given = memoryEngine();
    const find = async (name: string) => {
      throw failure("BUSY", { name });
    };
    subscribe(ACT_CHANNEL, hear);
    try {
      const engine = tracedEngine({ ...given, instances: { ...given.instances, find } });
      await engine.instances.find("web").catch(() => {});
      await engine.instances.list();
    } finally {
      unsubscribe(ACT_CHANNEL, hear);
    }
    expect(heard.map(({ call, instance }) => [call, instance])).to.deep.equal([
      ["instances.find", "web"],
      ["instances.list", undefined],
    ]);
    expect(heard.map(({ ms }) => typeof ms)).to.deep.equal(["number", "number"]);
    expect(heard.map(({ error }) => isStrataError(error) && error.code)).to.deep.equal(["BUSY", false]);
  });

  it("is the engine itself while nobody listens", () => {
    const engine = memoryEngine();
    expect(tracedEngine(engine)).to.equal(engine);
  });
});
