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
}

/**
 * Holding an instance keeps every other operation on it out, in any process and of any user, until
 * released or until the holder dies. Taking hold also finishes or undoes what an operation that died
 * has left half done.
 */
export interface Hold extends AsyncDisposable {
  readonly id: string;
  /** The snapshot whose deletion had died half-way and was finished by taking this hold. */
  readonly deleted?: string;
}
