import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { pipeline } from "node:stream/promises";
import tar from "tar-stream";
import type { Context, Parcel } from "../engine/contract.ts";
import { failure } from "../errors.ts";
import { MANIFEST, type Manifest, SUMS } from "./manifest.ts";

/** Writes a parcel as a tar stream: the manifest, the files as they are, the sums. */
export async function writeParcel(
  manifest: Manifest,
  files: Parcel["files"],
  to: NodeJS.WritableStream,
  { signal, progress }: Context,
): Promise<void> {
  const pack = tar.pack();
  const sums: string[] = [];
  const total = files.reduce((sum, { size }) => sum + BigInt(size), 0n);
  let done = 0n;
  const addText = (name: string, text: string) => {
    const bytes = Buffer.from(text);
    sums.push(sumLine(createHash("sha256").update(bytes).digest("hex"), name));
    return entry(pack, { name, mode: 0o600 }, bytes);
  };
  const fill = async () => {
    await addText(MANIFEST, `${JSON.stringify(manifest)}\n`);
    for (const { name, size, path } of files) {
      const hash = createHash("sha256");
      async function* body() {
        let read = 0;
        const source = size === 0 ? [] : createReadStream(path, { end: size - 1, signal });
        for await (const chunk of source as AsyncIterable<Uint8Array>) {
          hash.update(chunk);
          read += chunk.length;
          done += BigInt(chunk.length);
          progress({ phase: "Exporting", done, total });
          yield chunk;
        }
        if (read !== size) {
          throw failure("TRANSFER_FAILED", { path, reason: "it became shorter while it was read" });
        }
      }
      await stream(pack, { name, size, mode: 0o600 }, body());
      sums.push(sumLine(hash.digest("hex"), name));
    }
    const whole = createHash("sha256").update(sums.join("")).digest("hex");
    await entry(pack, { name: SUMS, mode: 0o600 }, Buffer.from(`${sums.join("")}${sumLine(whole, SUMS)}`));
    pack.finalize();
  };
  await Promise.all([
    fill().catch((error: unknown) => {
      pack.destroy(error instanceof Error ? error : new Error(String(error)));
      throw error;
    }),
    pipeline(bytesOf(pack), to, { end: false, signal }),
  ]);
}

/** As `sha256sum` writes it. */
function sumLine(sum: string, name: string): string {
  return `${sum}  ${name}\n`;
}

/** Streams of tar-stream are not Node's, whose pipeline would wait for them for ever. */
async function* bytesOf(pack: tar.Pack): AsyncGenerator<Uint8Array> {
  yield* pack;
}

function stream(pack: tar.Pack, header: tar.Headers, body: AsyncIterable<Uint8Array>): Promise<void> {
  return new Promise((resolve, reject) => {
    const sink = pack.entry(header, (error) => (error ? reject(error) : resolve()));
    sink.on("error", () => {});
    pipeline(body, sink).catch(reject);
  });
}

function entry(pack: tar.Pack, header: tar.Headers, bytes: Buffer): Promise<void> {
  return new Promise((resolve, reject) => {
    pack.entry(header, bytes, (error) => (error ? reject(error) : resolve()));
  });
}
