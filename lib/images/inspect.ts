import { type FileHandle, open } from "node:fs/promises";
import { asStrataError, failure } from "../errors.ts";
import { type Limits, run } from "../util/programs.ts";
import { type DiskFormat, HEAD, judgeHead, TAIL } from "./disk-format.ts";

/** Properties of an image that may be launched. */
export interface Inspection {
  readonly format: DiskFormat;
  /** Bytes. */
  readonly virtualSize: bigint;
}

const LIMITS: Limits = { memory: 1024 * 1024 * 1024, seconds: 60 };
/** A larger disk is a mistake or an attack, bytes. */
const LARGEST = 64n * 1024n ** 4n;
const SMALLEST = 1024n * 1024n;

/** The output of `qemu-img info --output=json`, as far as needed here. */
export interface ImageInfoJson {
  readonly format?: string;
  readonly "virtual-size"?: number;
  readonly "backing-filename"?: string;
  readonly encrypted?: boolean;
  readonly "format-specific"?: {
    readonly data?: { readonly "data-file"?: string; readonly corrupt?: boolean };
  };
}

/**
 * Inspects an image without trusting it. Rejects with IMAGE_HAS_BACKING if it refers to another file of this
 * host, with IMAGE_UNREADABLE if it is encrypted, corrupt or not a disk. `image` is its name in errors. QEMU
 * opens only files whose first bytes have passed our own check, and gets the format, so that it never
 * guesses.
 */
export async function inspectImage(image: string, path: string, signal: AbortSignal): Promise<Inspection> {
  const format = await recognise(image, path);
  const inspection = judge(image, format, await readInfo(image, path, format, signal));
  if (inspection.format === "qcow2") {
    await check(image, path, signal);
  }
  return inspection;
}

/** The first bytes of a file, enough to determine its format. */
export async function readHead(path: string): Promise<Buffer> {
  await using file = await open(path, "r");
  return readPiece(file, HEAD, 0);
}

/** The format of a disk, from its first and last bytes; see `judgeHead`. */
async function recognise(image: string, path: string): Promise<DiskFormat> {
  await using file = await open(path, "r");
  const { size } = await file.stat();
  return judgeHead(
    image,
    await readPiece(file, HEAD, 0),
    await readPiece(file, TAIL, Math.max(0, size - TAIL)),
  );
}

async function readPiece(file: FileHandle, length: number, at: number): Promise<Buffer> {
  const { buffer, bytesRead } = await file.read(Buffer.alloc(length), 0, length, at);
  return buffer.subarray(0, bytesRead);
}

/** Checks the output of `qemu-img info --output=json` for a disk of that format. */
export function judge(image: string, wanted: DiskFormat, info: ImageInfoJson): Inspection {
  const unreadable = (reason: string) => failure("IMAGE_UNREADABLE", { image, reason });
  const { format } = info;
  const data = info["format-specific"]?.data;
  const file = info["backing-filename"] ?? data?.["data-file"];
  if (file !== undefined) {
    throw failure("IMAGE_HAS_BACKING", { image, file, format: wanted });
  }
  if (format !== wanted) {
    throw unreadable(`its first bytes say ${wanted}, and qemu-img says ${format ?? "nothing"}`);
  }
  if (info.encrypted === true) {
    throw unreadable("it is encrypted");
  }
  if (data?.corrupt === true) {
    throw unreadable("it is marked as corrupt");
  }
  const size = info["virtual-size"];
  if (typeof size !== "number" || size <= 0) {
    throw unreadable("it is empty");
  }
  const virtualSize = BigInt(size);
  if (virtualSize > LARGEST) {
    throw unreadable(`its disk of ${virtualSize} bytes is implausibly large`);
  }
  if (virtualSize < SMALLEST) {
    throw unreadable(`its disk of ${virtualSize} bytes is too small for an operating system`);
  }
  return { format: wanted, virtualSize };
}

/**
 * The arguments with which qemu-img opens a disk in that format without following names in it. The size of a
 * VHD is the one in its footer: QEMU prefers the geometry for some creators, which could cut off the end.
 */
export function sourceArguments(format: DiskFormat, path: string): string[] {
  if (format === "qcow2" || format === "raw") {
    return ["-f", format, path];
  }
  const size = format === "vpc" ? { force_size_calc: "current_size" } : {};
  const file = { driver: "file", filename: path };
  return [`json:${JSON.stringify({ driver: format, file, backing: null, ...size })}`];
}

async function limited(args: readonly string[], signal: AbortSignal): Promise<string> {
  return run("qemu-img", args, {
    signal,
    limits: LIMITS,
    timeout: LIMITS.seconds * 2000,
    package: "qemu-utils",
  });
}

async function readInfo(
  image: string,
  path: string,
  format: DiskFormat,
  signal: AbortSignal,
): Promise<ImageInfoJson> {
  const args = ["info", "--output=json", ...sourceArguments(format, path)];
  const output = await limited(args, signal).catch((error) => {
    throw unreadable(image, error);
  });
  return JSON.parse(output) as ImageInfoJson;
}

async function check(image: string, path: string, signal: AbortSignal): Promise<void> {
  try {
    await limited(["check", "-q", "-f", "qcow2", path], signal);
  } catch (error) {
    if (!leaksOnly(error)) {
      throw unreadable(image, error);
    }
  }
}

/** Space that is allocated and not used (exit code 3 of qemu-img) is wasted, but harmless. */
function leaksOnly(error: unknown): boolean {
  const cause: unknown = error instanceof Error ? error.cause : undefined;
  return cause instanceof Error && "exitCode" in cause && cause.exitCode === 3;
}

/** An error of the program is the image's fault; other errors keep their meaning. */
export function unreadable(image: string, error: unknown) {
  const mapped = asStrataError(error);
  if (mapped.code !== "PROGRAM_FAILED") {
    return mapped;
  }
  return failure("IMAGE_UNREADABLE", { image, reason: mapped.details.reason ?? mapped.message }, error);
}
