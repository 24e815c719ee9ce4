import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import { z } from "zod";
import type { Context, ImageSource } from "../../lib/backend/contract.ts";
import { failure } from "../../lib/errors.ts";
import type { Engine } from "./engine.ts";
import { isStatus } from "./errors.ts";
import { imageShape, type LxdImage } from "./rest/shapes.ts";

/** A tarball with `metadata.yaml` and `rootfs/`: LXD calls it a unified image. */
export const FORMAT = "lxd-rootfs";

/** In the properties of an image that strata has handed to LXD; its value is the fingerprint. */
const OWN = "strata.image";
/** One that no instance was made from for so long is taken away, ms: as in strata's own cache. */
const UNUSED = 14 * 24 * 60 * 60 * 1000;

/**
 * Hands an image to LXD, once: LXD knows such a file by its SHA-256 as strata's cache does. It stays there
 * for the next instance, until it is deleted or was not used for long.
 */
export async function importImage(engine: Engine, image: ImageSource, context: Context): Promise<void> {
  if (image.format !== FORMAT)
    throw failure("UNSUPPORTED", {
      what: `an image of the format ${image.format}`,
      engine: "LXD",
      reason: "containers are made from a root folder: strata image build debian --variant container",
    });
  await sweep(engine, image.sha256);
  if (await isThere(engine, image.sha256)) return;
  const { size } = await stat(image.path, { bigint: true });
  context.progress({ phase: "Handing the image to LXD" });
  try {
    await engine.client.upload("/1.0/images", createReadStream(image.path), {
      ...context,
      size,
      headers: {
        ...ownHeaders(image.sha256),
        "X-LXD-public": "0",
        "X-LXD-filename": `${image.sha256}.tar.gz`,
      },
    });
  } catch (error) {
    // Another launch may have been quicker.
    if (!(await isThere(engine, image.sha256))) throw error;
  }
}

/** Headers of an upload that make the image known as strata's. */
export function ownHeaders(sha256: string): Readonly<Record<string, string>> {
  return { "X-LXD-properties": new URLSearchParams({ [OWN]: sha256 }).toString() };
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

/** Takes images away that strata has handed to LXD, and no others. LXD's instances do not need them. */
export async function forgetImages(engine: Engine, sums: readonly string[]): Promise<void> {
  for (const { fingerprint } of await ownImages(engine))
    if (sums.includes(fingerprint)) await removeImage(engine, fingerprint);
}

async function ownImages({ client }: Engine): Promise<LxdImage[]> {
  const { value } = await client.get("/1.0/images", z.array(imageShape), { query: { recursion: "1" } });
  return value.filter(({ fingerprint, properties }) => properties[OWN] === fingerprint);
}

async function removeImage({ client }: Engine, fingerprint: string): Promise<void> {
  try {
    await client.run("DELETE", `/1.0/images/${fingerprint}`, undefined);
  } catch (error) {
    if (!isStatus(error, 404)) throw error;
  }
}

/** True of an image that no instance was made from for long. LXD says of one that never was: year 1. */
export function isUnused({ last_used_at, uploaded_at }: LxdImage, now: number): boolean {
  return now - Math.max(Date.parse(last_used_at), Date.parse(uploaded_at)) > UNUSED;
}

/** Whoever launches does not have to wait for, or fail with, what concerns other images. */
async function sweep(engine: Engine, wanted: string): Promise<void> {
  try {
    for (const image of await ownImages(engine))
      if (image.fingerprint !== wanted && isUnused(image, Date.now())) {
        engine.log.info("an image that was not used for 14 days is taken from LXD", {
          fingerprint: image.fingerprint,
        });
        await removeImage(engine, image.fingerprint);
      }
  } catch (error) {
    engine.log.debug("unused images could not be taken away", { error: String(error) });
  }
}
