import { createHash, randomUUID } from "node:crypto";
import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import { Readable } from "node:stream";
import { buffer } from "node:stream/consumers";
import tar from "tar-stream";
import type { ImageSource } from "../../../lib/engine/contract.ts";

/** The body of a request that adds an image in two parts to LXD: metadata and disk. */
export interface SplitImage {
  readonly body: Readable;
  /** Bytes. */
  readonly size: bigint;
  readonly contentType: string;
  /** LXD's fingerprint of it: the SHA-256 of both parts. */
  readonly fingerprint: string;
}

/** Turns a disk into an image of LXD for virtual machines. */
export async function splitImage({ path }: ImageSource, architecture: string): Promise<SplitImage> {
  const boundary = randomUUID();
  const part = (name: string, file: string) =>
    `--${boundary}\r\nContent-Disposition: form-data; name="${name}"; filename="${file}"\r\nContent-Type: application/octet-stream\r\n\r\n`;
  const said = await metadata(architecture);
  const hash = createHash("sha256").update(said);
  for await (const chunk of createReadStream(path)) {
    hash.update(chunk);
  }
  const head = Buffer.concat([
    Buffer.from(part("metadata", "metadata.tar")),
    said,
    Buffer.from(`\r\n${part("rootfs.img", "rootfs.img")}`),
  ]);
  const tail = Buffer.from(`\r\n--${boundary}--\r\n`);
  const { size } = await stat(path, { bigint: true });
  async function* parts() {
    yield head;
    yield* createReadStream(path);
    yield tail;
  }
  return {
    body: Readable.from(parts(), { objectMode: false }),
    size: BigInt(head.length + tail.length) + size,
    contentType: `multipart/form-data; boundary=${boundary}`,
    fingerprint: hash.digest("hex"),
  };
}

/** Constant, so that the same disk is the same image. */
async function metadata(architecture: string): Promise<Buffer> {
  const pack = tar.pack();
  pack.entry(
    { name: "metadata.yaml", mtime: new Date(0) },
    `architecture: ${architecture}\ncreation_date: 1700000000\nproperties: {description: a disk of strata's}\n`,
  );
  pack.finalize();
  return buffer(pack);
}
