import { EventEmitter, on } from "node:events";
import { readFile } from "node:fs/promises";
import { dirname } from "node:path";
import writeFileAtomic from "write-file-atomic";
import {
  type EngineEvent,
  type EngineState,
  type Firmware,
  type InstanceRecord,
  type Mount,
  type Nic,
  parseRecord,
  type Resources,
  type SnapshotRecord,
  stringifyRecord,
} from "../../lib/engine/contract.ts";
import { failure } from "../../lib/errors.ts";
import { atOwn, makeFolder, readOwn } from "../../lib/util/own-files.ts";
import type { Faults } from "./faults.ts";

/** Files of a guest's disk by path, a character for each byte. */
export type Contents = Readonly<Record<string, string>>;

export interface StoredSnapshot extends SnapshotRecord {
  readonly contents: Contents;
  /** Present in one that was taken with memory. */
  readonly memory?: Contents;
  /** Those of its further disks by their names; the excluded ones are not in a snapshot. Absent where it never had one. */
  readonly further?: Readonly<Record<string, Contents>>;
  readonly variables?: string;
}

export interface StoredInstance {
  readonly id: string;
  readonly name: string;
  readonly state: EngineState;
  readonly resources: Resources;
  readonly mounts: readonly Mount[];
  readonly nics: readonly Nic[];
  readonly record: InstanceRecord;
  readonly contents: Contents;
  /** Files in the memory of a guest, below `/dev/shm`; absent where it neither runs nor is suspended. */
  readonly memory?: Contents;
  /** Name of the snapshot that `memory` is of, until the next start. */
  readonly resumes?: string;
  /** Those of its further disks by their names; the excluded ones are not in a snapshot. Absent where it never had one. */
  readonly further?: Readonly<Record<string, Contents>>;
  readonly snapshots: readonly StoredSnapshot[];
  readonly standsOn: string | null;
  /** Absent for one that does not start with the host. */
  readonly autostart?: boolean;
  readonly firmware?: Firmware;
  /** What its firmware remembers; absent for nothing. */
  readonly variables?: string;
  /** What it has written on its console. */
  readonly console?: string;
}

/**
 * All instances, in memory or in a file. A change is made on a copy and put in place in one stroke: a fault
 * before that leaves everything as it was, so that nothing is ever half done and has to be put right.
 */
export interface World {
  all(): Promise<readonly StoredInstance[]>;
  get(id: string): Promise<StoredInstance>;
  /** A step at which a fault may strike. */
  step(what: string): void;
  /** Rejects with INSTANCE_EXISTS where another has its name, looked up in the same stroke. */
  add(instance: StoredInstance): Promise<void>;
  put(instance: StoredInstance): Promise<void>;
  /** Puts what `work` makes of these instances, read in the same stroke: all or none. */
  change(ids: readonly string[], work: (stored: StoredInstance) => StoredInstance): Promise<void>;
  remove(id: string): Promise<void>;
  /** What was put and removed by this process, from the call on, until the signal. */
  watch(signal: AbortSignal): AsyncIterable<EngineEvent>;
}

export function createWorld(file: string | undefined, faults: Faults): World {
  const changes = new EventEmitter();
  let instances: readonly StoredInstance[] = [];
  // A caller that knows an instance can read its name after it is gone.
  const names = new Map<string, string>();
  const load = async () => {
    if (file !== undefined) {
      instances = await read(file);
    }
    for (const { id, name } of instances) {
      names.set(id, name);
    }
    return instances;
  };
  const save = async (next: readonly StoredInstance[]) => {
    faults.step("save");
    if (file !== undefined) {
      await write(file, next);
    }
    instances = next;
    faults.made("save");
  };
  // One change after the other: each is made of what the one before has left.
  let last: Promise<unknown> = Promise.resolve();
  const change = (next: (all: readonly StoredInstance[]) => readonly StoredInstance[]): Promise<void> => {
    const made = last.then(async () => save(next(await load())));
    last = made.catch(() => {});
    return made;
  };
  const tell = (event: EngineEvent) => changes.emit("event", event);
  const get = (all: readonly StoredInstance[], id: string): StoredInstance => {
    const found = all.find((instance) => instance.id === id);
    if (found === undefined) {
      throw failure("INSTANCE_NOT_FOUND", { name: names.get(id) ?? id });
    }
    return found;
  };
  const replace = async (ids: readonly string[], work: (stored: StoredInstance) => StoredInstance) => {
    const events: EngineEvent[] = [];
    await change((all) => {
      const made = ids.map((id) => {
        const before = get(all, id);
        const next = work(before);
        const told = { at: Date.now(), id };
        const { state } = next;
        events.push(
          state === before.state ? { ...told, kind: "changed" } : { ...told, kind: "state", state },
        );
        return next;
      });
      return [...all.filter(({ id }) => !ids.includes(id)), ...made];
    });
    events.forEach(tell);
  };
  return {
    all: load,
    get: async (id) => get(await load(), id),
    step: faults.step,
    async add(instance) {
      await change((all) => {
        if (all.some(({ name }) => name === instance.name)) {
          throw failure("INSTANCE_EXISTS", { name: instance.name });
        }
        return [...all, instance];
      });
      tell({ at: Date.now(), kind: "changed", id: instance.id });
    },
    put: (instance) => replace([instance.id], () => instance),
    change: replace,
    async remove(id) {
      await change((all) => all.filter((instance) => instance.id !== id));
      tell({ at: Date.now(), kind: "removed", id });
    },
    watch: (signal) => watch(changes, signal),
  };
}

async function* watch(changes: EventEmitter, signal: AbortSignal): AsyncGenerator<EngineEvent> {
  const told = on(changes, "event", { signal });
  yield { at: Date.now(), kind: "resync" };
  try {
    for await (const [event] of told) {
      yield event;
    }
  } catch (error) {
    if (!signal.aborted) {
      throw error;
    }
  }
}

async function read(file: string): Promise<readonly StoredInstance[]> {
  const text = (await readOwn(file, () => readFile(file, "utf8"))) ?? "[]";
  return (parseRecord(text) as readonly StoredInstance[]).map((instance) => ({
    ...withSizes(instance),
    snapshots: instance.snapshots.map(withSizes),
  }));
}

/** Version 0.1.0 wrote a size as the text `bigint:12`, and could not tell a comment of that form from one. */
function withSizes<T extends { readonly resources: Resources }>(stored: T): T {
  const size = (value: unknown) => (typeof value === "string" ? BigInt(value.replace("bigint:", "")) : value);
  const { memory, disk } = stored.resources;
  return { ...stored, resources: { ...stored.resources, memory: size(memory), disk: size(disk) } };
}

async function write(file: string, instances: readonly StoredInstance[]): Promise<void> {
  await atOwn(file, async () => {
    await makeFolder(dirname(file));
    await writeFileAtomic(file, stringifyRecord(instances), { mode: 0o600 });
  });
}
