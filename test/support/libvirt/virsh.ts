import { createHash } from "node:crypto";
import { open, readdir, readFile, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { execa } from "execa";
import { readHeader } from "../../../plugins/libvirt/qcow2/header.ts";

/** The host's own libvirt. */
export const HOST = "qemu:///system";

let uri = HOST;

/** Has every command of virsh's from now on go to this libvirt. */
export function talkTo(next: string): void {
  uri = next;
}

/** What a command of virsh's says; rejects where it fails. */
export async function virsh(...args: readonly string[]): Promise<string> {
  return (await execa("virsh", ["-q", "-c", uri, ...args])).stdout.trim();
}

/** The reason that a command of virsh's was refused for; null where it was not. */
export async function virshRefusal(...args: readonly string[]): Promise<string | null> {
  const { failed, stderr } = await execa("virsh", ["-q", "-c", uri, ...args], { reject: false });
  return failed ? stderr.trim() : null;
}

/**
 * Tells what disk images hold. An image is read once, and again when a file that it is made of has changed:
 * reading is what takes long.
 */
export class Contents {
  readonly #scratch: string;
  readonly #known = new Map<string, string>();

  constructor(scratch: string) {
    this.#scratch = scratch;
  }

  /** Digest of all that a disk image shows, or one of the snapshots inside it. */
  async of(file: string, inside?: string): Promise<string> {
    const key = JSON.stringify([inside, await versions(file)]);
    const known = this.#known.get(key);
    if (known !== undefined) {
      return known;
    }
    const raw = join(this.#scratch, "content.raw");
    const snapshot = inside === undefined ? [] : ["-l", `snapshot.name=${inside}`];
    await execa("qemu-img", ["convert", "-U", "-f", "qcow2", "-O", "raw", ...snapshot, file, raw]);
    const digest = createHash("sha256")
      .update(await readFile(raw))
      .digest("hex");
    await rm(raw);
    this.#known.set(key, digest);
    return digest;
  }

  /** Digests of all that can be read from the images of a folder, and from the snapshots inside them. */
  async in(folder: string, inside: Iterable<string>): Promise<Set<string>> {
    const found = new Set<string>();
    for (const name of await readdir(folder)) {
      const file = join(folder, name);
      const header = await readHeader(file).catch(() => null);
      if (header === null) {
        continue;
      }
      // What cannot be read, or is not in there, is missed by who wants it.
      for (const snapshot of [undefined, ...((await hasSnapshots(file)) ? inside : [])]) {
        await this.of(file, snapshot).then(
          (digest) => found.add(digest),
          () => {},
        );
      }
    }
    return found;
  }
}

/** What tells whether an image was written: of its own file and of all below. */
async function versions(file: string): Promise<string[]> {
  const found: string[] = [];
  for (let next: string | null = file; next !== null; ) {
    const { ino, size, mtimeNs } = await stat(next, { bigint: true });
    found.push(`${next} ${ino} ${size} ${mtimeNs}`);
    const header: { backing: string | null } = await readHeader(next);
    next = header.backing;
  }
  return found;
}

/** True where snapshots are inside a qcow2 image. */
async function hasSnapshots(file: string): Promise<boolean> {
  await using handle = await open(file);
  const { buffer } = await handle.read(Buffer.alloc(4), 0, 4, COUNT_OF_SNAPSHOTS);
  return buffer.readUInt32BE() > 0;
}

/** Where the header of a qcow2 image has the number of its snapshots. */
const COUNT_OF_SNAPSHOTS = 60;
