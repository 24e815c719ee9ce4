import { z } from "zod";
import { failure, type StrataError } from "../../errors.ts";
import type { Remote } from "./remotes.ts";

/** One version of an image as a remote publishes it. */
export interface PublishedImage {
  /**
   * The remote's own name for the product that has versions, such as "com.ubuntu.cloud:server:24.04:amd64".
   */
  readonly product: string;
  readonly os: string;
  /** Such as "24.04 LTS". */
  readonly release: string;
  /** Names of the newest version; the first one is shown. Never empty. */
  readonly aliases: readonly string[];
  /** Such as "20260821"; later ones are greater. */
  readonly version: string;
  readonly supported: boolean;
  /** URL of the file, without the login that the remote may require. */
  readonly url: string;
  /** Bytes. */
  readonly size: number;
  readonly sha256: string;
}

/** File types of disk images in a version, the preferred ones first; each may be compressed. */
const DISKS = ["disk1.img", "disk.img", "disk.qcow2", "disk-kvm.img"].flatMap((type) =>
  ["", ".xz", ".gz", ".zst"].map((packing) => type + packing),
);

const line = z.string().max(200);

const indexShape = z.object({
  format: z.literal("index:1.0"),
  index: z.record(
    z.string(),
    z.object({ datatype: line.optional(), format: line.optional(), path: z.string().max(1024) }),
  ),
});

const productsShape = z.object({
  format: z.literal("products:1.0"),
  products: z.record(
    line,
    z.object({
      arch: line.optional(),
      os: line.default(""),
      aliases: z.string().max(2000).optional(),
      release: line.default(""),
      release_title: line.optional(),
      version: line.optional(),
      supported: z.boolean().default(true),
      versions: z.record(
        line,
        z.object({ items: z.record(z.string(), z.looseObject({ ftype: line.optional() })) }),
      ),
    }),
  ),
});

const diskShape = z.object({
  path: z.string().min(1).max(1024),
  size: z
    .int()
    .positive()
    .max(1024 ** 4),
  sha256: z.string().regex(/^[0-9a-f]{64}$/),
});

/** Compares versions by their numbers: 20260821.10 comes after 20260821.9. */
export const inOrder = new Intl.Collator("en", { numeric: true }).compare;

/** The URLs in an index of the files that list images. Throws CATALOGUE_UNREADABLE. */
export function parseIndex(remote: Remote, text: string): URL[] {
  const { index } = parse(remote, indexShape, text);
  return Object.values(index)
    .filter(({ datatype, format }) => datatype === "image-downloads" && format === "products:1.0")
    .map(({ path }) => below(remote, path));
}

/**
 * The images for an architecture ("amd64") in a product file, in its order, the newest version of each first.
 * Products without a disk image are skipped. Throws CATALOGUE_UNREADABLE.
 */
export function parseProducts(remote: Remote, text: string, arch: string): PublishedImage[] {
  const { products } = parse(remote, productsShape, text);
  return Object.entries(products).flatMap(([product, { versions, ...facts }]) => {
    if (facts.arch !== undefined && facts.arch !== arch) {
      return [];
    }
    const aliases = readAliases(facts.aliases ?? [facts.version, facts.release].join(","));
    if (aliases.length === 0) {
      return [];
    }
    const common = {
      product,
      os: facts.os.charAt(0).toUpperCase() + facts.os.slice(1),
      release: facts.release_title ?? facts.version ?? facts.release,
      aliases: shownFirst(aliases, facts.version),
      supported: facts.supported,
    };
    return Object.entries(versions)
      .filter(([version]) => /^[\w.:+~-]{1,64}$/.test(version))
      .sort(([a], [b]) => inOrder(b, a))
      .flatMap(([version, { items }]) => {
        const item = bestDisk(Object.values(items));
        if (item === undefined) {
          return [];
        }
        const { path, ...disk } = check(remote, diskShape, item, `the disk of ${product} ${version}`);
        return [{ ...common, version, url: below(remote, path).href, ...disk }];
      });
  });
}

/** Only names that cannot be mistaken for a URL, a remote or an option. */
function readAliases(text: string): string[] {
  const names = text.split(",").map((name) => name.trim().toLowerCase());
  return [...new Set(names.filter((name) => /^[a-z0-9][\w.+/-]{0,63}$/.test(name)))];
}

function shownFirst(aliases: readonly string[], version: string | undefined): string[] {
  const first = aliases.filter((name) => name === version?.toLowerCase());
  return [...first, ...aliases.filter((name) => !first.includes(name))];
}

function bestDisk<Item extends { readonly ftype?: string | undefined }>(items: Item[]): Item | undefined {
  return DISKS.map((type) => items.find(({ ftype }) => ftype === type)).find((item) => item !== undefined);
}

/** A path in a catalogue is always one on its own server, whatever it looks like. */
function below(remote: Remote, path: string): URL {
  const base = new URL(remote.url);
  base.username = "";
  base.password = "";
  const url = URL.canParse(path, base.href) ? new URL(path, base) : undefined;
  if (url === undefined || url.origin !== base.origin || url.username !== "") {
    throw unreadable(remote, `the path ${JSON.stringify(path)} must be on the same server`);
  }
  return url;
}

function parse<T>(remote: Remote, shape: z.ZodType<T>, text: string): T {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw unreadable(remote, "it is not valid JSON", error);
  }
  return check(remote, shape, value);
}

function check<T>(remote: Remote, shape: z.ZodType<T>, value: unknown, where?: string): T {
  const { success, data, error } = shape.safeParse(value);
  if (success) {
    return data;
  }
  const [issue] = error.issues;
  const at = [where, issue?.path.join("/")].filter(Boolean).join(", ");
  throw unreadable(remote, `${at || "the document"}: ${issue?.message}`, error);
}

function unreadable({ name }: Remote, reason: string, cause?: unknown): StrataError {
  return failure("CATALOGUE_UNREADABLE", { remote: name, reason }, cause);
}
