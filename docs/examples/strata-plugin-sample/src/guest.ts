import { PassThrough } from "node:stream";
import { buffer } from "node:stream/consumers";
import type { EngineAccess, ExecOptions, ExecSession } from "strata-vm/engine";
import { failure } from "./failure.ts";
import type { Disk, Store } from "./store.ts";

interface Outcome {
  readonly code: number;
  readonly out?: Buffer | string;
  readonly error?: string;
}

/** A guest that knows a handful of commands, as many as the kit asks for. */
export function guestAccess(store: Store): EngineAccess {
  const ready = async (id: string) => {
    const { name, state } = await store.get(id);
    if (state !== "running") {
      throw failure("GUEST_UNREACHABLE", { name, reason: "it is not running" });
    }
  };
  return {
    via: "engine",
    ready,
    async exec(id, argv, options) {
      await ready(id);
      return start(store, id, argv, options);
    },
  };
}

function start(store: Store, id: string, argv: readonly string[], options: ExecOptions): ExecSession {
  const [stdin, stdout, stderr] = [new PassThrough(), new PassThrough(), new PassThrough()];
  const { signal } = options;
  const cancelled = new Promise<never>((_, reject) => {
    const cancel = () => reject(failure("CANCELLED", {}, signal?.reason));
    if (signal?.aborted) {
      cancel();
    } else {
      signal?.addEventListener("abort", cancel, { once: true });
    }
  });
  const end = ({ code, out = "", error = "" }: Outcome) => {
    stdout.end(out);
    stderr.end(error);
    return { code };
  };
  const exit = Promise.race([run(store, id, argv, options, () => buffer(stdin)), cancelled]).then(end);
  exit.catch(() => {
    stdout.end();
    stderr.end();
  });
  return { stdin, stdout, stderr, resize: () => {}, exit };
}

/** Runs a command to its end. A status that is not 0 is a result, never an error. */
async function run(
  store: Store,
  id: string,
  [command, ...args]: readonly string[],
  { cwd = "/" }: ExecOptions,
  input: () => Promise<Buffer>,
): Promise<Outcome> {
  const [path = ""] = args;
  const look = async () => (await store.get(id)).disk;
  // A guest writes its own disk, whoever has the lock. Here that is in the one file of the instance, so the file is
  // read again at once before it is written; a real engine has its disks elsewhere.
  const write = async (change: (disk: Disk) => Disk) => {
    const stored = await store.get(id);
    await store.put({ ...stored, disk: change(stored.disk) });
  };
  switch (command) {
    case "true":
    case "sync":
      return { code: 0 };
    case "false":
      return { code: 1 };
    case "echo":
      return { code: 0, out: `${args.join(" ")}\n` };
    case "pwd":
      return { code: 0, out: `${cwd}\n` };
    case "cat": {
      if (args.length === 0) {
        return { code: 0, out: await input() };
      }
      const found = (await look())[path];
      return found === undefined
        ? { code: 1, error: `cat: ${path}: No such file or directory\n` }
        : { code: 0, out: Buffer.from(found, "base64") };
    }
    case "tee": {
      const out = await input();
      await write((disk) => ({ ...disk, [path]: out.toString("base64") }));
      return { code: 0, out };
    }
    case "rm": {
      await write(({ [path]: _, ...rest }) => rest);
      return { code: 0 };
    }
    default:
      return { code: 127, error: `${command}: command not found\n` };
  }
}
