import { createHash, type Hash } from "node:crypto";
import { mkdir, readdir, readFile, rm, stat } from "node:fs/promises";
import { basename, join } from "node:path";
import { execa } from "execa";
import { context, locked } from "../../lib/engine/conformance/fixture.ts";
import type { Firmware, Instance } from "../../lib/engine/contract.ts";
import { isStrataError } from "../../lib/errors.ts";
import { CONSOLE_LOG } from "../../plugins/libvirt/console/log-file.ts";
import { unpack } from "../../plugins/libvirt/firmware/state.ts";
import { isImagePath } from "../../plugins/libvirt/layers/names.ts";
import {
  addPendingRemoval,
  PENDING_REMOVALS,
  readPendingRemovals,
} from "../../plugins/libvirt/layers/pending-removals.ts";
import { readHeader } from "../../plugins/libvirt/qcow2/header.ts";
import {
  type Domain,
  SnapshotCreateFlags,
  SnapshotListFlags,
  UndefineFlags,
} from "../../plugins/libvirt/rpc/index.ts";
import { DEFINITION, RECORDS } from "../../plugins/libvirt/snapshots/record-copies.ts";
import { activeLayers } from "../../plugins/libvirt/xml/disks.ts";
import { find, parse, text } from "../../plugins/libvirt/xml/document.ts";
import { readMetadata } from "../../plugins/libvirt/xml/metadata.ts";
import { readSnapshot } from "../../plugins/libvirt/xml/snapshot.ts";
import { type LibvirtFixture, libvirtFixture } from "../support/libvirt/fixture.ts";
import { type FileSystem, type PrivateDaemon, privateDaemon } from "../support/libvirt/private-daemon.ts";
import { adoptAs, OWN } from "./adopted.ts";
import { perform, specOf } from "./verb.ts";

/** Everything that may be there after an operation, by its meaning: no ids, no file names. */
export type State = readonly {
  readonly name: string;
  readonly contents: string;
  readonly snapshots: readonly { readonly name: string; readonly contents: string }[];
}[];

/** A private daemon with one instance, `web`, whose tree has everything that deletions can meet. */
export interface World extends AsyncDisposable {
  readonly daemon: PrivateDaemon;
  readonly fixture: LibvirtFixture;
  readonly settings: Readonly<Record<string, string>>;
  /** What a command does first, whichever it is: locks everything that is there. */
  next(): Promise<void>;
  /** Records, contents of all layers, resources; throws where something does not agree. */
  observe(): Promise<State>;
  /** Brings back the state at the beginning, byte for byte. */
  reset(): Promise<void>;
  /** Runs a callback, in which calling `fill` takes all the room that is left; gives it back afterwards. */
  filling<T>(work: (fill: () => Promise<void>) => Promise<T>): Promise<T>;
  /** Files of the pool that belong to nothing. */
  orphans(): Promise<string[]>;
}

export const INSTANCE = "web";

const { MANAGED_SAVE, SNAPSHOTS_METADATA, NVRAM, CHECKPOINTS_METADATA } = UndefineFlags;
const UNDEFINE = MANAGED_SAVE | SNAPSHOTS_METADATA | NVRAM | CHECKPOINTS_METADATA;

export async function openWorld(
  o: {
    readonly fileSystem?: FileSystem;
    readonly settings?: Readonly<Record<string, string>>;
    /** Of `web`; each snapshot then has other variables too. */
    readonly firmware?: Firmware;
    /** How many disks the instance has; with several, one more that no snapshot has. */
    readonly disks?: number;
    /** The instance is a domain of three own disks that was adopted; `bare`: it has no snapshots any more. */
    readonly adopted?: "with snapshots" | "bare";
  } = {},
): Promise<World> {
  const daemon = await privateDaemon(o.fileSystem);
  const settings = { uri: daemon.uri, ...o.settings };
  const fixture = await libvirtFixture(settings);
  const world = { daemon, fixture };
  const instance =
    o.adopted === undefined
      ? await fixture.engine.instances.create(
          specOf(INSTANCE, fixture.image, o.firmware, (o.disks ?? 1) - 1),
          context(),
        )
      : await adoptAs(INSTANCE, fixture, daemon.folder);
  await build(fixture, instance, o);
  const saved = await save(world);
  return {
    ...world,
    settings,
    next: () => next(world),
    observe: () => observe(world),
    reset: () => reset(world, saved),
    filling: (work) => filling(world, work),
    orphans: () => orphans(world),
    async [Symbol.asyncDispose]() {
      await fixture[Symbol.asyncDispose]();
      await daemon[Symbol.asyncDispose]();
    },
  };
}

type Bare = Pick<World, "daemon" | "fixture">;

