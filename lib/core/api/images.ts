import type { FindOptions, ImageInfo, ImageOffers } from "../../images/image-info.ts";
import type { CallOptions } from "./session.ts";

/** Options of {@link StrataImages.find}. */
export interface FindImagesOptions extends FindOptions, CallOptions {}

/** Options of {@link StrataImages.build}. */
export interface BuildImageOptions extends CallOptions {
  /** Where its packages are from. */
  readonly distribution: "debian";
  /** `cloud`: systemd and cloud-init; `micro`: boots within seconds, for tests; `container`: for LXD. */
  readonly variant: "micro" | "cloud" | "container";
}

/** Images that instances are launched from. */
export interface StrataImages {
  /**
   * What can be launched by name. A remote that cannot be asked is among the `errors` of the answer.
   *
   * @throws REMOTE_NOT_FOUND; with a text, IMAGE_NOT_FOUND or why a remote could not be asked
   */
  find(options?: FindImagesOptions): Promise<ImageOffers>;
  /** The images on this host, newest first. */
  list(): Promise<ImageInfo[]>;
  /**
   * Builds an image of packages of a distribution and puts it among those on this host.
   *
   * @throws PROGRAM_MISSING, PROGRAM_FAILED, DOWNLOAD_FAILED, NO_SPACE
   */
  build(options: BuildImageOptions): Promise<ImageInfo>;
  /**
   * Deletes images from this host, and from engines of the configuration that were given them; all are looked
   * up first. Instances keep what they were made from.
   *
   * @param names - aliases, or the start of a hash
   * @returns what was deleted
   * @throws IMAGE_NOT_FOUND
   */
  delete(names: string | readonly string[], options?: CallOptions): Promise<ImageInfo[]>;
}
