import { planRemoval } from "../../lib/core/snapshots/plan.ts";
import { context, type Fixture, lockOf } from "../../lib/engine/conformance/fixture.ts";
import type { Instance } from "../../lib/engine/contract.ts";

/** Deletes a snapshot as the core does. The caller has locked the instance. */
export async function dropSnapshot(
  { engine }: Pick<Fixture, "engine">,
  { id }: Pick<Instance, "id">,
  name: string,
): Promise<void> {
  const removal = planRemoval(await engine.snapshots.tree(id), name);
  if (removal === undefined) {
    throw new Error(`there is no ${name}`);
  }
  await engine.snapshots.delete(lockOf(id), removal, context());
}
