import { failure } from "../../../lib/errors.ts";
import { replaceConfig, whenIdle, writeConfig } from "../domain/changes.ts";
import { ASIDE, getLocked, getManaged, instancePath, type Managed } from "../domain/managed.ts";
import { changePower } from "../domain/power.ts";
import {
  AUTOSTART,
  KEYS,
  LAST_POWER,
  operationKeys,
  ownKeys,
  readTree,
  treeKeys,
} from "../domain/records.ts";
import { readState } from "../domain/view.ts";
import type { LxdEngine } from "../engine.ts";
import { isSaid, isStatus } from "../errors.ts";
import { ALREADY_STOPPED } from "../messages.ts";
import { type Config, type Operation as LxdOperation, operationsShape } from "../rest/shapes.ts";
import { type Node, pruned, readNodes } from "../snapshots/tree.ts";
import type { Operation } from "./operation.ts";

/** LXD's own operations in progress on an instance. */
export async function runningOperations(
  { client }: LxdEngine,
  { name }: Pick<Managed, "name">,
): Promise<LxdOperation[]> {
  const { value } = await client.get("/1.0/operations", operationsShape, { query: { recursion: "1" } });
  return Object.values(value)
    .flat()
    .filter(
      (operation) =>
        operation.class === "task" &&
        operation.status_code < 200 &&
        (operation.resources.instances ?? []).some(
          (url) => new URL(url, "http://lxd").pathname.split("/")[3] === name,
        ),
    );
}

/** Waits until LXD has finished its operations on an instance, successfully or not. */
export async function awaitOperations(engine: LxdEngine, managed: Managed): Promise<void> {
  for (const { id } of await runningOperations(engine, managed)) {
    await engine.client.wait(id).catch((error: unknown) => {
      engine.log.debug("an operation of LXD has failed", { name: managed.name, error: String(error) });
    });
  }
}

/**
 * Finishes or undoes an interrupted operation, depending on what exists. Every step can be repeated, so being
 * interrupted here changes nothing for the next command. The caller has locked the instance.
 */
export async function finish(engine: LxdEngine, id: string): Promise<void> {
  const managed = await getManaged(engine, id);
  const { operation, name } = managed;
  if (operation === undefined) {
    if (managed.aside !== undefined) {
      await removeAside(engine, name);
    }
    return;
  }
  engine.log.debug("finishing an operation", { name, ...operation });
  switch (operation.kind) {
    case "create":
    case "purge":
      return removeInstance(engine, managed);
    case "take":
      return finishTake(engine, managed, operation);
    case "restore":
      return finishRestore(engine, managed, operation);
    case "delete":
      return finishDelete(engine, managed, operation);
    case "rename":
      return finishRename(engine, managed, operation);
    case "rename-instance":
      return finishInstanceRename(engine, managed, operation);
  }
}

/** The instance of that id, locked and without an interrupted operation: every change begins with this. */
export async function getReady(engine: LxdEngine, id: string): Promise<Managed> {
  const managed = await getLocked(engine, id);
  if (managed.operation === undefined && managed.aside === undefined) {
    return managed;
  }
  await finish(engine, id);
  return getLocked(engine, id);
}

type Of<Kind extends Operation["kind"]> = Extract<Operation, { kind: Kind }>;

function findNode(managed: Managed, id: string): Node | undefined {
  return readNodes(managed).find((node) => node.id === id);
}

async function finishTake(engine: LxdEngine, managed: Managed, operation: Of<"take">): Promise<void> {
  const { id, taken } = operation;
  const nodes = readNodes(managed);
  const done = { ...operationKeys(null), [KEYS.snapshot]: "" };
  const there = nodes.some((node) => node.id === id);
  await settlePower(engine, managed, operation, there);
  if (!there) {
    return writeConfig(engine, managed.name, done);
  }
  const { name, own, config } = managed;
  await writeConfig(engine, name, {
    ...done,
    ...ownKeys({ ...own, record: { ...own.record, snapshotsTaken: taken } }),
    ...treeKeys(pruned({ ...readTree(name, config), standsOn: id }, nodes)),
  });
}

/** Stops what was to stop with its snapshot. Anything else that was frozen for one goes on, with it or without. */
async function settlePower(
  engine: LxdEngine,
  { name, instance }: Managed,
  { live }: Of<"take">,
  there: boolean,
): Promise<void> {
  const state = readState(instance.status);
  if (live === "cut" && there && state !== "stopped") {
    return cutPower(engine, name);
  }
  if (live !== undefined && state === "suspended") {
    await changePower(engine, name, { action: "unfreeze" });
  }
}

/** It is fine if it has stopped by itself. */
async function cutPower(engine: LxdEngine, name: string): Promise<void> {
  await changePower(engine, name, { action: "stop", force: true }).catch((error: unknown) => {
    if (!isSaid(error, ALREADY_STOPPED)) {
      throw error;
    }
  });
}

async function finishRestore(engine: LxdEngine, managed: Managed, operation: Of<"restore">): Promise<void> {
  // There is no `strata.restoring`, so either nothing has happened yet or everything has.
  if (managed.aside !== undefined) {
    await bringBack(engine, managed, operation);
  }
  await endRestore(engine, managed.name);
}

