import { chmod, mkdtemp, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import type { Seed } from "../../../lib/engine/contract.ts";
import { failure } from "../../../lib/errors.ts";
import { createFile } from "../../../lib/util/own-files.ts";
import { traced } from "../../../lib/util/trace.ts";
import { secure } from "../qcow2/qemu-img.ts";

/** Programs that create ISO 9660 images, with the arguments that come before mkisofs's own options. */
const MAKERS = [
  ["genisoimage", []],
  ["mkisofs", []],
  ["xorriso", ["-as", "mkisofs"]],
] as const;

/** An interface as the seed describes it to the guest. */
export interface SeedNic {
  readonly mac: string;
  readonly mode: "auto" | "manual";
}

/**
 * cloud-init's network configuration, version 2. Without it, a guest configures only its first interface. One
 * interface per line, for the simple parser of the micro guest.
 */
export function networkConfig(nics: readonly SeedNic[]): string {
  const lines = nics.map(({ mac, mode }, at) => {
    const further = at === 0 ? {} : { "dhcp4-overrides": { "route-metric": 100 + 100 * at }, optional: true };
    const wishes = mode === "manual" ? { dhcp4: false, optional: true } : { dhcp4: true, ...further };
    return `  eth${at}: ${JSON.stringify({ match: { macaddress: mac }, ...wishes })}\n`;
  });
  return `version: 2\nethernets:\n${lines.join("")}`;
}

/**
 * Writes the NoCloud seed `seed.iso` into the folder and resolves to its path. `nics` are all interfaces,
 * the default one first.
 */
export async function writeSeed(
  folder: string,
  seed: Seed,
  nics: readonly SeedNic[],
  signal: AbortSignal,
): Promise<string> {
  const work = await mkdtemp(join(folder, "seed-"));
  const put = async (name: string, text: string) => {
    await using file = await createFile(join(work, name));
    await file.writeFile(text);
  };
  try {
    await chmod(work, 0o700);
    await put("meta-data", seed.metaData);
    await put("user-data", seed.userData);
    await put("vendor-data", seed.vendorData);
    const files = ["meta-data", "user-data", "vendor-data"];
    if (nics.length > 1) {
      await put("network-config", networkConfig(nics));
      files.push("network-config");
    }
    const image = join(work, "seed.iso");
    await makeImage(
      image,
      files.map((file) => join(work, file)),
      signal,
    );
    await secure(image);
    const path = join(folder, "seed.iso");
    await rename(image, path);
    return path;
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

async function makeImage(image: string, files: readonly string[], signal: AbortSignal): Promise<void> {
  const options = ["-quiet", "-output", image, "-volid", "cidata", "-joliet", "-rational-rock", ...files];
  for (const [program, prefix] of MAKERS) {
    const { execa } = await import("execa");
    const args = [...prefix, ...options];
    const making = execa(program, args, { reject: false, cancelSignal: signal });
    const result = await traced(program, args, making);
    if (result.code === "ENOENT") {
      continue;
    }
    if (result.isCanceled) {
      throw failure("CANCELLED", {}, result);
    }
    if (result.failed) {
      throw failure("PROGRAM_FAILED", { program, reason: result.stderr }, result);
    }
    return;
  }
  throw failure("PROGRAM_MISSING", { program: "genisoimage", package: "genisoimage" });
}
