import { createHash } from "node:crypto";
import { mkdir, readdir } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { failure } from "../../../lib/errors.ts";
import { fileError, isAbsent } from "../errors.ts";
import { isLayerPath } from "../layers/names.ts";
import { readIfThere, removeIfThere, writeDurably } from "../storage/durable-file.ts";
import { parse } from "../xml/document.ts";
import { readSnapshot } from "../xml/snapshot.ts";

/** In an instance's folder: a copy of each snapshot's record. */
export const RECORDS = "records";
/** In an instance's folder: a copy of the domain's definition. */
export const DEFINITION = "domain.xml";

const VERSION = 1;
const FIRST_LINE = /^<\?strata version="(\d+)"\?>\n/;

/** A copy of a record, as the name of its file says. */
export interface RecordCopy {
  /** Name of the snapshot. */
  readonly name: string;
  /** The files that the snapshot froze, that of the system disk first; none if it is not an external disk snapshot. */
  readonly frozen: readonly string[];
  /** The copy's file. */
  readonly path: string;
}

/** Names that can be used in file names. For other names, the file name contains a hash. */
const PLAIN = /^[A-Za-z0-9][A-Za-z0-9_-]{0,150}$/;
/**
 * `NAME.LAYERS.xml`: LAYERS are the UUIDs of the layers, joined by "+"; "none" for no layer, "other" where one is
 * elsewhere or there are too many.
 */
const FILE = /^(.+)\.([0-9a-f-]{36}(?:\+[0-9a-f-]{36})*|none|other)\.xml$/;
/** The longest name of a file, bytes, with room for what a temporary one adds. */
const LONGEST = 220;

function fileName(folder: string, name: string, frozen: readonly string[]): string {
  const first = PLAIN.test(name) ? name : `=${createHash("sha256").update(name).digest("hex")}`;
  if (frozen.length === 0) {
    return `${first}.none.xml`;
  }
  const layers = frozen.map((path) => basename(path).slice(6, 42)).join("+");
  const ours = frozen.every((path) => isLayerPath(folder, path));
  // A single layer has always been named.
  return ours && (frozen.length === 1 || first.length + layers.length <= LONGEST)
    ? `${first}.${layers}.xml`
    : `${first}.other.xml`;
}

/**
 * The copies in an instance's folder. Files whose names say everything are not read: every change needs to
 * know what each snapshot froze, so that must be cheap.
 */
export async function listCopies(folder: string): Promise<RecordCopy[]> {
  const files = await readdir(join(folder, RECORDS)).catch((error: unknown) => {
    if (isAbsent(error)) {
      return [];
    }
    throw fileError(error, join(folder, RECORDS));
  });
  const found = await Promise.all(files.map((file) => toCopy(folder, file)));
  return found.filter((copy) => copy !== undefined);
}

async function toCopy(folder: string, file: string): Promise<RecordCopy | undefined> {
  const [, first, layers] = FILE.exec(file) ?? [];
  if (first === undefined || layers === undefined) {
    return undefined;
  }
  const path = join(folder, RECORDS, file);
  if (!first.startsWith("=") && layers !== "other") {
    const uuids = layers === "none" ? [] : layers.split("+");
    return { name: first, frozen: uuids.map((uuid) => join(folder, `layer-${uuid}.qcow2`)), path };
  }
  // A copy that cannot be read is ignored. libvirt's record counts as long as it exists.
  try {
    const xml = await readCopy(path);
    if (xml === null) {
      return undefined;
    }
    const { name, frozen } = readSnapshot(await parse(xml));
    return { name, frozen, path };
  } catch {
    return undefined;
  }
}

/** Writes a copy of a record, replacing one with the same name and layers. */
export async function writeRecordCopy(
  folder: string,
  { name, frozen, xml }: { readonly name: string; readonly frozen: readonly string[]; readonly xml: string },
): Promise<void> {
  const path = join(folder, RECORDS, fileName(folder, name, frozen));
  await mkdir(dirname(path), { recursive: true, mode: 0o700 }).catch((error: unknown) => {
    throw fileError(error, path);
  });
  await writeDurably(path, withVersion(xml));
}

/** Removes the copies of a snapshot's record, except the one to keep. */
export async function removeRecordCopies(
  copies: readonly RecordCopy[],
  name: string,
  keep?: string,
): Promise<void> {
  for (const copy of copies) {
    if (copy.name === name && copy.path !== keep) {
      await removeIfThere(copy.path);
    }
  }
}

/** The path of a record's copy. */
export function recordCopyPath(folder: string, name: string, frozen: readonly string[]): string {
  return join(folder, RECORDS, fileName(folder, name, frozen));
}

/** Writes a copy of the domain's definition. */
export async function writeDefinitionCopy(folder: string, xml: string): Promise<void> {
  await writeDurably(join(folder, DEFINITION), withVersion(xml));
}

function withVersion(xml: string): string {
  return `<?strata version="${VERSION}"?>\n${xml}`;
}

/** The document in a copy; null if it does not exist. Rejects with RECORD_TOO_NEW and RECORDS_DIFFER. */
export async function readCopy(path: string): Promise<string | null> {
  const text = await readIfThere(path);
  if (text === null) {
    return null;
  }
  const version = Number(FIRST_LINE.exec(text)?.[1] ?? Number.NaN);
  const name = path;
  if (version > VERSION) {
    throw failure("RECORD_TOO_NEW", { name, reason: `it has version ${version}` });
  }
  if (version !== VERSION) {
    throw failure("RECORDS_DIFFER", { name, reason: "it is not a copy of a record" });
  }
  return text.replace(FIRST_LINE, "");
}
