/** The serial console of guests: what they wrote on it, and the console itself. */
export interface Consoles {
  /**
   * What the guest has written since its first boot, as far as it is kept, oldest first; also of a stopped
   * instance. Ends there, or with `follow` at the signal. Takes no lock. Present exactly when the feature
   * "console.log" is declared.
   */
  log?(id: string, options: ConsoleLogOptions): AsyncIterable<Uint8Array>;
  /**
   * Opens the console of a running instance, WRONG_STATE otherwise. One that is open elsewhere rejects with
   * CONSOLE_BUSY unless `force`, which takes it over. Present exactly when the feature "console" is declared.
   */
  open?(id: string, options: ConsoleOptions): Promise<ConsoleSession>;
}

export interface ConsoleLogOptions {
  /** No more than so many lines of what is there at first. */
  readonly lines?: number;
  /** Goes on with what is written from now on, over restarts of the guest too. */
  readonly follow?: boolean;
  readonly signal: AbortSignal;
}

export interface ConsoleOptions {
  readonly force?: boolean;
  /** Size of the terminal; a serial line has none to tell. */
  readonly tty?: { readonly columns: number; readonly rows: number };
  readonly signal?: AbortSignal;
}

/** An open console. Its output ends with the guest, with the signal, or when it is disposed of. */
export interface ConsoleSession extends AsyncDisposable {
  readonly stdin: NodeJS.WritableStream;
  readonly stdout: NodeJS.ReadableStream;
  resize(columns: number, rows: number): void;
}
