import type { CallOptions } from "../api/strata.ts";
import { requireGroup } from "../session/features.ts";
import { contextOf, type Session } from "../session/session.ts";
import { getInstance, whileLocked } from "./instances.ts";

/** Takes the medium out of a drive; resolves to the drive's name. */
export async function eject(
  session: Session,
  name: string,
  drive: string | undefined,
  call?: CallOptions,
): Promise<string> {
  const instance = await getInstance(session, name);
  const ejectFrom = await requireGroup(
    session,
    "eject",
    "taking out a medium",
    ({ instances }) => instances.eject,
  );
  const context = contextOf(call);
  return whileLocked(session, instance, context, (lock) => ejectFrom(lock, drive, context));
}
