import { setTimeout as delay } from "node:timers/promises";
import { z } from "zod";
import type { Lock, OpenOptions } from "../../lib/engine/contract.ts";
import { failure } from "../../lib/errors.ts";
import { clientIdentity } from "./domain/identity.ts";
import { KEYS, type OwnRecord, readOperation, readOwn } from "./domain/records.ts";
import { lostMember } from "./domain/view.ts";
import { isSaid, isStatus } from "./errors.ts";
import type { Operation } from "./journal/operation.ts";
import { AGENT_NOT_TOLD, INSTANCE_BUSY } from "./messages.ts";
import { type Client, openClient } from "./rest/client.ts";
import { defaultSocket, type Endpoint, socketEndpoint, tlsEndpoint } from "./rest/endpoint.ts";
import {
  type Config,
  greetingShape,
  instanceShape,
  type LxdInstance,
  type LxdSnapshot,
  type ServerInfo,
  serverShape,
} from "./rest/shapes.ts";

/** What the parts of this plugin share: the connection, the settings, and the locks. */
export interface LxdEngine extends AsyncDisposable {
  readonly client: Client;
  /** True if the server is on another host, that is, reached over a URL. */
  readonly remote: boolean;
  readonly settings: Readonly<Record<string, string>>;
  /** Where this user's data are. */
  readonly dataFolder: string;
  readonly log: OpenOptions["log"];
  server(): Promise<ServerInfo>;
  /** The leases of the instances that this engine has locked, as their configs have them, by id. */
  readonly leases: Map<string, string>;
  /** Locks that have not been released. */
  readonly locks: WeakSet<Lock>;
}

/**
 * Opens a connection to the server that the settings name; rejects where it does not answer or trust us.
 * A test may wrap the client.
 */
export async function openEngine(
  options: OpenOptions,
  wrap: (client: Client) => Client = (client) => client,
): Promise<LxdEngine> {
  const { settings, dataFolder, log } = options;
  const remote = (settings.url ?? "") !== "";
  const endpoints = remote ? await remoteEndpoints(options) : [await localEndpoint(options)];
  const client = wrap(openClient(endpoints, settings.project ?? ""));
  const server = async () => (await client.get("/1.0", serverShape)).value;
  try {
    const { value } = await client.get("/1.0", greetingShape);
    if (value.auth !== "trusted") {
      throw await distrust(options);
    }
  } catch (error) {
    await client[Symbol.asyncDispose]();
    throw error;
  }
  return {
    client,
    remote,
    settings,
    dataFolder,
    log,
    server,
    leases: new Map(),
    locks: new WeakSet(),
    [Symbol.asyncDispose]: () => client[Symbol.asyncDispose](),
  };
}

async function localEndpoint({ settings }: OpenOptions): Promise<Endpoint> {
  return socketEndpoint(settings.socket || (await defaultSocket()));
}

async function remoteEndpoints({ settings, dataFolder }: OpenOptions): Promise<Endpoint[]> {
  const identity = await clientIdentity(dataFolder);
  return (settings.url ?? "")
    .split(",")
    .map((url) => tlsEndpoint(new URL(url), identity, settings.fingerprint ?? ""));
}

/** The error of a server that does not know this user's certificate. */
async function distrust({ dataFolder }: OpenOptions): Promise<Error> {
  const { path } = await clientIdentity(dataFolder);
  return failure("PERMISSION_DENIED", {
    reason: `the server does not trust strata's certificate yet; on the server, run \`lxc config trust add FILE\` (Incus: \`incus config trust add-certificate FILE\`) with a copy of ${path}`,
  });
}

