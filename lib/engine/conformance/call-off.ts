import { asStrataError } from "../../errors.ts";
import type { Context } from "../contract.ts";
import { same } from "./assert.ts";
import { context } from "./fixture.ts";

/**
 * Makes a call that is called off, before it begins and at some moments after. `check` hears each time whether it
 * was done all the same; else it has rejected with CANCELLED.
 */
export async function callOff(
  call: (context: Context) => Promise<void>,
  check: (done: boolean) => Promise<void>,
): Promise<void> {
  for (const delay of [undefined, 0, 1, 5, 25]) {
    const abort = new AbortController();
    const timer = delay === undefined ? undefined : setTimeout(() => abort.abort(), delay);
    if (delay === undefined) {
      abort.abort();
    }
    const error = await call({ ...context(), signal: abort.signal }).then(() => undefined, asStrataError);
    clearTimeout(timer);
    same(error?.code ?? "CANCELLED", "CANCELLED");
    same(error !== undefined || delay !== undefined, true, "a call that was called off before it began");
    await check(error === undefined);
  }
}
