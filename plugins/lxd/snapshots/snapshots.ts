import { randomUUID } from "node:crypto";
import type {
  Context,
  Removal,
  SnapshotRecord,
  Snapshots,
  SnapshotTree,
  TakeOptions,
} from "../../../lib/engine/contract.ts";
import { lockedId } from "../../../lib/engine/locks.ts";
import { failure } from "../../../lib/errors.ts";
import { whenIdle, writeConfig } from "../domain/changes.ts";
import { ASIDE, getManaged, instancePath, type Managed } from "../domain/managed.ts";
import { changePower } from "../domain/power.ts";
import { operationKeys, readTree, snapshotKeys, treeKeys } from "../domain/records.ts";
import { readState, requireStopped } from "../domain/view.ts";
import type { LxdEngine } from "../engine.ts";
import {
  abandonRestore,
  bringBack,
  endRestore,
  finish,
  finishDelete,
  finishRename,
  getReady,
} from "../journal/recovery.ts";
import { type Node, nameOfNode, readNodes, toSnapshot, withoutNode } from "./tree.ts";

/** Longest comment, bytes of UTF-8: it is stored in a key of LXD's config. */
const LONGEST_COMMENT = 1024 * 1024;

/** Why there is no such snapshot. */
export const NO_AGENT = "no agent freezes file systems there";
export const NO_MEMORY = "containers would need CRIU for it";

export function snapshotGroup(engine: LxdEngine): Snapshots {
  return {
    tree: (id) => tree(engine, id),
    outline: async (id) => {
      const { snapshots, standsOn } = await tree(engine, id);
      return { names: snapshots.map(({ name }) => name), standsOn };
    },
    take: async (lock, record, taken, context, options) =>
      take(engine, lockedId(engine, lock), { record, taken, ...options }, context),
    restore: async (lock, name, context) => restore(engine, lockedId(engine, lock), name, context),
    delete: async (lock, removal, context) =>
      deleteSnapshot(engine, lockedId(engine, lock), removal, context),
    rename: async (lock, name, to, context) => rename(engine, lockedId(engine, lock), name, to, context),
    describe: async (lock, name, comment, context) =>
      describe(engine, lockedId(engine, lock), name, comment, context),
  };
}

async function tree(engine: LxdEngine, id: string): Promise<SnapshotTree> {
  const managed = await getManaged(engine, id);
  const nodes = readNodes(managed);
  return {
    snapshots: nodes.map((node) => toSnapshot(nodes, node)),
    standsOn: nameOfNode(nodes, readTree(managed.name, managed.config).standsOn),
  };
}

function takenError(name: string, snapshot: string) {
  return failure("SNAPSHOT_EXISTS", { name, snapshot });
}

function requireNode(managed: Managed, nodes: readonly Node[], name: string): Node {
  const node = nodes.find((each) => each.name === name);
  if (node === undefined) {
    throw failure("SNAPSHOT_NOT_FOUND", { name: managed.name, snapshot: name });
  }
  return node;
}

/** What a call of `take` asks for. */
interface Wanted extends TakeOptions {
  readonly record: SnapshotRecord;
  readonly taken: number;
}

async function take(engine: LxdEngine, id: string, wanted: Wanted, context: Context): Promise<void> {
  const { record, taken, cut = false } = wanted;
  const managed = await getReady(engine, id);
  requireState(engine, managed, record);
  const { name } = managed;
  requireShort(record.comment);
  const nodes = readNodes(managed);
  if (nodes.some((node) => node.name === record.name)) {
    throw takenError(name, record.name);
  }
  const own = randomUUID();
  const parent = nodes.find((node) => node.name === record.parent)?.id ?? null;
  const live = cut ? ("cut" as const) : ("kept" as const);
  context.signal.throwIfAborted();
  // LXD copies the config into the snapshot, and with it the snapshot's record.
  await writeConfig(engine, name, {
    ...snapshotKeys(own, record, parent),
    ...operationKeys({ kind: "take", id: own, taken, ...(isLive(record) ? { live } : {}) }),
  });
  try {
    if (cut) {
      // Nothing is written between the snapshot and the stop that follows it.
      await changePower(engine, name, { action: "freeze" });
    }
    const body = { name: record.name, stateful: false };
    await whenIdle(() => engine.client.run("POST", instancePath(name, "snapshots"), body));
  } catch (error) {
    // The change may have been made despite the error: check, then finish or undo.
    await complete(engine, id);
    if (!(await nodesOf(engine, id)).some((node) => node.id === own)) {
      throw error;
    }
    return;
  }
  await complete(engine, id);
}

function isLive({ consistency = "stopped" }: SnapshotRecord): boolean {
  return consistency !== "stopped";
}

