import { lstat, realpath } from "node:fs/promises";
import { dirname } from "node:path";
import { errnoOf } from "../errors.ts";

const SHARED_WRITE = 0o022;
const STICKY = 0o1000;

/** A folder as far as it can be trusted. */
export type Trust =
  | { readonly path: string }
  /** Why somebody else than root and this user could change what is in it. */
  | { readonly path: null; readonly reason: string };

/**
 * The real path of a folder that nobody but root and this user can change or replace, as each folder above it
 * shows; null if it does not exist. Rejects with Node's errors.
 */
export async function trustedFolder(folder: string): Promise<Trust | null> {
  const path = await realpath(folder).catch((error: unknown) => {
    if (errnoOf(error) === "ENOENT") {
      return null;
    }
    throw error;
  });
  if (path === null) {
    return null;
  }
  for (let each = path; ; each = dirname(each)) {
    const reason = await distrust(each, each === path);
    if (reason !== null) {
      return { path: null, reason };
    }
    if (dirname(each) === each) {
      return { path };
    }
  }
}

/** Others may write into a folder such as /tmp, but not replace in it what is not theirs. */
async function distrust(path: string, itself: boolean): Promise<string | null> {
  const { mode, uid } = await lstat(path);
  if (!isTrusted(uid)) {
    return `${path} belongs to another user than root`;
  }
  const open = (mode & SHARED_WRITE) !== 0 && (itself || (mode & STICKY) === 0);
  return open ? `others than its owner may write into ${path}` : null;
}

/** True for a regular file that nobody but root and this user can write, in a folder that can be trusted. */
export async function isTrustedFile(path: string): Promise<boolean> {
  const found = await lstat(path).catch(() => null);
  if (found === null || !found.isFile()) {
    return false;
  }
  return isTrusted(found.uid) && (found.mode & SHARED_WRITE) === 0;
}

function isTrusted(uid: number): boolean {
  return uid === 0 || uid === process.getuid?.();
}
