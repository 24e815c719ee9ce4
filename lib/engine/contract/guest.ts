import type { Context } from "./call.ts";

/** How the core reaches the inside of a guest. */
export type GuestAccess = SshAccess | EngineAccess;

export interface SshAccess {
  readonly via: "ssh";
  /** Where the guest's sshd listens; null while the guest has no address yet. */
  endpoint(id: string): Promise<SshEndpoint | null>;
}

export interface SshEndpoint {
  readonly host: string;
  readonly port: number;
}

export interface EngineAccess {
  readonly via: "engine";
  /** Resolves when commands can run; rejects with GUEST_UNREACHABLE after `timeout` ms. */
  ready(id: string, timeout: number, context: Context): Promise<void>;
  /** Present where some guests are reached by ssh all the same: how this one is, or null for one that is not. */
  ssh?(id: string): Promise<SshAccess | null>;
  /** argv, never a shell string. A non-zero exit is a result, not an error. */
  exec(id: string, argv: readonly string[], options: ExecOptions): Promise<ExecSession>;
}

export interface ExecOptions {
  readonly cwd?: string;
  readonly user?: string;
  readonly tty?: { readonly columns: number; readonly rows: number; readonly term: string };
  readonly signal?: AbortSignal;
}

/** A command that runs in a guest. Streams are Node streams. */
export interface ExecSession {
  readonly stdin: NodeJS.WritableStream;
  readonly stdout: NodeJS.ReadableStream;
  readonly stderr: NodeJS.ReadableStream;
  resize(columns: number, rows: number): void;
  /** Resolves when the command has ended and its output is read. */
  readonly exit: Promise<{ readonly code: number | null; readonly signal?: string }>;
}
