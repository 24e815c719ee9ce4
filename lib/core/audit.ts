import type { Finding } from "../backend/contract.ts";
import type { CallOptions } from "./api.ts";
import { contextOf, type Session } from "./session.ts";

/** What an engine's records and files do not agree in; nothing where the engine cannot tell. */
export async function audit(session: Session): Promise<readonly Finding[]> {
  const { maintenance } = await session.backend();
  return (await maintenance?.audit()) ?? [];
}

/** Repairs what can be repaired of an engine's findings; resolves to what has been. */
export async function repair(
  session: Session,
  findings: readonly Finding[],
  call?: CallOptions,
): Promise<Finding[]> {
  const context = contextOf(call);
  const { maintenance } = await session.backend();
  const repaired: Finding[] = [];
  for (const finding of findings) {
    if (maintenance === undefined || finding.repair === undefined) continue;
    context.signal.throwIfAborted();
    context.progress({ phase: "Repairing" });
    if (await maintenance.repair(finding, context)) repaired.push(finding);
  }
  return repaired;
}
