import type { ParcelFile } from "../../../lib/engine/contract.ts";
import { failure, type StrataError } from "../../../lib/errors.ts";

/** What a parcel of this engine says of an instance: fields, no definition and no path. */
export interface Contents {
  /** Such as "x86_64". */
  readonly arch: string;
  readonly cpus: number;
  /** Bytes, in digits. */
  readonly memory: string;
  /** The disks that it writes, the system disk first. */
  readonly disks: readonly DiskOf<"layer">[];
  /** All layers, each after the one that it stands on. */
  readonly layers: readonly LayerFile[];
  /** SHA-256 of the image that the lowest layers stand on; null for none. */
  readonly base: string | null;
  /** Parents first. */
  readonly snapshots: readonly SnapshotFields[];
  /** Who it was: absent in parcels of before it could be kept. */
  readonly identity?: { readonly uuid: string; readonly mac: string };
}

/** A disk by its target, and the layer that it writes or that a snapshot froze. */
export type DiskOf<Member extends string> = { readonly target: string } & {
  readonly [Key in Member]: string;
};

export interface LayerFile {
  /** `layer-UUID.qcow2` */
  readonly name: string;
  /** The name of the layer that it stands on, "base", or null for nothing. */
  readonly on: string | null;
}

export interface SnapshotFields {
  readonly name: string;
  readonly comment: string;
  readonly parent: string | null;
  readonly createdAt: number;
  readonly cpus: number;
  readonly memory: string;
  readonly consistency: "stopped" | "crash" | "files";
  readonly disks: readonly DiskOf<"frozen">[];
  /** The guest has not booted from it since it became this machine. */
  readonly imported?: true;
}

/** What a layer that stands on the image names. */
export const BASE = "base";
/** The file of that image in a parcel. */
export function baseName(sha256: string): string {
  return `base-${sha256}.qcow2`;
}

/** The disk that has the seed is no other's. */
const SEED_TARGET = "vdb";
const SYSTEM_TARGET = "vda";
const MOST_COMMENT = 1024 * 1024;

function broken(reason: string, cause?: unknown): StrataError {
  return failure("PARCEL_BROKEN", { reason }, cause);
}

/** Reads what a stranger says of an instance; rejects with PARCEL_BROKEN. */
export async function parseContents(value: unknown, files: readonly ParcelFile[]): Promise<Contents> {
  const { z } = await import("zod");
  const target = z.string().regex(/^vd[a-z]{1,2}$/);
  const layer = z.string().regex(/^layer-[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\.qcow2$/);
  const name = z.string().regex(/^[A-Za-z]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?$/);
  const machine = {
    cpus: z.number().int().min(1).max(100_000),
    memory: z.string().regex(/^[1-9]\d{0,17}$/),
  };
  const identity = z.object({
    uuid: z.string().regex(/^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/),
    // Neither a group's nor nobody's.
    mac: z.string().regex(/^(?!00:00:00:00:00:00)[0-9a-f][02468ace](?::[0-9a-f]{2}){5}$/),
  });
  const shape = z.object({
    identity: identity.exactOptional(),
    arch: z.string().regex(/^[a-z0-9_]{1,32}$/),
    ...machine,
    disks: z.array(z.object({ target, layer })).min(1).max(100),
    layers: z.array(z.object({ name: layer, on: z.union([layer, z.literal(BASE), z.null()]) })).min(1),
    base: z.union([z.string().regex(/^[0-9a-f]{64}$/), z.null()]),
    snapshots: z
      .array(
        z.object({
          name,
          comment: z.string().max(MOST_COMMENT),
          parent: name.nullable(),
          createdAt: z.number().int().min(0),
          ...machine,
          consistency: z.enum(["stopped", "crash", "files"]),
          disks: z
            .array(z.object({ target, frozen: layer }))
            .min(1)
            .max(100),
          imported: z.literal(true).exactOptional(),
        }),
      )
      .max(10_000),
  });
  const read = shape.safeParse(value);
  if (!read.success) {
    throw broken(`its contents are not well-formed: ${read.error.issues[0]?.path.join(".")}`, read.error);
  }
  const contents: Contents = read.data;
  requireOrder(contents);
  requireDisks(contents);
  const expected = [
    ...(contents.base === null ? [] : [baseName(contents.base)]),
    ...contents.layers.map((each) => each.name),
  ];
  if (files.map((file) => file.name).join("\n") !== expected.join("\n")) {
    throw broken("its files are not those of its layers");
  }
  return contents;
}

/** Each layer and each snapshot comes once, after what it stands on. */
function requireOrder({ layers, base, snapshots }: Contents): void {
  const known = new Set<string | null>([null, ...(base === null ? [] : [BASE])]);
  for (const { name, on } of layers) {
    if (!known.has(on) || known.has(name)) {
      throw broken(`${name} is not after what it stands on`);
    }
    known.add(name);
  }
  const names = new Set<string | null>([null]);
  for (const { name, parent } of snapshots) {
    if (!names.has(parent) || names.has(name)) {
      throw broken(`snapshot "${name}" is not after its parent`);
    }
    names.add(name);
  }
}

/** Each disk has a layer of its own that nothing stands on and no snapshot froze, and no two snapshots froze the same. */
function requireDisks({ disks, layers, snapshots }: Contents): void {
  const known = new Set(layers.map(({ name }) => name));
  const below = new Set(layers.map(({ on }) => on));
  const frozen = snapshots.flatMap((snapshot) => snapshot.disks.map((disk) => disk.frozen));
  const active = disks.map(({ layer }) => layer);
  const used = [...active, ...frozen];
  if (new Set(used).size !== used.length || !used.every((name) => known.has(name))) {
    throw broken("its disks and snapshots do not have layers of their own");
  }
  if (active.some((name) => below.has(name))) {
    throw broken("a layer stands on one that a disk writes");
  }
  for (const list of [disks, ...snapshots.map((snapshot) => snapshot.disks)]) {
    const targets = list.map(({ target }) => target);
    if (
      targets[0] !== SYSTEM_TARGET ||
      targets.includes(SEED_TARGET) ||
      new Set(targets).size !== targets.length
    ) {
      throw broken("its disks do not have names of their own");
    }
  }
}
