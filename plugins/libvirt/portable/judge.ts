import { failure, type StrataError } from "../../../lib/errors.ts";
import { readHead } from "../../../lib/images/inspect.ts";
import { readQcow2Header } from "../../../lib/images/qcow2-header.ts";
import { type Limits, run } from "../../../lib/util/programs.ts";
import { fileError } from "../errors.ts";

const LIMITS: Limits = { memory: 1024 * 1024 * 1024, seconds: 120 };
/** A larger disk is a mistake or an attack, bytes. */
const LARGEST = 64n * 1024n ** 4n;

function broken(name: string, reason: string, cause?: unknown): StrataError {
  return failure("PARCEL_BROKEN", { reason: `${name} ${reason}` }, cause);
}

/**
 * Judges the header of a stranger's layer before any program opens it. What it names as its backing file does not
 * matter: that is replaced before the file is opened with one.
 */
export async function judgeLayer(name: string, path: string): Promise<void> {
  const head = await readHead(path).catch((error: unknown) => {
    throw fileError(error, path);
  });
  const header = readQcow2Header(head);
  if (header === null || (header.version !== 2 && header.version !== 3)) {
    throw broken(name, "is no qcow2 file");
  }
  if (header.dataFile) {
    throw broken(name, "has its data in another file");
  }
  if (header.encrypted) {
    throw broken(name, "is encrypted");
  }
  if (header.corrupt) {
    throw broken(name, "is marked as corrupt");
  }
  if (header.size <= 0n || header.size > LARGEST) {
    throw broken(name, `has a disk of ${header.size} bytes`);
  }
}

/** Looks at the tables of a stranger's layer, without the file that it stands on. */
export async function checkLayer(name: string, path: string, signal: AbortSignal): Promise<void> {
  const image = { driver: "qcow2", backing: null, file: { driver: "file", filename: path } };
  const args = ["check", "-q", `json:${JSON.stringify(image)}`];
  const options = { signal, limits: LIMITS, timeout: LIMITS.seconds * 2000, package: "qemu-utils" };
  await run("qemu-img", args, options).catch((error: unknown) => {
    const cause: unknown = error instanceof Error ? error.cause : undefined;
    // Space that is allocated and not used is harmless.
    if (cause instanceof Error && "exitCode" in cause && cause.exitCode === 3) {
      return;
    }
    const isItsFault = error instanceof Error && "code" in error && error.code === "PROGRAM_FAILED";
    throw isItsFault ? broken(name, "has tables that are not right", error) : error;
  });
}
