import { spawn } from "node:child_process";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";

/** How long a process may take to do what it is for, ms. */
const CHILD_TIMEOUT_MS = 30_000;

/** A process with the engine in it; see `child.ts`. */
export interface Child {
  /** Resolves when it has said that it is ready; rejects with what it said instead. */
  readonly ready: Promise<void>;
  readonly ended: Promise<{ readonly code: number | null | "it did not end"; readonly output: string }>;
  kill(): Promise<void>;
}

/** Starts a process that runs as this one does, with the same loaders of modules. */
export function startChild(...args: readonly string[]): Child {
  const script = fileURLToPath(new URL(import.meta.url.replace(/child-process(\.[jt]s)$/, "child$1")));
  const child = spawn(process.execPath, [...process.execArgv, script, ...args], {
    stdio: ["ignore", "pipe", "pipe"],
    // What Node has to say of itself is not the plugin's.
    env: { ...process.env, NODE_NO_WARNINGS: "1" },
  });
  let over = (_: Error) => {};
  const ready = new Promise<void>((resolve, reject) => {
    child.stdout.once("data", () => resolve());
    over = reject;
  });
  ready.catch(() => {});
  let late = false;
  const timer = setTimeout(() => {
    late = true;
    child.kill("SIGKILL");
  }, CHILD_TIMEOUT_MS);
  const exit = new Promise<number | null>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code) => resolve(code));
  });
  const ended = Promise.all([exit, text(child.stdout), text(child.stderr)])
    .then(([code, out, error]) => {
      const output = `${out}${error}`;
      over(new Error(`the process ended: ${output}`));
      return { code: late ? ("it did not end" as const) : code, output };
    })
    .finally(() => clearTimeout(timer));
  ended.catch(() => {});
  return {
    ready,
    ended,
    async kill() {
      child.kill("SIGKILL");
      await ended;
    },
  };
}
