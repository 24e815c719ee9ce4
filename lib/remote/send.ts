import { errnoOf } from "../errors.ts";
import type { FarSession } from "./run.ts";

/** Sends to a command on another host; that it has had enough is for it to say. */
export async function send(
  { stdin }: FarSession,
  fill: (to: FarSession["stdin"]) => Promise<void>,
): Promise<void> {
  try {
    await fill(stdin);
    stdin.end();
  } catch (error) {
    if (!GONE.includes(errnoOf(error) ?? "")) {
      throw error;
    }
  }
}

/** How it is seen that nobody reads any more. */
const GONE: readonly string[] = ["EPIPE", "ECONNRESET", "ERR_STREAM_PREMATURE_CLOSE", "ERR_STREAM_DESTROYED"];
