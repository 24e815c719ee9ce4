import { z } from "zod";
import { failure, isStrataError } from "../../../lib/errors.ts";
import type { LxdEngine } from "../engine.ts";
import { isStatus } from "../errors.ts";
import type { Operation } from "../journal/operation.ts";
import type { Client } from "../rest/client.ts";
import { type Config, instanceShape, type LxdInstance, type LxdSnapshot } from "../rest/shapes.ts";
import { type OwnRecord, readOperation, readOwn } from "./records.ts";
import { lostMember } from "./view.ts";

/** One of strata's instances, read with its snapshots. */
export interface Managed {
  /** Of strata's making: a name that is used again is another instance, and one that is renamed is the same. */
  readonly id: string;
  readonly name: string;
  readonly own: OwnRecord;
  /** The config that counts: the one set aside while a restore is under way. */
  readonly config: Config;
  readonly operation: Operation | undefined;
  /** As LXD has it. */
  readonly instance: LxdInstance;
  readonly etag: string;
  /** Of the cluster; undefined where there is none. */
  readonly member: string | undefined;
  /** Without the one that a restore sets aside. */
  readonly snapshots: readonly LxdSnapshot[];
  /** What a restore under way has set aside. */
  readonly aside: LxdSnapshot | undefined;
}

/**
 * Name of the snapshot that a restore sets aside, since LXD replaces the instance's config by that of the
 * snapshot. No name of a user's has a dot.
 */
export const ASIDE = "strata.restoring";

/** An instance as strata sees it; undefined for a foreign one. */
export function toManaged(instance: LxdInstance, etag: string): Managed | undefined {
  const { name } = instance;
  const snapshots = instance.snapshots.map((snapshot) => ({
    ...snapshot,
    name: snapshot.name.slice(snapshot.name.indexOf("/") + 1),
  }));
  const aside = snapshots.find((snapshot) => snapshot.name === ASIDE);
  const config = aside?.config ?? instance.config;
  const own = readOwn(name, config);
  if (own === undefined) {
    return undefined;
  }
  return {
    id: own.id,
    name,
    own,
    config,
    operation: readOperation(name, config),
    instance,
    etag,
    member: instance.location === "" || instance.location === "none" ? undefined : instance.location,
    snapshots: snapshots.filter((snapshot) => snapshot !== aside),
    aside,
  };
}

export function instancePath(name: string, ...rest: readonly string[]): string {
  return ["/1.0/instances", name, ...rest]
    .map((part, at) => (at === 0 ? part : encodeURIComponent(part)))
    .join("/");
}

/** The instance of that name; undefined when there is none, or it is foreign. */
export async function findManaged(engine: LxdEngine, name: string): Promise<Managed | undefined> {
  const { client, flavour, names } = engine;
  try {
    const { value, etag } = await client.get(instancePath(name), instanceShape, {
      query: { recursion: "1" },
    });
    const managed = toManaged(value, etag);
    if (managed !== undefined) {
      names.set(managed.id, name);
    }
    return managed;
  } catch (error) {
    if (isStatus(error, 404)) {
      return undefined;
    }
    const member = await lostMemberOf(client, name);
    if (member === undefined) {
      throw error;
    }
    const reason = `"${name}" is on the member ${member}, which does not answer`;
    throw failure("ENGINE_UNAVAILABLE", { engine: flavour.title, reason }, error);
  }
}

/** The member of an instance that could not be read, where that is why. */
async function lostMemberOf(client: Client, name: string): Promise<string | undefined> {
  const list = client.get("/1.0/instances", z.array(instanceShape), { query: { recursion: "1" } });
  const found = (await list.catch(() => undefined))?.value.find((each) => each.name === name);
  return found === undefined ? undefined : lostMember(found);
}

/** The last known name of the instance of that id. */
export function nameOf({ names }: LxdEngine, id: string): string {
  return names.get(id) ?? id;
}

/** The instance of that id, whatever its name is by now; INSTANCE_NOT_FOUND when it is gone. */
export async function getManaged(engine: LxdEngine, id: string): Promise<Managed> {
  const name = nameOf(engine, id);
  const known = await findManaged(engine, name);
  if (known?.id === id) {
    return known;
  }
  const renamed = (await listManaged(engine)).find((each) => each.id === id);
  const managed = renamed && (await findManaged(engine, renamed.name));
  if (managed?.id === id) {
    return managed;
  }
  throw failure("INSTANCE_NOT_FOUND", { name });
}

/** The instance of that id, which the caller has locked. */
export async function getLocked(engine: LxdEngine, id: string): Promise<Managed> {
  if (!engine.leases.has(id)) {
    throw failure("LOCK_REQUIRED", { name: nameOf(engine, id) });
  }
  return getManaged(engine, id);
}

/** All of strata's instances that can be reached; one whose record cannot be read is logged and left out. */
export async function listManaged(engine: LxdEngine): Promise<Managed[]> {
  return managedOf(engine, await listAll(engine));
}

/** All instances, foreign ones included. */
export async function listAll({ client }: LxdEngine): Promise<LxdInstance[]> {
  const query = { recursion: "2" };
  return (await client.get("/1.0/instances", z.array(instanceShape), { query })).value;
}

export function managedOf(engine: LxdEngine, instances: readonly LxdInstance[]): Managed[] {
  return instances.flatMap((instance) => {
    try {
      const managed = toManaged(instance, "");
      if (managed === undefined) {
        return [];
      }
      engine.names.set(managed.id, managed.name);
      return [managed];
    } catch (error) {
      if (!isStrataError(error)) {
        throw error;
      }
      engine.log.warn(`${instance.name} is not listed: ${error.message}`);
      return [];
    }
  });
}
