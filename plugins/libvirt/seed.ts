import { mkdtemp, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Seed } from "../../lib/backend/contract.ts";
import { failure } from "../../lib/errors.ts";
import { secure } from "./qemu-img.ts";

/** Programs that make an ISO 9660 image, with what comes before mkisofs's own options. */
const MAKERS = [
  ["genisoimage", []],
  ["mkisofs", []],
  ["xorriso", ["-as", "mkisofs"]],
] as const;

/** Writes the NoCloud seed `seed.iso` into the folder and resolves to its path. */
export async function writeSeed(folder: string, seed: Seed, signal: AbortSignal): Promise<string> {
  const work = await mkdtemp(join(folder, "seed-"));
  try {
    await writeFile(join(work, "meta-data"), seed.metaData, { mode: 0o600 });
    await writeFile(join(work, "user-data"), seed.userData, { mode: 0o600 });
    await writeFile(join(work, "vendor-data"), seed.vendorData, { mode: 0o600 });
    const image = join(work, "seed.iso");
    await makeImage(image, work, signal);
    await secure(image);
    const path = join(folder, "seed.iso");
    await rename(image, path);
    return path;
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

async function makeImage(image: string, work: string, signal: AbortSignal): Promise<void> {
  const files = ["meta-data", "user-data", "vendor-data"].map((file) => join(work, file));
  const options = ["-quiet", "-output", image, "-volid", "cidata", "-joliet", "-rational-rock", ...files];
  for (const [program, prefix] of MAKERS) {
    const { execa } = await import("execa");
    const result = await execa(program, [...prefix, ...options], { reject: false, cancelSignal: signal });
    if (result.code === "ENOENT") continue;
    if (result.isCanceled) throw failure("CANCELLED", {}, result);
    if (result.failed) throw failure("PROGRAM_FAILED", { program, reason: result.stderr }, result);
    return;
  }
  throw failure("PROGRAM_MISSING", { program: "genisoimage", package: "genisoimage" });
}
