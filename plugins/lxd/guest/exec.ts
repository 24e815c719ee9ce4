import { Readable } from "node:stream";
import { z } from "zod";
import type { ExecOptions, ExecSession } from "../../../lib/engine/contract.ts";
import { failure } from "../../../lib/errors.ts";
import { instancePath } from "../domain/managed.ts";
import type { LxdEngine } from "../engine.ts";
import { isSaid } from "../errors.ts";
import { COMMAND_NOT_EXECUTABLE, COMMAND_NOT_FOUND } from "../messages.ts";
import { END_OF_INPUT, sink, source } from "../rest/socket-streams.ts";

/** The streams of a started command in its operation: a secret for each. */
const streams = z.object({ fds: z.record(z.string(), z.string()) });

/**
 * Runs argv in a running instance as root. With a terminal LXD has a single stream, which is passed on as
 * stdout; without one there are three.
 */
export async function execute(
  engine: LxdEngine,
  name: string,
  argv: readonly string[],
  options: Pick<ExecOptions, "tty" | "signal"> & { readonly environment?: Readonly<Record<string, string>> },
): Promise<ExecSession> {
  const { tty, signal } = options;
  signal?.throwIfAborted();
  const { client } = engine;
  const operation = await client.start("POST", instancePath(name, "exec"), {
    command: argv,
    "wait-for-websocket": true,
    interactive: tty !== undefined,
    environment: { ...options.environment, ...(tty === undefined ? {} : { TERM: tty.term }) },
    ...(tty === undefined ? {} : { width: tty.columns, height: tty.rows }),
  });
  const { fds } = streams.parse(operation.metadata);
  const open = (fd: string) =>
    client.socket(`/1.0/operations/${operation.id}/websocket`, { secret: fds[fd] });
  // LXD starts the command when all of them are connected.
  const [control, first, ...more] = await Promise.all(
    ["control", ...(tty === undefined ? ["0", "1", "2"] : ["0"])].map(open),
  );
  if (control === undefined || first === undefined) {
    throw failure("INTERNAL", { reason: "a command without its streams" });
  }
  const stdin = sink(first, tty === undefined ? { data: "", binary: false } : END_OF_INPUT);
  if (more.length > 0) {
    first.resume();
  }
  const stdout = source(more[0] ?? first);
  // With a terminal, LXD keeps reading from this stream after the command has ended, until it is closed.
  if (tty !== undefined) {
    first.on("message", (_: Buffer, binary: boolean) => {
      if (!binary) {
        first.close();
      }
    });
  }
  const stderr = more[1] === undefined ? Readable.from([]) : source(more[1]);
  const send = (message: object) => {
    if (control.readyState === control.OPEN) {
      control.send(JSON.stringify(message));
    }
  };
  control.on("error", () => {});
  control.resume();
  // A KILL, which the guest cannot refuse: a caller that cancels does not wait for it.
  const kill = () => send({ command: "signal", signal: 9 });
  signal?.addEventListener("abort", kill, { once: true });
  const exit = (async () => {
    try {
      const code = await client
        .wait(operation.id)
        .then(({ metadata }) => z.object({ return: z.number() }).parse(metadata).return, exitCodeOf);
      await Promise.all([drained(stdout), tty === undefined ? drained(stderr) : undefined]);
      if (signal?.aborted) {
        throw failure("CANCELLED", {}, signal.reason);
      }
      return { code };
    } finally {
      signal?.removeEventListener("abort", kill);
      for (const socket of [control, first, ...more]) {
        socket.close();
      }
    }
  })();
  // A caller that only reads the output must not get an unhandled rejection.
  exit.catch(() => {});
  return {
    stdin,
    stdout,
    stderr,
    resize: (columns, rows) =>
      send({ command: "window-resize", args: { width: String(columns), height: String(rows) } }),
    exit,
  };
}

/** LXD reports two exit codes, even if the command itself returned them, as failures of its own. */
function exitCodeOf(error: unknown): number {
  if (isSaid(error, COMMAND_NOT_EXECUTABLE)) {
    return 126;
  }
  if (isSaid(error, COMMAND_NOT_FOUND)) {
    return 127;
  }
  throw error;
}

/** Resolves when a stream was read to its end or destroyed. */
function drained(stream: Readable): Promise<void> {
  if (stream.readableEnded || stream.destroyed) {
    return Promise.resolve();
  }
  return new Promise((resolve) => {
    stream
      .once("end", resolve)
      .once("close", resolve)
      .once("error", () => resolve());
  });
}
