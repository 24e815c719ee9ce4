import type { Readable } from "node:stream";
import type { Context } from "../engine/contract.ts";
import { type Limits, runReading } from "../util/programs.ts";
import { type Inspection, sourceArguments, unreadable } from "./inspect.ts";
import { LARGEST } from "./unpack.ts";

const LIMITS: Limits = { memory: 1024 ** 3, seconds: 1800, file: LARGEST };
/** Time-out, ms. A slow disk is not the image's fault. */
const TIMEOUT = 2 * 60 * 60 * 1000;

/**
 * Converts a disk that `inspectImage` has passed to a new qcow2 file. Rejects with IMAGE_UNREADABLE, NO_SPACE,
 * CANCELLED.
 */
export async function convert(
  image: string,
  from: string,
  to: string,
  { format, virtualSize: total }: Inspection,
  { signal, progress }: Context,
): Promise<void> {
  const phase = "Converting image";
  progress({ phase });
  const report = async (output: Readable) => {
    for await (const text of output) {
      const percent = /\(([\d.]+)\/100%\)\s*$/.exec(String(text))?.[1];
      if (percent !== undefined) {
        progress({ phase, done: (total * BigInt(Math.round(Number(percent) * 100))) / 10_000n, total });
      }
    }
  };
  const args = ["convert", "-p", "-O", "qcow2", ...sourceArguments(format, from), to];
  const options = { signal, limits: LIMITS, timeout: TIMEOUT, package: "qemu-utils" };
  await runReading("qemu-img", args, options, report).catch((error: unknown) => {
    throw unreadable(image, error);
  });
}
