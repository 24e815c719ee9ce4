import { closeSync, openSync, readSync, statSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { filesOfBackingName } from "./backing-name.ts";

/** The contents of a qcow2 header. */
export interface Qcow2Header {
  /** Bytes. */
  readonly virtualSize: bigint;
  /**
   * Absolute path of the backing file; null for none. If the name is not that of a file, the path does not
   * exist.
   */
  readonly backing: string | null;
  /** Format of the backing file, as the header says; null if it does not. */
  readonly backingFormat: string | null;
  /** Number of QEMU's own snapshots in the file. They also read through its backing file. */
  readonly inside: number;
  /** True if its contents can be read only with a key. */
  readonly encrypted: boolean;
  /** True if its contents are in another file, which the header names. */
  readonly externalData: boolean;
}

/** The formats of the files that strata reads. Which one a file has is never found out from its contents. */
export type Format = "qcow2" | "raw";

export const MAGIC = 0x514649fb;
const FIRST_PART = 104;
/** The longest backing file name that the format allows, bytes. */
export const LONGEST_NAME = 1023;
/** Buffer for the start of a file: large enough, most of the time, for the backing file name too. */
const START = Buffer.alloc(1024);

/** Like `readHeaderSync`, but rejects instead of throwing. */
export async function readHeader(path: string): Promise<Qcow2Header> {
  return readHeaderSync(path);
}

/**
 * Reads the header of a layer. Reading a chain of a hundred takes a millisecond, instead of a hundred runs of
 * qemu-img: the reads are short and block on purpose, since passing each to another thread takes twenty times
 * as long. Images from elsewhere go through `qemu-img info` instead. Throws the file system's error, or an
 * Error that says what is wrong with the header.
 */
export function readHeaderSync(path: string): Qcow2Header {
  const { name, ...header } = readParts(path);
  if (name === null) {
    return { ...header, backing: null };
  }
  const [backing = resolve(dirname(path), name)] = filesOfBackingName(name, dirname(path));
  return { ...header, backing };
}

/** True if the file begins like a qcow2 image. Throws the file system's error. */
export function isQcow2(path: string): boolean {
  if (!statSync(path).isFile()) {
    return false;
  }
  const file = openSync(path, "r");
  try {
    return readSync(file, START, 0, 4, 0) === 4 && START.readUInt32BE(0) === MAGIC;
  } finally {
    closeSync(file);
  }
}

/**
 * Every file that QEMU opens for an image's backing file name, with the format that the header gives. Rejects like
 * `readHeader`.
 */
export async function readBackingFiles(
  path: string,
): Promise<{ readonly files: readonly string[]; readonly format: string | null }> {
  const { name, backingFormat: format } = readParts(path);
  return { files: name === null ? [] : filesOfBackingName(name, dirname(path)), format };
}

function readParts(path: string) {
  const file = openSync(path, "r");
  try {
    return parseHeader(file);
  } finally {
    closeSync(file);
  }
}

/** How many entries of an L1 table are read: those of 2 TiB. */
const L1_ENTRIES = 4096;

/**
 * True if a layer contains no data of its own, so that everything is read from below. False if finding out
 * takes more than its first tables.
 */
export async function isEmptyImage(path: string): Promise<boolean> {
  const file = openSync(path, "r");
  try {
    const start = Buffer.alloc(FIRST_PART);
    if (readSync(file, start, 0, FIRST_PART, 0) < FIRST_PART || start.readUInt32BE(0) !== MAGIC) {
      return false;
    }
    const plain = start.readUInt32BE(4) === 3 && start.readBigUInt64BE(72) === 0n;
    const encrypted = start.readUInt32BE(32) !== 0;
    const snapshots = start.readUInt32BE(60);
    const entries = start.readUInt32BE(36);
    if (!plain || encrypted || snapshots > 0 || entries > L1_ENTRIES) {
      return false;
    }
    const table = Buffer.alloc(8 * entries);
    const length = readSync(file, table, 0, table.length, Number(start.readBigUInt64BE(40)));
    return length === table.length && table.every((byte) => byte === 0);
  } finally {
    closeSync(file);
  }
}

function parseHeader(file: number): Omit<Qcow2Header, "backing"> & { readonly name: string | null } {
  const length = readSync(file, START, 0, START.length, 0);
  if (length < 72 || START.readUInt32BE(0) !== MAGIC) {
    throw new Error("not a qcow2 file");
  }
  const version = START.readUInt32BE(4);
  if (version !== 2 && version !== 3) {
    throw new Error(`qcow2 version ${version} is not known`);
  }
  const nameOffset = Number(START.readBigUInt64BE(8));
  const nameLength = START.readUInt32BE(16);
  const virtualSize = START.readBigUInt64BE(24);
  const facts = {
    virtualSize,
    inside: START.readUInt32BE(60),
    encrypted: START.readUInt32BE(32) !== 0,
    externalData: version === 3 && (START.readBigUInt64BE(72) & EXTERNAL_DATA) !== 0n,
  };
  if (nameOffset === 0 || nameLength === 0) {
    return { ...facts, name: null, backingFormat: null };
  }
  if (nameLength > LONGEST_NAME) {
    throw new Error("the name of the backing file is too long");
  }
  const extensions = START.subarray(
    version === 2 ? 72 : START.readUInt32BE(100),
    Math.min(nameOffset, length),
  );
  const backingFormat = readBackingFormat(extensions);
  const end = nameOffset + nameLength;
  const name = end <= length ? START.subarray(nameOffset, end) : Buffer.alloc(nameLength);
  if (end > length && readSync(file, name, 0, nameLength, nameOffset) < nameLength) {
    throw new Error("the header is cut off");
  }
  return { ...facts, name: name.toString("utf8"), backingFormat };
}

/** The extension of a header that has the format of the backing file. */
export const BACKING_FORMAT = 0xe2792aca;
const EXTERNAL_DATA = 4n;

function readBackingFormat(extensions: Buffer): string | null {
  for (let at = 0; at + 8 <= extensions.length; ) {
    const [type, length] = [extensions.readUInt32BE(at), extensions.readUInt32BE(at + 4)];
    if (type === 0) {
      return null;
    }
    if (type === BACKING_FORMAT) {
      return extensions.toString("latin1", at + 8, at + 8 + length);
    }
    at += 8 + Math.ceil(length / 8) * 8;
  }
  return null;
}
