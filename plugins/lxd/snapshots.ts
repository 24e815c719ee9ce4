import { randomUUID } from "node:crypto";
import type {
  Context,
  Removal,
  SnapshotRecord,
  Snapshots,
  SnapshotTree,
} from "../../lib/backend/contract.ts";
import { failure } from "../../lib/errors.ts";
import { ASIDE, type Engine, getManaged, instancePath, type Managed, writeConfig } from "./engine.ts";
import { mapped } from "./errors.ts";
import { requireStopped } from "./instances.ts";
import { operationKeys, readTree, snapshotKeys, treeKeys } from "./records.ts";
import { abandonRestore, finish, finishAmend, finishDelete, finishRestore, getReady } from "./recovery.ts";
import { type Node, nameOfNode, readNodes, toSnapshot, withoutNode } from "./tree.ts";
import { readState } from "./view.ts";

/** Longest comment, bytes of UTF-8: it goes into a key of LXD's config. */
const LONGEST_COMMENT = 1024 * 1024;

export function snapshotGroup(engine: Engine): Snapshots {
  return {
    tree: (id) => mapped(() => tree(engine, id)),
    outline: (id) =>
      mapped(async () => {
        const { snapshots, standsOn } = await tree(engine, id);
        return { names: snapshots.map(({ name }) => name), standsOn };
      }),
    capture: (id, record, taken, context) => mapped(() => capture(engine, id, record, taken, context)),
    revert: (id, name, context) => mapped(() => revert(engine, id, name, context)),
    drop: (id, removal, context) => mapped(() => drop(engine, id, removal, context)),
    amend: (id, name, change, context) => mapped(() => amend(engine, id, name, change, context)),
  };
}

async function tree(engine: Engine, id: string): Promise<SnapshotTree> {
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
  if (node === undefined) throw failure("SNAPSHOT_NOT_FOUND", { name: managed.name, snapshot: name });
  return node;
}

async function capture(
  engine: Engine,
  id: string,
  record: SnapshotRecord,
  taken: number,
  context: Context,
): Promise<void> {
  const managed = await getReady(engine, id);
  requireStopped(managed, "Only stopped instances can be snapshotted");
  const { name } = managed;
  requireShort(record.comment);
  const nodes = readNodes(managed);
  if (nodes.some((node) => node.name === record.name)) throw takenError(name, record.name);
  const own = randomUUID();
  const parent = nodes.find((node) => node.name === record.parent)?.id ?? null;
  context.signal.throwIfAborted();
  // LXD copies the config into the snapshot, and with it the snapshot's record.
  await writeConfig(engine, name, {
    ...snapshotKeys(own, record, parent),
    ...operationKeys({ kind: "take", id: own, taken }),
  });
  await finishing(engine, id, () =>
    engine.client.run("POST", instancePath(name, "snapshots"), { name: record.name, stateful: false }),
  );
  const after = readNodes(await getManaged(engine, id));
  if (!after.some((node) => node.id === own))
    throw failure("ENGINE_ERROR", { engine: "LXD", reason: `it took no snapshot of "${name}"` });
}

/** Runs the step that matters, then finishes or undoes the rest by what is there, as after a crash. */
async function finishing(engine: Engine, id: string, work: () => Promise<unknown>): Promise<void> {
  try {
    await work();
  } catch (error) {
    await finish(engine, id);
    throw error;
  }
  await finish(engine, id);
}

function requireShort(comment: string): void {
  if (Buffer.byteLength(comment) > LONGEST_COMMENT)
    throw failure("INVALID_VALUE", {
      what: "the comment",
      value: `${comment.slice(0, 20)}…`,
      reason: `it is longer than ${LONGEST_COMMENT} bytes`,
    });
}

async function revert(engine: Engine, id: string, name: string, context: Context): Promise<void> {
  const managed = await getReady(engine, id);
  requireStopped(managed, "Only stopped instances can be restored");
  const node = requireNode(managed, readNodes(managed), name);
  context.signal.throwIfAborted();
  const operation = { kind: "restore", id: node.id } as const;
  await writeConfig(engine, managed.name, operationKeys(operation));
  const path = instancePath(managed.name, "snapshots");
  await engine.client.run("POST", path, { name: ASIDE, stateful: false }).catch(async (error: unknown) => {
    await abandonRestore(engine, await getManaged(engine, id));
    throw error;
  });
  try {
    await finishRestore(engine, await getManaged(engine, id), operation);
  } catch (error) {
    await abandonRestore(engine, await getManaged(engine, id));
    throw error;
  }
}

async function drop(engine: Engine, id: string, removal: Removal, context: Context): Promise<void> {
  const managed = await getReady(engine, id);
  const { name, instance, config } = managed;
  if (readState(instance.status) === "suspended")
    throw failure("INSTANCE_SUSPENDED", { name, reason: "A snapshot cannot be deleted now" });
  const nodes = readNodes(managed);
  const node = nodes.find((each) => each.name === removal.name);
  if (node === undefined) return;
  const parent = nameOfNode(nodes, node.parent);
  if (parent !== removal.parent)
    throw failure("RECORDS_DIFFER", {
      name,
      reason: `the parent of snapshot "${removal.name}" is ${parent ?? "none"}, not ${removal.parent ?? "none"}`,
    });
  context.signal.throwIfAborted();
  const after = withoutNode(readTree(name, config), nodes, node);
  const operation = { kind: "delete", id: node.id, tree: after } as const;
  await writeConfig(engine, name, operationKeys(operation));
  try {
    await finishDelete(engine, await getManaged(engine, id), operation);
  } catch (error) {
    // Still there: nothing has changed but the note.
    const now = await getManaged(engine, id);
    if (readNodes(now).some((each) => each.id === node.id))
      await writeConfig(engine, name, operationKeys(null));
    throw error;
  }
}

async function amend(
  engine: Engine,
  id: string,
  name: string,
  change: { name?: string; comment?: string },
  context: Context,
): Promise<void> {
  const managed = await getReady(engine, id);
  context.signal.throwIfAborted();
  const nodes = readNodes(managed);
  const node = requireNode(managed, nodes, name);
  const to = change.name ?? name;
  if (to !== name && nodes.some((each) => each.name === to)) throw takenError(managed.name, to);
  const keys: Record<string, string> = {};
  if (change.comment !== undefined) {
    requireShort(change.comment);
    const { standsOn, amended } = readTree(managed.name, managed.config);
    const entry = { ...amended[node.id], comment: change.comment };
    Object.assign(keys, treeKeys({ standsOn, amended: { ...amended, [node.id]: entry } }));
  }
  context.signal.throwIfAborted();
  const operation = { kind: "amend", id: node.id, to } as const;
  if (to !== name) Object.assign(keys, operationKeys(operation));
  await writeConfig(engine, managed.name, keys);
  if (to !== name) await finishAmend(engine, await getManaged(engine, id), operation);
}
