import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import writeFileAtomic from "write-file-atomic";
import { z } from "zod";
import type { Log } from "../engine/contract.ts";
import { atOwn } from "../util/own-files.ts";

/** The formats of images in the cache, with their file suffixes. */
export const EXTENSIONS = { qcow2: "qcow2", "lxd-rootfs": "tar.zst" } as const;
export type ImageFormat = keyof typeof EXTENSIONS;

/** The record of an image in the cache. */
const shape = z.object({
  version: z.literal(1),
  /** Missing in records of earlier versions, which had only one format. */
  format: z.enum(["qcow2", "lxd-rootfs"]).default("qcow2"),
  sha256: z.string().regex(/^[0-9a-f]{64}$/),
  os: z.string(),
  release: z.string(),
  username: z.string(),
  aliases: z.array(z.string()),
  virtualSize: z.coerce.bigint(),
  createdAt: z.number(),
  source: z.string(),
  /** For images built here: see `recipeOf`. Missing in records of earlier versions. */
  recipe: z.string().optional(),
  /** SHA-256 of the file beside the record, which differs from `sha256` where the original was packed or converted. */
  content: z
    .string()
    .regex(/^[0-9a-f]{64}$/)
    .optional(),
  /** For images that a remote publishes. */
  published: z.object({ remote: z.string(), product: z.string(), version: z.string() }).optional(),
});

export type ImageRecord = z.infer<typeof shape>;

/** Writes a record beside its image. */
export async function writeRecord(folder: string, record: ImageRecord, mode = 0o600): Promise<void> {
  const text = JSON.stringify(record, (_, value) => (typeof value === "bigint" ? String(value) : value), 2);
  const path = join(folder, `${record.sha256}.json`);
  await atOwn(path, () => writeFileAtomic(path, `${text}\n`, { mode }));
}

/** All records in a folder, newest first. One that cannot be read is logged and left out. */
export async function readRecords(folder: string, log: Log): Promise<ImageRecord[]> {
  const files = (await readdir(folder).catch(() => [])).filter((file) => /^[0-9a-f]{64}\.json$/.test(file));
  const records = await Promise.all(
    files.map(async (file) => {
      try {
        return shape.parse(JSON.parse(await readFile(join(folder, file), "utf8")));
      } catch (error) {
        log.warn(`the record of an image cannot be read: ${join(folder, file)}`, { error: String(error) });
        return undefined;
      }
    }),
  );
  return records.filter((record) => record !== undefined).sort((a, b) => b.createdAt - a.createdAt);
}
