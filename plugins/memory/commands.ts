import { type Readable, Transform, type Writable } from "node:stream";
import { buffer } from "node:stream/consumers";
import { pipeline } from "node:stream/promises";
import type { StoredInstance } from "./world.ts";

/** What a command has around it. */
export interface Surroundings {
  readonly args: readonly string[];
  readonly cwd: string;
  readonly user: string;
  readonly env: Readonly<Record<string, string>>;
  readonly stdin: Readable;
  readonly stdout: Writable;
  readonly stderr: Writable;
  look(): Promise<StoredInstance>;
  /** Replaces the contents of a file; undefined removes it. */
  store(path: string, contents: string | undefined): Promise<void>;
}

/** Resolves to the exit status. */
type Command = (around: Surroundings) => Promise<number>;

/** Whether a file is in the memory of a guest, and gone when it stops. */
export const inMemory = (path: string): boolean => path.startsWith("/dev/shm/");

/** What a guest of this engine knows. Contents of files are strings with a character for each byte. */
export const COMMANDS: Readonly<Record<string, Command>> = {
  true: async () => 0,
  false: async () => 1,
  sync: async () => 0,
  shutdown: async () => 0,
  echo: ({ args, stdout }) => say(stdout, `${args.join(" ")}\n`),
  pwd: ({ cwd, stdout }) => say(stdout, `${cwd}\n`),
  whoami: async ({ user, stdout }) => say(stdout, `${user}\n`),
  async printenv({ args: [name = ""], env, stdout }) {
    const value = env[name];
    return value === undefined ? 1 : say(stdout, `${value}\n`);
  },
  hostname: async ({ look, stdout }) => say(stdout, `${(await look()).name}\n`),
  nproc: async ({ look, stdout }) => say(stdout, `${(await look()).resources.cpus}\n`),
  async cat({ args, stdin, stdout, stderr, look }) {
    const [path] = args;
    if (path === undefined) {
      await pipeline(stdin, passing(stdout));
      return 0;
    }
    const { contents, memory = {} } = await look();
    const found = (inMemory(path) ? memory : contents)[path];
    if (found === undefined) {
      return complain(stderr, `cat: ${path}: No such file or directory`);
    }
    stdout.write(Buffer.from(found, "latin1"));
    return 0;
  },
  async tee({ args: [path = ""], stdin, stdout, store }) {
    const written = await buffer(stdin);
    await store(path, written.toString("latin1"));
    stdout.write(written);
    return 0;
  },
  async rm({ args: [path = ""], store }) {
    await store(path, undefined);
    return 0;
  },
};

async function say(stdout: Writable, text: string): Promise<number> {
  stdout.write(text);
  return 0;
}

async function complain(stderr: Writable, text: string): Promise<number> {
  stderr.write(`${text}\n`);
  return 1;
}

/** Writes to a stream that its owner ends. */
function passing(stdout: Writable): Writable {
  return new Transform({
    transform(chunk, _, done) {
      if (stdout.write(chunk)) {
        done();
      } else {
        stdout.once("drain", done);
      }
    },
  }).resume();
}
