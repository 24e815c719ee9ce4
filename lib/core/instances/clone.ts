import { randomUUID } from "node:crypto";
import type { Instance } from "../../engine/contract.ts";
import { RECORD_VERSION } from "../../engine/contract.ts";
import { makeSeed } from "../../guest/seed.ts";
import type { CallOptions } from "../api/strata.ts";
import { userKeys } from "../guest/guest.ts";
import { requireGroup } from "../session/features.ts";
import { contextOf, type Session } from "../session/session.ts";
import { checkName, plainName } from "../snapshots/names.ts";
import { getInstance, outlines, requireStopped, whileLocked } from "./instances.ts";

/**
 * Copies the current state of a stopped instance, without its snapshots. Inside, the copy is another machine:
 * its seed has a new instance id, for which cloud-init renews host name and host keys. It does not contain
 * the user's own cloud-init data, whose effects are already on the disk.
 */
export async function clone(
  session: Session,
  name: string,
  options: { readonly name?: string } = {},
  call?: CallOptions,
): Promise<{ readonly name: string }> {
  if (options.name !== undefined) {
    checkName("instance", options.name);
  }
  const context = contextOf(call);
  const copy = await requireGroup(session, "clone", "cloning", ({ instances }) => instances.clone);
  const original = await getInstance(session, name);
  return whileLocked(session, original, context, async (lock) => {
    requireStopped(lock.instance, "Only stopped instances can be cloned");
    const wanted = await freeName(session, lock.instance, options.name);
    const { image, username } = lock.instance.record;
    const instanceId = `i-${randomUUID()}`;
    const { publicKey } = await userKeys(session);
    const spec = {
      name: wanted,
      seed: makeSeed({ name: wanted, instanceId, username, publicKey }),
      record: {
        version: RECORD_VERSION,
        image,
        username,
        deleted: false,
        snapshotsTaken: 0,
        cloudInstanceId: instanceId,
        createdAt: Date.now(),
      },
    };
    await copy(lock, spec, context);
    for (const disk of lock.instance.resources.disks ?? []) {
      if (disk.excluded === true) {
        context.warn?.(`disk ${disk.name} of "${name}" is excluded, so "${wanted}" does not have it`);
      }
    }
    return { name: wanted };
  });
}

/** The requested name if it is free; without one, `NAME-cloneN` with the lowest free N. */
async function freeName(session: Session, { name }: Instance, wanted: string | undefined): Promise<string> {
  // The engine decides whether it is free, as for a launch.
  if (wanted !== undefined) {
    return wanted;
  }
  const taken = new Set((await outlines(session)).map(({ name }) => name));
  let number = 1;
  const plain = plainName(name);
  while (taken.has(`${plain}-clone${number}`)) {
    number += 1;
  }
  const made = `${plain}-clone${number}`;
  checkName("instance", made);
  return made;
}
