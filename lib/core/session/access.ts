import { setTimeout as delay } from "node:timers/promises";
import type { EngineInfo } from "../../engine/contract.ts";
import { asStrataError, failure } from "../../errors.ts";
import type { CallOptions } from "../api/strata.ts";
import { contextOf, type Session } from "./session.ts";

/** Between two attempts, ms. */
const RETRY_INTERVAL_MS = 500;

/** Resolves when the engine answers. Rejects with TIMEOUT, and at once if waiting would not help. */
export async function waitReady(
  session: Session,
  options: { readonly timeout?: number } = {},
  call?: CallOptions,
): Promise<EngineInfo> {
  const { signal, progress } = contextOf(call);
  const { timeout = Number.POSITIVE_INFINITY } = options;
  const end = Date.now() + timeout;
  for (;;) {
    signal.throwIfAborted();
    try {
      return await session.info();
    } catch (thrown) {
      const error = asStrataError(thrown);
      if (!error.retryable) {
        throw error;
      }
      const left = end - Date.now();
      if (left <= 0) {
        throw failure(
          "TIMEOUT",
          { seconds: timeout / 1000, what: `waiting for ${session.engineName}` },
          error,
        );
      }
      progress({
        phase: `Waiting for ${session.engineName}`,
        ...(Number.isFinite(timeout) ? { wait: { since: end - timeout, timeout } } : {}),
      });
      await delay(Math.min(RETRY_INTERVAL_MS, left), undefined, { signal });
    }
  }
}