/** One of strata's instances, read with its snapshots. */
export interface Managed {
  /** `NAME/UUID`: LXD's API works by name, and a name that is used again is another instance. */
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
    id: `${name}/${own.id}`,
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
export async function findManaged({ client }: LxdEngine, name: string): Promise<Managed | undefined> {
  try {
    const { value, etag } = await client.get(instancePath(name), instanceShape, {
      query: { recursion: "1" },
    });
    return toManaged(value, etag);
  } catch (error) {
    if (isStatus(error, 404)) {
      return undefined;
    }
    const member = await lostMemberOf(client, name);
    if (member === undefined) {
      throw error;
    }
    const reason = `"${name}" is on the member ${member}, which does not answer`;
    throw failure("ENGINE_UNAVAILABLE", { engine: "LXD", reason }, error);
  }
}

/** The member of an instance that could not be read, where that is why. */
async function lostMemberOf(client: Client, name: string): Promise<string | undefined> {
  const list = client.get("/1.0/instances", z.array(instanceShape), { query: { recursion: "1" } });
  const found = (await list.catch(() => undefined))?.value.find((each) => each.name === name);
  return found === undefined ? undefined : lostMember(found);
}

export function nameOf(id: string): string {
  return id.slice(0, id.indexOf("/"));
}

/** The instance of that id; INSTANCE_NOT_FOUND when it is gone. */
export async function getManaged(engine: LxdEngine, id: string): Promise<Managed> {
  const name = nameOf(id);
  const managed = await findManaged(engine, name);
  if (managed?.id !== id) {
    throw failure("INSTANCE_NOT_FOUND", { name });
  }
  return managed;
}

/** The instance of that id, which the caller has locked. */
export async function getLocked(engine: LxdEngine, id: string): Promise<Managed> {
  if (!engine.leases.has(id)) {
    throw failure("LOCK_REQUIRED", { name: nameOf(id) });
  }
  return getManaged(engine, id);
}

/** Between two attempts to change an instance that LXD is busy with, ms. */
const RETRY_INTERVAL_MS = 50;
/** How long an operation of LXD may keep a change of the config waiting, ms. */
const CHANGE_TIMEOUT_MS = 30_000;

/**
 * Tries again while LXD is busy with another change of the same instance, such as another's attempt at its
 * lock, and where the instance has changed since the callback read it.
 */
export async function whenIdle<T>(work: () => Promise<T>): Promise<T> {
  const end = Date.now() + CHANGE_TIMEOUT_MS;
  for (;;) {
    try {
      return await work();
    } catch (error) {
      if ((!isSaid(error, INSTANCE_BUSY) && !isStatus(error, 412)) || Date.now() > end) {
        throw error;
      }
      await delay(RETRY_INTERVAL_MS);
    }
  }
}

/** Changes an instance's config. It does not matter whether the agent in a guest could be notified. */
export async function change(
  { client }: LxdEngine,
  method: "PATCH" | "PUT",
  name: string,
  body: object,
  etag?: string,
): Promise<void> {
  try {
    await client.run(method, instancePath(name), body, etag === undefined ? {} : { etag });
  } catch (error) {
    if (!isSaid(error, AGENT_NOT_TOLD)) {
      throw error;
    }
  }
}

/** Merges keys into an instance's config, in one stroke; an empty value removes a key. */
export async function writeConfig(engine: LxdEngine, name: string, config: Config): Promise<void> {
  await whenIdle(() => change(engine, "PATCH", name, { config }));
}

/** Replaces the config and devices of a locked instance. */
export async function replaceConfig(
  engine: LxdEngine,
  managed: Managed,
  config: Config,
  devices: LxdInstance["devices"],
): Promise<void> {
  await whenIdle(async () => {
    const fresh = await engine.client.get(instancePath(managed.name), instanceShape);
    const { architecture, description, ephemeral, profiles } = fresh.value;
    const locked = { ...config, [KEYS.lock]: engine.leases.get(managed.id) ?? "" };
    const present = Object.fromEntries(Object.entries(locked).filter(([, value]) => value !== ""));
    const body = { architecture, description, ephemeral, profiles, config: present, devices };
    await change(engine, "PUT", managed.name, body, fresh.etag);
  });
}