/**
 * a ─┬─ b ── c            every layer with data of its own, some of it over that of others;
 *    └─ x ── (m) ─┬─ m1   m is deleted and stays, hidden, with two dependants;
 *                 └─ m2   the head stands on m2
 */
async function build(
  fixture: LibvirtFixture,
  instance: Instance,
  { firmware, disks = 1, adopted }: NonNullable<Parameters<typeof openWorld>[0]>,
): Promise<void> {
  const { engine, write, writeFirmware } = fixture;
  let createdAt = 1_700_000_000_000;
  let value = 1;
  const put = async (...places: readonly number[]) => {
    await using _lock = await locked({ engine }, instance);
    for (const place of places) {
      await write(instance, value * 8 + place);
      if (firmware !== undefined) {
        await writeFirmware?.(instance, `variables ${value}`);
      }
      await writeFurther(fixture, value * 8 + place);
      value = (value % 29) + 1;
    }
  };
  const take = async (name: string) => {
    createdAt += 1000;
    await perform(engine, { kind: "take", on: INSTANCE, name, createdAt });
  };
  const restore = (name: string) => perform(engine, { kind: "restore", on: INSTANCE, name });
  await put(0, 1, 2);
  await take("a");
  await put(1, 3);
  if (adopted === "bare") {
    return perform(engine, { kind: "delete", on: INSTANCE, name: "a" });
  }
  await take("b");
  await put(0, 4, 5, 6);
  await take("c");
  await restore("a");
  await put(2, 5);
  await take("x");
  await put(0, 6);
  await take("m");
  await put(3);
  await take("m1");
  await restore("m");
  await put(1, 3, 7);
  await take("m2");
  await perform(engine, { kind: "delete", on: INSTANCE, name: "m" });
  if (disks > 1 || adopted !== undefined) {
    await perform(engine, { kind: "add disk", on: INSTANCE, mebibytes: 9 });
  }
  await put(4, 7);
}

/** Writes each of the further disks, at another place and with another value than the one before. */
async function writeFurther({ connection }: LibvirtFixture, value: number): Promise<void> {
  const domain = await connection.lookupDomainByName(INSTANCE);
  const [, ...further] = activeLayers(await parse(await domain.getXml(2)));
  for (const [at, file] of further.entries()) {
    const offset = ((value + 3 * (at + 1)) % 8) * 1024 * 1024 + 60 * 1024;
    const command = `write -P ${(value + 83 * (at + 1)) % 256} ${offset} 8k`;
    await execa("qemu-io", ["-f", file.endsWith(".raw") ? "raw" : "qcow2", "-c", command, file]);
  }
}

interface Saved {
  readonly files: string;
  readonly domain: string;
  readonly snapshots: readonly { readonly xml: string; readonly current: boolean }[];
}

async function save({ daemon, fixture }: Bare): Promise<Saved> {
  const files = join(daemon.folder, "saved");
  await mkdir(files);
  await execa("cp", ["-a", "--sparse=always", `${daemon.pool}/.`, files]);
  await execa("cp", ["-a", "--sparse=always", join(daemon.folder, OWN), `${files}-own`], { reject: false });
  const domain = await fixture.connection.lookupDomainByName(INSTANCE);
  const current = (await domain.currentSnapshot())?.name;
  const all = await domain.listSnapshots(SnapshotListFlags.TOPOLOGICAL);
  const snapshots = [];
  for (const snapshot of all) {
    snapshots.push({ xml: await snapshot.getXml(), current: snapshot.name === current });
  }
  return { files, domain: await domain.getXml(2), snapshots };
}

async function reset({ daemon, fixture }: Bare, saved: Saved): Promise<void> {
  for (const domain of await fixture.connection.listDomains()) {
    // It may end meanwhile.
    await domain.destroy().catch(() => {});
    await domain.undefine(UNDEFINE);
  }
  for (const entry of await readdir(daemon.pool)) {
    await rm(join(daemon.pool, entry), { recursive: true });
  }
  await execa("cp", ["-a", "--sparse=always", `${saved.files}/.`, daemon.pool]);
  await execa("cp", ["-a", "--sparse=always", `${saved.files}-own/.`, join(daemon.folder, OWN)], {
    reject: false,
  });
  await releaseAnew(daemon.pool);
  const domain = await fixture.connection.defineDomain(saved.domain);
  for (const { xml, current } of saved.snapshots) {
    await domain.createSnapshot(
      xml,
      SnapshotCreateFlags.REDEFINE | (current ? SnapshotCreateFlags.CURRENT : 0),
    );
  }
}

/** A layer that was let go is known by its inode, and a copy has another. */
async function releaseAnew(pool: string): Promise<void> {
  const instances = join(pool, "instances");
  for (const uuid of await readdir(instances)) {
    for (const [path, { above }] of readPendingRemovals(join(instances, uuid))) {
      await addPendingRemoval(path, above);
    }
  }
}

