import { open } from "node:fs/promises";
import { asStrataError, failure } from "../errors.ts";
import { type Limits, run } from "../util/programs.ts";
import { type Qcow2Header, readQcow2Header } from "./qcow2-header.ts";

/** What is known of an image that may be launched. */
export interface Inspection {
  readonly format: "qcow2" | "raw";
  /** Bytes. */
  readonly virtualSize: bigint;
}

const LIMITS: Limits = { memory: 1024 * 1024 * 1024, seconds: 60 };
/** A disk beyond this is a mistake or an attack, bytes. */
const LARGEST = 64n * 1024n ** 4n;
const SMALLEST = 1024n * 1024n;
const HEAD = 64 * 1024;

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
  const format = judgeHead(image, await readHead(path));
  const inspection = judge(image, await readInfo(image, path, format, signal));
  if (inspection.format === "qcow2") {
    await check(image, path, signal);
  }
  return inspection;
}

async function readHead(path: string): Promise<Buffer> {
  await using file = await open(path, "r");
  const { buffer, bytesRead } = await file.read(Buffer.alloc(HEAD), 0, HEAD, 0);
  return buffer.subarray(0, bytesRead);
}

/** The judgement on an image's first bytes: its format. */
export function judgeHead(image: string, head: Buffer): "qcow2" | "raw" {
  if (head.length === 0) {
    throw failure("IMAGE_UNREADABLE", { image, reason: "it is empty" });
  }
  const header = readQcow2Header(head);
  if (header !== null) {
    judgeHeader(image, header);
    return "qcow2";
  }
  // QEMU takes any file for raw; a disk that boots has the mark of a boot record.
  if (head.length < 512 || head.readUInt16LE(510) !== 0xaa55) {
    throw failure("IMAGE_UNREADABLE", { image, reason: "it is neither qcow2 nor a disk with a boot record" });
  }
  return "raw";
}

function judgeHeader(image: string, header: Qcow2Header): void {
  if (header.backing !== null) {
    throw failure("IMAGE_HAS_BACKING", { image, file: header.backing });
  }
  if (header.dataFile) {
    throw failure("IMAGE_HAS_BACKING", { image, file: "an external data file" });
  }
  if (header.encrypted) {
    throw failure("IMAGE_UNREADABLE", { image, reason: "it is encrypted" });
  }
  if (header.corrupt) {
    throw failure("IMAGE_UNREADABLE", { image, reason: "it is marked as corrupt" });
  }
}

/** The judgement on what `qemu-img info --output=json` printed. */
export function judge(image: string, info: ImageInfoJson): Inspection {
  const unreadable = (reason: string) => failure("IMAGE_UNREADABLE", { image, reason });
  const { format } = info;
  const data = info["format-specific"]?.data;
  const file = info["backing-filename"] ?? data?.["data-file"];
  if (file !== undefined) {
    throw failure("IMAGE_HAS_BACKING", { image, file });
  }
  if (format !== "qcow2" && format !== "raw") {
    throw unreadable(`its format must be qcow2 or raw, not ${format ?? "unknown"}`);
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
  return { format, virtualSize };
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
  format: string,
  signal: AbortSignal,
): Promise<ImageInfoJson> {
  const output = await limited(["info", "-f", format, "--output=json", path], signal).catch((error) => {
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
function unreadable(image: string, error: unknown) {
  const mapped = asStrataError(error);
  if (mapped.code !== "PROGRAM_FAILED") {
    return mapped;
  }
  return failure("IMAGE_UNREADABLE", { image, reason: mapped.details.reason ?? mapped.message }, error);
}
