import { createHash } from "node:crypto";
import { constants } from "node:fs";
import { type FileHandle, open, readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { gunzip, gzip } from "node:zlib";
import { failure, reasonOf } from "../../../lib/errors.ts";
import { ENGINE, fileError, isAbsent } from "../errors.ts";
import type { Places } from "./places.ts";

/** A file as firmware left it. */
export interface StateFile {
  /** "variables", or "tpm/" and a name. */
  readonly name: string;
  readonly contents: Buffer;
  readonly uid: number;
  readonly gid: number;
}

/** All that the firmware of an instance remembers: no files if it was never started. */
export type FirmwareState = readonly StateFile[];

const VARIABLES = "variables";
const TPM = "tpm/";
/** The state of a TPM that is kept in a file rather than a folder. */
const TPM_FILE = `${TPM}state`;

const FILE_NAME = /^(?:variables|tpm\/[0-9A-Za-z][0-9A-Za-z._-]*)$/;

/** Variables take half a megabyte, on Arm 64; whatever is larger is something else. */
const MAX_BYTES = 256 * 1024 * 1024;

/** Reads what the firmware of a domain that is shut off remembers. */
export async function readState({ variables, tpm }: Places): Promise<FirmwareState> {
  const files: StateFile[] = [];
  if (variables !== undefined) {
    files.push(...(await readStateFile(variables, VARIABLES)));
  }
  if (tpm !== undefined) {
    const names = await listTpm(tpm);
    for (const name of names ?? []) {
      files.push(...(await readStateFile(join(tpm, name), TPM + name)));
    }
    if (names === null) {
      files.push(...(await readStateFile(tpm, TPM_FILE)));
    }
  }
  return files;
}

/** The path of a file of a state. */
export function pathIn({ variables, tpm }: Places, name: string): string | undefined {
  if (name === VARIABLES) {
    return variables;
  }
  if (tpm === undefined || name === TPM_FILE) {
    return tpm;
  }
  return join(tpm, name.slice(TPM.length));
}

/** The files that are in the places now. */
export async function presentFiles({ variables, tpm }: Places): Promise<string[]> {
  const names = tpm === undefined ? [] : await listTpm(tpm);
  return [
    ...(variables === undefined ? [] : [VARIABLES]),
    ...(names === null ? [TPM_FILE] : names.map((name) => TPM + name)),
  ];
}

/** Files of a TPM's folder; null if it is not a folder. */
async function listTpm(path: string): Promise<string[] | null> {
  try {
    const folder = await stat(path);
    // Hidden ones are the emulator's lock, and what is being written.
    return folder.isDirectory() ? (await readdir(path)).filter((name) => !name.startsWith(".")).sort() : null;
  } catch (error) {
    if (isAbsent(error)) {
      return [];
    }
    throw fileError(error, path);
  }
}

/**
 * Reads a file of the firmware's. Its folder belongs to the user that QEMU runs as, which may have been taken over by
 * a guest: a link could name any file of the host.
 */
async function readStateFile(path: string, name: string): Promise<StateFile[]> {
  let file: FileHandle;
  try {
    file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch (error) {
    if (isAbsent(error)) {
      return [];
    }
    throw fileError(error, path);
  }
  await using _file = file;
  const found = await file.stat();
  if (!found.isFile() || found.size > MAX_BYTES) {
    throw failure("UNSUPPORTED", {
      what: "saving the state of the firmware",
      engine: ENGINE,
      reason: `${path} must be a plain file of at most ${MAX_BYTES} bytes`,
    });
  }
  return [{ name, contents: await file.readFile(), uid: found.uid, gid: found.gid }];
}

/** A state as one file, whose name has the hash of all that is in it. */
export interface Packed {
  readonly name: string;
  readonly bytes: Buffer;
}

/** Names of packed states in an instance's folder. */
export const PACKED_NAME = /^firmware-([0-9a-f]{64})\.tar\.gz$/;

/** Packs a state. The same state always gives the same name. */
export async function pack(state: FirmwareState): Promise<Packed> {
  const { default: tarStream } = await import("tar-stream");
  const tar = tarStream.pack();
  for (const { name, contents, uid, gid } of state) {
    tar.entry({ name, uid, gid, mode: 0o600, mtime: new Date(0) }, contents);
  }
  tar.finalize();
  const bytes = await collect(tar);
  return { name: `firmware-${hashOf(bytes)}.tar.gz`, bytes: await promisify(gzip)(bytes) };
}

/** Unpacks a state. Rejects with the reason if it is not the one that the name says. */
export async function unpack({ name, bytes }: Packed): Promise<FirmwareState> {
  let tar: Buffer;
  try {
    tar = await promisify(gunzip)(bytes, { maxOutputLength: 2 * MAX_BYTES });
  } catch (error) {
    throw new Error(`it cannot be unpacked (${reasonOf(error)})`);
  }
  if (hashOf(tar) !== PACKED_NAME.exec(name)?.[1]) {
    throw new Error("its contents have changed");
  }
  const { default: tarStream } = await import("tar-stream");
  const files: StateFile[] = [];
  const reader = tarStream.extract();
  reader.end(tar);
  for await (const entry of reader) {
    const { name: of, uid = 0, gid = 0 } = entry.header;
    if (!FILE_NAME.test(of)) {
      throw new Error(`it contains ${of}, which is no state of firmware`);
    }
    files.push({ name: of, contents: await collect(entry), uid, gid });
  }
  return files;
}

function hashOf(bytes: Buffer): string {
  return createHash("sha256").update(bytes).digest("hex");
}

async function collect(stream: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of stream) {
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}
