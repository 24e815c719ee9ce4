import { setTimeout as delay } from "node:timers/promises";
import { z } from "zod";
import type {
  ConsoleLogOptions,
  ConsoleOptions,
  ConsoleSession,
  Consoles,
} from "../../../lib/engine/contract.ts";
import { failure } from "../../../lib/errors.ts";
import { lastLines } from "../../../lib/util/last-lines.ts";
import { getManaged, instancePath } from "../domain/managed.ts";
import { readState } from "../domain/view.ts";
import type { LxdEngine } from "../engine.ts";
import { isSaid } from "../errors.ts";
import { CONSOLE_EMPTY } from "../messages.ts";
import { sink, source } from "../rest/socket-streams.ts";

/** Between two looks for more, ms. */
const FOLLOW_PAUSE_MS = 1000;

const streams = z.object({ fds: z.record(z.string(), z.string()) });

export function consoleGroup(engine: LxdEngine): Consoles {
  return {
    log: (id, options) => log(engine, id, options),
    open: (id, options) => open(engine, id, options),
  };
}

/** LXD keeps the end of it, for containers in a ring. */
async function* log(
  engine: LxdEngine,
  id: string,
  { lines, follow, signal }: ConsoleLogOptions,
): AsyncGenerator<Uint8Array> {
  const { name } = await getManaged(engine, id);
  const read = async () => {
    const text = engine.client.text(instancePath(name, "console"));
    return Buffer.from(await text.catch(emptyOf));
  };
  let known = await read();
  yield lines === undefined ? known : lastLines(known, lines);
  while (follow === true && !signal.aborted) {
    await delay(FOLLOW_PAUSE_MS, undefined, { signal }).catch(() => {});
    const now = await read();
    yield newIn(known, now);
    known = now;
  }
}

/** LXD 5.0 fails for a console on which nothing was written yet, as it finds no file of it. */
function emptyOf(error: unknown): string {
  if (isSaid(error, CONSOLE_EMPTY)) {
    return "";
  }
  throw error;
}

/** What has come since the last look. Of a ring that went round the old beginning is gone. */
export function newIn(known: Buffer, now: Buffer): Uint8Array {
  if (now.subarray(0, known.length).equals(known)) {
    return now.subarray(known.length);
  }
  const end = known.subarray(-256);
  const at = now.lastIndexOf(end);
  return at === -1 ? now : now.subarray(at + end.length);
}

async function open(
  engine: LxdEngine,
  id: string,
  { force, tty, signal }: ConsoleOptions,
): Promise<ConsoleSession> {
  const { name, instance } = await getManaged(engine, id);
  if (readState(instance.status) !== "running") {
    throw failure("WRONG_STATE", { name, reason: "Only running instances have a console", state: "Stopped" });
  }
  const { client } = engine;
  const operation = await client.start("POST", instancePath(name, "console"), {
    type: "console",
    width: tty?.columns ?? 80,
    height: tty?.rows ?? 24,
    ...(force === true ? { force: true } : {}),
  });
  const { fds } = streams.parse(operation.metadata);
  const [control, data] = await Promise.all(
    ["control", "0"].map((fd) =>
      client.socket(`/1.0/operations/${operation.id}/websocket`, { secret: fds[fd] }),
    ),
  );
  if (control === undefined || data === undefined) {
    throw failure("INTERNAL", { reason: "a console without its streams" });
  }
  control.on("error", () => {});
  control.resume();
  const close = () => {
    control.close();
    data.close();
  };
  signal?.addEventListener("abort", close, { once: true });
  return {
    stdin: sink(data, { data: "", binary: true }),
    stdout: source(data),
    resize(columns, rows) {
      if (control.readyState === control.OPEN) {
        const args = { width: String(columns), height: String(rows) };
        control.send(JSON.stringify({ command: "window-resize", args }));
      }
    },
    async [Symbol.asyncDispose]() {
      signal?.removeEventListener("abort", close);
      close();
    },
  };
}
