import { PassThrough, Transform } from "node:stream";
import type {
  ConsoleLogOptions,
  ConsoleOptions,
  ConsoleSession,
  Consoles,
} from "../../lib/engine/contract.ts";
import { failure } from "../../lib/errors.ts";
import { lastLines } from "../../lib/util/last-lines.ts";
import type { World } from "./world.ts";

/** A console that tells of each boot, and repeats what is typed. */
export function consoleGroup(world: World): Consoles {
  return { log: (id, options) => log(world, id, options), open: (id, options) => open(world, id, options) };
}

async function* log(
  world: World,
  id: string,
  { lines, follow, signal }: ConsoleLogOptions,
): AsyncGenerator<Uint8Array> {
  const read = async () => Buffer.from((await world.get(id)).console ?? "");
  const changes = world.watch(signal)[Symbol.asyncIterator]();
  // From here on no change is missed.
  await changes.next();
  let known = await read();
  yield lines === undefined ? known : lastLines(known, lines);
  while (follow === true && !signal.aborted && (await changes.next()).done !== true) {
    const now = await read();
    yield now.subarray(known.length);
    known = now;
  }
  await changes.return?.();
}

async function open(world: World, id: string, { signal }: ConsoleOptions): Promise<ConsoleSession> {
  const { name, state } = await world.get(id);
  if (state !== "running") {
    throw failure("WRONG_STATE", { name, reason: "Only running instances have a console", state: "Stopped" });
  }
  const stdout = new PassThrough();
  stdout.write(`${name} login: `);
  const stdin = new Transform({ transform: (chunk, _, done) => done(null, chunk) });
  stdin.pipe(stdout);
  const end = () => {
    stdin.unpipe(stdout);
    stdout.end();
  };
  signal?.addEventListener("abort", end, { once: true });
  return {
    stdin,
    stdout,
    resize() {},
    async [Symbol.asyncDispose]() {
      signal?.removeEventListener("abort", end);
      end();
    },
  };
}
