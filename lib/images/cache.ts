import { randomUUID } from "node:crypto";
import { mkdir, open, readdir, rename, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import type { Log } from "../backend/contract.ts";
import { EXTENSIONS, type ImageRecord, readRecords, writeRecord } from "./record.ts";
import { fileSize, storageFailure } from "./storage.ts";

/** A partial file that nothing has been written to for so long was left by a process that died, ms. */
const ABANDONED = 24 * 60 * 60 * 1000;

/**
 * A folder of image files, each named by its SHA-256, each with a record beside it. A file without a
 * record is not there: the record is written last and removed first.
 */
export interface Cache {
  pathOf(image: Pick<ImageRecord, "sha256" | "format">): string;
  /** The images that are there whole, newest first. */
  records(): Promise<ImageRecord[]>;
  /** Runs a piece with a path in the folder, of its own, which is gone afterwards. */
  withPartial<T>(work: (path: string) => Promise<T>): Promise<T>;
  /** Moves a file to its place. One that is there already stays, and its record is the answer. */
  adopt(path: string, record: ImageRecord): Promise<ImageRecord>;
  remove(sha256: string): Promise<void>;
}

export function openCache({ folder, log }: { folder: string; log: Log }): Cache {
  const pathOf: Cache["pathOf"] = ({ sha256, format }) => join(folder, `${sha256}.${EXTENSIONS[format]}`);
  const records = async () => {
    const found = await readRecords(folder, log);
    const sizes = await Promise.all(found.map((record) => fileSize(pathOf(record)).catch(() => null)));
    return found.filter((_, index) => sizes[index] !== null);
  };
  return {
    pathOf,
    records,
    async withPartial(work) {
      await mkdir(folder, { recursive: true, mode: 0o700 }).catch((error) => {
        throw storageFailure(error, folder);
      });
      await sweep(folder);
      const path = join(folder, `.${randomUUID()}.partial`);
      try {
        return await work(path);
      } finally {
        await rm(path, { force: true });
      }
    },
    async adopt(path, record) {
      const present = (await records()).find(({ sha256 }) => sha256 === record.sha256);
      if (present !== undefined) return present;
      await makeDurable(path);
      await rename(path, pathOf(record));
      await writeRecord(folder, record);
      return record;
    },
    async remove(sha256) {
      await rm(join(folder, `${sha256}.json`), { force: true });
      for (const extension of Object.values(EXTENSIONS))
        await rm(join(folder, `${sha256}.${extension}`), { force: true });
    },
  };
}

async function makeDurable(path: string): Promise<void> {
  await using file = await open(path, "r+");
  await file.chmod(0o600);
  await file.sync();
}

async function sweep(folder: string): Promise<void> {
  const limit = Date.now() - ABANDONED;
  for (const name of await readdir(folder)) {
    if (!/^\.[0-9a-f-]{36}\.partial$/.test(name)) continue;
    const found = await stat(join(folder, name)).catch(() => null);
    if (found !== null && found.mtimeMs < limit) await rm(join(folder, name), { force: true });
  }
}
