import { failure } from "../errors.ts";
import { run } from "../programs.ts";

/** What qemu-img tells of an image that may be launched. */
export interface Inspection {
  readonly format: "qcow2" | "raw";
  /** Bytes. */
  readonly virtualSize: bigint;
}

/** Limits for a program that reads what a stranger wrote. */
const MEMORY = 1024 * 1024 * 1024;
const SECONDS = 60;
/** A disk beyond this is a mistake or an attack, bytes. */
const LARGEST = 64n * 1024n ** 4n;

interface ImageInfoJson {
  readonly format?: string;
  readonly "virtual-size"?: number;
  readonly "backing-filename"?: string;
  readonly encrypted?: boolean;
  readonly "format-specific"?: {
    readonly data?: { readonly "data-file"?: string; readonly corrupt?: boolean };
  };
}

/**
 * Looks at an image from outside. Refuses one that refers to any other file of this host, that is
 * encrypted, or that qemu-img finds broken. `image` names it in errors.
 */
export async function inspectImage(image: string, path: string, signal: AbortSignal): Promise<Inspection> {
  const info = await readInfo(image, path, signal);
  const inspection = judge(image, info);
  if (inspection.format === "qcow2") await check(image, path, signal);
  return inspection;
}

async function limited(args: readonly string[], signal: AbortSignal): Promise<string> {
  const limits = [`--as=${MEMORY}`, `--cpu=${SECONDS}`];
  return run("prlimit", [...limits, "qemu-img", ...args], {
    signal,
    timeout: SECONDS * 2000,
    package: "util-linux",
  });
}

async function readInfo(image: string, path: string, signal: AbortSignal): Promise<ImageInfoJson> {
  try {
    // Without --backing-chain qemu-img opens the image alone.
    return JSON.parse(await limited(["info", "--output=json", path], signal));
  } catch (error) {
    throw unreadable(image, error);
  }
}

function unreadable(image: string, error: unknown) {
  if (error instanceof Error && "code" in error && error.code === "CANCELLED") return error;
  const reason = error instanceof Error ? error.message : String(error);
  return failure("IMAGE_UNREADABLE", { image, reason }, error);
}

/** The judgement on what `qemu-img info --output=json` printed. */
export function judge(image: string, info: ImageInfoJson): Inspection {
  const { format } = info;
  const backing = info["backing-filename"];
  if (backing !== undefined) throw failure("IMAGE_HAS_BACKING", { image, file: backing });
  const data = info["format-specific"]?.data;
  if (data?.["data-file"] !== undefined)
    throw failure("IMAGE_HAS_BACKING", { image, file: data["data-file"] });
  if (format !== "qcow2" && format !== "raw")
    throw failure("IMAGE_UNREADABLE", {
      image,
      reason: `its format is ${format ?? "not known"}, not qcow2 or raw`,
    });
  if (info.encrypted === true) throw failure("IMAGE_UNREADABLE", { image, reason: "it is encrypted" });
  if (data?.corrupt === true) throw failure("IMAGE_UNREADABLE", { image, reason: "it is marked as corrupt" });
  const size = info["virtual-size"];
  if (typeof size !== "number" || size <= 0)
    throw failure("IMAGE_UNREADABLE", { image, reason: "it is empty" });
  const virtualSize = BigInt(size);
  if (virtualSize > LARGEST)
    throw failure("IMAGE_UNREADABLE", { image, reason: `its disk of ${virtualSize} bytes is beyond belief` });
  if (format === "raw" && virtualSize < 1024n * 1024n)
    throw failure("IMAGE_UNREADABLE", { image, reason: "it is too small to be a disk" });
  return { format, virtualSize };
}

async function check(image: string, path: string, signal: AbortSignal): Promise<void> {
  try {
    await limited(["check", "-q", "-f", "qcow2", path], signal);
  } catch (error) {
    throw unreadable(image, error);
  }
}

/** Refuses a raw file that does not begin like a disk: qemu-img takes any file for raw. */
export function looksLikeDisk(firstSector: Buffer): boolean {
  return firstSector.length === 512 && firstSector.readUInt16LE(510) === 0xaa55;
}
