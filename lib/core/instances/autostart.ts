import type { CallOptions } from "../api/strata.ts";
import { requireGroup } from "../session/features.ts";
import { contextOf, type Session } from "../session/session.ts";
import { getInstance, whileLocked } from "./instances.ts";

function groupOf(session: Session) {
  return requireGroup(session, "autostart", "starting instances with the host", (engine) => engine.autostart);
}

/** Whether the host starts an instance when it boots. */
export async function hasAutostart(session: Session, name: string): Promise<boolean> {
  const { id } = await getInstance(session, name);
  return (await groupOf(session)).get(id);
}

/** Has the host start an instance when it boots, or leave it as it is. */
export async function setAutostart(
  session: Session,
  name: string,
  on: boolean,
  call?: CallOptions,
): Promise<void> {
  const instance = await getInstance(session, name);
  const group = await groupOf(session);
  await whileLocked(session, instance, contextOf(call), (lock) => group.set(lock, on), { finish: false });
}
