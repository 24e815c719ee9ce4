import type { Instance } from "../../engine/contract.ts";
import type { CallOptions } from "../api/strata.ts";
import { requireGroup } from "../session/features.ts";
import { contextOf, type Session } from "../session/session.ts";
import { checkName, plainName } from "../snapshots/names.ts";
import { getInstance, outlines, requireStopped, whileLocked } from "./instances.ts";
import { newMachine } from "./new-machine.ts";

/**
 * Copies the current state of a stopped instance, without its snapshots. Inside, the copy is another machine.
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
    const spec = await newMachine(session, wanted, { ...lock.instance.record, snapshotsTaken: 0 });
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
