import type { AnyRef, AnySnapshotRef, Ref, SnapshotRef } from "../api/strata.ts";
import { isInstanceName } from "../snapshots/names.ts";
import { asSnapshotRef, instanceRef, parseRef } from "../snapshots/ref.ts";
import { has } from "./engines.ts";
import type { Session } from "./session.ts";

/**
 * The instance or snapshot that a text names: the instance with that whole name if there is one, and otherwise what
 * follows the last dot is a snapshot. Only adopted instances have dots in their names, so only engines that adopt are
 * asked, and only about a text with a dot.
 */
export async function resolveRef(session: Session, text: string): Promise<Ref> {
  if (text.includes(".") && isInstanceName(text)) {
    for (const each of [session, ...(await session.others())]) {
      if ((await adopts(each)) && (await has(each, text))) {
        return instanceRef(text);
      }
    }
  }
  return parseRef(text);
}

async function adopts(session: Session): Promise<boolean> {
  return session.engine().then(
    ({ adoption }) => adoption !== undefined,
    // Whatever needs this engine says why it cannot be reached.
    () => false,
  );
}

/** Resolves a ref from a caller. */
export async function toRef(session: Session, given: AnyRef): Promise<Ref> {
  return typeof given === "string" ? resolveRef(session, given) : given;
}

/** Resolves a snapshot's ref from a caller. */
export async function toSnapshotRef(session: Session, given: AnySnapshotRef): Promise<SnapshotRef> {
  return typeof given === "string" ? asSnapshotRef(await resolveRef(session, given), given) : given;
}
