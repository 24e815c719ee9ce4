import { type FileHandle, open, readdir, stat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import type { ConsoleLogOptions } from "../../../lib/engine/contract.ts";
import { lastLines } from "../../../lib/util/last-lines.ts";
import { isAbsent } from "../errors.ts";

/** What a guest writes on its serial console, in the instance's folder. virtlogd adds a number to older ones. */
export const CONSOLE_LOG = "console.log";

/** True for the names of such files in a folder. */
export function isConsoleLog(entry: string): boolean {
  return /^console\.log(?:\.\d{1,3})?$/.test(entry);
}

/** Between two looks for more, ms. */
const FOLLOW_PAUSE_MS = 250;
const CHUNK = 64 * 1024;
/** Most that is read where only the last lines are wanted, bytes. virtlogd keeps 8 MiB by default. */
const TAIL = 1024 * 1024;

/** Reads the log and the older ones beside it that virtlogd has put aside. */
export async function* readLog(path: string, options: ConsoleLogOptions): AsyncGenerator<Uint8Array> {
  const { lines, follow, signal } = options;
  const reader = new Reader(path);
  try {
    await reader.open();
    if (lines === undefined) {
      for (const older of await olderThan(path, reader)) {
        yield* readWhole(older);
      }
      yield* reader.rest();
    } else {
      yield await reader.tail(lines);
    }
    while (follow === true && !signal.aborted) {
      yield* reader.rest();
      if (await reader.isLeft()) {
        yield* reader.rest();
        await reader.open();
        continue;
      }
      await delay(FOLLOW_PAUSE_MS, undefined, { signal }).catch(() => {});
    }
  } finally {
    await reader.close();
  }
}

/** One file, read on as it grows; its name goes to another when virtlogd puts it aside. */
class Reader {
  private readonly path: string;
  private file: FileHandle | undefined;
  private at = 0;
  inode: number | undefined;

  constructor(path: string) {
    this.path = path;
  }

  /** Opens what has the name now, if there is anything. */
  async open(): Promise<void> {
    await this.close();
    this.at = 0;
    try {
      this.file = await open(this.path, "r");
      this.inode = (await this.file.stat()).ino;
    } catch (error) {
      if (!isAbsent(error)) {
        throw error;
      }
    }
  }

  async *rest(): AsyncGenerator<Uint8Array> {
    for (;;) {
      const { bytesRead = 0, buffer } =
        (await this.file?.read(Buffer.allocUnsafe(CHUNK), 0, CHUNK, this.at)) ?? {};
      if (bytesRead === 0 || buffer === undefined) {
        return;
      }
      this.at += bytesRead;
      yield buffer.subarray(0, bytesRead);
    }
  }

  /** The last lines, those of older files too. */
  async tail(lines: number): Promise<Uint8Array> {
    const { size = 0 } = (await this.file?.stat()) ?? {};
    this.at = Math.max(0, size - TAIL);
    let text = Buffer.concat(await collect(this.rest()));
    for (const older of (await olderThan(this.path, this)).reverse()) {
      const wanted = lastLines(text, lines);
      if (wanted.length < text.length || text.length >= TAIL) {
        break;
      }
      text = Buffer.concat([...(await collect(readWhole(older))), text]);
    }
    return lastLines(text, lines);
  }

  /** True once the name leads to another file, or to this one cut off. */
  async isLeft(): Promise<boolean> {
    const now = await stat(this.path).catch((error: unknown) => {
      if (isAbsent(error)) {
        return undefined;
      }
      throw error;
    });
    return now !== undefined && (now.ino !== this.inode || now.size < this.at);
  }

  async close(): Promise<void> {
    await this.file?.close();
    this.file = undefined;
    this.inode = undefined;
  }
}

/** The files that were put aside, oldest first. One that was put aside since the reader opened it is the reader's. */
async function olderThan(path: string, { inode }: { readonly inode: number | undefined }): Promise<string[]> {
  const folder = dirname(path);
  const name = basename(path);
  const numberOf = (entry: string) =>
    entry.startsWith(`${name}.`) && /^\d{1,3}$/.test(entry.slice(name.length + 1))
      ? Number(entry.slice(name.length + 1))
      : undefined;
  const entries = await readdir(folder).catch((error: unknown) => {
    if (isAbsent(error)) {
      return [];
    }
    throw error;
  });
  const older = entries
    .flatMap((entry) => {
      const number = numberOf(entry);
      return number === undefined ? [] : [{ number, path: join(folder, entry) }];
    })
    .sort((a, b) => b.number - a.number);
  const found: string[] = [];
  for (const each of older) {
    if ((await stat(each.path).catch(() => undefined))?.ino !== inode) {
      found.push(each.path);
    }
  }
  return found;
}

async function* readWhole(path: string): AsyncGenerator<Uint8Array> {
  const reader = new Reader(path);
  try {
    await reader.open();
    yield* reader.rest();
  } finally {
    await reader.close();
  }
}

async function collect(chunks: AsyncIterable<Uint8Array>): Promise<Uint8Array[]> {
  const found: Uint8Array[] = [];
  for await (const chunk of chunks) {
    found.push(chunk);
  }
  return found;
}
