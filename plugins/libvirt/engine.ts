import { join } from "node:path";
import type { Context, InstanceRecord, Lock, Mount, OpenOptions } from "../../lib/engine/contract.ts";

import { mergeRecord, RECORD_VERSION } from "../../lib/engine/contract.ts";
import { errnoOf, failure, reasonOf } from "../../lib/errors.ts";
import { fewAtOnce } from "../../lib/util/few-at-once.ts";

import { ENGINE, isLibvirt, isSaid } from "./errors.ts";
import { type FirmwareSupport, probeFirmware } from "./firmware/support.ts";
import { type Host, probeHost } from "./host/probe.ts";
import { type FileLock, type FileLockOptions, lockFile } from "./lock/lock.ts";
import { PERMISSION_DENIED } from "./messages.ts";
import { probeSharing, type Sharing } from "./mounts/sharing.ts";
import type { RunOptions } from "./qcow2/qemu-img.ts";
import { type Connection, ConnectionLostError, connect, type Domain, DomainXmlFlags } from "./rpc/index.ts";
import type { RecordCopy } from "./snapshots/record-copies.ts";
import { openPool } from "./storage/pool.ts";
import { type Element, find, parse, serialize, text } from "./xml/document.ts";
import {
  type Metadata,
  metadataElement,
  NAMESPACE,
  type OwnFile,
  readMetadata,
  readOwn,
} from "./xml/metadata.ts";
import { readDocument } from "./xml/reader.ts";

/** What the rooms of this plugin share: the connection, the pool, and the locks. */
export interface LibvirtEngine extends AsyncDisposable {
  readonly connection: Connection;
  readonly session: boolean;
  readonly settings: Readonly<Record<string, string>>;
  readonly log: OpenOptions["log"];
  /** Probed at first use. */
  host(): Promise<Host>;
  /** Folder of the storage pool. */
  pool(): Promise<string>;
  /** How folders of this host are shared with guests. Probed at first use. */
  sharing(): Promise<Sharing>;
  /** What instances can boot with. Probed at first use. */
  firmware(): Promise<FirmwareSupport>;
  /** Names of the instances that callers have been told of, by id: an error about one that is gone has its name. */
  readonly names: Map<string, string>;
  /** What is known about the instances that this engine has locked, by id. */
  readonly lockStates: Map<string, LockState>;
  /** Locks that have not been released. */
  readonly locks: WeakSet<Lock>;
}

/** The state that goes with a lock on an instance. The contract's `Lock` is what callers get. */
export interface LockState {
  readonly lock: FileLock;
  /** True once the definition has been changed, so that its copy must be written anew. */
  changed: boolean;
  /** Why an interrupted operation could not be finished. */
  refused?: unknown;
  /** The instance as read when it was locked. Removed by the first call that may change it. */
  read?: Managed;
  /** The copies of its snapshot records as reconciled then. */
  copies?: readonly RecordCopy[];
}

/**
 * Timeout of a call, ms. No call takes this long unless libvirt hangs; calls that move guest memory have no
 * timeout.
 */
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
  const host = once(() => probeHost(connection, settings.accelerator ?? "auto"));
  return {
    connection,
    session,
    settings,
    log,
    host,
    firmware: once(() => probeFirmware({ connection, host })),
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
  const cause = error instanceof Error ? error.cause : undefined;
  const denied =
    [errnoOf(error), errnoOf(cause)].includes("EACCES") ||
    isSaid(error, PERMISSION_DENIED) ||
    isLibvirt(error, "AUTH_FAILED", "AUTH_CANCELLED", "AUTH_UNAVAILABLE", "ACCESS_DENIED");
  return denied
    ? failure(
        "PERMISSION_DENIED",
        { reason: `${uri}: ${reason}. Members of the group libvirt may use it.` },
        error,
      )
    : failure(
        "ENGINE_UNAVAILABLE",
        {
          engine: `${ENGINE} (${uri})`,
          reason,
          ...(error instanceof ConnectionLostError && error.notInstalled ? { installed: false } : {}),
        },
        error,
      );
}

/** Remembers the first result. A failure is not remembered, so the next call tries again. */
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

/** A domain that strata manages, with its persistent definition and strata's metadata. */
export interface Managed {
  readonly domain: Domain;
  readonly name: string;
  readonly document: Element;
  readonly metadata: Metadata;
  /** Present if the caller has locked the instance. */
  readonly lockState?: LockState;
  /** True if it was shut off, without saved memory, when it was locked, and nothing has been done since. */
  readonly shutOff?: boolean;
}

