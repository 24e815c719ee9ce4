import type { Context } from "../../../lib/engine/contract.ts";
import { failure } from "../../../lib/errors.ts";
import { WAIT_TIMED_OUT } from "../messages.ts";
import { LxdError } from "./errors.ts";
import type { Answer } from "./request.ts";
import { type Operation, operationShape } from "./shapes.ts";

/** A request without a body. */
type Ask = (
  method: "GET" | "DELETE",
  path: string,
  query?: Readonly<Record<string, string>>,
) => Promise<Answer>;

/** How long one wait for an operation lasts before its progress is reported, s. */
const POLL_SECONDS = 1;

/** The operation that a change has started; undefined if the change is complete. */
export function started(answer: Answer): Operation | undefined {
  return answer.type === "async" ? operationShape.parse(answer.metadata) : undefined;
}

/** Waits until an operation ends, and cancels it at the signal if LXD can. */
export async function waitFor(
  ask: Ask,
  id: string,
  { signal, progress }: Partial<Pick<Context, "signal" | "progress">> = {},
): Promise<Operation> {
  const path = `/1.0/operations/${encodeURIComponent(id)}`;
  let asked = false;
  for (;;) {
    if (signal?.aborted && !asked) {
      asked = true;
      // Most of LXD's operations cannot be cancelled; wait for them, so that the outcome is known.
      await ask("DELETE", path).catch(() => {});
    }
    const operation = await look(ask, path);
    if (operation.status_code >= 200) {
      return outcome(operation, signal);
    }
    progress?.({ phase: phaseOf(operation) ?? "Waiting for the server" });
  }
}

/** The state of an operation: when it ends, or when the time of this wait is up. */
async function look(ask: Ask, path: string): Promise<Operation> {
  const answer = await ask("GET", `${path}/wait`, { timeout: String(POLL_SECONDS) }).catch(
    (error: unknown) => {
      // Incus fails then, where LXD 5.0 answers with the operation.
      if (!(error instanceof LxdError) || !WAIT_TIMED_OUT.test(error.message)) {
        throw error;
      }
      return ask("GET", path);
    },
  );
  return operationShape.parse(answer.metadata);
}

/** Returns a successful operation, or throws the error of a failed one. */
function outcome(operation: Operation, signal: AbortSignal | undefined): Operation {
  if (operation.status_code === 200) {
    return operation;
  }
  if (signal?.aborted) {
    throw failure("CANCELLED", {}, signal.reason);
  }
  throw new LxdError(0, operation.err || operation.status);
}

/** Such as "create_instance_from_image_unpack_progress: Unpack: 42% (30MB/s)", as a phrase. */
function phaseOf({ metadata }: Operation): string | undefined {
  for (const [key, value] of Object.entries(metadata)) {
    if (key.endsWith("_progress") && typeof value === "string") {
      return value;
    }
  }
  return undefined;
}
