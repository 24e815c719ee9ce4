import { access, constants, readFile, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import writeFileAtomic from "write-file-atomic";
import type { Context, Log } from "../engine/contract.ts";
import { quietContext } from "../engine/quiet-context.ts";
import { asStrataError, failure } from "../errors.ts";
import { makeFolder, systemReason } from "../util/own-files.ts";
import { isTrustedFile, trustedFolder } from "../util/trusted.ts";
import { type Cache, type CachedImage, EVERYBODY, openCache } from "./cache.ts";
import { hashFile } from "./storage.ts";

/** The images that root keeps for all users of this host. */
export interface SystemImages {
  /** None from a folder or of files that others than root could change. */
  records(): Promise<readonly CachedImage[]>;
  /** For changing them. Rejects with IMAGE_STORE_UNUSABLE; makes the folder if it is missing. */
  open(): Promise<Cache>;
}

/** `folder`: an absolute path; "" for none. */
export function systemImages(folder: () => string, log: Log): SystemImages {
  let told = false;
  const warnOnce = (reason: string) => {
    if (!told) {
      told = true;
      log.warn(`the images for all users in ${folder()} are not used: ${reason}`);
    }
  };
  return {
    async records() {
      const trust = folder() === "" ? null : await lookAt(folder());
      if (trust === null) {
        return [];
      }
      if (trust.path === null) {
        warnOnce(trust.reason);
        return [];
      }
      const records = await openCache({ folder: trust.path, log }, EVERYBODY).records();
      const trusted = await Promise.all(records.map(isTrustedImage));
      return records.filter((_, at) => trusted[at]);
    },
    async open() {
      const path = folder();
      if (path === "") {
        throw failure("USAGE", { reason: "the setting local.image.store names no folder for --system" });
      }
      await makeFolder(path, EVERYBODY.folder).catch(() => {
        // What keeps it from being used is found below.
      });
      const trust = await lookAt(path);
      if (trust?.path == null) {
        throw failure("IMAGE_STORE_UNUSABLE", {
          path,
          reason: trust?.reason ?? "only root can create the folder of the images for all users",
        });
      }
      await access(trust.path, constants.W_OK).catch((error: unknown) => {
        throw failure("IMAGE_STORE_UNUSABLE", { path, reason: systemReason(error) }, error);
      });
      return withContent(openCache({ folder: trust.path, log }, EVERYBODY));
    },
  };
}

async function isTrustedImage({ sha256, content, path }: CachedImage): Promise<boolean> {
  const files = [path, join(dirname(path), `${sha256}.json`)];
  return content !== undefined && (await Promise.all(files.map(isTrustedFile))).every(Boolean);
}

/** A folder that cannot be looked at cannot be trusted either. */
async function lookAt(folder: string): ReturnType<typeof trustedFolder> {
  return trustedFolder(folder).catch((error: unknown) => ({
    path: null,
    reason: asStrataError(error).message,
  }));
}

/** Records the hash of each file, which those who use it verify. */
function withContent(cache: Cache): Cache {
  return {
    ...cache,
    adopt: async (path, record) =>
      cache.adopt(path, { ...record, content: await hashFile(path, quietContext()) }),
  };
}

/**
 * Rejects with IMAGE_ALTERED for an image that is not what its record says. The user's own `folder` keeps
 * which file was verified, so that one is read once.
 */
export async function verify(
  { sha256, content, path }: CachedImage,
  image: string,
  folder: string,
  context: Context,
): Promise<void> {
  const note = join(folder, `${sha256}.verified`);
  const { ino, ctimeNs, size } = await stat(path, { bigint: true });
  const state = `${content} ${ino} ${ctimeNs} ${size}\n`;
  if ((await readFile(note, "utf8").catch(() => "")) === state) {
    return;
  }
  const actual = await hashFile(path, context);
  if (content !== actual) {
    throw failure("IMAGE_ALTERED", { image, path, actual, expected: String(content) });
  }
  try {
    await makeFolder(folder);
    await writeFileAtomic(note, state, { mode: 0o600 });
  } catch {
    // The next launch verifies it again.
  }
}

/** A user's images with those for all users beside them; what is added is the user's own. */
export function withSystemImages(own: Cache, system: SystemImages): Cache {
  const owner = (image: { readonly system: boolean }) => (image.system ? system.open() : own);
  return {
    ...own,
    records: async () => {
      const all = [...(await own.records()), ...(await system.records())];
      return all.sort((a, b) => b.createdAt - a.createdAt);
    },
    rewrite: async (image, record) => (await owner(image)).rewrite(image, record),
    // Their time of use is root's alone to write, and none of them expires.
    touch: async (image) => (image.system ? undefined : own.touch(image)),
    remove: async (image) => (await owner(image)).remove(image),
  };
}
