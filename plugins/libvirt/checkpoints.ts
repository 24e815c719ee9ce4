import { failure } from "../../lib/errors.ts";
import type { Managed } from "./engine.ts";

/**
 * Rejects where libvirt has checkpoints of the domain, as backup tools leave them: it neither takes a snapshot of a
 * stopped domain then nor writes a snapshot's record anew (seen in 9.0 and 11.3).
 */
export async function requireNoCheckpoints({
  name,
  domain,
}: Pick<Managed, "name" | "domain">): Promise<void> {
  const checkpoints = await domain.listCheckpoints();
  if (checkpoints.length === 0) return;
  throw failure("CHECKPOINTS_IN_WAY", { name, checkpoints: checkpoints.join(", ") });
}