async function next({ daemon, fixture }: Bare): Promise<void> {
  const { instances } = fixture.engine;
  for (const { id, name } of await instances.list()) {
    await touch(fixture, { id, name }).catch(async (error: unknown) => {
      const code = isStrataError(error) ? error.code : undefined;
      // Locking has finished its removal.
      if (code === "INSTANCE_NOT_FOUND") {
        return;
      }
      if (code !== "RECORD_FORGOTTEN") {
        throw error;
      }
      // What its hint asks for.
      await daemon.signal("SIGKILL");
      await daemon.start();
      await touch(fixture, { id, name });
    });
  }
}

/** A change that changes nothing, and begins as all do: with nothing left half done. */
async function touch({ engine }: LibvirtFixture, instance: { name: string; id: string }): Promise<void> {
  await using lock = await engine.instances.lock(instance, { wait: 60_000 }, context());
  await engine.instances.resize(lock, {}, context()).catch((error: unknown) => {
    const code = isStrataError(error) ? error.code : undefined;
    // Locking has done what there was to do.
    if (code !== "WRONG_STATE" && code !== "INSTANCE_SUSPENDED") {
      throw error;
    }
  });
}

async function observe({ daemon, fixture }: Bare): Promise<State> {
  const state = [];
  for (const instance of await fixture.engine.instances.list()) {
    const { id, name, resources, record, snapshotCount } = instance;
    const tree = await fixture.engine.snapshots.tree(id);
    const domain = await fixture.connection.lookupDomainByUuid(id);
    const document = await parse(await domain.getXml(2));
    const metadata = readMetadata(document);
    if (metadata?.operation !== undefined || metadata?.snapshot !== undefined) {
      throw new Error(`a note is left: ${JSON.stringify(metadata)}`);
    }
    const frozen = await libvirtsTree(domain, tree.standsOn);
    if (snapshotCount !== tree.snapshots.length) {
      throw new Error(`${snapshotCount} snapshots by libvirt`);
    }
    const snapshots = [];
    for (const { size: _, memorySize: __, mounts: ___, nics: ____, ...snapshot } of tree.snapshots) {
      const own = frozen.get(snapshot.name);
      if (own === undefined || own.parent !== snapshot.parent) {
        throw new Error(`libvirt's records of ${snapshot.name} are others than ours`);
      }
      const variables = await variablesIn(metadata?.folder ?? "", own.firmware);
      snapshots.push({ ...snapshot, contents: await digests(daemon, own.files), variables });
    }
    await fixture.audit?.(instance);
    await checkModes(metadata?.folder ?? "");
    const { deleted, snapshotsTaken } = record;
    const contents = await digests(daemon, activeLayers(document));
    const variables = await fixture.readFirmware?.(instance);
    const { standsOn } = tree;
    state.push({ name, resources, deleted, snapshotsTaken, standsOn, contents, variables, snapshots });
  }
  state.push(...(await observeForeign({ daemon, fixture })));
  return state.sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** What strata has let go: its disks. */
async function observeForeign({ daemon, fixture }: Bare): Promise<State> {
  const state = [];
  for (const domain of await fixture.connection.listDomains()) {
    const document = await parse(await domain.getXml(2));
    if (readMetadata(document) === undefined) {
      const contents = await digests(daemon, activeLayers(document));
      state.push({ name: domain.name, foreign: true, contents, snapshots: [] });
    }
  }
  return state;
}

/** libvirt's own records: every snapshot with its frozen file, the mark where the instance stands. */
async function libvirtsTree(domain: Domain, standsOn: string | null) {
  const found = new Map<
    string,
    { parent: string | null; files: readonly string[]; firmware: string | undefined }
  >();
  for (const snapshot of await domain.listSnapshots()) {
    const document = await parse(await snapshot.getXml());
    const { name, parent, frozen, firmware, consistency } = readSnapshot(document);
    // What libvirt's own tools would restore is what we would.
    const recorded = activeLayers(find(document, "domain") ?? document);
    if (frozen.length === 0 || recorded.join(" ") !== frozen.join(" ")) {
      throw new Error(`the record of ${name} names ${recorded.join(" ")}, not ${frozen.join(" ")}`);
    }
    // A guest that died right before its snapshot has disks as after a power cut, too.
    if (consistency === "stopped" && text(find(document, "state")) !== "shutoff") {
      throw new Error(`${name} is of a running guest`);
    }
    found.set(name, { parent, files: frozen, firmware });
  }
  const mark = (await domain.currentSnapshot())?.name ?? null;
  if (mark !== standsOn) {
    throw new Error(`libvirt's mark is on ${mark}, the instance stands on ${standsOn}`);
  }
  return found;
}

/** The variables of a snapshot, as they can be read from its packed state; undefined for none. */
async function variablesIn(folder: string, packed: string | undefined): Promise<string | undefined> {
  if (packed === undefined) {
    return undefined;
  }
  const files = await unpack({ name: packed, bytes: await readFile(join(folder, packed)) });
  return files.map(({ name, contents }) => `${name}: ${contents}`).join();
}

/** Contents by the state of all files that they are read from; a write to any of them changes it. */
const known = new Map<string, string>();

/** Of all that the disks show, one after another. */
async function digests(daemon: PrivateDaemon, paths: readonly string[]): Promise<string> {
  const found = [];
  for (const path of paths) {
    found.push(await digest(daemon, path));
  }
  return found.join(" ");
}

/** Of all that a disk shows, its whole length. */
async function digest(daemon: PrivateDaemon, path: string): Promise<string> {
  const state = [];
  for (let at: string | null = path; at !== null; at = await belowOf(at)) {
    const { mtimeNs, size, blocks } = await stat(at, { bigint: true });
    state.push(at, mtimeNs, size, blocks);
  }
  const key = state.join(" ");
  const found = known.get(key) ?? (await read(daemon, path));
  known.set(key, found);
  return found;
}

async function belowOf(path: string): Promise<string | null> {
  return path.endsWith(".raw") ? null : (await readHeader(path)).backing;
}

async function read(daemon: PrivateDaemon, path: string): Promise<string> {
  const format = path.endsWith(".raw") ? "raw" : "qcow2";
  const raw = join(daemon.folder, "contents.raw");
  await execa("qemu-img", ["convert", "-U", "-f", format, "-O", "raw", path, raw]);
  const hash: Hash = createHash("sha256").update(await readFile(raw));
  await rm(raw);
  return hash.digest("hex").slice(0, 16);
}

async function checkModes(folder: string): Promise<void> {
  for (const entry of await readdir(folder)) {
    const { mode } = await stat(join(folder, entry));
    if ((mode & 0o077) !== 0) {
      throw new Error(`${entry} may be used by others: ${(mode & 0o777).toString(8)}`);
    }
  }
}

async function filling<T>({ daemon }: Bare, work: (fill: () => Promise<void>) => Promise<T>): Promise<T> {
  const ballast = join(daemon.disk, "ballast");
  let filled: Promise<void> | undefined;
  const fill = async () => {
    // Ends with "No space left on device", as it is meant to.
    await execa("dd", ["if=/dev/zero", `of=${ballast}`, "bs=64k"], { reject: false });
    await execa("dd", ["if=/dev/zero", `of=${ballast}-2`, "bs=4k"], { reject: false });
  };
  try {
    return await work(() => {
      filled = fill();
      return filled;
    });
  } finally {
    // A program is not waited for before it starts: the operation may have ended first.
    await filled;
    await rm(ballast, { force: true });
    await rm(`${ballast}-2`, { force: true });
  }
}

/** The packed states and the memory that snapshots have, by the names of their files. */
async function namedFiles(domain: Domain): Promise<string[]> {
  const all = await Promise.all((await domain.listSnapshots()).map((snapshot) => snapshot.getXml()));
  const documents = await Promise.all(all.map((xml) => parse(xml)));
  return documents.map(readSnapshot).flatMap(({ firmware = "", memory }) => [firmware, basename(memory)]);
}

/** What an instance's folder has beside images; an entry of the journal is of something unfinished. */
const KEPT = ["seed.iso", "lock", DEFINITION, RECORDS, PENDING_REMOVALS];

async function orphans({ daemon, fixture }: Bare): Promise<string[]> {
  const instances = await fixture.engine.instances.list();
  const ids = instances.map(({ id }) => id);
  const list = (folder: string) => readdir(join(daemon.pool, folder)).catch((): string[] => []);
  const folders = (await list("instances")).filter((id) => !ids.includes(id));
  const images = new Set(instances.map(({ record }) => `${record.image.sha256}.qcow2`));
  const bases = (await list("images")).filter((file) => !images.has(file));
  const strangers = [];
  for (const id of ids) {
    const folder = join(daemon.pool, "instances", id);
    const domain = await fixture.connection.lookupDomainByUuid(id);
    const named = new Set([...(await namedFiles(domain)), "variables.fd", CONSOLE_LOG]);
    for (const file of await readdir(folder)) {
      if (named.has(file)) {
        continue;
      }
      if (!isImagePath(folder, join(folder, file)) && !KEPT.includes(file)) {
        strangers.push(file);
      }
    }
  }
  return [...folders, ...bases, ...strangers];
}
