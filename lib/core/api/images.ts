import type { FindOptions, ImageInfo, ImageOffers } from "../../images/image-info.ts";
import type { CallOptions } from "./session.ts";

/** Options of {@link StrataImages.find}. */
export interface FindImagesOptions extends FindOptions, CallOptions {}

/** Options of {@link StrataImages.build}. */
export interface BuildImageOptions extends CallOptions {
  /** The distribution of its packages. */
  readonly distribution: "debian";
  /** `cloud`: systemd and cloud-init; `micro`: boots within seconds, for tests; `container`: for LXD and Incus. */
  readonly variant: "micro" | "cloud" | "container";
  /**
   * Codename or number, such as "trixie" or "13".
   *
   * @default the host's own
   */
  readonly release?: string;
  /**
   * For all users of this host, which takes root.
   *
   * @default false: the image is the user's own
   */
  readonly system?: boolean;
}

/** Options of calls that add or change an image. */
export interface ImageOptions extends CallOptions {
  /**
   * Among the images that root keeps for all users of this host.
   *
   * @default false: among the user's own
   */
  readonly system?: boolean;
}

/** Options of {@link StrataImages.import}. */
export interface ImportImageOptions extends ImageOptions {
  /**
   * A name that launches it: lower-case letters, digits, dots, hyphens and underscores.
   *
   * @default that of the file, if no image has it
   */
  readonly name?: string;
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
  /** The images on this host, the user's own and those for all users, newest first. */
  list(): Promise<ImageInfo[]>;
  /**
   * Builds an image from packages of a distribution and adds it to the images on this host.
   *
   * @throws PROGRAM_MISSING, PROGRAM_FAILED, DOWNLOAD_FAILED, NO_SPACE
   */
  build(options: BuildImageOptions): Promise<ImageInfo>;
  /**
   * Downloads the newest version of a published image, if it is not here, without launching it.
   *
   * @param name - `ALIAS`, the start of a hash, or one of these behind `REMOTE:`
   * @throws IMAGE_NOT_FOUND, REMOTE_NOT_FOUND, DOWNLOAD_FAILED, CHECKSUM_MISMATCH, NO_SPACE, IMAGE_STORE_UNUSABLE
   */
  pull(name: string, options?: ImageOptions): Promise<ImageInfo>;
  /**
   * Adds an image from a file or a URL to those on this host. An image that is here already gets the name.
   *
   * @param source - a path, `file:///PATH` or `https://…#sha256=HEX`
   * @throws IMAGE_EXISTS, FILE_NOT_FOUND, IMAGE_UNREADABLE, CHECKSUM_REQUIRED, CHECKSUM_MISMATCH, DOWNLOAD_FAILED,
   *   NO_SPACE, IMAGE_STORE_UNUSABLE
   */
  import(source: string, options?: ImportImageOptions): Promise<ImageInfo>;
  /**
   * Gives an image a name in the place of all that it has. A published image is then the user's own: it is not
   * replaced by newer versions, and does not expire.
   *
   * @param image - an alias, or the start of its hash
   * @throws IMAGE_NOT_FOUND, IMAGE_EXISTS, INVALID_VALUE, IMAGE_STORE_UNUSABLE
   */
  rename(image: string, name: string, options?: ImageOptions): Promise<ImageInfo>;
  /**
   * Deletes images from this host and from engines of the configuration that have copies; all are looked up
   * first. Instances do not need them any more.
   *
   * @param names - aliases, or the start of a hash
   * @returns what was deleted
   * @throws IMAGE_NOT_FOUND
   */
  delete(names: string | readonly string[], options?: ImageOptions): Promise<ImageInfo[]>;
}
