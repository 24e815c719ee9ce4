import type { Context } from "../../../lib/engine/contract.ts";
import { failure } from "../../../lib/errors.ts";
import type { LibvirtEngine, Managed } from "../engine.ts";
import { ENGINE } from "../errors.ts";
import type { OperationOf } from "../journal/entry.ts";
import { copy, type Element, find, put } from "../xml/document.ts";
import { keepVariables, readTpm, readVariables } from "../xml/firmware.ts";
import type { SnapshotDocument } from "../xml/snapshot.ts";
import { apply, stage, unstage } from "./apply.ts";
import { readPacked } from "./archive.ts";
import { hasState, type Places, placesOf } from "./places.ts";
import { type FirmwareState, type Packed, pack, readState } from "./state.ts";
import { findVariablesUser } from "./users.ts";

/**
 * What the firmware of an instance that is shut off remembers, to be kept with a snapshot: UEFI variables and the
 * state of an emulated TPM. Undefined if its firmware keeps nothing.
 */
export async function packFirmware(
  engine: LibvirtEngine,
  { name, document }: Managed,
  context: Context,
): Promise<Packed | undefined> {
  for (const what of uncovered(document)) {
    context.warn?.(`snapshots of "${name}" do not cover ${what}`);
  }
  const places = placesOf(engine, document);
  return hasState(places) ? pack(await readState(places)) : undefined;
}

/** What a domain's firmware remembers outside of files that strata could copy. */
export function uncovered(document: Element): string[] {
  const variables = readVariables(document);
  const tpm = readTpm(document);
  return [
    ...(variables?.at === "elsewhere" ? [`its UEFI variables, which are in ${variables.where}`] : []),
    ...(tpm?.emulated === false ? ["the state of its TPM, which is not an emulated one"] : []),
  ];
}

/** The state of a snapshot's firmware, and where a restore puts it. */
export interface FirmwareRestore {
  readonly packed: string;
  readonly places: Places;
  readonly state: FirmwareState;
}

/**
 * Reads the state that a restore of the snapshot brings back. Rejects if it cannot be used. Undefined if there is
 * none; a snapshot of an earlier version, or of another tool, leaves the present state as it is.
 */
export async function readFirmwareOf(
  engine: LibvirtEngine,
  managed: Managed,
  { name, domain, firmware }: SnapshotDocument,
  context: Context,
): Promise<FirmwareRestore | undefined> {
  if (domain === undefined) {
    return undefined;
  }
  const places = restoredPlaces(engine, domain, managed.document);
  await requireOwn(engine, managed, places);
  if (firmware === undefined) {
    if (hasState(places)) {
      context.warn?.(
        `snapshot "${name}" does not have the state of the firmware, which stays as it is: it was taken by an earlier version of strata, or by another tool`,
      );
    }
    return undefined;
  }
  return { packed: firmware, places, state: await readPacked(managed, firmware) };
}

/** Where the firmware keeps its state once the recorded domain has been defined in place of the present one. */
function restoredPlaces(engine: LibvirtEngine, recorded: Element, present: Element): Places {
  const restored = copy(recorded);
  for (const name of ["name", "uuid"]) {
    const own = find(present, name);
    if (own !== undefined) {
      put(restored, own);
    }
  }
  keepVariables(restored, present);
  return placesOf(engine, restored);
}

/** Rejects if another domain has by now the variables that come back, which it would lose. */
async function requireOwn(engine: LibvirtEngine, managed: Managed, { variables }: Places): Promise<void> {
  if (variables === undefined || placesOf(engine, managed.document).variables === variables) {
    return;
  }
  const user = await findVariablesUser(engine, variables, managed.domain.uuid);
  if (user !== undefined) {
    throw failure("UNSUPPORTED", {
      what: `restoring "${managed.name}"`,
      engine: ENGINE,
      reason: `the domain ${user} has the file of its UEFI variables by now, ${variables}`,
    });
  }
}

/** The members of a restore's journal entry that say what to do about the firmware. */
export function firmwareEntry(
  restore: FirmwareRestore | undefined,
): Pick<OperationOf<"restore">, "firmware" | "variables" | "tpm"> {
  return restore === undefined ? {} : { firmware: restore.packed, ...restore.places };
}

/** Makes sure that the state can be put into place, before the restore cannot be undone any more. */
export async function stageFirmware(restore: FirmwareRestore | undefined): Promise<void> {
  if (restore !== undefined) {
    await stage(restore.places, restore.state);
  }
}

/** Puts the state of a restored snapshot's firmware into place. */
export async function finishFirmware(managed: Managed, operation: OperationOf<"restore">): Promise<void> {
  const { firmware } = operation;
  if (firmware !== undefined) {
    await apply(placesIn(operation), await readPacked(managed, firmware));
  }
}

/** Removes what a restore that did not happen has prepared. */
export async function undoFirmware(managed: Managed, operation: OperationOf<"restore">): Promise<void> {
  const { firmware } = operation;
  if (firmware !== undefined) {
    await unstage(placesIn(operation), await readPacked(managed, firmware));
  }
}

function placesIn({ variables, tpm }: OperationOf<"restore">): Places {
  return { ...(variables === undefined ? {} : { variables }), ...(tpm === undefined ? {} : { tpm }) };
}
