import { createHash } from "node:crypto";
import { PassThrough, Readable } from "node:stream";
import { buffer } from "node:stream/consumers";
import tar from "tar-stream";

/** A file of a parcel in memory. */
export interface Piece {
  name: string;
  bytes: Buffer;
  type?: tar.Headers["type"];
}

/** The files of a parcel, the manifest first and the sums last. */
export async function unpack(parcel: Buffer): Promise<Piece[]> {
  const archive = tar.extract();
  Readable.from([parcel], { objectMode: false }).pipe(archive);
  const pieces: Piece[] = [];
  for await (const entry of archive) {
    pieces.push({ name: entry.header.name, bytes: await buffer(entry as unknown as Readable) });
  }
  return pieces;
}

/** A parcel of these files as they are. */
export async function repack(pieces: readonly Piece[]): Promise<Buffer> {
  const pack = tar.pack();
  const made = buffer(pack.pipe(new PassThrough()));
  for (const { name, bytes, type } of pieces) {
    const link = type === undefined ? {} : { type, linkname: "/etc/shadow" };
    await new Promise<void>((resolve, reject) => {
      const done = (error?: Error | null) => (error ? reject(error) : resolve());
      pack.entry({ name, ...link }, type === undefined ? bytes : "", done);
    });
  }
  pack.finalize();
  return made;
}

/** The same files with sums that are theirs. */
export function summed(pieces: readonly Piece[]): Piece[] {
  const sum = (bytes: Buffer | string) => createHash("sha256").update(bytes).digest("hex");
  const files = pieces.filter(({ name }) => name !== "SHA256SUMS");
  const lines = files.map(({ name, bytes }) => `${sum(bytes)}  ${name}\n`).join("");
  return [...files, { name: "SHA256SUMS", bytes: Buffer.from(`${lines}${sum(lines)}  SHA256SUMS\n`) }];
}
