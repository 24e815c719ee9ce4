import { mkdir, open, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Instance, Resources, SnapshotRecord } from "strata-vm/engine";
import { failure } from "./failure.ts";

/** Files of a disk by path, in base64. */
export type Disk = Readonly<Record<string, string>>;

/** An instance as it is kept: all of it in one file, so that one rename changes all or nothing. */
export interface Stored extends Omit<Instance, "addresses" | "snapshotCount"> {
  readonly disk: Disk;
  readonly snapshots: readonly (SnapshotRecord & { readonly disk: Disk })[];
  readonly standsOn: string | null;
}

export interface Store {
  readonly folder: string;
  all(): Promise<Stored[]>;
  /** Rejects with INSTANCE_NOT_FOUND. */
  get(id: string): Promise<Stored>;
  put(stored: Stored): Promise<void>;
  remove(id: string): Promise<void>;
  /** The file whose lock is that of the instance. */
  lockPath(id: string): string;
}

export async function openStore(folder: string): Promise<Store> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const pathOf = (id: string) => join(folder, `${id}.json`);
  const lockPath = (id: string) => join(folder, `${id}.lock`);
  const read = async (path: string): Promise<Stored | undefined> => {
    const text = await readFile(path, "utf8").catch((error: NodeJS.ErrnoException) => {
      if (error.code === "ENOENT") {
        return undefined;
      }
      throw failure("ENGINE_ERROR", { engine: "sample", reason: error.message }, error);
    });
    return text === undefined ? undefined : parse(text);
  };
  return {
    folder,
    lockPath,
    async all() {
      const files = (await readdir(folder)).filter((file) => file.endsWith(".json"));
      const found = await Promise.all(files.map((file) => read(join(folder, file))));
      return found.filter((stored) => stored !== undefined);
    },
    async get(id) {
      const stored = await read(pathOf(id));
      if (stored === undefined) {
        throw failure("INSTANCE_NOT_FOUND", { name: id });
      }
      return stored;
    },
    async put(stored) {
      const path = pathOf(stored.id);
      await writeFile(`${path}.new`, stringify(stored), { mode: 0o600, flush: true });
      await rename(`${path}.new`, path);
      await flush(folder);
    },
    async remove(id) {
      await rm(pathOf(id), { force: true });
      await rm(lockPath(id), { force: true });
    },
  };
}

/** A rename is durable once the folder is written. */
async function flush(folder: string): Promise<void> {
  await using handle = await open(folder);
  await handle.sync();
}

/**
 * JSON has no bigints. They are written as texts in the places where they are known to be: a text elsewhere that looks
 * like one of them, such as a comment, must come back as it was.
 */
function stringify(stored: Stored): string {
  return JSON.stringify(withResources(stored, ({ memory, disk }) => [String(memory), String(disk)]));
}

function parse(text: string): Stored {
  return withResources(JSON.parse(text), ({ memory, disk }) => [BigInt(memory), BigInt(disk)]) as Stored;
}

function withResources<T>(stored: Stored, to: (resources: Resources) => [T, T]): object {
  const change = <S extends { readonly resources: Resources }>(of: S) => {
    const [memory, disk] = to(of.resources);
    return { ...of, resources: { ...of.resources, memory, disk } };
  };
  return { ...change(stored), snapshots: stored.snapshots.map(change) };
}
