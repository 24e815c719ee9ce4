import { isDeepStrictEqual } from "node:util";
import { openTorture, type Torture } from "./trials.ts";

describe("a call of a holder that died, carried out after its lock is gone", () => {
  let torture: Torture;
  before(async () => {
    torture = await openTorture({ only: ["take", "restore, elsewhere", "delete under the head"] });
  });
  after(() => torture[Symbol.asyncDispose]());

  it("is waited for before the next holder looks", async () => {
    const { world, actors, scenarios } = torture;
    for (const { name, verb, before, after, boundaries } of scenarios)
      for (const { at, what } of boundaries.filter(
        ({ when, what: touched }) => when === "before" && touched.startsWith("domain_"),
      )) {
        // The daemon stands still while the call is sent, its sender dies, and the next one comes by.
        await actors.run(verb, { kind: "ask", at, die: true }, () => world.daemon.signal("SIGSTOP"));
        const next = world.next();
        await world.daemon.signal("SIGCONT");
        await next;
        const now = await world.observe();
        if (!isDeepStrictEqual(now, before) && !isDeepStrictEqual(now, after))
          throw new Error(`${name}, ${what} (${at}): ${JSON.stringify(now)}`);
        await world.reset();
      }
  });
});
