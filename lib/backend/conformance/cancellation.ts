import { it } from "mocha";
import { rejects } from "./assert.ts";
import { context, withInstance } from "./fixture.ts";
import type { Kit } from "./kit.ts";

/** Calls that are called off. */
export function cancellationTests(kit: Kit): void {
  it("stop waiting when the call is cancelled", async () => {
    const { instances } = kit.fixture().backend;
    await withInstance(kit.fixture(), async ({ id }) => {
      const abort = new AbortController();
      const waiting = instances.hold(id, { wait: 60_000 }, { ...context(), signal: abort.signal });
      abort.abort();
      await rejects(waiting, "CANCELLED");
    });
  });
}
