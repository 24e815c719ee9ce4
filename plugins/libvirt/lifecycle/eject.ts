import type { Context } from "../../../lib/engine/contract.ts";
import { failure } from "../../../lib/errors.ts";
import { define, type LibvirtEngine, type Managed } from "../engine.ts";
import { isSaid } from "../errors.ts";
import { getReady } from "../journal/recover.ts";
import { TRAY_LOCKED } from "../messages.ts";
import { DeviceModifyFlags } from "../rpc/index.ts";
import { type Element, parse, serialize } from "../xml/document.ts";
import { emptyDrive, readDrives, readMedia } from "../xml/media.ts";
import { isSaved } from "./power.ts";

/**
 * Takes the medium out of a drive: of the one that is named or, without a name, of the only one that has a medium.
 * Resolves to the drive's name. A running guest may have locked it.
 */
export async function eject(
  engine: LibvirtEngine,
  id: string,
  wanted: string | undefined,
  context: Context,
): Promise<string> {
  const managed = await getReady(engine, id, context);
  context.signal.throwIfAborted();
  const { name, domain, document } = managed;
  if (await isSaved(managed)) {
    throw failure("INSTANCE_SUSPENDED", { name, reason: "A medium cannot be taken out now" });
  }
  const active = await domain.isActive();
  const live = active ? await parse(await domain.getXml(0)) : undefined;
  const drive = chooseDrive(name, live ?? document, wanted);
  if (live !== undefined) {
    await ejectLive(managed, live, drive);
  }
  if (emptyDrive(document, drive) !== undefined) {
    await define(engine, document);
  }
  return drive;
}

/** The drive to be emptied. */
function chooseDrive(name: string, document: Element, wanted: string | undefined): string {
  const known = readDrives(document);
  const full = [...new Set(readMedia(document).map(({ drive }) => drive))];
  const [only, ...others] = full;
  if (wanted === undefined && only !== undefined && others.length === 0) {
    return only;
  }
  if (wanted !== undefined && known.includes(wanted)) {
    return wanted;
  }
  const choices = wanted === undefined ? full : known;
  const reason =
    choices.length === 0
      ? `"${name}" has no drive with a medium`
      : `must be one of ${choices.join(", ")}, the drives of "${name}"`;
  throw failure("INVALID_VALUE", { what: "the drive", value: wanted ?? "", reason });
}

async function ejectLive({ name, domain }: Managed, live: Element, drive: string): Promise<void> {
  const disk = emptyDrive(live, drive);
  if (disk === undefined) {
    return;
  }
  try {
    await domain.updateDevice(serialize(disk), DeviceModifyFlags.LIVE);
  } catch (error) {
    if (!isSaid(error, TRAY_LOCKED)) {
      throw error;
    }
    const reason = `Its guest has locked the drive ${drive}: unmount the medium inside`;
    throw failure("WRONG_STATE", { name, reason, state: "Running" }, error);
  }
}
