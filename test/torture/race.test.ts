import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { expect } from "chai";
import { openTorture, type Torture } from "./trials.ts";
import { INSTANCE } from "./world.ts";

describe("a call of a holder that died, carried out after its lock is gone", () => {
  let torture: Torture;
  before(async () => {
    torture = await openTorture({ only: ["take", "restore, elsewhere", "delete under the head"] });
  });
  after(() => torture[Symbol.asyncDispose]());

  it("is put right by the next holder, whatever it was", async () => {
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

  it("is waited for where it takes its time, before the next holder looks", async () => {
    const { world, actors } = torture;
    const domain = await world.fixture.connection.lookupDomainByName(INSTANCE);
    await domain.create();
    const pid = Number(await readFile(join(world.daemon.folder, "run", "qemu", `${INSTANCE}.pid`), "utf8"));
    // QEMU stands still while its memory is to be saved: reading the domain needs no answer of it.
    const dead = await actors.run(
      { kind: "suspend", on: INSTANCE },
      { kind: "ask", at: "before domain_managed_save", die: true },
      async () => void process.kill(pid, "SIGSTOP"),
    );
    expect(dead.kind).to.equal("killed");
    const take = { kind: "take", on: INSTANCE, name: "next", createdAt: 1_700_000_200_000 } as const;
    const next = await actors.run(take, { kind: "ask", at: "middle domain_set_metadata" }, async () => {
      process.kill(pid, "SIGCONT");
    });
    // Whoever does not wait finds a guest that runs.
    expect(next).to.have.nested.property("error.code", "INSTANCE_SUSPENDED");
    await domain.managedSaveRemove();
  });
});
