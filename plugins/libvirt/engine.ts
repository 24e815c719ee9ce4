import { join } from "node:path";
import type { Context, InstanceRecord, Lock, Mount, OpenOptions } from "../../lib/engine/contract.ts";

import { mergeRecord, RECORD_VERSION } from "../../lib/engine/contract.ts";
import { errnoOf, failure, reasonOf } from "../../lib/errors.ts";

import { ENGINE, isLibvirt } from "./errors.ts";
import { type Host, probeHost } from "./host/probe.ts";
import { type FileLock, type FileLockOptions, lockFile } from "./lock/lock.ts";
import { probeSharing, type Sharing } from "./mounts/sharing.ts";
import type { RunOptions } from "./qcow2/qemu-img.ts";
import { type Connection, connect, type Domain, DomainXmlFlags } from "./rpc/index.ts";
import type { RecordCopy } from "./snapshots/record-copies.ts";
import { openPool } from "./storage/pool.ts";
import { type Element, find, parse, serialize, text } from "./xml/document.ts";
import { type Metadata, metadataElement, NAMESPACE, readMetadata } from "./xml/metadata.ts";

/** What the parts of this plugin share: the connection, where things are, and the locks. */
export interface LibvirtEngine extends AsyncDisposable {
  readonly connection: Connection;
  readonly session: boolean;
  readonly settings: Readonly<Record<string, string>>;
  readonly log: OpenOptions["log"];
  /** Probed at first use. */
  host(): Promise<Host>;
  /** Folder of the storage pool. */
  pool(): Promise<string>;
  /** How folders of this host get into guests. Probed at first use. */
  sharing(): Promise<Sharing>;
  /** Names of the instances that callers have been told of, by id: an error about one that is gone has its name. */
  readonly names: Map<string, string>;
  /** What holders know of the instances that this engine has locked, by id. */
  readonly lockStates: Map<string, LockState>;
  /** The locks that are held. */
  readonly locks: WeakSet<Lock>;
}

/** A lock that is held on an instance, with what its holder knows. `Lock` is what others have of it. */
export interface LockState {
  readonly lock: FileLock;
  /** True once the definition has been changed, so that its copy must be written anew. */
  changed: boolean;
  /** Why what is left half done could not be finished. */
  refused?: unknown;
  /** The instance as it was read once it was locked, until somebody has taken it up: then it may have been changed. */
  read?: Managed;
  /** The same of the copies of its records, brought together with libvirt's. */
  copies?: readonly RecordCopy[];
}

/** No call takes as long unless something hangs, ms; those that move a guest's memory have none. */
const CALL_TIMEOUT_MS = 120_000;

/** Opens a connection to the daemon that the setting `uri` names, by default as libvirt's own tools choose. */
export async function openEngine(options: OpenOptions): Promise<LibvirtEngine> {
  const { settings, log } = options;
  const uri = settings.uri || (process.getuid?.() === 0 ? "qemu:///system" : "qemu:///session");
  const { pathname } = new URL(uri);
  const session = pathname === "/session";
  const connection = await connect(uri, { timeout: CALL_TIMEOUT_MS }).catch((error: unknown) => {
    throw openError(error, uri);
  });
  const poolFolder = session ? join(options.dataFolder, "pool") : "/var/lib/libvirt/images/strata";
  return {
    connection,
    session,
    settings,
    log,
    host: once(() => probeHost(connection, settings.accelerator ?? "auto")),
    pool: once(() => openPool(connection, poolFolder)),
    sharing: once(() => probeSharing(connection, session)),
    names: new Map(),
    lockStates: new Map(),
    locks: new WeakSet(),
    [Symbol.asyncDispose]: () => connection.close(),
  };
}

function openError(error: unknown, uri: string) {
  const reason = reasonOf(error);
  const code = errnoOf(error);
  const denied =
    code === "EACCES" ||
    /EACCES|[Pp]ermission denied/.test(reason) ||
    isLibvirt(error, "AUTH_FAILED", "AUTH_CANCELLED", "AUTH_UNAVAILABLE", "ACCESS_DENIED");
  return denied
    ? failure(
        "PERMISSION_DENIED",
        { reason: `${uri}: ${reason}. Members of the group libvirt may use it.` },
        error,
      )
    : failure("ENGINE_UNAVAILABLE", { engine: `${ENGINE} (${uri})`, reason }, error);
}

/** Remembers the first result; a failure is tried again at the next call. */
function once<T>(make: () => Promise<T>): () => Promise<T> {
  let made: Promise<T> | undefined;
  return () => {
    made ??= make().catch((error: unknown) => {
      made = undefined;
      throw error;
    });
    return made;
  };
}

/** One of strata's domains with its persistent definition and what strata keeps in it. */
export interface Managed {
  readonly domain: Domain;
  readonly name: string;
  readonly document: Element;
  readonly metadata: Metadata;
  /** Where the caller has locked it. */
  readonly lockState?: LockState;
  /** True where it was shut off, with no memory saved, when it was locked, and nothing was done since. */
  readonly shutOff?: boolean;
}

/** Reads a domain; undefined for a foreign one. Who reads a thousand gives a way of reading that keeps none. */
export async function readManaged(domain: Domain, read = parse): Promise<Managed | undefined> {
  const document = await read(await domain.getXml(DomainXmlFlags.INACTIVE));
  const metadata = readMetadata(document);
  if (metadata === undefined) {
    return undefined;
  }
  const name = text(find(document, "name"));
  const { version } = metadata.record;
  if (version > RECORD_VERSION) {
    throw failure("RECORD_TOO_NEW", {
      name,
      reason: `it has version ${version}, and this strata reads versions up to ${RECORD_VERSION}`,
    });
  }
  if (!(version >= 1)) {
    throw failure("RECORDS_DIFFER", { name, reason: "its record has no version" });
  }
  return { domain, name, document, metadata };
}

