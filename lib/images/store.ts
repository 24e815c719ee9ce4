import { randomUUID } from "node:crypto";
import { constants, copyFile, mkdir, open, rename, rm, stat } from "node:fs/promises";
import { basename, join, resolve as resolvePath } from "node:path";
import type { Context, ImageSource, Log } from "../backend/contract.ts";
import type { ImageInfo } from "../core/api.ts";
import { failure } from "../errors.ts";
import { run } from "../programs.ts";
import { buildDebian, type Variant } from "./debian/build.ts";
import { download, fileSize, hashFile } from "./download.ts";
import { type ImageName, isHashPrefix, parseImageName } from "./image-name.ts";
import { inspectImage, looksLikeDisk } from "./inspect.ts";
import { type ImageRecord, readRecords, writeRecord } from "./record.ts";

export interface ResolvedImage {
  readonly source: ImageSource;
  readonly os: string;
  readonly release: string;
  /** The default user of guests made from it. */
  readonly username: string;
}

/** The images of a user: a folder of qcow2 files named by their SHA-256, each with a record. */
export interface ImageStore {
  /**
   * Brings an image into the cache if it is not there: an alias, the first digits (six at least) of a
   * hash, `file:///path[#sha256=HEX]`, `http(s)://…#sha256=HEX`.
   */
  resolve(image: string, context: Context): Promise<ResolvedImage>;
  /** Newest first. */
  list(): Promise<ImageInfo[]>;
  build(options: { distribution: "debian"; variant: Variant }, context: Context): Promise<ImageInfo>;
  remove(sha256: string): Promise<void>;
}

/** User of images that do not say. */
const USERNAME = "ubuntu";

export function openImageStore({ folder, log }: { folder: string; log: Log }): ImageStore {
  const pathOf = (sha256: string) => join(folder, `${sha256}.qcow2`);
  const records = () => readRecords(folder, log);
  return {
    async resolve(image, context) {
      const name = parseImageName(image);
      const record = await findOrImport(folder, await records(), image, name, context);
      const { sha256, virtualSize, os, release, username } = record;
      return {
        source: { path: pathOf(sha256), format: "qcow2", sha256, virtualSize },
        os,
        release,
        username,
      };
    },
    list: async () => {
      const infos = (await records()).map(async (record) =>
        toInfo(record, await sizeOf(pathOf(record.sha256))),
      );
      return (await Promise.all(infos)).filter((info) => info !== undefined);
    },
    async build({ variant }, context) {
      return inTemporary(folder, async (path) => {
        const built = await buildDebian(variant, path, context);
        const aliases = [`debian-${variant}`, "debian", built.codename, built.release];
        const record = await adopt(folder, path, context, {
          ...built,
          aliases,
          source: `built: debian ${variant}`,
        });
        const info = toInfo(record, await sizeOf(pathOf(record.sha256)));
        if (info === undefined) throw failure("INTERNAL", { reason: "the image that was built is gone" });
        return info;
      });
    },
    async remove(sha256) {
      await rm(join(folder, `${sha256}.json`), { force: true });
      await rm(pathOf(sha256), { force: true });
    },
  };
}

async function sizeOf(path: string): Promise<bigint | undefined> {
  return fileSize(path).catch(() => undefined);
}

function toInfo(record: ImageRecord, size: bigint | undefined): ImageInfo | undefined {
  if (size === undefined) return undefined;
  const { sha256, os, release, aliases, virtualSize, createdAt } = record;
  return { sha256, os, release, aliases, size, virtualSize, createdAt };
}

async function findOrImport(
  folder: string,
  records: readonly ImageRecord[],
  image: string,
  name: ImageName,
  context: Context,
): Promise<ImageRecord> {
  if (name.kind === "local") return findLocal(records, name.text);
  const known = records.find((record) => record.sha256 === name.sha256);
  if (known !== undefined) return known;
  if (name.kind === "file") return importFile(folder, image, name, context);
  const { url, sha256 } = name;
  if (sha256 === undefined) throw failure("CHECKSUM_REQUIRED", { image });
  return inTemporary(folder, async (path) => {
    await download(url, path, sha256, context);
    return adoptForeign(folder, path, context, url.href);
  });
}

