import { createInterface } from "node:readline";
import { failure } from "../errors.ts";
import { standardOutput, writeTo } from "./output.ts";

/** What the command line reads from and writes to; tests bring their own. */
export interface Io {
  readonly stdin: NodeJS.ReadStream | (NodeJS.ReadableStream & { isTTY?: boolean });
  readonly stdout: NodeJS.WriteStream | (NodeJS.WritableStream & { isTTY?: boolean });
  readonly stderr: NodeJS.WriteStream | (NodeJS.WritableStream & { isTTY?: boolean });
  readonly env: NodeJS.ProcessEnv;
}

/** Node creates each stream at its first use, which takes a while, and most commands read nothing. */
export const processIo: Io = {
  get stdin() {
    return process.stdin;
  },
  get stdout() {
    return standardOutput();
  },
  get stderr() {
    return process.stderr;
  },
  env: process.env,
};

/** True where a question can be asked and answered. */
export function canAsk(io: Io): boolean {
  return io.stdout.isTTY === true && io.stdin.isTTY === true;
}

/**
 * Writes to standard output. False if that failed: the command continues, because its effect matters more
 * than its output, unless it only writes. `run` reports the failure at the end.
 */
export async function write({ stdout }: Io, text: string): Promise<boolean> {
  return writeTo(stdout, text);
}

/** The terminal to ask on, and the signal that cancels the command. */
interface Asker {
  readonly io: Io;
  readonly call: { readonly signal: AbortSignal };
}

/**
 * Asks a yes-or-no question until it gets an answer; Enter means `fallback`. Ctrl-C, Ctrl-D, the end of input
 * and the signal (even one that came before) are not answers: CANCELLED. So a user who walks away does not
 * lose what only a "no" may discard.
 */
export async function confirm(asker: Asker, question: string, fallback: boolean): Promise<boolean> {
  using lines = openLines(asker);
  for (;;) {
    const text = (await lines.ask(question)).trim().toLowerCase();
    if (text === "") {
      return fallback;
    }
    if ("yes".startsWith(text)) {
      return true;
    }
    if ("no".startsWith(text)) {
      return false;
    }
  }
}

/** Asks for a line of text; CANCELLED when none comes. */
export async function ask(asker: Asker, question: string): Promise<string> {
  using lines = openLines(asker);
  return await lines.ask(question);
}

function openLines({
  io: { stdin, stdout },
  call: { signal },
}: Asker): Disposable & { ask(question: string): Promise<string> } {
  if (signal.aborted) {
    throw failure("CANCELLED");
  }
  const lines = createInterface({ input: stdin, output: stdout, terminal: stdin.isTTY === true });
  // The iterator keeps what was typed ahead; it ends when the input does, and at Ctrl-C and Ctrl-D.
  const answers = lines[Symbol.asyncIterator]();
  const leave = () => lines.close();
  signal.addEventListener("abort", leave, { once: true });
  return {
    async ask(question) {
      lines.setPrompt(`${question} `);
      lines.prompt();
      const answer = await answers.next();
      if (answer.done === true) {
        throw failure("CANCELLED");
      }
      return answer.value;
    },
    [Symbol.dispose]() {
      signal.removeEventListener("abort", leave);
      lines.close();
    },
  };
}
