import { mkdir, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Instance, SnapshotRecord } from "strata-vm/engine";
import { failure } from "strata-vm/errors";

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
}

export async function openStore(folder: string): Promise<Store> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const pathOf = (id: string) => join(folder, `${id}.json`);
  const read = async (path: string): Promise<Stored | undefined> => {
    const text = await readFile(path, "utf8").catch((error: NodeJS.ErrnoException) => {
      if (error.code === "ENOENT") {
        return undefined;
      }
      throw failure("ENGINE_ERROR", { engine: "sample", reason: error.message }, error);
    });
    return text === undefined ? undefined : JSON.parse(text, bigintsBack);
  };
  return {
    folder,
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
      await writeFile(`${path}.new`, JSON.stringify(stored, bigints), { mode: 0o600, flush: true });
      await rename(`${path}.new`, path);
    },
    remove: (id) => rm(pathOf(id), { force: true }),
  };
}

const BIGINT = /^bigint:(-?\d+)$/;

function bigints(_: string, value: unknown): unknown {
  return typeof value === "bigint" ? `bigint:${value}` : value;
}

function bigintsBack(_: string, value: unknown): unknown {
  const found = typeof value === "string" ? BIGINT.exec(value)?.[1] : undefined;
  return found === undefined ? value : BigInt(found);
}