/** By alias first, the full system before the micro one, then by hash. */
export function findLocal(records: readonly ImageRecord[], text: string): ImageRecord {
  const named = records.filter(({ aliases }) => aliases.includes(text.toLowerCase()));
  const found = named.find(({ aliases }) => !aliases.includes("debian-micro")) ?? named[0];
  if (found !== undefined) return found;
  if (isHashPrefix(text)) {
    const matching = records.filter(({ sha256 }) => sha256.startsWith(text.toLowerCase()));
    if (matching.length > 1)
      throw failure("INVALID_VALUE", {
        what: "the image",
        value: text,
        reason: "several images begin like that",
      });
    if (matching[0] !== undefined) return matching[0];
  }
  const built = /^debian(-(micro|cloud))?$/.exec(text);
  if (built !== null) throw failure("IMAGE_NOT_BUILT", { image: text, variant: built[2] ?? "cloud" });
  throw failure("IMAGE_NOT_FOUND", { image: text });
}

async function importFile(
  folder: string,
  image: string,
  name: Extract<ImageName, { kind: "file" }>,
  context: Context,
): Promise<ImageRecord> {
  const path = resolvePath(name.path);
  const found = await stat(path).catch(() => null);
  if (found === null) throw failure("FILE_NOT_FOUND", { path });
  if (!found.isFile()) throw failure("IMAGE_UNREADABLE", { image, reason: "it is no file" });
  return inTemporary(folder, async (copy) => {
    context.progress({ phase: "Copying image" });
    await copyFile(path, copy, constants.COPYFILE_EXCL | constants.COPYFILE_FICLONE).catch(
      (error: unknown) => {
        throw failure("FILE_NOT_FOUND", { path }, error);
      },
    );
    if (name.sha256 !== undefined) {
      const actual = await hashFile(copy, context.signal);
      if (actual !== name.sha256)
        throw failure("CHECKSUM_MISMATCH", { image, actual, expected: name.sha256 });
    }
    return adoptForeign(folder, copy, context, image);
  });
}

/** Runs a piece with a fresh path in the cache's folder, which is gone afterwards. */
async function inTemporary<T>(folder: string, work: (path: string) => Promise<T>): Promise<T> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const path = join(folder, `.${randomUUID()}.partial`);
  try {
    return await work(path);
  } finally {
    await rm(path, { force: true });
  }
}

/** Takes in an image that somebody else made, after a look at it; a raw one becomes qcow2. */
async function adoptForeign(
  folder: string,
  path: string,
  context: Context,
  source: string,
): Promise<ImageRecord> {
  context.progress({ phase: "Verifying image" });
  const { format } = await inspectImage(source, path, context.signal);
  const details = {
    os: "",
    release: basename(new URL(source).pathname),
    username: USERNAME,
    aliases: [],
    source,
  };
  if (format === "qcow2") {
    const original = await hashFile(path, context.signal);
    return adopt(folder, path, context, details, original);
  }
  await requireDisk(source, path);
  const original = await hashFile(path, context.signal);
  return inTemporary(folder, async (converted) => {
    await run("qemu-img", ["convert", "-f", "raw", "-O", "qcow2", path, converted], {
      signal: context.signal,
      package: "qemu-utils",
    });
    return adopt(folder, converted, context, details, original);
  });
}

async function requireDisk(image: string, path: string): Promise<void> {
  await using file = await open(path, "r");
  const sector = Buffer.alloc(512);
  const { bytesRead } = await file.read(sector, 0, 512, 0);
  if (!looksLikeDisk(sector.subarray(0, bytesRead)))
    throw failure("IMAGE_UNREADABLE", { image, reason: "it is neither qcow2 nor a disk with a boot record" });
}

/**
 * Moves a verified qcow2 file to its place. It is named by `sha256`, the hash of what was downloaded, so
 * that the same download is found again; by default that of the file itself.
 */
async function adopt(
  folder: string,
  path: string,
  context: Context,
  details: Pick<ImageRecord, "os" | "release" | "username" | "aliases" | "source">,
  sha256?: string,
): Promise<ImageRecord> {
  const { os, release, username, aliases, source } = details;
  const name = sha256 ?? (await hashFile(path, context.signal));
  const { virtualSize } = await inspectImage(source, path, context.signal);
  const record: ImageRecord = {
    version: 1,
    sha256: name,
    os,
    release,
    username,
    aliases: [...aliases],
    virtualSize,
    createdAt: Date.now(),
    source,
  };
  await using file = await open(path, "r+");
  await file.chmod(0o600);
  await file.sync();
  await rename(path, join(folder, `${name}.qcow2`));
  await writeRecord(folder, record);
  return record;
}
