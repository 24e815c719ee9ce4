import { asStrataError, failure, type StrataError } from "../errors.ts";
import type { Cache } from "./cache.ts";
import type { Catalogue } from "./catalogue/catalogue.ts";
import { DEFAULT_REMOTE } from "./catalogue/remotes.ts";
import { requireBuildable, type Variant } from "./debian/build.ts";

export interface ImageSources {
  /** Number of images on this host. */
  readonly here: number;
  /** Why the default remote cannot be used, null if it can or was not asked. */
  readonly remote: StrataError | null;
  /** Why no image can be built here, null if one can. */
  readonly build: StrataError | null;
  /** The variant to build. */
  readonly variant: Variant;
}

/** Where an engine with the given formats can get images from. */
export async function findSources(
  cache: Cache,
  catalogue: Catalogue,
  formats: readonly string[],
  signal: AbortSignal,
): Promise<ImageSources> {
  const variant = formats[0] === "qcow2" ? "cloud" : "container";
  const obstacle = (work: Promise<unknown>) => work.then(() => null, asStrataError);
  const records = (await cache.records()).filter(({ format }) => formats.includes(format));
  const disks = formats.includes("qcow2");
  const remote = async () => {
    if (!disks) {
      throw failure("UNSUPPORTED", {
        what: "downloading images",
        engine: "this engine",
        reason: "remotes publish disks",
      });
    }
    await catalogue.manifest(await catalogue.remote(DEFAULT_REMOTE), { signal });
  };
  return {
    here: records.length,
    remote: records.length > 0 ? null : await obstacle(remote()),
    build: await obstacle(requireBuildable(variant, new AbortController().signal)),
    variant,
  };
}
