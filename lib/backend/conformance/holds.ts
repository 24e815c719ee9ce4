import { it } from "mocha";
import { rejects } from "./assert.ts";
import { context, newSpec } from "./fixture.ts";
import type { Kit } from "./kit.ts";

/** One operation on an instance at a time. */
export function holdTests(kit: Kit): void {
  it("keep others out until they are released", async () => {
    const { instances } = kit.fixture().backend;
    const { id } = await instances.create(newSpec(kit.fixture()), context());
    const first = await instances.hold(id, { wait: 0 }, context());
    await rejects(instances.hold(id, { wait: 0 }, context()), "BUSY");
    await rejects(instances.hold(id, { wait: 50 }, context()), "BUSY");
    const waiting = instances.hold(id, { wait: 10_000 }, context());
    await first[Symbol.asyncDispose]();
    await using _second = await waiting;
    await instances.remove(id, context());
  });
}
