import { existsSync } from "node:fs";
import type { Context } from "../../../lib/engine/contract.ts";
import { failure } from "../../../lib/errors.ts";
import {
  changedMetadata,
  domainName,
  type LibvirtEngine,
  type Managed,
  runOptions,
  writeMetadata,
} from "../engine.ts";
import { layerOf } from "../layers/names.ts";
import { ensureNetworks, freePort } from "../network/networks.ts";
import { isEmptyImage, readHeader } from "../qcow2/header.ts";
import { holdsData } from "../qcow2/qemu-img.ts";
import { DomainState, LibvirtError, SaveRestoreFlags } from "../rpc/index.ts";
import { lookupSnapshot } from "../snapshots/records.ts";
import { readDiskAt, setDisks, writtenDisks } from "../xml/disks.ts";
import { type Element, parse, serialize } from "../xml/document.ts";
import { setForwardedPort } from "../xml/domain.ts";
import { type Metadata, putMetadata } from "../xml/metadata.ts";
import type { SnapshotDocument } from "../xml/snapshot.ts";

/**
 * What the metadata say of an instance that a restore with memory has left: whose memory the next start loads. The
 * definition with the restored disks has it in the same write, and it is removed before the guest runs its first
 * instruction.
 */
export type Resume = NonNullable<Metadata["resume"]>;

/** Rejects unless the snapshot has a memory that could be loaded. */
export function requireMemory(name: string, snapshot: SnapshotDocument): Resume {
  const cannot = (reason: string) => failure("MEMORY_UNLOADABLE", { name, snapshot: snapshot.name, reason });
  if (snapshot.consistency !== "memory" || snapshot.memory === "") {
    throw cannot("it was taken without memory");
  }
  if (!existsSync(snapshot.memory)) {
    throw cannot(`${snapshot.memory} is missing`);
  }
  return { snapshot: snapshot.name, memory: snapshot.memory };
}

/**
 * Starts the guest where the snapshot was taken, paused first: it runs once nothing says any more that the memory is to
 * be loaded. False, and a warning, if the disks have been written since the restore: then it must boot.
 */
export async function resumeFromMemory(
  engine: LibvirtEngine,
  managed: Managed,
  resume: Resume,
  context: Context,
): Promise<boolean> {
  const { domain, name } = managed;
  const snapshot = await lookupSnapshot(domain, resume.snapshot);
  const reason = await whyNot(engine, managed, snapshot, resume);
  if (reason !== undefined) {
    await writeMetadata(managed, { resume: null }, false);
    context.warn?.(`"${name}" boots without the memory of "${resume.snapshot}": ${reason}`);
    return false;
  }
  context.progress({ phase: "Loading memory" });
  await load(engine, managed, resume);
  await goOn(managed);
  return true;
}

/** Lets a guest run whose memory has been loaded: from now on its disks are written, and fit no memory any more. */
export async function goOn(managed: Managed): Promise<void> {
  await writeMetadata(managed, { resume: null }, true);
  await managed.domain.resume();
}

/** Has nothing loaded into a guest that runs without strata having started it: it writes its disks. */
export async function dropStale(managed: Managed): Promise<Managed> {
  const stale =
    managed.metadata.resume !== undefined && (await managed.domain.getState()).state === DomainState.RUNNING;
  return stale ? writeMetadata(managed, { resume: null }, true) : managed;
}

/** Why the memory does not fit the disks; undefined if it does: then nothing has been written since the restore. */
async function whyNot(
  engine: LibvirtEngine,
  { domain, document, metadata }: Managed,
  snapshot: SnapshotDocument | null,
  { memory }: Resume,
): Promise<string | undefined> {
  if (snapshot === null || snapshot.memory !== memory) {
    return "the snapshot is gone";
  }
  const { targets, frozen } = snapshot;
  const written = writtenDisks(document, metadata);
  if (written.length !== targets.length || written.some(({ target }) => !targets.includes(target))) {
    return "it has other disks than the snapshot";
  }
  for (const [at, target] of targets.entries()) {
    const file = readDiskAt(document, target);
    const { backing } = await readHeader(file);
    if (backing === null || layerOf(metadata.folder, backing) !== frozen[at]) {
      return `disk ${target} does not stand on the snapshot`;
    }
    if (!(await isEmptyImage(file)) && (await holdsData(file, runOptions(engine, domain.uuid)))) {
      return `disk ${target} was written since the restore`;
    }
  }
  return undefined;
}

async function load(engine: LibvirtEngine, managed: Managed, resume: Resume): Promise<void> {
  const { connection } = engine;
  const { name, document, metadata } = managed;
  const cannot = (reason: string, cause?: unknown) =>
    failure("MEMORY_UNLOADABLE", { name, snapshot: resume.snapshot, reason }, cause);
  await ensureNetworks(engine, document);
  const saved = await parse(
    await connection.saveImageXml(resume.memory).catch((error: unknown) => {
      throw error instanceof LibvirtError ? cannot(error.message, error) : error;
    }),
  );
  if (domainName(saved) !== domainName(document)) {
    throw cannot(`it was saved while the instance was called "${domainName(saved)}"`);
  }
  const sshPort = metadata.sshPort === undefined ? undefined : await freePort();
  putPresent(saved, managed, sshPort);
  await connection
    .restoreDomain(resume.memory, serialize(saved), SaveRestoreFlags.PAUSED)
    .catch((error: unknown) => {
      throw error instanceof LibvirtError ? cannot(error.message, error) : error;
    });
  if (sshPort !== undefined) {
    await writeMetadata(managed, { sshPort }, true);
  }
}

/** The saved definition names the disks of the moment before the snapshot, which it froze. */
function putPresent(saved: Element, { document, metadata }: Managed, sshPort: number | undefined): void {
  const disks = writtenDisks(document, metadata).map(({ target, file }) => [target, file] as const);
  setDisks(saved, new Map(disks));
  putMetadata(saved, sshPort === undefined ? metadata : changedMetadata(metadata, { sshPort }));
  if (sshPort !== undefined) {
    setForwardedPort(saved, sshPort);
  }
}
