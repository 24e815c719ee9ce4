import { failure } from "../../../lib/errors.ts";
import type { Managed } from "../engine.ts";
import { DomainXmlFlags } from "../rpc/index.ts";
import { findDisk, readDiskAt, writtenDisks } from "../xml/disks.ts";
import { type Element, parse } from "../xml/document.ts";

/**
 * Rejects if another hand has attached, detached or replaced a disk since the definition was read: what follows would
 * freeze a disk that was not looked at, or take it out of the definition.
 */
export async function requireSameDisks({ domain, name, document, metadata }: Managed): Promise<void> {
  const now = await parse(await domain.getXml(DomainXmlFlags.INACTIVE));
  const targets = [document, now].flatMap((each) => writtenDisks(each, metadata).map(({ target }) => target));
  const changed = targets.find((target) => readDiskAt(now, target) !== readDiskAt(document, target));
  if (changed !== undefined) {
    throw failure("WRONG_STATE", {
      name,
      reason: `Meanwhile, another tool has ${verbOf(changed, document, now)} disk ${changed}, so nothing was done; try again`,
      state: "being changed",
    });
  }
}

function verbOf(target: string, before: Element, now: Element): string {
  if (findDisk(before, target) === undefined) {
    return "attached";
  }
  return findDisk(now, target) === undefined ? "detached" : "replaced";
}
