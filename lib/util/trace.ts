import type { ChildProcess } from "node:child_process";
import { channel } from "node:diagnostics_channel";
import { reasonOf } from "../errors.ts";
import { stopwatch } from "./stopwatch.ts";

/**
 * What strata does, for whoever wants to watch: channels of `node:diagnostics_channel`, which cost nothing
 * while nobody has subscribed. Nothing on them is a secret: neither what a program is given on its standard
 * input nor the contents of calls.
 */
export interface ProgramTrace {
  readonly program: string;
  readonly argv: readonly string[];
  /** Null where it was killed or could not be started. */
  readonly exit: number | null;
  /** The signal that killed it, or why it could not be started. */
  readonly reason?: string;
  readonly ms: number;
}

/** One call of the contract between strata and an engine. */
export interface ActTrace {
  /** Such as "snapshots.take". */
  readonly call: string;
  /** Name of the instance, or its id where no more is known. */
  readonly instance?: string;
  /** The snapshot, mount target or the like. */
  readonly detail?: string;
  readonly ms: number;
  /** What it failed with. */
  readonly error?: unknown;
}

/** One request to an engine's daemon. */
export interface CallTrace {
  /** Such as "domain_create" or "GET /1.0/instances". */
  readonly call: string;
  /** What it is about. */
  readonly about?: string;
  readonly ms: number;
  readonly error?: string;
}

/** One message of the protocol that a daemon speaks. */
export interface FrameTrace {
  readonly direction: "sent" | "received";
  readonly frame: string;
  /** Bytes. */
  readonly size: number;
}

export const PROGRAM_CHANNEL = "strata:program";
export const ACT_CHANNEL = "strata:act";
export const CALL_CHANNEL = "strata:call";
export const FRAME_CHANNEL = "strata:frame";

const programs = channel(PROGRAM_CHANNEL);

/** Reports a program that was started, once it has ended. */
export function traced<T extends Pick<ChildProcess, "once">>(
  program: string,
  argv: readonly string[],
  child: T,
): T {
  if (programs.hasSubscribers) {
    const elapsed = stopwatch();
    const tell = (exit: number | null, reason?: string) =>
      programs.publish({
        program,
        argv: argv.map(withoutLogin),
        exit,
        ms: elapsed(),
        ...(reason === undefined ? {} : { reason }),
      } satisfies ProgramTrace);
    child.once("exit", (exit, signal) => tell(exit, signal ?? undefined));
    child.once("error", (error) => tell(null, error.message));
  }
  return child;
}

const calls = channel(CALL_CHANNEL);

/** Reports a request to a daemon, once it is answered. */
export async function tracedCall<T>(call: string, work: () => Promise<T>): Promise<T> {
  if (!calls.hasSubscribers) {
    return work();
  }
  const elapsed = stopwatch();
  const tell = (error?: unknown) =>
    calls.publish({
      call,
      ms: elapsed(),
      ...(error === undefined ? {} : { error: reasonOf(error) }),
    } satisfies CallTrace);
  try {
    const answer = await work();
    tell();
    return answer;
  } catch (error) {
    tell(error);
    throw error;
  }
}

/** A word without the login and the query of a URL in it. */
export function withoutLogin(word: string): string {
  return word
    .replace(/\b([a-z][a-z0-9+.-]*:\/\/)[^\s/@]*@/gi, "$1…@")
    .replace(/\b(https?:\/\/[^\s?]*)\?\S*/gi, "$1?…");
}
