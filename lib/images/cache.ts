import { randomUUID } from "node:crypto";
import { fstat } from "node:fs";
import { open, readdir, rename, rm, stat, unlink, utimes } from "node:fs/promises";
import { basename, join } from "node:path";
import { promisify } from "node:util";
import type { Context, Log } from "../engine/contract.ts";
import { errnoOf, failure, isStrataError } from "../errors.ts";
import { type FileLock, lockFile } from "../util/file-lock.ts";
import { atOwn, makeFolder, ownFailure } from "../util/own-files.ts";
import { EXTENSIONS, type ImageRecord, readRecords, writeRecord } from "./record.ts";
import { fileSize } from "./storage.ts";

/** A partial file that has not been written to for this long belongs to a process that died, ms. */
const ABANDONED = 24 * 60 * 60 * 1000;

/** A complete image. */
export interface CachedImage extends ImageRecord {
  /** When it was last launched or added: the time of its record's file. ms since the epoch. */
  readonly usedAt: number;
  /** Its file. */
  readonly path: string;
  /** It is among the images that root keeps for all users of this host. */
  readonly system: boolean;
}

/**
 * A folder of image files, each named by its SHA-256 and with a record beside it. A file without a record
 * does not count: the record is written last and removed first.
 */
export interface Cache {
  /** All complete images, newest first. */
  records(): Promise<CachedImage[]>;
  /** Calls a function with a new path in the folder, which is removed afterwards. */
  withPartial<T>(work: (path: string) => Promise<T>): Promise<T>;
  /** Calls a function while no other process on this host does so for the same hash; the others wait. */
  exclusively<T>(sha256: string, context: Context, work: () => Promise<T>): Promise<T>;
  /** Moves a file to its place. If there is one already, it stays and its record is returned. */
  adopt(path: string, record: ImageRecord): Promise<CachedImage>;
  /** Replaces the record of an image, which counts as used when it was used before. */
  rewrite(image: CachedImage, record: ImageRecord): Promise<CachedImage>;
  /** Records that an image is used now. */
  touch(image: CachedImage): Promise<void>;
  /** Rejects with IMAGE_NOT_FOUND if another process has just removed it. */
  remove(image: Pick<CachedImage, "sha256" | "system">): Promise<void>;
}

export interface CacheOptions {
  readonly folder: string;
  readonly log: Log;
}

/** Who may read what is in a cache: its owner alone, or all users of this host. */
interface Audience {
  readonly system: boolean;
  readonly folder: number;
  readonly file: number;
}

export const OWN: Audience = { system: false, folder: 0o700, file: 0o600 };
export const EVERYBODY: Audience = { system: true, folder: 0o755, file: 0o644 };

export function openCache({ folder, log }: CacheOptions, audience = OWN): Cache {
  const { system } = audience;
  const pathOf = ({ sha256, format }: ImageRecord) => join(folder, `${sha256}.${EXTENSIONS[format]}`);
  const recordOf = (sha256: string) => join(folder, `${sha256}.json`);
  const records = async () => {
    const found = (await readRecords(folder, log)).map(async (record) => {
      const [file, note] = [pathOf(record), recordOf(record.sha256)];
      const [, { mtimeMs }] = await Promise.all([fileSize(file), stat(note)]);
      return { ...record, usedAt: mtimeMs, path: file, system };
    });
    return (await Promise.allSettled(found)).flatMap((each) =>
      each.status === "fulfilled" ? [each.value] : [],
    );
  };
  const prepare = () => atOwn(folder, () => makeFolder(folder, audience.folder));
  return {
    records,
    async withPartial(work) {
      await prepare();
      await sweep(folder);
      const path = join(folder, `.${randomUUID()}.partial`);
      try {
        return await work(path);
      } finally {
        await rm(path, { force: true });
      }
    },
    async exclusively(sha256, context, work) {
      await prepare();
      const path = join(folder, `.${sha256}.lock`);
      await using _lock = await lockOf(path, context);
      try {
        return await work();
      } finally {
        await rm(path, { force: true });
      }
    },
    async adopt(path, record) {
      const present = (await records()).find(({ sha256 }) => sha256 === record.sha256);
      if (present !== undefined) {
        return present;
      }
      await makeDurable(path, audience.file);
      await rename(path, pathOf(record));
      await writeRecord(folder, record, audience.file);
      return { ...record, usedAt: Date.now(), path: pathOf(record), system };
    },
    async rewrite({ usedAt }, record) {
      await writeRecord(folder, record, audience.file);
      const time = new Date(usedAt);
      await utimes(recordOf(record.sha256), time, time);
      return { ...record, usedAt, path: pathOf(record), system };
    },
    async touch({ sha256 }) {
      const now = new Date();
      await utimes(recordOf(sha256), now, now).catch((error: unknown) => {
        log.debug("the last use of an image could not be recorded", { sha256, error: String(error) });
      });
    },
    async remove({ sha256 }) {
      await unlink(recordOf(sha256)).catch((error: unknown) => {
        if (errnoOf(error) === "ENOENT") {
          throw failure("IMAGE_NOT_FOUND", { image: sha256 }, error);
        }
        throw ownFailure(error, recordOf(sha256));
      });
      for (const extension of Object.values(EXTENSIONS)) {
        await rm(join(folder, `${sha256}.${extension}`), { force: true });
      }
    },
  };
}

/** A lock on a file that is removed with it: a process that waited for a removed file locks the next one. */
async function lockOf(path: string, { signal, progress }: Context): Promise<FileLock> {
  const name = basename(path);
  for (;;) {
    const lock = await lockFile(path, { name, wait: 0, signal }).catch((error: unknown) => {
      if (!isStrataError(error) || error.code !== "BUSY") {
        throw ownFailure(error, path);
      }
      progress({ phase: "Waiting for another download" });
      return lockFile(path, { name, wait: Infinity, signal });
    });
    const there = await stat(path).catch(() => null);
    if (there?.ino === (await promisify(fstat)(lock.descriptor)).ino) {
      return lock;
    }
    await lock[Symbol.asyncDispose]();
  }
}

async function makeDurable(path: string, mode: number): Promise<void> {
  await using file = await open(path, "r+");
  await file.chmod(mode);
  await file.sync();
}

async function sweep(folder: string): Promise<void> {
  const limit = Date.now() - ABANDONED;
  for (const name of await readdir(folder)) {
    if (!/^\.[0-9a-f-]{36}\.partial$/.test(name)) {
      continue;
    }
    const found = await stat(join(folder, name)).catch(() => null);
    if (found !== null && found.mtimeMs < limit) {
      await rm(join(folder, name), { force: true });
    }
  }
}
