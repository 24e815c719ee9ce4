import { stat } from "node:fs/promises";
import { basename } from "node:path";
import type { Context, Parcel } from "../../../lib/engine/contract.ts";
import { failure } from "../../../lib/errors.ts";
import type { LibvirtEngine, Managed } from "../engine.ts";
import { getReady } from "../journal/recover.ts";
import { checkChain, layerPlace, readLayers } from "../layers/layers.ts";
import { isLayerPath } from "../layers/names.ts";
import { requireShutOff } from "../lifecycle/power.ts";
import { listSnapshots } from "../snapshots/records.ts";
import { basePath } from "../storage/pool.ts";
import { writtenDisks } from "../xml/disks.ts";
import { find } from "../xml/document.ts";
import { readInterfaces } from "../xml/domain.ts";
import { readFirmware, readTpm } from "../xml/firmware.ts";
import { readResources } from "../xml/resources.ts";
import type { SnapshotDocument } from "../xml/snapshot.ts";
import { BASE, baseName, type Contents, type LayerFile, type SnapshotFields } from "./contents.ts";

/** What leaves an instance with its snapshots, as the contract says. */
export async function pack(engine: LibvirtEngine, id: string, context: Context): Promise<Parcel> {
  const managed = await getReady(engine, id, context);
  await requireShutOff(managed, "Only stopped instances can be exported");
  const { document, metadata, domain } = managed;
  const snapshots = await listSnapshots(domain);
  requirePortable(managed, snapshots);
  const covered = writtenDisks(document, metadata).filter(({ left }) => left === undefined);
  const tops = [...covered.map(({ file }) => file), ...snapshots.flatMap(({ frozen }) => frozen)];
  const base = await baseOf(engine, managed);
  const { layers, usesBase } = await collect(managed, tops, base);
  const host = await engine.host();
  const contents: Contents = {
    arch: host.arch,
    ...machineOf(document),
    disks: covered.map(({ target, file }) => ({ target, layer: basename(file) })),
    layers: [...layers.values()],
    base: usesBase ? metadata.record.image.sha256 : null,
    snapshots: snapshotsOf(snapshots),
  };
  const paths = [...(usesBase && base !== null ? [base] : []), ...layers.keys()];
  const files = await Promise.all(
    paths.map(async (path) => ({
      name: path === base ? baseName(metadata.record.image.sha256) : basename(path),
      size: (await stat(path)).size,
      path,
    })),
  );
  return { contents, files, left: leftOf(managed) };
}

/** All layers that the files stand on, by their paths, each after the one below. */
async function collect(managed: Managed, tops: readonly string[], base: string | null) {
  const { folder } = managed.metadata;
  const graph = await readLayers(layerPlace(managed), tops);
  const layers = new Map<string, LayerFile>();
  let usesBase = false;
  for (const top of tops) {
    const chain = await checkChain(managed.name, graph, top);
    usesBase ||= base !== null && chain.includes(base);
    for (const path of chain.filter((each) => each !== base).toReversed()) {
      if (!isLayerPath(folder, path)) {
        throw refusal(`it stands on ${path}, which is no layer of its own`);
      }
      const below = graph.headers.get(path)?.backing ?? null;
      layers.set(path, { name: basename(path), on: below !== null && below === base ? BASE : nameOf(below) });
    }
  }
  return { layers, usesBase };
}

function nameOf(path: string | null): string | null {
  return path === null ? null : basename(path);
}

function refusal(reason: string) {
  return failure("UNSUPPORTED", { what: "exporting it", engine: "libvirt", reason });
}

/** The image that the instance was launched from, in the pool; null for none. */
async function baseOf(engine: LibvirtEngine, { metadata }: Managed): Promise<string | null> {
  const { sha256 } = metadata.record.image;
  return /^[0-9a-f]{64}$/.test(sha256) ? basePath(await engine.pool(), sha256) : null;
}

/** What would be lost on the way is not left out in silence. */
function requirePortable({ document, metadata }: Managed, snapshots: readonly SnapshotDocument[]): void {
  if (metadata.adopted !== undefined || metadata.own !== undefined) {
    throw refusal("it was adopted, and its definition would not go along");
  }
  const firmware = readFirmware(document);
  if ((firmware !== undefined && firmware !== "bios") || readTpm(document) !== undefined) {
    throw refusal("it has UEFI variables or a TPM, whose state does not go along");
  }
  const memory = snapshots.find(({ memory }) => memory !== "");
  if (memory !== undefined) {
    throw refusal(`snapshot "${memory.name}" has memory, which does not go along`);
  }
  const odd = snapshots.find(({ targets, firmware }) => targets.length === 0 || firmware !== undefined);
  if (odd !== undefined) {
    throw refusal(`snapshot "${odd.name}" is not one of disks alone`);
  }
}

function machineOf(domain: SnapshotDocument["document"]): { cpus: number; memory: string } {
  const { cpus, memory } = readResources(domain);
  return { cpus, memory: String(memory) };
}

/** Parents first. */
function snapshotsOf(snapshots: readonly SnapshotDocument[]): SnapshotFields[] {
  const waiting = new Map(snapshots.map((snapshot) => [snapshot.name, snapshot]));
  const ordered: SnapshotFields[] = [];
  const add = ({
    name,
    parent,
    comment,
    createdAt,
    domain,
    consistency,
    targets,
    frozen,
  }: SnapshotDocument) =>
    ordered.push({
      name,
      comment,
      parent,
      createdAt,
      ...machineOf(domain ?? { name: "domain", attributes: {}, children: [] }),
      consistency: consistency === "memory" ? "crash" : consistency,
      disks: targets.map((target, at) => ({ target, frozen: basename(frozen[at] ?? "") })),
    });
  for (let before = -1; waiting.size !== before; ) {
    before = waiting.size;
    for (const [name, snapshot] of waiting) {
      if (snapshot.parent === null || !waiting.has(snapshot.parent)) {
        add(snapshot);
        waiting.delete(name);
      }
    }
  }
  return ordered;
}

/** What stays here, for the user. */
function leftOf({ document, metadata }: Managed): string[] {
  const disks = writtenDisks(document, metadata).filter(({ left }) => left !== undefined);
  const media = find(document, "devices")?.children.some(
    (child) =>
      typeof child !== "string" && child.attributes.device === "cdrom" && find(child, "source") !== undefined,
  );
  return [
    ...disks.map(({ target }) => `disk ${target}, which is excluded`),
    ...metadata.mounts.map(({ target }) => `the mount at ${target}`),
    ...readInterfaces(document)
      .slice(1)
      .map(({ network }) => `the interface on network ${network}`),
    ...(media === true ? [`the medium in its drive`] : []),
  ];
}
