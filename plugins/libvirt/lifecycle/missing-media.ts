import type { Context } from "../../../lib/engine/contract.ts";
import { failure } from "../../../lib/errors.ts";
import { quote } from "../../../lib/util/quote.ts";
import type { Managed } from "../engine.ts";
import { isGone } from "../storage/pool.ts";
import type { Element } from "../xml/document.ts";
import { type Medium, readMedia } from "../xml/media.ts";

/** Rejects with MEDIUM_MISSING if the domain could not be started for want of what is in a drive. */
export async function requireMedia({ name, document }: Managed): Promise<void> {
  const missing = await findMissing(document);
  if (missing !== undefined) {
    throw failure("MEDIUM_MISSING", { name, drive: missing.drive, path: missing.path });
  }
}

/** Says what would keep a restored domain from being started, while that can still be put right. */
export async function warnOfMedia({ name, document }: Managed, context: Context): Promise<void> {
  const missing = await findMissing(document);
  if (missing !== undefined) {
    const { drive, path } = missing;
    context.warn?.(
      `"${name}" cannot be started: its drive ${drive} contains ${path} again, which does not exist; \`strata disk eject ${quote(name)} ${quote(drive)}\` takes it out`,
    );
  }
}

async function findMissing(document: Element): Promise<Medium | undefined> {
  for (const medium of readMedia(document)) {
    if (!medium.optional && medium.path !== "" && (await isGone(medium.path))) {
      return medium;
    }
  }
  return undefined;
}
