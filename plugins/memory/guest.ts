import { PassThrough } from "node:stream";
import type { EngineAccess, ExecOptions, ExecSession } from "../../lib/engine/contract.ts";
import { failure } from "../../lib/errors.ts";
import { COMMANDS, inMemory, type Surroundings } from "./commands.ts";
import type { World } from "./world.ts";

/** A guest that knows a handful of commands: see `commands.ts`. */
export function guestAccess(world: World): EngineAccess {
  const reach = async (id: string) => {
    const { name, state } = await world.get(id);
    if (state !== "running") {
      throw failure("GUEST_UNREACHABLE", { name, reason: "it is not running" });
    }
  };
  return {
    via: "engine",
    ready: reach,
    async exec(id, argv, options) {
      await reach(id);
      return run(world, id, argv, options);
    },
  };
}

/** A command line, perhaps with `env NAME=VALUE…` before it, as every guest understands. */
function readWords(words: readonly string[]) {
  const prefixed = words[0] === "env";
  const first = prefixed ? words.findIndex((word, at) => at > 0 && !word.includes("=")) : 0;
  const [command = "", ...args] = words.slice(first);
  const variables = words.slice(prefixed ? 1 : 0, first).map((word) => {
    const at = word.indexOf("=");
    return [word.slice(0, at), word.slice(at + 1)] as const;
  });
  return { env: Object.fromEntries(variables), command, args };
}

function run(
  world: World,
  id: string,
  words: readonly string[],
  { cwd = "/home/ubuntu", user = "ubuntu", signal }: ExecOptions,
): ExecSession {
  const { env, command, args } = readWords(words);
  const [stdin, stdout, stderr] = [new PassThrough(), new PassThrough(), new PassThrough()];
  const around: Surroundings = {
    args,
    cwd,
    user,
    env,
    stdin,
    stdout,
    stderr,
    look: () => world.get(id),
    store: (path, written) =>
      world.change([id], (stored) => {
        const place = inMemory(path) ? "memory" : "contents";
        const { [path]: _, ...others } = stored[place] ?? {};
        return { ...stored, [place]: written === undefined ? others : { ...others, [path]: written } };
      }),
  };
  const unknown = async () => {
    stderr.write(`${command}: command not found\n`);
    return 127;
  };
  const work = COMMANDS[command] ?? unknown;
  const called = new Promise<never>((_, reject) => {
    const cancel = () => reject(failure("CANCELLED", {}, signal?.reason));
    if (signal?.aborted) {
      cancel();
    } else {
      signal?.addEventListener("abort", cancel, { once: true });
    }
  });
  const exit = Promise.race([work(around), called])
    .then((code) => ({ code }))
    .finally(() => {
      stdout.end();
      stderr.end();
    });
  // A caller that only reads the output must not get an unhandled rejection.
  exit.catch(() => {});
  return { stdin, stdout, stderr, resize: () => {}, exit };
}