/** The domain of that name, or null. */
export async function findDomain(engine: LibvirtEngine, name: string): Promise<Domain | null> {
  try {
    return await engine.connection.lookupDomainByName(name);
  } catch (error) {
    if (isLibvirt(error, "NO_DOMAIN")) {
      return null;
    }
    throw error;
  }
}

/** The domain of that id; INSTANCE_NOT_FOUND, with the name where it is known, when it is gone or foreign. */
export async function getManaged(
  engine: LibvirtEngine,
  id: string,
  name = engine.names.get(id) ?? id,
): Promise<Managed> {
  try {
    const managed = await readManaged(engine.connection.domainOfUuid(id));
    if (managed !== undefined) {
      return managed;
    }
  } catch (error) {
    throw isLibvirt(error, "NO_DOMAIN") ? failure("INSTANCE_NOT_FOUND", { name }, error) : error;
  }
  throw failure("INSTANCE_NOT_FOUND", { name });
}

/** Leaves what is known of a locked instance to whoever reads it next under the same lock, at once. */
export function handOn({ shutOff: _, lockState, ...managed }: Managed, copies?: readonly RecordCopy[]): void {
  if (lockState === undefined) {
    return;
  }
  lockState.read = managed;
  if (copies !== undefined) {
    lockState.copies = copies;
  }
}

/** The instance for who only reads it: as it was read when it was locked, where that is still so. */
export async function peek(engine: LibvirtEngine, id: string): Promise<Managed> {
  return engine.lockStates.get(id)?.read ?? getManaged(engine, id);
}

/** The domain of that id, which the caller has locked: as it was read then, once, and read anew from then on. */
export async function getLocked(engine: LibvirtEngine, id: string): Promise<Managed> {
  const lockState = lockStateOf(engine, id);
  const { read } = lockState;
  delete lockState.read;
  return { ...(read ?? (await getManaged(engine, id))), lockState };
}

function lockStateOf(engine: LibvirtEngine, id: string): LockState {
  const lockState = engine.lockStates.get(id);
  if (lockState === undefined) {
    throw failure("INTERNAL", { reason: `${id} is not locked` });
  }
  return lockState;
}

/** Defines the domain anew. Whoever holds it leaves a copy of the definition behind. */
export async function define(engine: LibvirtEngine, document: Element): Promise<Domain> {
  const domain = await engine.connection.defineDomain(serialize(document));
  const lockState = engine.lockStates.get(domain.uuid);
  if (lockState !== undefined) {
    lockState.changed = true;
  }
  return domain;
}

/** How programs that change the layers of a held instance are run. */
export function runOptions(engine: LibvirtEngine, id: string, context?: Pick<Context, "signal">): RunOptions {
  return {
    lock: lockStateOf(engine, id).lock.descriptor,
    ...(context === undefined ? {} : { signal: context.signal }),
  };
}

/**
 * Changes what strata keeps in the domain, in its persistent definition and, if it runs, in the live one.
 * Who knows whether it runs may say so and save the question.
 */
export async function writeMetadata(
  managed: Managed,
  change: MetadataChange,
  active?: boolean,
): Promise<Managed> {
  const metadata = changedMetadata(managed.metadata, change);
  const { domain } = managed;
  const flags = (active ?? (await domain.isActive())) ? LIVE_AND_CONFIG : CONFIG;
  await domain.setMetadata(ELEMENT, serialize(metadataElement(metadata)), "strata", NAMESPACE, flags);
  if (managed.lockState !== undefined) {
    managed.lockState.changed = true;
  }
  return { ...managed, metadata };
}

const ELEMENT = 2;
const CONFIG = 2;
const LIVE_AND_CONFIG = 3;

export interface MetadataChange {
  readonly record?: Partial<InstanceRecord>;
  readonly sshPort?: number;
  readonly mounts?: readonly Mount[];
  /** null removes it. */
  readonly pendingRemovals?: null;
  readonly operation?: Metadata["operation"] | null;
  readonly snapshot?: Metadata["snapshot"] | null;
}

/** The metadata with a change; members that are not named stay. */
export function changedMetadata(metadata: Metadata, change: MetadataChange): Metadata {
  const { operation, snapshot, pendingRemovals, ...rest } = metadata;
  const nextPendingRemovals = change.pendingRemovals === null ? undefined : pendingRemovals;
  const nextOperation = change.operation === undefined ? operation : change.operation;
  const nextSnapshot = change.snapshot === undefined ? snapshot : change.snapshot;
  return {
    ...rest,
    ...(change.sshPort === undefined ? {} : { sshPort: change.sshPort }),
    ...(change.mounts === undefined ? {} : { mounts: change.mounts }),
    record: mergeRecord(metadata.record, change.record ?? {}),
    ...(nextPendingRemovals === undefined ? {} : { pendingRemovals: nextPendingRemovals }),
    ...(nextOperation == null ? {} : { operation: nextOperation }),
    ...(nextSnapshot == null ? {} : { snapshot: nextSnapshot }),
  };
}

/** Locks the instance's folder; see `lockFile`. */
export function lockFolder(folder: string, options: FileLockOptions): Promise<FileLock> {
  return lockFile(join(folder, "lock"), options);
}
