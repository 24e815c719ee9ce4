import type { CallOptions } from "./api.ts";
import { requireGroup } from "./features.ts";
import { getInstance, requireStopped, whileHeld } from "./instances.ts";
import { contextOf, type Session } from "./session.ts";

/** Moves a stopped instance with its snapshots to another member of the cluster. */
export async function move(
  session: Session,
  name: string,
  member: string,
  call?: CallOptions,
): Promise<void> {
  const context = contextOf(call);
  const cluster = await requireGroup(session, "cluster", "moving instances", (backend) => backend.cluster);
  const instance = await getInstance(session, name);
  await whileHeld(session, instance, context, async (fresh) => {
    requireStopped(fresh, "Only stopped instances can be moved");
    await cluster.move(fresh.id, member, context);
  });
}
