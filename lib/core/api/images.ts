import type { FindOptions, ImageInfo, ImageOffers } from "../../images/image-info.ts";
import type { CallOptions } from "./session.ts";

/** Options of {@link StrataImages.find}. */
export interface FindImagesOptions extends FindOptions, CallOptions {}

/** Options of {@link StrataImages.build}. */
export interface BuildImageOptions extends CallOptions {
  /** The distribution of its packages. */
  readonly distribution: "debian";
  /** `cloud`: systemd and cloud-init; `micro`: boots within seconds, for tests; `container`: for LXD. */
  readonly variant: "micro" | "cloud" | "container";
  /**
   * Codename or number, such as "trixie" or "13".
   *
   * @default the host's own
   */
  readonly release?: string;
}

/** Images that instances are launched from. */
export interface StrataImages {
  /**
   * The images that can be launched by name. Remotes that could not be asked are in the `errors` of the
   * answer.
   *
   * @throws REMOTE_NOT_FOUND; with a text, IMAGE_NOT_FOUND or why a remote could not be asked
   */
  find(options?: FindImagesOptions): Promise<ImageOffers>;
  /** The images on this host, newest first. */
  list(): Promise<ImageInfo[]>;
  /**
   * Builds an image from packages of a distribution and adds it to the images on this host.
   *
   * @throws PROGRAM_MISSING, PROGRAM_FAILED, DOWNLOAD_FAILED, NO_SPACE
   */
  build(options: BuildImageOptions): Promise<ImageInfo>;
  /**
   * Deletes images from this host and from engines of the configuration that have copies; all are looked up
   * first. Instances do not need them any more.
   *
   * @param names - aliases, or the start of a hash
   * @returns what was deleted
   * @throws IMAGE_NOT_FOUND
   */
  delete(names: string | readonly string[], options?: CallOptions): Promise<ImageInfo[]>;
}