/** Lets LXD restore after the current state was saved, and corrects what LXD should not have restored. */
export async function bringBack(engine: LxdEngine, managed: Managed, { id }: Of<"restore">): Promise<void> {
  const node = findNode(managed, id);
  if (node === undefined) {
    throw failure("RECORDS_DIFFER", {
      name: managed.name,
      reason: "the snapshot that is being restored does not exist any more",
    });
  }
  const body = { restore: node.name, stateful: false };
  await whenIdle(() => engine.client.run("PUT", instancePath(managed.name), body));
  await putBack(engine, managed, node);
}

/** The last step of a restore, in either direction. */
export async function endRestore(engine: LxdEngine, name: string): Promise<void> {
  await removeAside(engine, name);
  await writeConfig(engine, name, operationKeys(null));
}

/** Keys that LXD has restored and that must have their current values again. */
async function putBack(engine: LxdEngine, managed: Managed, node: Node): Promise<void> {
  await replaceConfig(engine, managed, restoredConfig(managed, node), node.snapshot.devices);
}

/**
 * The config after a restore: that of the snapshot, with the keys that belong to the instance: its records,
 * the lock, the journal entry, whether it starts with the host, and the addresses of its interfaces. That it is
 * stopped stays as well: LXD would start it with the host if a snapshot of a running one could change that.
 */
export function restoredConfig(managed: Pick<Managed, "name" | "own" | "config">, node: Node): Config {
  const { name, own, config } = managed;
  const isOurs = (key: string) => key.startsWith("user.strata.") && key !== KEYS.mounts;
  const isIdentity = (key: string) => /^volatile\..*\.hwaddr$/.test(key) || key === "volatile.uuid";
  const isPower = (key: string) => key === LAST_POWER || /^volatile\..*\.host_name$/.test(key);
  const isKept = (key: string) => isOurs(key) || key === AUTOSTART || isPower(key);
  const restored = Object.entries(node.snapshot.config).filter(([key]) => !isKept(key));
  const kept = Object.entries(config).filter(([key]) => isKept(key) || isIdentity(key));
  const record = { ...own.record, cloudInstanceId: node.cloudInstanceId || own.record.cloudInstanceId };
  return {
    ...Object.fromEntries([...restored, ...kept]),
    ...ownKeys({ ...own, record }),
    ...treeKeys({ ...readTree(name, config), standsOn: node.id }),
    // On some pools a restored disk loses its size limit; LXD sets it again at the next start.
    "volatile.root.apply_quota": "true",
  };
}

/** Returns to the saved state if a restore cannot be finished. */
export async function abandonRestore(engine: LxdEngine, managed: Managed): Promise<void> {
  const { name, aside, config } = managed;
  if (aside !== undefined) {
    const body = { restore: ASIDE, stateful: false };
    await whenIdle(() => engine.client.run("PUT", instancePath(name), body));
    await replaceConfig(engine, managed, { ...config, "volatile.root.apply_quota": "true" }, aside.devices);
  }
  await endRestore(engine, name);
}

async function removeAside(engine: LxdEngine, name: string): Promise<void> {
  await removeSnapshot(engine, name, ASIDE);
}

/** It is fine if it no longer exists. */
async function removeSnapshot(engine: LxdEngine, name: string, snapshot: string): Promise<void> {
  await whenIdle(() =>
    engine.client.run("DELETE", instancePath(name, "snapshots", snapshot), undefined),
  ).catch((error: unknown) => {
    if (!isStatus(error, 404)) {
      throw error;
    }
  });
}

export async function finishDelete(
  engine: LxdEngine,
  managed: Managed,
  { id, tree }: Of<"delete">,
): Promise<void> {
  const node = findNode(managed, id);
  if (node !== undefined) {
    await removeSnapshot(engine, managed.name, node.name);
  }
  await writeConfig(engine, managed.name, { ...operationKeys(null), ...treeKeys(tree) });
}

export async function finishRename(
  engine: LxdEngine,
  managed: Managed,
  { id, to }: Of<"rename">,
): Promise<void> {
  const { name } = managed;
  const node = findNode(managed, id);
  if (node !== undefined && node.name !== to) {
    await engine.client.run("POST", instancePath(name, "snapshots", node.name), { name: to });
  }
  await writeConfig(engine, name, operationKeys(null));
}

/** Where LXD keeps the id that it tells cloud-init. With another one, cloud-init takes the instance for a new one. */
export const CLOUD_INSTANCE = "volatile.cloud-init.instance-id";

/** LXD has renamed it or not, with all that it has. */
async function finishInstanceRename(
  engine: LxdEngine,
  { name }: Managed,
  { to, cloudInstance }: Of<"rename-instance">,
): Promise<void> {
  const same = name === to && cloudInstance !== "" ? { [CLOUD_INSTANCE]: cloudInstance } : {};
  await writeConfig(engine, name, { ...operationKeys(null), ...same });
}

/**
 * Permanently removes an instance with its snapshots, running or not. The journal entry makes the next holder
 * of the lock continue.
 */
export async function removeInstance(engine: LxdEngine, managed: Managed): Promise<void> {
  const { name, instance } = managed;
  const { client } = engine;
  if (managed.operation?.kind !== "purge" && managed.operation?.kind !== "create") {
    await writeConfig(engine, name, operationKeys({ kind: "purge" }));
  }
  if (instance.status !== "Stopped") {
    await cutPower(engine, name);
  }
  try {
    await whenIdle(() => client.run("DELETE", instancePath(name), undefined));
  } catch (error) {
    if (!isStatus(error, 404)) {
      throw error;
    }
  }
}
