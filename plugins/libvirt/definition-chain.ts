import { existsSync } from "node:fs";
import { failure } from "../../lib/errors.ts";
import { define, type Engine, getHeld, type Managed } from "./engine.ts";
import { layerOf } from "./layers.ts";
import { type Qcow2Header, readHeader } from "./qcow2-header.ts";
import type { Element } from "./xml/document.ts";
import { readDisk, readExplicitChain, sealSeed, setDisk } from "./xml/domain.ts";

/**
 * Takes out of a definition what says again what the headers of the layers say: libvirt writes the whole chain into
 * it when a snapshot is taken of a running guest, and believes that and no header from then on. A layer that is
 * merged would keep the domain from starting, and a read image would never be opened. Where the two differ for
 * certain, nothing is changed.
 */
export async function ownChain(engine: Engine, managed: Managed): Promise<Managed> {
  const { name, document, metadata, domain } = managed;
  if (readExplicitChain(document) === undefined) return managed;
  const reason = await findDifference(document, metadata.folder);
  if (reason !== undefined) throw failure("RECORDS_DIFFER", { name, reason });
  setDisk(document, readDisk(document));
  sealSeed(document, `${metadata.folder}/seed.iso`);
  await define(engine, document);
  return getHeld(engine, domain.uuid);
}

/** Where a definition's chain differs from that of the headers; undefined where it does not. */
export async function findDifference(document: Element, folder: string): Promise<string | undefined> {
  const explicit = readExplicitChain(document);
  if (explicit === undefined) return undefined;
  let file = readDisk(document);
  for (const next of explicit.files) {
    const header: Qcow2Header | null = await readHeader(file).catch(() => null);
    // What is not there cannot be read; whoever needs it says so.
    if (header === null) return undefined;
    const named = header.backing === null ? null : layerOf(folder, header.backing);
    if (named !== layerOf(folder, next) && existsSync(next))
      return `its definition says that ${file} stands on ${next}, and the file says ${named ?? "nothing"}`;
    if (named === null) return undefined;
    // A name that is gone is one that was merged since.
    file = existsSync(next) ? next : named;
  }
  const last = await readHeader(file).catch(() => null);
  if (!explicit.ends || last === null || last.backing === null) return undefined;
  return `its definition says that ${file} stands on nothing, and the file says ${last.backing}`;
}
