import { PassThrough } from "node:stream";
import { text } from "node:stream/consumers";
import type { EngineAccess, ExecSession } from "../../lib/backend/contract.ts";
import { failure } from "../../lib/errors.ts";
import type { World } from "./world.ts";

interface Outcome {
  readonly code: number;
  readonly out?: string;
  readonly error?: string;
}

/** A guest that knows a handful of commands: `true false echo cat tee rm nproc`, and does not mind `shutdown`. */
export function guestAccess(world: World): EngineAccess {
  return {
    via: "engine",
    async ready(id) {
      const { name, state } = await world.get(id);
      if (state !== "running") throw failure("GUEST_UNREACHABLE", { name, reason: "it does not run" });
    },
    async exec(id, argv) {
      const { name, state } = await world.get(id);
      if (state !== "running") throw failure("GUEST_UNREACHABLE", { name, reason: "it does not run" });
      const stdin = new PassThrough();
      const stdout = new PassThrough();
      const stderr = new PassThrough();
      const exit = runCommand(world, id, argv, stdin).then(({ code, out = "", error = "" }) => {
        stdout.end(out);
        stderr.end(error);
        return { code };
      });
      const session: ExecSession = { stdin, stdout, stderr, resize: () => {}, exit };
      return session;
    },
  };
}

async function runCommand(
  world: World,
  id: string,
  argv: readonly string[],
  stdin: PassThrough,
): Promise<Outcome> {
  const [command = "", ...args] = argv;
  const [path = ""] = args;
  const stored = await world.get(id);
  const { contents } = stored;
  switch (command) {
    case "true":
    case "shutdown":
      return { code: 0 };
    case "false":
      return { code: 1 };
    case "echo":
      return { code: 0, out: `${args.join(" ")}\n` };
    case "nproc":
      return { code: 0, out: `${stored.resources.cpus}\n` };
    case "cat": {
      const found = contents[path];
      return found === undefined
        ? { code: 1, error: `cat: ${path}: No such file or directory\n` }
        : { code: 0, out: found };
    }
    case "tee": {
      const written = await text(stdin);
      await world.put({ ...stored, contents: { ...contents, [path]: written } });
      return { code: 0, out: written };
    }
    case "rm": {
      const { [path]: _, ...rest } = contents;
      await world.put({ ...stored, contents: rest });
      return { code: 0 };
    }
    default:
      return { code: 127, error: `${command}: command not found\n` };
  }
}
