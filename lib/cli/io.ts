import { once } from "node:events";
import { createInterface } from "node:readline/promises";

/** What the command line reads from and writes to; tests bring their own. */
export interface Io {
  readonly stdin: NodeJS.ReadStream | (NodeJS.ReadableStream & { isTTY?: boolean });
  readonly stdout: NodeJS.WriteStream | (NodeJS.WritableStream & { isTTY?: boolean });
  readonly stderr: NodeJS.WriteStream | (NodeJS.WritableStream & { isTTY?: boolean });
  readonly env: NodeJS.ProcessEnv;
}

export const processIo: Io = {
  stdin: process.stdin,
  stdout: process.stdout,
  stderr: process.stderr,
  env: process.env,
};

/** True where a question can be asked and answered. */
export function canAsk({ stdin, stdout }: Io): boolean {
  return stdin.isTTY === true && stdout.isTTY === true;
}

/** Writes data and waits until there is room for more. */
export async function write({ stdout }: Io, text: string): Promise<void> {
  if (!stdout.write(text)) await once(stdout, "drain");
}

/** Asks a yes-or-no question until it gets an answer; Enter is `fallback`, the end of input is no. */
export async function confirm(io: Io, question: string, fallback: boolean): Promise<boolean> {
  const lines = createInterface({ input: io.stdin, output: io.stdout, terminal: io.stdin.isTTY === true });
  const closed = once(lines, "close").then(() => null);
  try {
    for (;;) {
      const answer = await Promise.race([lines.question(`${question} `), closed]);
      if (answer === null) return false;
      const text = answer.trim().toLowerCase();
      if (text === "") return fallback;
      if ("yes".startsWith(text)) return true;
      if ("no".startsWith(text)) return false;
    }
  } finally {
    lines.close();
  }
}

/** Asks for a line of text. */
export async function ask(io: Io, question: string): Promise<string> {
  const lines = createInterface({ input: io.stdin, output: io.stdout, terminal: io.stdin.isTTY === true });
  try {
    return await lines.question(`${question} `);
  } finally {
    lines.close();
  }
}
