import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import { z } from "zod";
import type { Context, ImageSource } from "../../lib/backend/contract.ts";
import { failure } from "../../lib/errors.ts";
import type { Engine } from "./engine.ts";
import { isStatus } from "./errors.ts";

/** A tarball with `metadata.yaml` and `rootfs/`: LXD calls it a unified image. */
export const FORMAT = "lxd-rootfs";

/**
 * Hands an image to LXD, once: LXD knows such a file by its SHA-256 as strata's cache does. It stays there
 * for the next instance; `lxc image delete` takes it away.
 */
export async function importImage(engine: Engine, image: ImageSource, context: Context): Promise<void> {
  if (image.format !== FORMAT)
    throw failure("UNSUPPORTED", {
      what: `an image of the format ${image.format}`,
      engine: "LXD",
      reason: "containers are made from a root folder: strata image build debian --variant container",
    });
  if (await isThere(engine, image.sha256)) return;
  const { size } = await stat(image.path, { bigint: true });
  context.progress({ phase: "Handing the image to LXD" });
  try {
    await engine.client.upload("/1.0/images", createReadStream(image.path), {
      ...context,
      size,
      headers: { "X-LXD-public": "0", "X-LXD-filename": `${image.sha256}.tar.gz` },
    });
  } catch (error) {
    // Another launch may have been quicker.
    if (!(await isThere(engine, image.sha256))) throw error;
  }
}

async function isThere({ client }: Engine, sha256: string): Promise<boolean> {
  try {
    await client.get(`/1.0/images/${sha256}`, z.unknown());
    return true;
  } catch (error) {
    if (isStatus(error, 404)) return false;
    throw error;
  }
}
