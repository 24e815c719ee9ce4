import type { Instance } from "./instances.ts";

/** What a long call gets from its caller. */
export interface Context {
  readonly signal: AbortSignal;
  progress(step: Progress): void;
  /** Hears what went another way than asked for without making the call fail; a sentence for the user. */
  warn?(message: string): void;
}

export interface Progress {
  /** A short phrase in the progressive: "Downloading image". */
  readonly phase: string;
  readonly done?: bigint;
  readonly total?: bigint;
  /** Which of several equal things it is about, from 1 on. */
  readonly item?: { readonly number: number; readonly of: number };
  /** For what waits: when it began to, and how long it may take, ms. */
  readonly wait?: { readonly since: number; readonly timeout: number };
}

/**
 * A locked instance. The lock keeps every other operation on it out, in any process and of any user, until it is
 * disposed of or its holder dies. Calls that change an instance take it; one that has been released is refused with LOCK_REQUIRED.
 */
export interface Lock extends AsyncDisposable {
  /** The instance as it was read once it was locked. */
  readonly instance: Instance;
  /** The snapshot whose deletion had died half-way and was finished by locking the instance. */
  readonly deleted?: string;
}
