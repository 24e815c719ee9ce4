import type { Context } from "../engine/contract.ts";
import { failure, isStrataError } from "../errors.ts";
import { run } from "../util/programs.ts";
import type { Cache, CachedImage } from "./cache.ts";
import { judgeHead } from "./disk-format.ts";
import { requireFile } from "./foreign.ts";
import { parseImageName } from "./image-name.ts";
import { readHead } from "./inspect.ts";
import { BLANK } from "./local.ts";
import { hashFile } from "./storage.ts";

/** Virtual size of an empty disk, bytes; an instance's is larger. */
const SIZE = 512n * 1024n ** 2n;

/**
 * The path of the ISO that a user named. Rejects with INVALID_VALUE if the file is not an ISO, and with
 * FILE_NOT_FOUND.
 */
export async function findCdrom(text: string): Promise<string> {
  const invalid = (reason: string) => failure("INVALID_VALUE", { what: "the CD-ROM", value: text, reason });
  const name = parseImageName(/^[a-z][a-z0-9+.-]*:\/\/|\//i.test(text) ? text : `./${text}`);
  if (name.kind !== "file") {
    throw invalid("must be a file on this host: download it first");
  }
  if (name.sha256 !== undefined) {
    throw invalid("must be a file without a checksum");
  }
  await requireFile(text, name.path);
  const head = await readHead(name.path).catch((error: unknown) => {
    throw failure("FILE_NOT_FOUND", { path: name.path }, error);
  });
  if (!isIso(head)) {
    throw invalid("must be an ISO 9660 image, such as an installer");
  }
  return name.path;
}

function isIso(head: Buffer): boolean {
  try {
    judgeHead("", head);
    return false;
  } catch (error) {
    return isStrataError(error) && error.code === "IMAGE_IS_CDROM";
  }
}

/** An empty disk, for an installer; kept in the cache like any image. */
export async function blankDisk(cache: Cache, context: Context): Promise<CachedImage> {
  return cache.withPartial(async (path) => {
    const args = ["create", "-q", "-f", "qcow2", path, String(SIZE)];
    await run("qemu-img", args, { signal: context.signal, package: "qemu-utils" });
    return cache.adopt(path, {
      version: 1,
      format: "qcow2",
      sha256: await hashFile(path, context),
      os: "",
      release: "",
      username: "",
      aliases: [BLANK],
      virtualSize: SIZE,
      createdAt: Date.now(),
      source: "an empty disk, for installers",
    });
  });
}
