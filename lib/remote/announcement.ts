import type { Readable } from "node:stream";
import { failure } from "../errors.ts";

const LINE_FEED = 10;

/** The line `MARK GROUP` that a command on another host begins with, on its standard error. */
export class Announcement {
  /** The process group; rejects when the command has ended without it. */
  readonly group: Promise<number>;
  readonly #line: RegExp;
  #resolve: (group: number) => void = () => {};
  #reject: (error: unknown) => void = () => {};

  constructor(mark: string) {
    this.#line = new RegExp(`^${mark} (\\d{1,10})\\r?\\n$`);
    this.group = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    this.group.catch(() => {});
  }

  /** Passes on all of a standard error but the line; what the login shell writes before it is passed on too. */
  async passOn(from: Readable, to: NodeJS.WritableStream): Promise<void> {
    let waiting: Buffer | undefined = Buffer.alloc(0);
    for await (const chunk of from) {
      waiting = waiting === undefined ? pass(chunk, to) : this.#search(Buffer.concat([waiting, chunk]), to);
    }
    if (waiting !== undefined) {
      pass(waiting, to);
    }
    this.#reject(failure("CANCELLED"));
  }

  /** Passes on the lines before ours; what is not a whole line waits. Undefined once ours was there. */
  #search(bytes: Buffer, to: NodeJS.WritableStream): Buffer | undefined {
    let rest = bytes;
    for (let end = rest.indexOf(LINE_FEED); end !== -1; end = rest.indexOf(LINE_FEED)) {
      const line = rest.subarray(0, end + 1);
      rest = rest.subarray(end + 1);
      const [, group] = this.#line.exec(line.toString("latin1")) ?? [];
      if (group !== undefined) {
        this.#resolve(Number(group));
        return pass(rest, to);
      }
      pass(line, to);
    }
    return rest;
  }
}

function pass(bytes: Buffer, to: NodeJS.WritableStream): undefined {
  if (bytes.length > 0) {
    to.write(bytes);
  }
}
