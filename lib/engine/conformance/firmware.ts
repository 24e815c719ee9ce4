import { same } from "./assert.ts";
import { withClone } from "./clone.ts";
import { context, current, type Fixture, lockOf, take, withInstance } from "./fixture.ts";
import { feature, type Kit } from "./kit.ts";
import { NotTried } from "./tally.ts";

/** What instances boot with, and what that remembers. */
export function firmwareTests(kit: Kit): void {
  feature(kit, "firmware", "is what was asked for, over snapshots and in copies", (fixture) =>
    withInstance(
      fixture,
      async (instance) => {
        const { snapshots } = fixture.engine;
        same(instance.firmware, "uefi", "as it was created");
        await take(fixture, instance, "one");
        await snapshots.restore(lockOf(instance.id), "one", context());
        same((await current(fixture, instance)).firmware, "uefi", "after a restore");
        await withClone(fixture, instance, async (copy) => same(copy.firmware, "uefi", "in a copy"));
      },
      { firmware: "uefi" },
    ),
  );

  feature(kit, "firmware", "comes back with a snapshot, and goes into a clone", (fixture) =>
    withInstance(
      fixture,
      async (instance) => {
        const { read, write } = accessOf(fixture);
        const { snapshots } = fixture.engine;
        const restore = (name: string) => snapshots.restore(lockOf(instance.id), name, context());
        await take(fixture, instance, "new");
        await write(instance, "first");
        await take(fixture, instance, "one");
        await write(instance, "second");
        await take(fixture, instance, "two");
        await restore("one");
        same(await read(instance), "first", "restored to the first");
        await restore("two");
        same(await read(instance), "second", "restored to the second");
        await withClone(fixture, instance, async (copy) => {
          same(await read(copy), "second", "in a copy");
          await write(copy, "its own");
          same(await read(instance), "second", "after the copy has changed");
        });
        const removal = { name: "one", parent: "new", children: ["two"] };
        await snapshots.delete(lockOf(instance.id), removal, context());
        await restore("two");
        same(await read(instance), "second", "after another snapshot was deleted");
        await restore("new");
        same(await read(instance), "", "restored to when there was nothing");
      },
      { firmware: "uefi" },
    ),
  );
}

function accessOf({ readFirmware, writeFirmware }: Fixture) {
  if (readFirmware === undefined || writeFirmware === undefined) {
    throw new NotTried("the fixture does not read and write what firmware remembers");
  }
  return { read: readFirmware, write: writeFirmware };
}