/** Rejects unless the instance is in the state that the snapshot's consistency is of. */
function requireState({ flavour }: LxdEngine, managed: Managed, record: SnapshotRecord): void {
  if (!isLive(record)) {
    requireStopped(managed, "Only stopped instances can be snapshotted as stopped ones");
    return;
  }
  const { name, instance } = managed;
  const reason = "Only running instances can be snapshotted as running ones";
  const state = readState(instance.status);
  if (state === "suspended") {
    throw failure("INSTANCE_SUSPENDED", { name, reason });
  }
  if (state !== "running") {
    throw failure("WRONG_STATE", { name, reason, state: instance.status });
  }
  if (record.consistency !== "crash") {
    const memory = record.consistency === "memory";
    const what = memory ? "a snapshot with memory" : "freezing the file systems for a snapshot";
    throw failure("UNSUPPORTED", { what, engine: flavour.title, reason: memory ? NO_MEMORY : NO_AGENT });
  }
}

/**
 * Does the rest of an operation that has passed its turning point, a second time if it fails: it cannot be
 * undone any more. What fails twice waits for the next command that locks the instance.
 */
async function complete(engine: LxdEngine, id: string): Promise<void> {
  await finish(engine, id).catch(() => finish(engine, id));
}

async function nodesOf(engine: LxdEngine, id: string): Promise<Node[]> {
  return readNodes(await getManaged(engine, id));
}

function requireShort(comment: string): void {
  if (Buffer.byteLength(comment) > LONGEST_COMMENT) {
    throw failure("INVALID_VALUE", {
      what: "the comment",
      value: `${comment.slice(0, 20)}…`,
      reason: `must be at most ${LONGEST_COMMENT} bytes`,
    });
  }
}

async function restore(engine: LxdEngine, id: string, name: string, context: Context): Promise<void> {
  const managed = await getReady(engine, id);
  requireStopped(managed, "Only stopped instances can be restored");
  const node = requireNode(managed, readNodes(managed), name);
  context.signal.throwIfAborted();
  const operation = { kind: "restore", id: node.id } as const;
  await writeConfig(engine, managed.name, operationKeys(operation));
  try {
    const path = instancePath(managed.name, "snapshots");
    await whenIdle(() => engine.client.run("POST", path, { name: ASIDE, stateful: false }));
    await bringBack(engine, await getManaged(engine, id), operation);
  } catch (error) {
    await abandonRestore(engine, await getManaged(engine, id));
    throw error;
  }
  await endRestore(engine, managed.name).catch(() => endRestore(engine, managed.name));
}

async function deleteSnapshot(
  engine: LxdEngine,
  id: string,
  removal: Removal,
  context: Context,
): Promise<void> {
  const managed = await getReady(engine, id);
  const { name, instance, config } = managed;
  if (readState(instance.status) === "suspended") {
    throw failure("INSTANCE_SUSPENDED", { name, reason: "A snapshot cannot be deleted now" });
  }
  const nodes = readNodes(managed);
  const node = nodes.find((each) => each.name === removal.name);
  if (node === undefined) {
    return;
  }
  const parent = nameOfNode(nodes, node.parent);
  if (parent !== removal.parent) {
    throw failure("RECORDS_DIFFER", {
      name,
      reason: `the parent of snapshot "${removal.name}" is ${parent ?? "none"}, not ${removal.parent ?? "none"}`,
    });
  }
  context.signal.throwIfAborted();
  const after = withoutNode(readTree(name, config), nodes, node);
  const operation = { kind: "delete", id: node.id, tree: after } as const;
  await writeConfig(engine, name, operationKeys(operation));
  try {
    await finishDelete(engine, await getManaged(engine, id), operation);
  } catch (error) {
    if (!(await nodesOf(engine, id)).some((each) => each.id === node.id)) {
      return complete(engine, id);
    }
    // It still exists: only the journal entry has changed.
    await writeConfig(engine, name, operationKeys(null));
    throw error;
  }
}

async function rename(
  engine: LxdEngine,
  id: string,
  name: string,
  to: string,
  context: Context,
): Promise<void> {
  const managed = await getReady(engine, id);
  context.signal.throwIfAborted();
  const nodes = readNodes(managed);
  const node = requireNode(managed, nodes, name);
  if (to === name) {
    return;
  }
  if (nodes.some((each) => each.name === to)) {
    throw takenError(managed.name, to);
  }
  const operation = { kind: "rename", id: node.id, to } as const;
  await writeConfig(engine, managed.name, operationKeys(operation));
  try {
    await finishRename(engine, await getManaged(engine, id), operation);
  } catch (error) {
    if ((await nodesOf(engine, id)).some((each) => each.name === to)) {
      return complete(engine, id);
    }
    await writeConfig(engine, managed.name, operationKeys(null));
    throw error;
  }
}

async function describe(
  engine: LxdEngine,
  id: string,
  name: string,
  comment: string,
  context: Context,
): Promise<void> {
  const managed = await getReady(engine, id);
  context.signal.throwIfAborted();
  const node = requireNode(managed, readNodes(managed), name);
  requireShort(comment);
  const { standsOn, amended } = readTree(managed.name, managed.config);
  const entry = { ...amended[node.id], comment };
  await writeConfig(engine, managed.name, treeKeys({ standsOn, amended: { ...amended, [node.id]: entry } }));
}
