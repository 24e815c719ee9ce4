import { EventEmitter, on } from "node:events";
import { readFile } from "node:fs/promises";
import { dirname } from "node:path";
import writeFileAtomic from "write-file-atomic";
import type {
  EngineEvent,
  EngineState,
  InstanceRecord,
  Mount,
  Nic,
  Resources,
  SnapshotRecord,
} from "../../lib/engine/contract.ts";
import { failure } from "../../lib/errors.ts";
import { atOwn, makeFolder, readOwn } from "../../lib/util/own-files.ts";
import type { Faults } from "./faults.ts";

/** Files of a guest's disk by path, a character for each byte. */
export type Disk = Readonly<Record<string, string>>;

export interface StoredSnapshot extends SnapshotRecord {
  readonly contents: Disk;
}

export interface StoredInstance {
  readonly id: string;
  readonly name: string;
  readonly state: EngineState;
  readonly resources: Resources;
  readonly mounts: readonly Mount[];
  readonly nics: readonly Nic[];
  readonly record: InstanceRecord;
  readonly contents: Disk;
  readonly snapshots: readonly StoredSnapshot[];
  readonly standsOn: string | null;
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
  put(instance: StoredInstance): Promise<void>;
  remove(id: string): Promise<void>;
  /** What was put and removed by this process, from the call on, until the signal. */
  watch(signal: AbortSignal): AsyncIterable<EngineEvent>;
}

export function createWorld(file: string | undefined, faults: Faults): World {
  const changes = new EventEmitter();
  let instances: readonly StoredInstance[] = [];
  const load = async () => {
    if (file !== undefined) {
      instances = await read(file);
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
  return {
    all: load,
    async get(id) {
      const found = (await load()).find((instance) => instance.id === id);
      if (found === undefined) {
        throw failure("INSTANCE_NOT_FOUND", { name: id });
      }
      return found;
    },
    step: faults.step,
    async put(instance) {
      const all = await load();
      const before = all.find(({ id }) => id === instance.id);
      await save([...all.filter((each) => each !== before), instance]);
      const { id, state } = instance;
      const at = Date.now();
      const moved = before !== undefined && before.state !== state;
      changes.emit("event", moved ? { at, kind: "state", id, state } : { at, kind: "changed", id });
    },
    async remove(id) {
      await save((await load()).filter((instance) => instance.id !== id));
      changes.emit("event", { at: Date.now(), kind: "removed", id });
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

const BIGINT = /^bigint:(-?\d+)$/;

async function read(file: string): Promise<readonly StoredInstance[]> {
  const text = (await readOwn(file, () => readFile(file, "utf8"))) ?? "[]";
  return JSON.parse(text, (_, value: unknown) => {
    const found = typeof value === "string" ? BIGINT.exec(value)?.[1] : undefined;
    return found === undefined ? value : BigInt(found);
  });
}

async function write(file: string, instances: readonly StoredInstance[]): Promise<void> {
  const text = JSON.stringify(instances, (_, value: unknown) =>
    typeof value === "bigint" ? `bigint:${value}` : value,
  );
  await atOwn(file, async () => {
    await makeFolder(dirname(file));
    await writeFileAtomic(file, text, { mode: 0o600 });
  });
}
