import { failure } from "../errors.ts";
import type { Lock } from "./contract.ts";

/** The id of the instance that is locked; throws once the lock has been released. */
export function lockedId({ locks }: { readonly locks: Pick<WeakSet<Lock>, "has"> }, lock: Lock): string {
  const { id, name } = lock.instance;
  if (!locks.has(lock)) {
    throw failure("LOCK_REQUIRED", { name });
  }
  return id;
}
