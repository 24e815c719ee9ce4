import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import { z } from "zod";
import type { Context, ImageSource } from "../../../lib/engine/contract.ts";
import type { LxdEngine } from "../engine.ts";
import { isStatus } from "../errors.ts";
import { imageShape, type LxdImage } from "../rest/shapes.ts";
import { splitImage } from "./machine-image.ts";
import { DISK_FORMAT } from "./machines.ts";

/** A tarball with `metadata.yaml` and `rootfs/`: LXD calls it a unified image. */
export const FORMAT = "lxd-rootfs";

/**
 * Property of an image that strata has added to LXD: the SHA-256 of its file. For a root folder this equals
 * LXD's fingerprint; for a disk, the second property has that.
 */
const OWN = "strata.image";
const OWN_DISK = "strata.fingerprint";
/** How long an image is kept after the last instance was created from it, ms: as in strata's own cache. */
const UNUSED_AFTER_MS = 14 * 24 * 60 * 60 * 1000;

/**
 * Adds an image to LXD if it is missing, and resolves to LXD's fingerprint of it. It stays there for further
 * instances until it is deleted or has not been used for long.
 */
export async function importImage(engine: LxdEngine, image: ImageSource, context: Context): Promise<string> {
  await sweep(engine, image.sha256);
  const there = await findImage(engine, image);
  if (there !== undefined) {
    return there;
  }
  context.progress({ phase: `Handing the image to ${engine.flavour.title}` });
  try {
    return await (image.format === DISK_FORMAT ? handDisk : handRoot)(engine, image, context);
  } catch (error) {
    // Another launch may have been quicker.
    const theirs = await findImage(engine, image);
    if (theirs === undefined) {
      throw error;
    }
    return theirs;
  }
}

async function handRoot({ client }: LxdEngine, { path, sha256 }: ImageSource, context: Context) {
  const { size } = await stat(path, { bigint: true });
  const headers = {
    ...ownHeaders(sha256),
    ...named({ public: "0", filename: `${sha256}.tar.gz` }),
  };
  await client.upload("/1.0/images", createReadStream(path), { ...context, size, headers });
  return sha256;
}

async function handDisk(engine: LxdEngine, image: ImageSource, context: Context) {
  const { architectures } = (await engine.server()).environment;
  const split = await splitImage(image, architectures[0] ?? "x86_64");
  const { body, size, contentType, fingerprint } = split;
  if (await isThere(engine, fingerprint)) {
    body.destroy();
    return fingerprint;
  }
  const headers = {
    ...ownHeaders(image.sha256, fingerprint),
    ...named({ public: "0", fingerprint }),
    "Content-Type": contentType,
  };
  await engine.client.upload("/1.0/images", body, { ...context, size, headers });
  return fingerprint;
}

/** LXD's fingerprint of an image that it has. */
async function findImage(engine: LxdEngine, { sha256, format }: ImageSource): Promise<string | undefined> {
  if (format !== DISK_FORMAT) {
    return (await isThere(engine, sha256)) ? sha256 : undefined;
  }
  return (await ownImages(engine)).find((each) => each.properties[OWN] === sha256)?.fingerprint;
}

/** Headers of an upload that mark the image as strata's. */
export function ownHeaders(sha256: string, fingerprint = sha256): Readonly<Record<string, string>> {
  const properties = { [OWN]: sha256, ...(fingerprint === sha256 ? {} : { [OWN_DISK]: fingerprint }) };
  return named({ properties: new URLSearchParams(properties).toString() });
}

/** Headers for LXD and for Incus, each of which ignores the other's. */
function named(values: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  return Object.fromEntries(
    ["LXD", "Incus"].flatMap((server) =>
      Object.entries(values).map(([name, value]) => [`X-${server}-${name}`, value]),
    ),
  );
}

async function isThere({ client }: LxdEngine, sha256: string): Promise<boolean> {
  try {
    await client.get(`/1.0/images/${sha256}`, z.unknown());
    return true;
  } catch (error) {
    if (isStatus(error, 404)) {
      return false;
    }
    throw error;
  }
}

/** Removes images that strata has added to LXD, and no others. LXD's instances do not need them. */
export async function forgetImages(engine: LxdEngine, sums: readonly string[]): Promise<void> {
  for (const { fingerprint, properties } of await ownImages(engine)) {
    if (sums.includes(properties[OWN] ?? "")) {
      await removeImage(engine, fingerprint);
    }
  }
}

async function ownImages({ client }: LxdEngine): Promise<LxdImage[]> {
  const { value } = await client.get("/1.0/images", z.array(imageShape), { query: { recursion: "1" } });
  return value.filter(isOwn);
}

/**
 * True for images that strata has added to LXD. An image that others made from one has another fingerprint.
 */
export function isOwn({ fingerprint, properties }: Pick<LxdImage, "fingerprint" | "properties">): boolean {
  return (properties[OWN_DISK] ?? properties[OWN]) === fingerprint;
}

async function removeImage({ client }: LxdEngine, fingerprint: string): Promise<void> {
  try {
    await client.run("DELETE", `/1.0/images/${fingerprint}`, undefined);
  } catch (error) {
    if (!isStatus(error, 404)) {
      throw error;
    }
  }
}

/** True for an image that has not been used for long. LXD gives the year 1 for one that was never used. */
export function isUnused({ last_used_at, uploaded_at }: LxdImage, now: number): boolean {
  return now - Math.max(Date.parse(last_used_at), Date.parse(uploaded_at)) > UNUSED_AFTER_MS;
}

/** A launch does not wait for, or fail because of, other images. */
async function sweep(engine: LxdEngine, wanted: string): Promise<void> {
  try {
    for (const image of await ownImages(engine)) {
      if (image.properties[OWN] !== wanted && isUnused(image, Date.now())) {
        engine.log.info("removing an image from the server that was not used for 14 days", {
          fingerprint: image.fingerprint,
        });
        await removeImage(engine, image.fingerprint);
      }
    }
  } catch (error) {
    engine.log.debug("unused images could not be taken away", { error: String(error) });
  }
}
