import type { ExecSession } from "../engine/contract.ts";
import type { GuestEnd } from "./guest.ts";

/**
 * How long a guest may take to clean up once we have stopped sending, ms: it first reads what is still in
 * flight.
 */
const CLEANUP_TIMEOUT_MS = 10_000;

/** A command in a guest that reads what it is sent. */
export interface Recipient extends Disposable {
  readonly session: ExecSession;
  /** Resolves to the reason when the transfer is called off. */
  readonly calledOff: Promise<unknown>;
  /** Ends its input, waits while it cleans up, and ends it if that takes too long. */
  hangUp(input: { destroy(): unknown }): Promise<void>;
}

/**
 * Starts a command that reads what it is sent. It does not get the signal: a shell that is signalled keeps
 * waiting for its tar, which keeps waiting for us, and would be killed before it can clean up. Without more
 * input, both end by themselves.
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

/** The data of a stream until it is destroyed, as if it had ended there: its reader reaches the end then. */
export async function* untilDestroyed(stream: AsyncIterable<Uint8Array> & { destroyed: boolean }) {
  try {
    yield* stream;
  } catch (error) {
    if (!stream.destroyed) {
      throw error;
    }
  }
}
