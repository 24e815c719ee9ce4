import { buffer, text } from "node:stream/consumers";
import { awaitGuest } from "../../guest/await.ts";
import { makeSeed } from "../../guest/seed.ts";
import { openGuest } from "../../guest/ssh.ts";
import type { ExecOptions, ExecSession, ImageSource, Instance } from "../contract.ts";
import { context, current, type Fixture, locked, lockOf, newSpec } from "./fixture.ts";

/** A guest that commands can run in. */
export interface GuestFixture {
  /** Its guest lets commands in once it has started. */
  readonly image: ImageSource;
  /** How long that may take, ms. */
  readonly timeout: number;
  /** A key pair for the login, where the engine reaches its guests over ssh. */
  readonly login?: { readonly username: string; readonly privateKey: string; readonly publicKey: string };
}

export interface Ended {
  readonly code: number | null;
  readonly stdout: Buffer;
  readonly stderr: string;
}

/** A running guest that sections share: on a real engine it is the dear part. */
export interface Guest extends AsyncDisposable {
  readonly instance: Instance;
  open(argv: readonly string[], options?: ExecOptions): Promise<ExecSession>;
  /** Runs a command to its end. */
  run(argv: readonly string[], options?: ExecOptions & { readonly input?: Buffer | string }): Promise<Ended>;
  start(): Promise<void>;
  stop(): Promise<void>;
}

/** The fixture's guest; where an engine runs commands itself, any of its instances will do. */
export function guestOf({ guest, image, engine }: Fixture): GuestFixture | undefined {
  return guest ?? (engine.guest.via === "engine" ? { image, timeout: 60_000 } : undefined);
}

/** Launches a guest as the core does, and waits until commands can run. */
export async function launchGuest(fixture: Fixture, given: GuestFixture): Promise<Guest> {
  const { engine } = fixture;
  const { instances, guest } = engine;
  const { image, login } = given;
  const plain = newSpec({ image });
  const seed =
    login === undefined
      ? plain.seed
      : makeSeed({ name: plain.name, instanceId: plain.record.cloudInstanceId, ...login });
  const instance = await instances.create({ ...plain, seed }, context());
  const { id, name } = instance;
  const whileLocked = async (work: () => Promise<void>) => {
    await using _lock = await locked(fixture, instance, 10_000);
    await work();
  };
  let hostKey: string | undefined;
  const ssh = () => {
    if (login === undefined) {
      throw new Error("the fixture's guest has no login");
    }
    const { username, privateKey } = login;
    const onHostKey = async (key: string) => {
      hostKey = key;
    };
    return { name, username, privateKey, ...(hostKey === undefined ? { onHostKey } : { hostKey }) };
  };
  const start = async () => {
    await whileLocked(() => instances.start(lockOf(id), context()));
    if (guest.via === "engine") {
      return guest.ready(id, given.timeout, context());
    }
    const { signal } = context();
    const endpoint = () => guest.endpoint(id);
    await using _reached = await awaitGuest({ ...ssh(), endpoint, timeout: given.timeout, signal });
  };
  const open = async (argv: readonly string[], options: ExecOptions = {}): Promise<ExecSession> => {
    if (guest.via === "engine") {
      return guest.exec(id, argv, options);
    }
    const endpoint = await guest.endpoint(id);
    if (endpoint === null) {
      throw new Error("the guest has no address any more");
    }
    const connection = await openGuest({ ...ssh(), endpoint });
    const session = await connection.exec(argv, options);
    return { ...session, exit: session.exit.finally(() => connection[Symbol.asyncDispose]()) };
  };
  try {
    await start();
  } catch (error) {
    // It would go on running, and nobody would know whose it is.
    await whileLocked(() => instances.stop(lockOf(id), "force", context())).catch(() => {});
    await whileLocked(() => instances.remove(lockOf(id), context())).catch(() => {});
    throw error;
  }
  return {
    instance: await current(fixture, instance),
    open,
    async run(argv, { input, ...options } = {}) {
      const session = await open(argv, options);
      // A command that does not read its input may close it.
      session.stdin.on("error", () => {});
      session.stdin.end(input ?? "");
      const [stdout, stderr, { code }] = await Promise.all([
        buffer(session.stdout),
        text(session.stderr),
        session.exit,
      ]);
      return { code, stdout, stderr };
    },
    start,
    stop: () => whileLocked(() => instances.stop(lockOf(id), "force", context())),
    [Symbol.asyncDispose]: () => whileLocked(() => instances.remove(lockOf(id), context())),
  };
}
