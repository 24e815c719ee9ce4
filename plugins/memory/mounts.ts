import type { Mount, Mounts } from "../../lib/engine/contract.ts";
import { failure } from "../../lib/errors.ts";
import { type Locks, lockedInstance } from "./lock.ts";
import type { StoredInstance, World } from "./world.ts";

/** Rejects with UNSUPPORTED what `info` does not declare; the core has asked, others may not have. */
export function requireNative(mounts: readonly Mount[]): void {
  if (mounts.some(({ type }) => type !== "native")) {
    throw failure("UNSUPPORTED", { what: "a classic mount", engine: "memory", reason: "it has native ones" });
  }
}

/** Mounts exist only as records: there is no guest in which a folder could appear. */
export function mountGroup(world: World, locks: Locks): Mounts {
  const put = async (stored: StoredInstance, mounts: readonly Mount[]) => {
    world.step("mount");
    await world.put({ ...stored, mounts });
    return stored.state === "running" ? ("applied" as const) : ("restart" as const);
  };
  return {
    async attach(lock, mount) {
      requireNative([mount]);
      const stored = await lockedInstance(world, locks, lock);
      const { name, mounts } = stored;
      if (mounts.some(({ target }) => target === mount.target)) {
        throw failure("MOUNT_EXISTS", { name, target: mount.target });
      }
      return put(stored, [...mounts, mount]);
    },
    async detach(lock, target) {
      const stored = await lockedInstance(world, locks, lock);
      return put(
        stored,
        stored.mounts.filter((each) => each.target !== target),
      );
    },
    inside: async () => [],
  };
}
