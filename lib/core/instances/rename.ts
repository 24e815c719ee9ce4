import { asStrataError } from "../../errors.ts";
import type { CallOptions } from "../api/strata.ts";
import { requireGroup } from "../session/features.ts";
import { contextOf, type Session } from "../session/session.ts";
import { checkInstanceName, checkName } from "../snapshots/names.ts";
import { renameInAliases } from "./aliases.ts";
import { requireStopped, whileLocked } from "./instances.ts";

/** Setting with the name of the primary instance. */
const PRIMARY = "client.primary-name";

/** Gives a stopped instance another name. The user's aliases follow, and the setting of the primary instance does. */
export async function renameInstance(
  session: Session,
  name: string,
  to: string,
  call?: CallOptions,
): Promise<void> {
  checkInstanceName(name);
  checkName("instance", to);
  const context = contextOf(call);
  const rename = await requireGroup(
    session,
    "rename",
    "renaming an instance",
    ({ instances }) => instances.rename,
  );
  await whileLocked(session, { name }, context, async (lock) => {
    requireStopped(lock.instance, "Only stopped instances can be renamed");
    await rename(lock, to, context);
  });
  if (to !== name) {
    await follow(session, name, to).catch((error: unknown) => {
      // The instance has its new name: what could not follow is no reason to say otherwise.
      context.warn?.(`aliases and settings still name "${name}": ${asStrataError(error).message}`);
    });
  }
}

async function follow(session: Session, name: string, to: string): Promise<void> {
  await renameInAliases(session, name, to);
  const values = await session.settings();
  if (values[PRIMARY] === name) {
    await session.saveSettings({ ...values, [PRIMARY]: to });
  }
}
