import { stat } from "node:fs/promises";
import { basename } from "node:path";
import type { Context, PackedState, Parcel } from "../../../lib/engine/contract.ts";
import { failure } from "../../../lib/errors.ts";
import type { LibvirtEngine, Managed } from "../engine.ts";
import { getReady } from "../journal/recover.ts";
import { checkChain, layerPlace, readLayers } from "../layers/layers.ts";
import { isLayerPath } from "../layers/names.ts";
import { basePath } from "../storage/pool.ts";
import type { Element } from "../xml/document.ts";
import { readInterfaces } from "../xml/domain.ts";
import { readFirmware, readTpm } from "../xml/firmware.ts";
import { readMetadata } from "../xml/metadata.ts";
import { readResources } from "../xml/resources.ts";
import type { SnapshotDocument } from "../xml/snapshot.ts";
import { BASE, baseName, type Contents, type LayerFile, type SnapshotFields } from "./contents.ts";
import { readState, type State } from "./state.ts";

/** What leaves an instance with its snapshots, or as it was in one, as the contract says. */
export async function pack(
  engine: LibvirtEngine,
  id: string,
  of: PackedState,
  context: Context,
): Promise<Parcel> {
  const managed = await getReady(engine, id, context);
  return parcelOf(engine, managed, await readState(managed, of), of);
}

/** What makes up a state of an instance. */
export async function parcelOf(
  engine: LibvirtEngine,
  managed: Managed,
  { domain, covered, snapshots, left }: State,
  of: PackedState,
): Promise<Parcel> {
  requirePortable(managed, domain, snapshots);
  const tops = [...covered.map(({ file }) => file), ...snapshots.flatMap(({ frozen }) => frozen)];
  const base = await baseOf(engine, managed);
  const { layers, usesBase } = await collect(managed, tops, base);
  const host = await engine.host();
  const { sha256 } = managed.metadata.record.image;
  const contents: Contents = {
    arch: host.arch,
    ...machineOf(domain),
    disks: covered.map(({ target, file }) => ({ target, layer: basename(file) })),
    layers: [...layers.values()],
    base: usesBase ? sha256 : null,
    snapshots: snapshotsOf(snapshots),
    ...identityOf(managed, of),
  };
  const paths = [...(usesBase && base !== null ? [base] : []), ...layers.keys()];
  const files = await Promise.all(
    paths.map(async (path) => ({
      name: path === base ? baseName(sha256) : basename(path),
      size: (await stat(path)).size,
      path,
    })),
  );
  return { contents, files, left };
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
export function requirePortable(
  { metadata }: Managed,
  domain: Element,
  snapshots: readonly SnapshotDocument[],
): void {
  if (metadata.adopted !== undefined || metadata.own !== undefined) {
    throw refusal("it was adopted, and its definition would not go along");
  }
  const firmware = readFirmware(domain);
  if ((firmware !== undefined && firmware !== "bios") || readTpm(domain) !== undefined) {
    throw refusal("it has UEFI variables or a TPM, whose state does not go along");
  }
  const odd = snapshots.find(({ targets, firmware }) => targets.length === 0 || firmware !== undefined);
  if (odd !== undefined) {
    throw refusal(`snapshot "${odd.name}" is not one of disks alone`);
  }
}

/** Who it is. A snapshot alone is another machine wherever it comes. */
function identityOf({ domain, document }: Managed, { snapshot }: PackedState): Pick<Contents, "identity"> {
  const mac = readInterfaces(document)[0]?.mac.toLowerCase();
  return snapshot !== undefined || mac === undefined ? {} : { identity: { uuid: domain.uuid, mac } };
}

function machineOf(domain: Element): { cpus: number; memory: string } {
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
      ...(domain !== undefined && readMetadata(domain)?.imported === true ? { imported: true } : {}),
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
