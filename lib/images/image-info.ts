/** An image on this host. */
export interface ImageInfo {
  /** SHA-256 of the image, in hexadecimal: its identity. */
  readonly sha256: string;
  /** Operating system, such as "Debian"; "" when not known. */
  readonly os: string;
  /** Such as "12"; "" when not known. */
  readonly release: string;
  /** Names that launch it, such as "debian". */
  readonly aliases: readonly string[];
  /** Bytes of the file in the cache. */
  readonly size: bigint;
  /** Bytes of the disk that a guest sees. */
  readonly virtualSize: bigint;
  /** When it came, or was built here. Milliseconds since the epoch. */
  readonly createdAt: number;
  /** When it was last launched, or came. Milliseconds since the epoch. */
  readonly usedAt: number;
  /** Where it is from: a URL, a path, or what it was built of. */
  readonly source: string;
  /** Built here by a strata whose images of this kind are made of something else. */
  readonly outdated: boolean;
  /** Root keeps it for all users of this host. */
  readonly system: boolean;
}

/** Which images to find. */
export interface FindOptions {
  /**
   * `ALIAS`, the start of a hash, part of a name, `REMOTE:` or one of these behind it.
   *
   * @default all images
   */
  readonly text?: string;
  /**
   * Those too that get no updates any more.
   *
   * @default false
   */
  readonly unsupported?: boolean;
  /**
   * Asks the remotes also where what they said lately is known.
   *
   * @default false: what they said within the last day is used
   */
  readonly refresh?: boolean;
}

/** An image that can be launched by its name. */
export interface ImageOffer {
  /** Such as "24.04", "daily:25.10", "debian-cloud". */
  readonly name: string;
  /** Further names that launch it. */
  readonly aliases: readonly string[];
  /** Operating system, such as "Ubuntu". */
  readonly os: string;
  /** Such as "24.04 LTS". */
  readonly release: string;
  /** "" for the default remote and for what was built here. */
  readonly remote: string;
  /** Such as "20260821". */
  readonly version: string;
}

/** What can be launched by name. */
export interface ImageOffers {
  /** Those of the remotes in their order, then what was built here. */
  readonly images: readonly ImageOffer[];
  /** Why some remotes could not be asked, or only answered from what is kept. */
  readonly errors: readonly string[];
}
