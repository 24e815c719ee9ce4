import { type FileHandle, open } from "node:fs/promises";
import { asStrataError, failure } from "../errors.ts";
import { type Limits, run } from "../util/programs.ts";
import { type DiskFormat, HEAD, judgeHead, TAIL } from "./disk-format.ts";

/** What is known of an image that may be launched. */
export interface Inspection {
  readonly format: DiskFormat;
  /** Bytes. */
  readonly virtualSize: bigint;
}

const LIMITS: Limits = { memory: 1024 * 1024 * 1024, seconds: 60 };
/** A disk beyond this is a mistake or an attack, bytes. */
const LARGEST = 64n * 1024n ** 4n;
const SMALLEST = 1024n * 1024n;

/** What `qemu-img info --output=json` prints, as far as it matters here. */
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
 * Looks at an image from outside. Rejects with IMAGE_HAS_BACKING for one that refers to any other file of
 * this host, with IMAGE_UNREADABLE for one that is encrypted, broken or no disk at all. `image` names it
 * in errors. QEMU sees only what our own look at the first bytes has passed, and is told the format, so
 * that it never guesses one.
 */
export async function inspectImage(image: string, path: string, signal: AbortSignal): Promise<Inspection> {
  const format = await recognise(image, path);
  const inspection = judge(image, format, await readInfo(image, path, format, signal));
  if (inspection.format === "qcow2") {
    await check(image, path, signal);
  }
  return inspection;
}

/** The first bytes of a file, enough to tell what it is. */
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

/** The judgement on what `qemu-img info --output=json` printed of a disk of that format. */
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
 * The arguments by which qemu-img opens a disk as that format and follows no name in it. Of a VHD, the size
 * is the one in its footer: by the geometry, which QEMU prefers for some makers, the end could be cut off.
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

/** Space that is allocated and not used: qemu-img's exit code 3. It wastes room and harms nothing. */
function leaksOnly(error: unknown): boolean {
  const cause: unknown = error instanceof Error ? error.cause : undefined;
  return cause instanceof Error && "exitCode" in cause && cause.exitCode === 3;
}

/** What the program says of the image is the image's fault; anything else keeps its meaning. */
export function unreadable(image: string, error: unknown) {
  const mapped = asStrataError(error);
  if (mapped.code !== "PROGRAM_FAILED") {
    return mapped;
  }
  return failure("IMAGE_UNREADABLE", { image, reason: mapped.details.reason ?? mapped.message }, error);
}
