import type { ExecSession } from "../engine/contract.ts";
import type { GuestEnd } from "./guest.ts";

/** How long a guest may take to tidy up once it hears no more of us, ms: it reads first what is on its way. */
const CLEANUP_TIMEOUT_MS = 10_000;

/** A command of a guest that reads what it is sent. */
export interface Recipient extends Disposable {
  readonly session: ExecSession;
  /** Resolves to the reason when the transfer is called off. */
  readonly calledOff: Promise<unknown>;
  /** Ends its input, waits while it tidies up, and ends it where that takes too long. */
  hangUp(input: { destroy(): unknown }): Promise<void>;
}

/**
 * Starts a command that reads what it is sent. It is not told of the signal: a shell that is signalled goes
 * on waiting for its tar, which goes on waiting for us, and is killed before it can tidy up. Without more
 * input both end by themselves.
 */
export async function startRecipient(
  guest: GuestEnd,
  argv: readonly string[],
  signal: AbortSignal,
): Promise<Recipient> {
  const mine = new AbortController();
  let session: ExecSession | undefined;
  let tell = (_reason: unknown) => {};
  const calledOff = new Promise<unknown>((resolve) => {
    tell = resolve;
  });
  const onAbort = () => (session === undefined ? mine.abort(signal.reason) : tell(signal.reason));
  signal.addEventListener("abort", onAbort, { once: true });
  const forget = () => signal.removeEventListener("abort", onAbort);
  try {
    signal.throwIfAborted();
    session = await guest.run(argv, mine.signal);
  } catch (error) {
    forget();
    throw error;
  }
  const { exit } = session;
  if (signal.aborted) {
    tell(signal.reason);
  }
  return {
    session,
    calledOff,
    async hangUp(input) {
      input.destroy();
      const timer = setTimeout(() => mine.abort(), CLEANUP_TIMEOUT_MS);
      await exit.catch(() => {});
      clearTimeout(timer);
    },
    [Symbol.dispose]: forget,
  };
}

/** What a stream gives until it is destroyed, as if that had been all: who reads it is at the end then. */
export async function* untilDestroyed(stream: AsyncIterable<Uint8Array> & { destroyed: boolean }) {
  try {
    yield* stream;
  } catch (error) {
    if (!stream.destroyed) {
      throw error;
    }
  }
}
