import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { execa } from "execa";
import { pick } from "../trials.ts";
import { INSTANCE, type World } from "../world.ts";
import type { Contents, FileState } from "./contents.ts";
import type { Observation, Place } from "./observation.ts";

/** What came of an interference. */
export interface Deed {
  /** In words, for the log. */
  readonly what: string;
  /** False where libvirt refused it or there was nothing to do it on. */
  readonly done: boolean;
  /** Contents of snapshots that it has made, where they are not those of the disk. */
  readonly made?: ReadonlyMap<string, Contents>;
  /** Snapshots that libvirt's own verbs were told to delete. */
  readonly deleted?: readonly string[];
  /** Files that cannot be right any more. */
  readonly damaged?: readonly string[];
  /** What doctor must name now, for each any of these words; for none of them any finding will do. */
  readonly wrong?: readonly (readonly string[])[];
}

/** A hand that is not strata's, with what it knows and holds. */
export interface Hand {
  readonly world: World;
  readonly place: Place;
  readonly random: () => number;
  /** What was there before the interference. */
  now: Observation;
  /** Definitions as they were shown at some time of this trial. */
  readonly definitions: string[];
  /** Records of snapshots as they were shown at some time. */
  readonly records: string[];
  /** Copies of strata's own small files as they were at some time: path and text. */
  readonly notes: { readonly path: string; readonly text: string }[];
  /** Programs that keep a layer open. */
  readonly lockers: ChildProcess[];
  /** Files moved out of the instance's folder, and where they were. */
  readonly moved: { readonly from: string; readonly to: string }[];
  /** Files made outside of the instance's folder, with what they must show until the end. */
  readonly outside: Set<string>;
  /** A name that nobody has used. */
  fresh(prefix: string): string;
}

export interface Interference {
  readonly name: string;
  /** It leaves all contents as they are: it may come while an operation is at work. */
  readonly harmless?: true;
  work(hand: Hand): Promise<Deed>;
}

export const NOTHING: Deed = { what: "nothing to do it on", done: false };

/** Runs virsh. Where that kills libvirtd, as some of its own verbs do, it is started again. */
export async function virsh(
  { world }: Pick<Hand, "world">,
  ...args: readonly string[]
): Promise<{ readonly ok: boolean; readonly out: string }> {
  const run = () =>
    execa("virsh", ["-q", "-c", world.daemon.uri, ...args], { reject: false, timeout: 60_000 });
  const { failed, timedOut, stdout, stderr } = await run();
  if (timedOut) {
    throw new Error(`virsh hangs: ${args.join(" ")}`);
  }
  if (failed && /end of file|Failed to connect/i.test(stderr)) {
    await world.daemon.signal("SIGKILL");
    await world.daemon.start();
  }
  return { ok: !failed, out: failed ? stderr.replaceAll("\n", " ").slice(0, 200) : stdout };
}

/** The same as a deed. */
export async function byVirsh(
  hand: Hand,
  args: readonly string[],
  deed: Omit<Deed, "what" | "done"> = {},
): Promise<Deed> {
  const { ok, out } = await virsh(hand, ...args);
  const short = args.map((arg) => arg.replace(hand.place.folder, "…")).join(" ");
  return ok
    ? { what: `virsh ${short}`, done: true, ...deed }
    : { what: `virsh ${short}: ${out}`, done: false };
}

/** Defines a document of the instance. */
export async function define(hand: Hand, xml: string, what: string, deed: Partial<Deed> = {}): Promise<Deed> {
  const file = join(hand.place.elsewhere, "definition.xml");
  await writeFile(file, xml);
  const { ok, out } = await virsh(hand, "define", file);
  return { what: ok ? what : `${what}: ${out}`, done: ok, ...deed };
}

/** Sees to it that a guest runs; false where it cannot be started. */
export async function running(hand: Hand): Promise<boolean> {
  if (hand.now.live !== null) {
    return true;
  }
  return (await virsh(hand, "start", INSTANCE)).ok;
}

/** Device by which the guest writes its root disk. */
const DEVICE = "/machine/peripheral/virtio-disk0/virtio-backend";

/** Writes as the guest would: through QEMU. */
export async function guestWrites(
  hand: Hand,
  offset: number,
  length: number,
  value: number,
): Promise<boolean> {
  const say = (command: string) =>
    virsh(hand, "qemu-monitor-command", INSTANCE, "--hmp", `qemu-io -d ${DEVICE} "${command}"`);
  const wrote = await say(`write -P ${value} ${offset} ${length}`);
  const flushed = await say("flush");
  return wrote.ok && flushed.ok && !/error|failed/i.test(wrote.out + flushed.out);
}

/** Has a program open a file for writing, as a QEMU would, until it is let go. */
export async function lock(hand: Hand, path: string): Promise<boolean> {
  const locker = spawn("qemu-io", ["-f", "qcow2", path], { stdio: ["pipe", "pipe", "ignore"] });
  hand.lockers.push(locker);
  const opened = once(locker.stdout, "data").then(() => true);
  return Promise.race([opened, once(locker, "exit").then(() => false)]);
}

export async function letGo(hand: Hand): Promise<void> {
  for (const locker of hand.lockers.splice(0)) {
    if (locker.exitCode !== null || locker.signalCode !== null) {
      continue;
    }
    const gone = once(locker, "exit");
    locker.kill("SIGKILL");
    await gone;
  }
}

/**
 * The instance's files that are layers by what is in them, in the folder. Names are random, and their order
 * is to be the same when the same is done again.
 */
export function layersOf({ now, place }: Hand): string[] {
  const files = [...now.files.values()].filter(({ path }) => path.startsWith(`${place.folder}/`));
  const order = (a: FileState, b: FileState) => {
    const [one = "", other = ""] = [a, b].map(({ contents }) => contents ?? "");
    if (one !== other) {
      return one < other ? -1 : 1;
    }
    return a.modified < b.modified ? -1 : 1;
  };
  return files.sort(order).map(({ path }) => path);
}

/** One of them; undefined for none. */
export function anyOf<T>(list: readonly T[], random: () => number): T | undefined {
  return list.length === 0 ? undefined : pick(list, random);
}

/** One of eight places on the disk, across a cluster's edge, and something to write there. */
export function anyWrite(random: () => number): { offset: number; length: number; value: number } {
  const place = Math.floor(random() * 8);
  const value = 100 + Math.floor(random() * 150);
  return { offset: place * 1024 ** 2 + 60 * 1024, length: 8192, value };
}

export async function openHand(
  world: World,
  place: Place,
  random: () => number,
  now: Observation,
): Promise<Hand> {
  await mkdir(place.elsewhere, { recursive: true, mode: 0o755 });
  let made = 0;
  return {
    world,
    place,
    random,
    now,
    definitions: [],
    records: [],
    notes: [],
    lockers: [],
    moved: [],
    outside: new Set(),
    fresh: (prefix) => {
      made += 1;
      return `${prefix}${made}`;
    },
  };
}
