import { rejects } from "./assert.ts";
import { context, lockOf, withInstance } from "./fixture.ts";
import { feature, type Kit } from "./kit.ts";
import { NotTried } from "./tally.ts";

/** Drives whose media can be taken out. */
export function driveTests(kit: Kit): void {
  feature(kit, "eject", "are refused where there is none of that name, or none with a medium", (fixture) =>
    withInstance(fixture, async ({ id }) => {
      const { eject } = fixture.engine.instances;
      if (eject === undefined) {
        throw new NotTried("the engine ejects nothing");
      }
      await rejects(eject(lockOf(id), "no-such-drive", context()), "INVALID_VALUE");
      await rejects(eject(lockOf(id), undefined, context()), "INVALID_VALUE");
    }),
  );
}
