import { expect } from "chai";
import { openStrata } from "../../../../../lib/core/session/open.ts";
import type { Progress } from "../../../../../lib/engine/contract.ts";
import { memoryEngine } from "../../../../../plugins/memory/index.ts";

describe("the progress of a call about several things", () => {
  it("says which of them it is about, and nothing of that for a single one", async () => {
    const strata = await openStrata({ driver: "memory", engine: memoryEngine() });
    await strata.instances.launch({ image: "any", name: "web" });
    await strata.instances.stop(["web"]);
    for (const name of ["one", "two", "three"]) {
      await strata.snapshots.take("web", { name });
    }
    const steps: Progress[] = [];
    const progress = (step: Progress) => steps.push(step);
    const ref = (snapshot: string) => ({ instance: "web", snapshot });
    await strata.delete([ref("one"), ref("two")], { purge: true, progress });
    await strata.delete([ref("three")], { purge: true, progress });
    const deletions = steps.filter(({ phase }) => phase === "Deleting snapshot");
    expect(deletions.map(({ item }) => item)).to.deep.equal([
      { number: 1, of: 2 },
      { number: 2, of: 2 },
      undefined,
    ]);
  });
});
