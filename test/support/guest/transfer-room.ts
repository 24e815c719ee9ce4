import { lstat, mkdir, mkdtemp, readdir, readFile, readlink, rename, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { buffer } from "node:stream/consumers";
import tar from "tar-stream";
import type { Strata } from "../../../lib/core/api/strata.ts";
import { openStrata } from "../../../lib/core/session/open.ts";
import type { Engine } from "../../../lib/engine/contract.ts";
import { isStrataError } from "../../../lib/errors.ts";
import { hostGuests } from "./host-guest.ts";

export interface TransferRoom extends AsyncDisposable {
  readonly engine: Engine;
  readonly strata: Strata;
  /** A path below the room: `host/…` is ours, `web/…` and `db/…` are the homes of two guests. */
  path(inner: string): string;
  write(inner: string, content: string | Buffer): Promise<void>;
  read(inner: string): Promise<string>;
  /** Everything below a folder, sorted: `path`, `path/`, or `path -> target`. */
  tree(inner: string): Promise<string[]>;
  /** What the guests' tar writes from now on, whatever it is asked. */
  guestSends(archive: Buffer): Promise<void>;
}

/** Two guests that are folders of this host, and a folder beside them. */
export async function transferRoom(): Promise<TransferRoom> {
  const root = await mkdtemp(join(tmpdir(), "strata-transfer-"));
  const path = (inner: string) => join(root, inner);
  for (const each of ["host", "web", "db", "bin"]) {
    await mkdir(path(each));
  }
  const engine = hostGuests(path, { PATH: `${path("bin")}:${process.env.PATH}` });
  const folders = { config: root, data: path("data"), cache: root, state: root };
  const strata = await openStrata({ engine, folders });
  for (const name of ["web", "db"]) {
    await strata.instances.launch({ image: "any", name });
  }
  return {
    strata,
    engine,
    path,
    write: (inner, content) => writeFile(path(inner), content),
    read: (inner) => readFile(path(inner), "utf8"),
    tree: (inner) => list(path(inner)),
    async guestSends(archive) {
      await writeFile(path("archive"), archive);
      await writeFile(path("bin/next"), `#!/bin/sh\nexec cat '${path("archive")}'\n`, { mode: 0o755 });
      // In one stroke: what still runs from before is not written to.
      await rename(path("bin/next"), path("bin/tar"));
    },
    async [Symbol.asyncDispose]() {
      await strata[Symbol.asyncDispose]();
      await rm(root, { recursive: true, force: true });
    },
  };
}

/** What is in a folder. What goes while it is looked at, as a guest tidies up, is not. */
async function list(folder: string, prefix = ""): Promise<string[]> {
  const lines: string[] = [];
  for (const name of (await unlessGone(readdir(join(folder, prefix))))?.sort() ?? []) {
    const inner = `${prefix}${name}`;
    const found = await unlessGone(lstat(join(folder, inner)));
    if (found === undefined) {
      continue;
    }
    if (found.isSymbolicLink()) {
      lines.push(`${inner} -> ${await readlink(join(folder, inner))}`);
    } else if (found.isDirectory()) {
      lines.push(`${inner}/`, ...(await list(folder, `${inner}/`)));
    } else {
      lines.push(inner);
    }
  }
  return lines;
}

async function unlessGone<T>(look: Promise<T>): Promise<T | undefined> {
  return look.catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") {
      return undefined;
    }
    throw error;
  });
}

/** The code of what a callback rejects with, and its message. */
export async function refusal(work: Promise<unknown>): Promise<{ code: string; message: string }> {
  try {
    await work;
  } catch (error) {
    if (!isStrataError(error)) {
      throw error;
    }
    return { code: error.code, message: error.message };
  }
  throw new Error("it was accepted");
}

/** An archive with these entries, as a guest may send it. */
export async function archive(...entries: (tar.Headers & { content?: string })[]): Promise<Buffer> {
  const pack = tar.pack();
  for (const { content = "", ...header } of entries) {
    pack.entry(header, content);
  }
  pack.finalize();
  return buffer(pack);
}
