import { RECORD_VERSION } from "../../engine/contract.ts";
import { failure, isStrataError } from "../../errors.ts";
import type { CallOptions, Candidate } from "../api/strata.ts";
import { requireGroup } from "../session/features.ts";
import { contextOf, type Session } from "../session/session.ts";
import { checkName } from "../snapshots/names.ts";
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
  try {
    checkName("instance", name);
    return null;
  } catch (error) {
    if (isStrataError(error)) {
      return `${error.message}; rename it first`;
    }
    throw error;
  }
}

/**
 * Takes over an instance that strata did not create. Without a user name, strata does not log in to it or
 * wait for its guest.
 */
export async function adopt(
  session: Session,
  name: string,
  { username = "" }: { readonly username?: string } = {},
  call?: CallOptions,
): Promise<void> {
  checkName("instance", name);
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
  await group.adopt(name, record, contextOf(call)).catch((error: unknown) => {
    // Report it as a domain: it is not an instance yet.
    if (isStrataError(error) && error.code === "INSTANCE_NOT_FOUND") {
      throw failure("DOMAIN_NOT_FOUND", { name }, error);
    }
    throw error;
  });
}

/** Stops managing it. */
export async function release(session: Session, name: string, call?: CallOptions): Promise<void> {
  const context = contextOf(call);
  const group = await groupOf(session);
  const instance = await getInstance(session, name);
  await whileLocked(session, instance, context, (lock) => group.release(lock, context));
}
