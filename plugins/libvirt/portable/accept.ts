import { rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type {
  AcceptSpec,
  ArrivingFile,
  Context,
  Instance,
  ParcelOutline,
} from "../../../lib/engine/contract.ts";
import { failure } from "../../../lib/errors.ts";
import { inspectImage } from "../../../lib/images/inspect.ts";
import { hashFile } from "../../../lib/images/storage.ts";
import { createFile } from "../../../lib/util/own-files.ts";
import { getManaged, type LibvirtEngine, type Managed, runOptions } from "../engine.ts";
import { fileError } from "../errors.ts";
import { newLayerPath, newPartialPath } from "../layers/names.ts";
import { establish, type Place, requireFree } from "../lifecycle/creation.ts";
import { requireAttainable } from "../lifecycle/limits.ts";
import { instanceFolder, lockPool } from "../lifecycle/removal.ts";
import { ensureNetwork, newConnection, newMac } from "../network/networks.ts";
import { clearBacking, pointTo } from "../qcow2/qemu-img.ts";
import { DomainXmlFlags } from "../rpc/index.ts";
import { recordLost } from "../snapshots/record-again.ts";
import { listCopies, writeRecordCopy } from "../snapshots/record-copies.ts";
import { basePath, checkSpace, exists, importBase } from "../storage/pool.ts";
import { writeSeed } from "../storage/seed.ts";
import { addDisk, findDisk, removeDisk, setDiskAt, writtenDisks } from "../xml/disks.ts";
import { copy, type Element, parse, serialize } from "../xml/document.ts";
import { domainDocument, newMachine, readInterfaces } from "../xml/domain.ts";
import { putMetadata } from "../xml/metadata.ts";
import { setResources } from "../xml/resources.ts";
import { recordDocument, snapshotEntry } from "../xml/snapshot.ts";
import { BASE, baseName, type Contents, parseContents, type SnapshotFields } from "./contents.ts";
import { checkLayer, judgeLayer } from "./judge.ts";

/** Rejects what cannot be accepted, as the contract says. */
export async function checkParcel(
  engine: LibvirtEngine,
  { contents: given, files }: ParcelOutline,
  { name, same }: AcceptSpec,
): Promise<Contents> {
  const contents = await parseContents(given, files);
  const host = await engine.host();
  if (contents.arch !== host.arch) {
    const reason = `it is for ${contents.arch}, and this host is ${host.arch}`;
    throw failure("UNSUPPORTED", { what: "importing it", engine: "libvirt", reason });
  }
  await requireFree(engine, name);
  if (same === true) {
    await requireAbsent(engine, name, contents.identity);
  }
  for (const { cpus, memory } of [contents, ...contents.snapshots]) {
    await requireAttainable(engine, newMachine(host), { cpus, memory: BigInt(memory) });
  }
  const bytes = files.reduce((sum, { size }) => sum + BigInt(size), 0n);
  await checkSpace(await engine.pool(), bytes);
  return contents;
}

/** The same machine must not be here twice, nor anything where its files would be. */
async function requireAbsent(
  engine: LibvirtEngine,
  name: string,
  identity: Contents["identity"],
): Promise<void> {
  if (identity === undefined) {
    throw failure("IDENTITY_TAKEN", { name, reason: "the file does not tell who it was" });
  }
  const { uuid, mac } = identity;
  for (const domain of await engine.connection.listDomains()) {
    const document = await parse(await domain.getXml(DomainXmlFlags.INACTIVE));
    if (domain.uuid === uuid || readInterfaces(document).some((nic) => nic.mac.toLowerCase() === mac)) {
      const what = domain.uuid === uuid ? `UUID ${uuid}` : `MAC address ${mac}`;
      throw failure("IDENTITY_TAKEN", { name, reason: `domain "${domain.name}" has its ${what}` });
    }
  }
  const folder = instanceFolder(await engine.pool(), uuid);
  if (await exists(folder)) {
    throw failure("IDENTITY_TAKEN", { name, reason: `${folder} exists` });
  }
}

/** Makes an instance of a parcel, as the contract says: the domain and all records are built from fields. */
export async function accept(
  engine: LibvirtEngine,
  parcel: ParcelOutline,
  arriving: AsyncIterable<ArrivingFile>,
  spec: AcceptSpec,
  context: Context,
): Promise<Instance> {
  const contents = await checkParcel(engine, parcel, spec);
  const build = await builder(engine, contents, spec);
  return establish(engine, spec.name, context, {
    ...(build.uuid === undefined ? {} : { uuid: build.uuid }),
    document: async (place) => build.domain(place),
    async fill(place) {
      const { uuid, folder } = place;
      const base = await receive(folder, arriving, contents, context);
      await standOn(engine, uuid, { folder, contents, base }, context);
      await writeSeed(folder, spec.seed, [{ mac: build.mac, mode: "auto" }], context.signal);
      const managed = await getManaged(engine, uuid);
      for (const snapshot of contents.snapshots) {
        await writeRecord(managed, snapshot, contents, spec);
      }
      await recordLost(managed, await listCopies(folder));
    },
  });
}

/** Builds the domain of the instance. */
async function builder(engine: LibvirtEngine, contents: Contents, { name, record, same }: AcceptSpec) {
  const host = await engine.host();
  const { uuid, mac = newMac() } = same === true ? { ...contents.identity } : {};
  const network = await newConnection(engine);
  if (network.kind === "network") {
    await ensureNetwork(engine, network.name);
  }
  return {
    uuid,
    mac,
    domain({ folder, seed, consoleLog, ...place }: Place): Element {
      const [system, ...further] = contents.disks.map(({ target, layer }) => ({
        target,
        file: join(folder, layer),
      }));
      const document = domainDocument({
        name,
        uuid: place.uuid,
        metadata: {
          record,
          folder,
          mounts: [],
          ...(network.kind === "user" ? { sshPort: network.port } : {}),
          operation: { kind: "create" },
        },
        resources: { cpus: contents.cpus, memory: BigInt(contents.memory) },
        disk: system?.file ?? "",
        seed,
        consoleLog,
        mac,
        accelerator: host.accelerator,
        arch: contents.arch,
        network,
        nics: [],
      });
      for (const { target, file } of further) {
        addDisk(document, target, file);
      }
      return document;
    },
  };
}

/** Stores the files that arrive; resolves to where the image is that the layers stand on. */
async function receive(
  folder: string,
  arriving: AsyncIterable<ArrivingFile>,
  { base }: Contents,
  { signal }: Context,
): Promise<string | null> {
  const basis = base === null ? null : newPartialPath(folder);
  for await (const { name, body } of arriving) {
    const isBase = base !== null && name === baseName(base);
    const path = isBase ? (basis ?? "") : join(folder, name);
    try {
      await using file = await createFile(path);
      await writeFile(file, body, { signal });
      await file.sync();
    } catch (error) {
      throw fileError(error, path);
    }
    if (isBase) {
      await requireBase(path, base, signal);
    } else {
      await judgeLayer(name, path);
    }
  }
  return basis;
}

/** An image must be what its name says, and stand on nothing. */
async function requireBase(path: string, sha256: string, signal: AbortSignal): Promise<void> {
  const actual = await hashFile(path, { signal, progress: () => {} });
  if (actual !== sha256) {
    throw failure("PARCEL_BROKEN", { reason: `its image has SHA-256 ${actual}, expected ${sha256}` });
  }
  const { format } = await inspectImage(sha256, path, signal);
  if (format !== "qcow2") {
    throw failure("PARCEL_BROKEN", { reason: `its image is in format ${format}` });
  }
}

/** Has every layer name what it stands on here, then looks at its tables. */
async function standOn(
  engine: LibvirtEngine,
  uuid: string,
  { folder, contents, base }: { folder: string; contents: Contents; base: string | null },
  context: Context,
): Promise<void> {
  const pool = await engine.pool();
  const host = await engine.host();
  const options = runOptions(engine, uuid, context);
  // Locked until layers refer to the image, so that no purge removes it as unused.
  await using _lock = await lockPool(pool);
  if (base !== null && contents.base !== null) {
    const there = basePath(pool, contents.base);
    if (await exists(there)) {
      await requireBase(there, contents.base, context.signal);
    } else {
      const { virtualSize } = await inspectImage(contents.base, base, context.signal);
      const image = { path: base, format: "qcow2", sha256: contents.base, virtualSize };
      await importBase(pool, image, host.qemuUser);
    }
    await rm(base);
  }
  for (const { name, on } of contents.layers) {
    const path = join(folder, name);
    if (on === null) {
      await clearBacking(path, options);
    } else {
      await pointTo(path, on === BASE ? basePath(pool, contents.base ?? "") : join(folder, on), options);
    }
    await checkLayer(name, path, context.signal);
  }
}

/**
 * Writes the copy of a record from which libvirt's own is made: the domain as libvirt has it now, with what the snapshot
 * has of its own.
 */
async function writeRecord(
  { document, metadata }: Managed,
  { name, comment, parent, createdAt, consistency, disks, cpus, memory, imported }: SnapshotFields,
  { layers }: Contents,
  { same }: AcceptSpec,
): Promise<void> {
  const { folder } = metadata;
  const overlayOf = (frozen: string) => {
    const above = layers.find(({ on }) => on === frozen);
    // One that does not exist, where nothing stands on it.
    return above === undefined ? newLayerPath(folder) : join(folder, above.name);
  };
  const covered = disks.map(({ target, frozen }) => ({
    target,
    frozen: join(folder, frozen),
    overlay: overlayOf(frozen),
  }));
  const [system, ...further] = covered;
  if (system === undefined) {
    return;
  }
  const domain = copy(document);
  const obstacle = setResources(domain, { cpus, memory: BigInt(memory) });
  if (obstacle !== undefined) {
    throw failure("PARCEL_BROKEN", { reason: `snapshot "${name}": ${obstacle}` });
  }
  putDisks(domain, new Map(covered.map(({ target, frozen }) => [target, frozen])));
  const entry = snapshotEntry(comment, {
    createdAt,
    frozen: system.frozen,
    overlay: system.overlay,
    name,
    ...(consistency === "stopped" ? {} : { consistency }),
    ...(further.length === 0 ? {} : { disks: further }),
  });
  const { operation: _, ...kept } = metadata;
  const { transit: _way, ...record } = kept.record;
  putMetadata(domain, {
    ...kept,
    record,
    ...(same === true && imported !== true ? {} : { imported: true }),
    snapshot: entry,
  });
  const overlays = new Map(covered.map(({ target, overlay }) => [target, overlay]));
  const frozen = covered.map((disk) => disk.frozen);
  const made = recordDocument(domain, { name, comment, parent, overlays, createdAt });
  await writeRecordCopy(folder, { name, frozen, xml: serialize(made) });
}

/** Gives the domain these disks and no others that are written. */
function putDisks(domain: Element, files: ReadonlyMap<string, string>): void {
  for (const { target } of writtenDisks(domain)) {
    if (!files.has(target)) {
      removeDisk(domain, target);
    }
  }
  for (const [target, file] of files) {
    if (findDisk(domain, target) === undefined) {
      addDisk(domain, target, file);
    }
    setDiskAt(domain, target, file);
  }
}
