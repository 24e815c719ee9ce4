import { createHash } from "node:crypto";
import { open, readFile, rm, stat } from "node:fs/promises";
import { execa } from "execa";
import { type Qcow2Header, readHeader } from "../../../plugins/libvirt/qcow2/header.ts";

/**
 * What a disk shows, in words: every block of 4 KiB that is not all zeros, with the byte that fills it or a
 * digest. Its length is left out, so that a disk that has grown shows the same.
 */
export type Contents = string;

const BLOCK = 4096;
const FILLED = Array.from({ length: 256 }, (_, value) => Buffer.alloc(BLOCK, value));

export function describeRaw(raw: Buffer): Contents {
  const blocks = [];
  for (let at = 0; at < raw.length; at += BLOCK) {
    const block = raw.subarray(at, at + BLOCK);
    const value = block[0] ?? 0;
    const filled = FILLED[value]?.subarray(0, block.length).equals(block) === true;
    if (filled && value === 0) {
      continue;
    }
    const what = filled ? String(value) : createHash("sha256").update(block).digest("hex").slice(0, 8);
    blocks.push(`${at / BLOCK}=${what}`);
  }
  return blocks.join(" ");
}

/** A write of `length` bytes that fills whole blocks, seen in the contents. */
export function patched(contents: Contents, offset: number, length: number, value: number): Contents {
  const blocks = new Map(
    contents.split(" ").flatMap((word): [number, string][] => {
      const [at = "", what = ""] = word.split("=");
      return at === "" ? [] : [[Number(at), what]];
    }),
  );
  for (let at = offset / BLOCK; at < (offset + length) / BLOCK; at += 1) {
    blocks.set(at, String(value));
  }
  return [...blocks]
    .sort(([a], [b]) => a - b)
    .map(([at, what]) => `${at}=${what}`)
    .join(" ");
}

/** What differs, for a person to read. */
export function difference(was: Contents, is: Contents | null): string {
  if (is === null) {
    return "cannot be read";
  }
  const [old, now] = [was, is].map((contents) => new Set(contents.split(" ")));
  const gone = [...(old ?? [])].filter((word) => now?.has(word) !== true);
  const come = [...(now ?? [])].filter((word) => old?.has(word) !== true);
  return `${gone.join(" ") || "nothing"} gone, ${come.join(" ") || "nothing"} come`;
}

/** One qcow2 file, as the programs of QEMU and its header show it. */
export interface FileState {
  readonly path: string;
  /** All that is read from it, what it stands on included; null where it cannot be read. */
  readonly contents: Contents | null;
  /** The file that its header names; null for none. */
  readonly backing: string | null;
  /** An overlay that holds nothing itself. */
  readonly empty: boolean;
  /** When it was written last, ns. */
  readonly modified: bigint;
  /** Contents of the snapshots inside the file, by their names. */
  readonly inside: ReadonlyMap<string, Contents | null>;
}

/** By the state of all files that something is read from: a write to any of them changes it. */
const known = new Map<string, Contents | null>();

/** Looks at a qcow2 file; undefined where it is none or has no header that can be read. */
export async function lookAt(path: string, scratch: string): Promise<FileState | undefined> {
  const head = await start(path);
  if (head === undefined) {
    return undefined;
  }
  const header = await readHeader(path).catch(() => null);
  const backing = header?.backing ?? null;
  const empty = header !== null && (await isEmpty(path, header));
  const state = await stateOf(path);
  const read = async (inside?: string) => {
    const key = `${state} ${inside ?? ""}`;
    let found = known.get(key);
    // Most overlays are new, and a program takes its time.
    if (found === undefined && inside === undefined && empty && (await asLong(backing, header))) {
      found = (await lookAt(backing ?? "", scratch))?.contents;
    }
    found ??= await readContents(path, scratch, inside);
    known.set(key, found);
    return found;
  };
  const inside = new Map<string, Contents | null>();
  if (head.readUInt32BE(60) > 0) {
    for (const name of await namesInside(path)) {
      inside.set(name, await read(name));
    }
  }
  const { mtimeNs: modified } = await stat(path, { bigint: true });
  return { path, contents: await read(), backing, empty, modified, inside };
}

/** The fixed part of a qcow2 header. */
async function start(path: string): Promise<Buffer | undefined> {
  const file = await open(path, "r").catch(() => undefined);
  if (file === undefined) {
    return undefined;
  }
  try {
    const buffer = Buffer.alloc(104);
    const { bytesRead } = await file.read(buffer, 0, buffer.length, 0);
    return bytesRead >= 72 && buffer.readUInt32BE(0) === 0x514649fb ? buffer : undefined;
  } finally {
    await file.close();
  }
}

/** True for an overlay that is all holes: what is read from it comes from below. */
async function isEmpty(path: string, { backing }: Qcow2Header): Promise<boolean> {
  if (backing === null) {
    return false;
  }
  const file = await open(path, "r");
  try {
    const head = Buffer.alloc(104);
    await file.read(head, 0, head.length, 0);
    const table = Buffer.alloc(8 * head.readUInt32BE(36));
    const { bytesRead } = await file.read(table, 0, table.length, Number(head.readBigUInt64BE(40)));
    return bytesRead === table.length && table.every((byte) => byte === 0);
  } finally {
    await file.close();
  }
}

/** True for two files of one length. */
async function asLong(path: string | null, { virtualSize }: Qcow2Header): Promise<boolean> {
  if (path === null) {
    return false;
  }
  return (await readHeader(path).catch(() => null))?.virtualSize === virtualSize;
}

async function stateOf(path: string): Promise<string> {
  const state = [];
  const seen = new Set<string>();
  for (let at: string | null = path; at !== null && !seen.has(at); ) {
    seen.add(at);
    const found = await stat(at, { bigint: true }).catch(() => undefined);
    state.push(at, found?.mtimeNs, found?.size, found?.blocks);
    const header: { backing: string | null } = await readHeader(at).catch(() => ({ backing: null }));
    at = header.backing;
  }
  return state.join(" ");
}

async function readContents(path: string, scratch: string, inside?: string): Promise<Contents | null> {
  const of = inside === undefined ? [] : ["-l", `snapshot.name=${inside}`];
  const args = ["convert", "-U", "-f", "qcow2", ...of, "-O", "raw", path, scratch];
  const { failed } = await execa("qemu-img", args, { reject: false });
  try {
    return failed ? null : describeRaw(await readFile(scratch));
  } finally {
    await rm(scratch, { force: true });
  }
}

async function namesInside(path: string): Promise<string[]> {
  const { stdout } = await execa("qemu-img", ["info", "-U", "-f", "qcow2", "--output=json", path], {
    reject: false,
  });
  const told = JSON.parse(stdout || "{}") as { readonly snapshots?: readonly { readonly name: string }[] };
  return (told.snapshots ?? []).map(({ name }) => name);
}