/** Reads a domain; undefined for a foreign one. To read many domains, pass a `read` that does not cache. */
export async function readManaged(domain: Domain, read = parse): Promise<Managed | undefined> {
  const document = await read(await domain.getXml(DomainXmlFlags.INACTIVE));
  const metadata = readMetadata(document);
  if (metadata === undefined) {
    return undefined;
  }
  const name = metadata.name ?? domainName(document);
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

/** What libvirt and its other clients call the domain of a definition. Its instance may have another name. */
export function domainName(document: Element): string {
  return text(find(document, "name"));
}

/** The instance of that name; undefined if there is none. */
export async function findInstance(engine: LibvirtEngine, name: string): Promise<Managed | undefined> {
  const domain = await findDomain(engine, name);
  const managed = domain === null ? undefined : await readManaged(domain);
  if (managed?.name === name) {
    return managed;
  }
  const named = await findNamed(engine, name);
  return named === undefined ? undefined : readManaged(named);
}

/** The domain that was adopted under that name, which is in its metadata alone, and has no dots. */
async function findNamed(engine: LibvirtEngine, name: string): Promise<Domain | undefined> {
  if (name.includes(".")) {
    return undefined;
  }
  const domains = await engine.connection.listDomains();
  const names = await fewAtOnce(domains, async (domain) => {
    const own = await readOwnMetadata(domain).catch(() => undefined);
    return own?.name;
  });
  return domains[names.indexOf(name)];
}

/** strata's metadata in a domain, without the rest of its definition; undefined for a foreign domain. */
export async function readOwnMetadata(domain: Domain): Promise<Metadata | undefined> {
  const xml = await domain.getMetadata(ELEMENT, NAMESPACE, CONFIG).catch((error: unknown) => {
    // A transient domain has no persistent configuration, and is not strata's.
    if (isLibvirt(error, "OPERATION_INVALID")) {
      return null;
    }
    throw error;
  });
  return xml === null ? undefined : readOwn(await readDocument(xml));
}

/** True while no instance and no domain of any tool has the name. */
export async function isNameFree(engine: LibvirtEngine, name: string): Promise<boolean> {
  return (await findDomain(engine, name)) === null && (await findNamed(engine, name)) === undefined;
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

/** The domain of that id. Rejects with INSTANCE_NOT_FOUND if it is gone or foreign. */
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

/** Keeps what is known about a locked instance for the next call under the same lock. */
export function handOn({ shutOff: _, lockState, ...managed }: Managed, copies?: readonly RecordCopy[]): void {
  if (lockState === undefined) {
    return;
  }
  lockState.read = managed;
  if (copies !== undefined) {
    lockState.copies = copies;
  }
}

/** The instance for reading only: as read when it was locked, if that still holds. */
export async function peek(engine: LibvirtEngine, id: string): Promise<Managed> {
  return engine.lockStates.get(id)?.read ?? getManaged(engine, id);
}

/**
 * The domain of that id, which the caller has locked. The first call gets what was read with the lock, later
 * ones read again.
 */
export async function getLocked(engine: LibvirtEngine, id: string): Promise<Managed> {
  const lockState = lockStateOf(engine, id);
  const { read } = lockState;
  delete lockState.read;
  return { ...(read ?? (await getManaged(engine, id))), lockState };
}

function lockStateOf(engine: LibvirtEngine, id: string): LockState {
  const lockState = engine.lockStates.get(id);
  if (lockState === undefined) {
    throw failure("LOCK_REQUIRED", { name: engine.names.get(id) ?? id });
  }
  return lockState;
}

/** Redefines the domain. If it is locked, releasing the lock updates the copy of its definition. */
export async function define(engine: LibvirtEngine, document: Element): Promise<Domain> {
  const domain = await engine.connection.defineDomain(serialize(document));
  const lockState = engine.lockStates.get(domain.uuid);
  if (lockState !== undefined) {
    lockState.changed = true;
  }
  return domain;
}

/** Options for programs that change the layers of a locked instance. */
export function runOptions(engine: LibvirtEngine, id: string, context?: Pick<Context, "signal">): RunOptions {
  return {
    lock: lockStateOf(engine, id).lock.descriptor,
    ...(context === undefined ? {} : { signal: context.signal }),
  };
}

/**
 * Changes strata's metadata in the persistent definition and, if the domain runs, in the live one. A caller
 * that knows whether it runs passes `active` and saves a call.
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
  readonly name?: string;
  readonly record?: Partial<InstanceRecord>;
  readonly sshPort?: number;
  readonly mounts?: readonly Mount[];
  readonly excluded?: readonly string[];
  readonly own?: readonly OwnFile[];
  /** null removes it. */
  readonly pendingRemovals?: null;
  readonly operation?: Metadata["operation"] | null;
  readonly snapshot?: Metadata["snapshot"] | null;
  readonly resume?: Metadata["resume"] | null;
}

/** The metadata with a change; members that are not named stay as they are. */
export function changedMetadata(metadata: Metadata, change: MetadataChange): Metadata {
  const { operation, snapshot, resume, pendingRemovals, own = [], ...rest } = metadata;
  const nextOwn = change.own ?? own;
  const nextPendingRemovals = change.pendingRemovals === null ? undefined : pendingRemovals;
  const nextOperation = change.operation === undefined ? operation : change.operation;
  const nextSnapshot = change.snapshot === undefined ? snapshot : change.snapshot;
  const nextResume = change.resume === undefined ? resume : change.resume;
  return {
    ...rest,
    ...(change.name === undefined ? {} : { name: change.name }),
    ...(change.sshPort === undefined ? {} : { sshPort: change.sshPort }),
    ...(change.mounts === undefined ? {} : { mounts: change.mounts }),
    ...(change.excluded === undefined ? {} : { excluded: change.excluded }),
    ...(nextOwn.length === 0 ? {} : { own: nextOwn }),
    record: mergeRecord(metadata.record, change.record ?? {}),
    ...(nextPendingRemovals === undefined ? {} : { pendingRemovals: nextPendingRemovals }),
    ...(nextOperation == null ? {} : { operation: nextOperation }),
    ...(nextSnapshot == null ? {} : { snapshot: nextSnapshot }),
    ...(nextResume == null ? {} : { resume: nextResume }),
  };
}

/** Locks the instance's folder; see `lockFile`. */
export function lockFolder(folder: string, options: FileLockOptions): Promise<FileLock> {
  return lockFile(join(folder, "lock"), options);
}
