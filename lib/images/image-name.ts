import { resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { failure } from "../errors.ts";

/** An image as a user may name it. */
export type ImageName =
  | { readonly kind: "url"; readonly url: URL; readonly sha256: string | undefined }
  | { readonly kind: "file"; readonly path: string; readonly sha256: string | undefined }
  /** An alias or the start of a hash, optionally of a certain remote. */
  | { readonly kind: "alias"; readonly remote: string | undefined; readonly text: string };

/** Reads `REMOTE:TEXT` or `TEXT`. */
export function splitRemote(name: string): { readonly remote: string | undefined; readonly text: string } {
  const found = /^([a-z][a-z0-9-]{0,31}):(.*)$/i.exec(name);
  return { remote: found?.[1]?.toLowerCase(), text: found?.[2] ?? name };
}

/** Suffixes of image files; no alias has one. */
export const FILE_SUFFIX = /\.(?:qcow2?|img|raw|vmdk|vdi|vhdx?|ova|iso|tar|t[gx]z|tbz2?|gz|xz|zst|bz2)$/i;

/**
 * Reads `debian`, `24.04`, `daily:noble`, `3fa9c0…`, `./guest.qcow2`, `guest.vmdk`, `file:///path#sha256=HEX`,
 * `https://host/path#sha256=HEX`. Throws INVALID_VALUE.
 */
export function parseImageName(text: string): ImageName {
  if (!/^[a-z][a-z0-9+.-]*:\/\//i.test(text)) {
    return parsePath(text) ?? { kind: "alias", ...splitRemote(text) };
  }
  const url = parseUrl(text);
  const sha256 = readChecksum(text, url.hash);
  url.hash = "";
  if (url.protocol === "file:") {
    if (url.host !== "") {
      throw failure("INVALID_VALUE", {
        what: "the image",
        value: text,
        reason: "a file URL must have three slashes",
      });
    }
    return { kind: "file", path: readPath(text, url), sha256 };
  }
  if (url.protocol !== "http:" && url.protocol !== "https:") {
    throw failure("INVALID_VALUE", {
      what: "the image",
      value: text,
      reason: "a URL must begin with file://, http:// or https://",
    });
  }
  return { kind: "url", url, sha256 };
}

/** The path, if it is given without `file://`; otherwise undefined. */
function parsePath(text: string): ImageName | undefined {
  const [path = "", hash] = text.split(/#(?=sha256=[^/]*$)/);
  const named = FILE_SUFFIX.test(path) && splitRemote(path).remote === undefined;
  if (!named && !/^\.{0,2}\//.test(path)) {
    return undefined;
  }
  const sha256 = hash === undefined ? undefined : readChecksum(text, `#${hash}`);
  return { kind: "file", path: resolve(path), sha256 };
}

function readPath(text: string, url: URL): string {
  try {
    return fileURLToPath(url);
  } catch (error) {
    throw failure(
      "INVALID_VALUE",
      { what: "the image", value: text, reason: "its path must be well-formed" },
      error,
    );
  }
}

function parseUrl(text: string): URL {
  try {
    return new URL(text);
  } catch (error) {
    throw failure("INVALID_VALUE", { what: "the image", value: text, reason: "must be a valid URL" }, error);
  }
}

function readChecksum(text: string, hash: string): string | undefined {
  if (hash === "") {
    return undefined;
  }
  const found = /^#sha256=([0-9a-f]{64})$/i.exec(hash)?.[1];
  if (found === undefined) {
    throw failure("INVALID_VALUE", {
      what: "the image",
      value: text,
      reason: "a checksum must be #sha256= and 64 hex digits",
    });
  }
  return found.toLowerCase();
}

/** True for what can be the start of a hash: at least six hex digits. */
export function isHashPrefix(text: string): boolean {
  return /^[0-9a-f]{6,64}$/i.test(text);
}
