import type { Context } from "./contract.ts";

/** A context for what nobody watches or cancels. */
export function quietContext(): Context {
  return { signal: new AbortController().signal, progress() {} };
}
