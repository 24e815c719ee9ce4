import { randomBytes } from "node:crypto";
import { same } from "./assert.ts";
import { context, type Fixture, locked, lockOf, take } from "./fixture.ts";
import type { Guest } from "./guest.ts";
import { inGuest, type Kit } from "./kit.ts";

/** Files into a guest and out of it, by `tee`, `cat` and `rm`: this is how the core transfers. */
export function transferTests(kit: Kit): void {
  inGuest(kit, "brings a file of any bytes in, and the same bytes out", async ({ run }) => {
    const input = randomBytes(200_000);
    same((await run(["tee", "/tmp/bytes"], { input })).code, 0);
    same((await run(["cat", "/tmp/bytes"])).stdout.equals(input), true);
    same((await run(["rm", "/tmp/bytes"])).code, 0);
    same((await run(["cat", "/tmp/bytes"])).code === 0, false);
  });

  inGuest(kit, "leaves files that stops keep and restores bring back", async (guest) => {
    await store(guest, "first");
    await guest.stop();
    await whileLocked(kit.fixture(), guest, () => take(kit.fixture(), guest.instance, "first"));
    await guest.start();
    same(await stored(guest), "first");
    await store(guest, "second");
    await guest.stop();
    await whileLocked(kit.fixture(), guest, async () => {
      const { snapshots } = kit.fixture().engine;
      await take(kit.fixture(), guest.instance, "second");
      await snapshots.restore(lockOf(guest.instance.id), "first", context());
    });
    await guest.start();
    same(await stored(guest), "first");
  });
}

const FILE = "/var/tmp/conformance";

async function store({ run }: Guest, input: string): Promise<void> {
  same((await run(["tee", FILE], { input })).code, 0);
  // A real guest has it in its cache only; the power is cut in the next step.
  await run(["sync"]);
}

async function stored({ run }: Guest): Promise<string> {
  return String((await run(["cat", FILE])).stdout);
}

async function whileLocked(fixture: Fixture, { instance }: Guest, work: () => Promise<void>): Promise<void> {
  await using _lock = await locked(fixture, instance, 10_000);
  await work();
}
