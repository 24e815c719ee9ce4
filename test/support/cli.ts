import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PassThrough } from "node:stream";
import { text } from "node:stream/consumers";
import type { Opener } from "../../lib/cli/cli.ts";
import type { Io } from "../../lib/cli/io.ts";
import { run } from "../../lib/cli/run.ts";
import type { Ended } from "./program.ts";

export interface CliRoom extends AsyncDisposable {
  readonly folder: string;
  /** Runs a command line in this process, with the memory engine and XDG folders of the room's own. */
  strata(...args: string[]): Promise<Ended>;
  /** The same for what must succeed; resolves to its standard output. */
  done(...args: string[]): Promise<string>;
  /** The same on a terminal, where `typed` answers what is asked. */
  onTerminal(typed: string, ...args: string[]): Promise<Ended>;
  /** The same as `strata` with streams of the caller's in the place of some of the room's. */
  onto(streams: Partial<Streams>, ...args: string[]): Promise<Ended>;
  /** What standard input holds from now on. */
  input: string;
}

type Streams = Pick<Io, "stdout" | "stderr">;

/** A place for tests of commands: nothing of the user's own is read or written. */
export async function cliRoom(open?: Opener): Promise<CliRoom> {
  const folder = await mkdtemp(join(tmpdir(), "strata-cli-"));
  const env = { HOME: folder, PATH: process.env.PATH, STRATA_DRIVER: "memory", STRATA_IMAGE_STORE: "" };
  const attempt = async (
    typed: string | undefined,
    args: string[],
    streams: Partial<Streams> = {},
  ): Promise<Ended> => {
    const isTTY = typed !== undefined;
    const stdin = Object.assign(new PassThrough(), { isTTY });
    const stdout = Object.assign(new PassThrough(), { isTTY });
    const stderr = new PassThrough();
    if (isTTY) {
      stdin.write(typed);
    } else {
      stdin.end(room.input);
    }
    const read = Promise.all([text(stdout), text(stderr)]);
    const io = { stdin, stdout, stderr, env, ...streams };
    const code = await run(args, open === undefined ? { io } : { io, open });
    stdout.end();
    stderr.end();
    const [out, err] = await read;
    return { code, stdout: out, stderr: err };
  };
  const room: CliRoom = {
    folder,
    input: "",
    strata: (...args) => attempt(undefined, args),
    async done(...args) {
      const { code, stdout, stderr } = await attempt(undefined, args);
      if (code !== 0) {
        throw new Error(`strata ${args.join(" ")} ended with ${code}: ${stderr}`);
      }
      return stdout;
    },
    onto: (streams, ...args) => attempt(undefined, args, streams),
    onTerminal: (typed, ...args) => attempt(typed, args),
    [Symbol.asyncDispose]: () => rm(folder, { recursive: true, force: true }),
  };
  return room;
}
