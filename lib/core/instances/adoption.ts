import { RECORD_VERSION } from "../../engine/contract.ts";
import { failure, isStrataError } from "../../errors.ts";
import { defined } from "../../util/defined.ts";
import { quote } from "../../util/quote.ts";
import type { CallOptions, Candidate } from "../api/strata.ts";
import { requireFeature, requireGroup } from "../session/features.ts";
import { contextOf, type Session } from "../session/session.ts";
import { checkName, isInstanceName } from "../snapshots/names.ts";
import { outlineOf } from "../snapshots/outline.ts";
import { parseRef } from "../snapshots/ref.ts";
import { warnOfExcluded } from "./disks.ts";
import { getInstance, whileLocked } from "./instances.ts";

function groupOf(session: Session) {
  return requireGroup(session, "adopt", "adopting", ({ adoption }) => adoption);
}

/** What the engine has and strata did not create, by name. */
export async function candidates(session: Session): Promise<Candidate[]> {
  const found = await (await groupOf(session)).candidates();
  return found
    .map(({ name, obstacle }) => ({ name, obstacle: obstacle ?? nameObstacle(name) }))
    .sort((a, b) => (a.name < b.name ? -1 : 1));
}

function nameObstacle(name: string): string | null {
  return isInstanceName(name)
    ? null
    : `strata cannot use its name: \`strata adopt ${quote(name)} --name NAME\` gives it one beside it`;
}

/**
 * Takes over an instance that strata did not create. Without a user name, strata does not log in to it or
 * wait for its guest.
 */
export async function adopt(
  session: Session,
  name: string,
  {
    username = "",
    name: given,
    exclude = [],
  }: { readonly username?: string; readonly name?: string; readonly exclude?: readonly string[] } = {},
  call?: CallOptions,
): Promise<void> {
  const obstacle = nameObstacle(name);
  if (given !== undefined) {
    checkName("instance", given);
  } else if (obstacle !== null) {
    throw failure("INVALID_VALUE", { what: "the name", value: name, reason: obstacle });
  } else {
    await requireNoSnapshot(session, name);
  }
  const record = {
    version: RECORD_VERSION,
    image: { sha256: "", release: "", os: "" },
    username,
    deleted: false,
    snapshotsTaken: 0,
    cloudInstanceId: "",
    createdAt: Date.now(),
  };
  const group = await groupOf(session);
  if (exclude.length > 0) {
    await requireFeature(session, "disks", "excluding disks");
  }
  const context = contextOf(call);
  const options = defined({ name: given, exclude: exclude.length === 0 ? undefined : [...new Set(exclude)] });
  const adopted = await group.adopt(name, record, context, options).catch((error: unknown) => {
    // Report it as a domain: it is not an instance yet.
    if (isStrataError(error) && error.code === "INSTANCE_NOT_FOUND") {
      throw failure("DOMAIN_NOT_FOUND", { name }, error);
    }
    throw error;
  });
  warnOfExcluded(adopted, context);
}

/** Rejects if the name already names a snapshot of an instance, which could not be named any more. */
async function requireNoSnapshot(session: Session, name: string): Promise<void> {
  const { instance, snapshot } = name.includes(".") ? parseRef(name) : { instance: name };
  if (snapshot === undefined) {
    return;
  }
  const { instances, snapshots } = await session.engine();
  const owner = await instances.find(instance);
  if (owner !== null && (await outlineOf(snapshots, owner.id)).names.includes(snapshot)) {
    const reason = "a snapshot has this name; give another with --name";
    throw failure("INVALID_VALUE", { what: "the name", value: name, reason });
  }
}

/** Stops managing it. */
export async function release(session: Session, name: string, call?: CallOptions): Promise<void> {
  const context = contextOf(call);
  const group = await groupOf(session);
  const instance = await getInstance(session, name);
  await whileLocked(session, instance, context, (lock) => group.release(lock, context));
}
