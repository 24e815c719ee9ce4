import { z } from "zod";
import type { InstanceRecord, Mount, SnapshotRecord } from "../../../lib/engine/contract.ts";
import { RECORD_VERSION } from "../../../lib/engine/contract.ts";
import { failure } from "../../../lib/errors.ts";
import type { Operation } from "../journal/operation.ts";
import type { Config } from "../rest/shapes.ts";

/**
 * What strata keeps with an instance of LXD: JSON in `user.strata.*` of its config. LXD copies the config
 * of an instance into each snapshot, where it never changes again, and brings it back with a restore.
 */
export const KEYS = {
  /** The instance's record and id. What has this key is ours. */
  instance: "user.strata.instance",
  /** What can change about snapshots, and where the instance stands. */
  tree: "user.strata.tree",
  mounts: "user.strata.mounts",
  /** In a snapshot's config: its record. In an instance's only while one is being taken. */
  snapshot: "user.strata.snapshot",
  operation: "user.strata.operation",
  lock: "user.strata.lock",
} as const;

const idMap = z.object({ host: z.number(), guest: z.number(), default: z.literal(true).exactOptional() });
const mount = z.object({
  source: z.string(),
  target: z.string(),
  type: z.enum(["native", "classic"]),
  uidMap: z.array(idMap),
  gidMap: z.array(idMap),
});

/** Loose: what a newer strata of the same record version keeps here must not get lost. */
const instanceShape = z.looseObject({
  id: z.string(),
  version: z.number(),
  image: z.object({ sha256: z.string(), release: z.string(), os: z.string() }),
  username: z.string(),
  deleted: z.boolean(),
  snapshotsTaken: z.number(),
  cloudInstanceId: z.string(),
  createdAt: z.number(),
  hostKey: z.string().optional(),
});

const treeShape = z.object({
  /** Id of the snapshot that the instance stands on. */
  standsOn: z.string().nullable(),
  /** What differs from the records in the snapshots themselves, by a snapshot's id. */
  amended: z.record(
    z.string(),
    z.object({ parent: z.string().nullable().optional(), comment: z.string().optional() }),
  ),
});

const snapshotShape = z.object({
  id: z.string(),
  comment: z.string(),
  /** Id of the parent. */
  parent: z.string().nullable(),
  cloudInstanceId: z.string(),
  createdAt: z.number(),
});

/** Where the instance stands, and what has changed about snapshots since they were taken. */
export type TreeRecord = z.infer<typeof treeShape>;
/** What a snapshot's own config says beside its resources, mounts and interfaces. */
export type OwnSnapshotRecord = z.infer<typeof snapshotShape>;

export interface OwnRecord {
  /** Made by strata, so that a name that is used again is another instance. */
  readonly id: string;
  readonly record: InstanceRecord;
}

function read<T>(name: string, config: Config, key: string, shape: z.ZodType<T>): T | undefined {
  const text = config[key];
  if (text === undefined || text === "") {
    return undefined;
  }
  try {
    return shape.parse(JSON.parse(text));
  } catch (error) {
    throw failure("RECORDS_DIFFER", { name, reason: `its config key ${key} cannot be read` }, error);
  }
}

/** The record of an instance; undefined for a foreign one. Throws RECORD_TOO_NEW, RECORDS_DIFFER. */
export function readOwn(name: string, config: Config): OwnRecord | undefined {
  const text = config[KEYS.instance];
  if (text === undefined) {
    return undefined;
  }
  const version = read(name, config, KEYS.instance, z.looseObject({ version: z.number() }))?.version ?? 0;
  if (version > RECORD_VERSION) {
    throw failure("RECORD_TOO_NEW", {
      name,
      reason: `it has version ${version}, and this strata reads versions up to ${RECORD_VERSION}`,
    });
  }
  const found = read(name, config, KEYS.instance, instanceShape);
  if (found === undefined) {
    return undefined;
  }
  const { id, ...record } = found;
  return { id, record: record as InstanceRecord };
}

export function readTree(name: string, config: Config): TreeRecord {
  return read(name, config, KEYS.tree, treeShape) ?? { standsOn: null, amended: {} };
}

export function readMounts(name: string, config: Config): Mount[] {
  return read(name, config, KEYS.mounts, z.array(mount)) ?? [];
}

/** A snapshot's record from its own config; undefined for one that strata did not take. */
export function readSnapshotRecord(name: string, config: Config): OwnSnapshotRecord | undefined {
  return read(name, config, KEYS.snapshot, snapshotShape);
}

export function readOperation(name: string, config: Config): Operation | undefined {
  return read(name, config, KEYS.operation, operationShape);
}

const renamed = ({ id, to }: { readonly id: string; readonly to: string }) => ({
  kind: "rename" as const,
  id,
  to,
});

const operationShape: z.ZodType<Operation> = z.discriminatedUnion("kind", [
  z.object({ kind: z.literal("create") }),
  z.object({ kind: z.literal("take"), id: z.string(), taken: z.number() }),
  z.object({ kind: z.literal("restore"), id: z.string() }),
  z.object({ kind: z.literal("delete"), id: z.string(), tree: treeShape }),
  z.object({ kind: z.literal("rename"), id: z.string(), to: z.string() }),
  // Of versions before 0.2.
  z.object({ kind: z.literal("amend"), id: z.string(), to: z.string() }).transform(renamed),
  z.object({ kind: z.literal("purge") }),
]);

/** Config keys with new values; an empty value removes a key. */
export function ownKeys({ id, record }: OwnRecord): Config {
  return { [KEYS.instance]: JSON.stringify({ id, ...record }) };
}

export function treeKeys(tree: TreeRecord): Config {
  return { [KEYS.tree]: JSON.stringify(tree) };
}

export function mountKeys(mounts: readonly Mount[]): Config {
  return { [KEYS.mounts]: mounts.length === 0 ? "" : JSON.stringify(mounts) };
}

export function operationKeys(operation: Operation | null): Config {
  return { [KEYS.operation]: operation === null ? "" : JSON.stringify(operation) };
}

/** A snapshot's record, for the config that LXD is about to copy. */
export function snapshotKeys(id: string, record: SnapshotRecord, parent: string | null): Config {
  const { comment, cloudInstanceId, createdAt } = record;
  return { [KEYS.snapshot]: JSON.stringify({ id, comment, parent, cloudInstanceId, createdAt }) };
}
