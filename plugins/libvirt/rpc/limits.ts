import { CallTimeoutError } from "./errors.ts";

/** How long a call may take: the last argument of every method that asks the daemon. */
export interface CallLimits {
  /**
   * Rejects with CallTimeoutError after this long, ms; the default is the connection's. A call that has to
   * connect first has as long for that. A method that needs several calls has as long for each.
   */
  readonly timeout?: number;
  /** Rejects with the signal's reason. The daemon is not told, and may still carry the call out. */
  readonly signal?: AbortSignal;
}

/** Limit of calls that read or write a guest's memory or disk, whatever that takes, ms. */
export const LONG_CALL_MS = 3_600_000;

/** Waits for work within limits; the work itself goes on. */
export function within<T>(work: Promise<T>, { timeout, signal }: CallLimits): Promise<T> {
  if (timeout === undefined && signal === undefined) {
    return work;
  }
  return new Promise<T>((resolve, reject) => {
    const abort = () => reject(signal?.reason);
    const timer =
      timeout === undefined
        ? undefined
        : setTimeout(
            () => reject(new CallTimeoutError(`no connection within ${timeout} ms`, timeout)),
            timeout,
          );
    if (signal?.aborted) {
      abort();
    }
    signal?.addEventListener("abort", abort, { once: true });
    work.then(resolve, reject).finally(() => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", abort);
    });
  });
}
