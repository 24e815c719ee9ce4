import type { ExecOptions, ExecSession } from "../../engine/contract.ts";
import type { CallOptions } from "./session.ts";

/** A path of this host. */
export interface HostPath {
  /** Absolute, or relative to the working directory. */
  readonly path: string;
}

/** A path in an instance; a relative one is below the default user's home. */
export interface GuestPath extends HostPath {
  /** Name of the instance that `path` is in. */
  readonly instance: string;
}

/** The source of a transfer. */
export type TransferSource = HostPath | GuestPath | { readonly stream: AsyncIterable<Uint8Array> };
/** The target of a transfer. A stream is left open. */
export type TransferTarget = HostPath | GuestPath | { readonly stream: NodeJS.WritableStream };

/** How long to wait for a guest. */
interface WaitOptions {
  /**
   * How long to wait for a guest that has to be started or is still booting, in milliseconds.
   *
   * @default 300_000
   */
  readonly timeout?: number;
}

/** Options of {@link StrataGuest.exec}. */
export interface GuestExecOptions extends ExecOptions, WaitOptions, CallOptions {
  /**
   * Used without `cwd`: an absolute path on the host. If a mount shows it in the guest, the command runs
   * there.
   *
   * @default the user's home
   */
  readonly hostFolder?: string;
  /**
   * Variables of the command's environment, in addition to those that the guest sets.
   *
   * @default none
   */
  readonly env?: Readonly<Record<string, string>>;
}

/** Options of {@link StrataGuest.shell}. */
export interface ShellOptions extends CallOptions, WaitOptions {
  /** The terminal to show it on. */
  readonly tty: NonNullable<ExecOptions["tty"]>;
}

/** Options of {@link StrataGuest.transfer}. */
export interface TransferOptions extends CallOptions {
  /**
   * Copies folders with their contents.
   *
   * @default false: a folder is refused
   */
  readonly recursive?: boolean;
  /**
   * Creates missing folders of the target.
   *
   * @default false: the copy is refused
   */
  readonly parents?: boolean;
}

/** The inside of instances. */
export interface StrataGuest {
  /**
   * Runs a command in an instance as its default user. An instance that is stopped is started, one that is
   * booting is waited for. No shell expands the words of the command; an exit status other than 0 is a result,
   * not an error.
   *
   * @throws INSTANCE_NOT_FOUND, INSTANCE_DELETED, NO_LOGIN, GUEST_UNREACHABLE, HOST_KEY_CHANGED, COMMAND_TOO_LONG,
   * INVALID_VALUE for a name in `env`
   */
  exec(instance: string, argv: readonly string[], options?: GuestExecOptions): Promise<ExecSession>;
  /**
   * The login shell of the default user on a terminal; starts the instance and waits for it likewise.
   *
   * @throws INSTANCE_NOT_FOUND, NO_LOGIN, GUEST_UNREACHABLE, HOST_KEY_CHANGED
   */
  shell(instance: string, options: ShellOptions): Promise<ExecSession>;
  /**
   * Copies files between this host and instances, or between instances; at least one end must be in an
   * instance. If the target is a folder, the copy keeps the name of its source; several sources need such a
   * target. A pattern (`*`, `?`, `[`) in a source in an instance stands for everything that it matches there.
   * Permissions and times (to the second) are kept, and holes if the guest has GNU tar. A file appears under its
   * name only when it is complete.
   *
   * @throws INSTANCE_NOT_FOUND, FILE_NOT_FOUND, WRONG_STATE, TRANSFER_FAILED, TRANSFER_UNSAFE, USAGE; when all else
   * is transferred, TRANSFER_INCOMPLETE for names that are not UTF-8
   */
  transfer(
    sources: TransferSource | readonly TransferSource[],
    target: TransferTarget,
    options?: TransferOptions,
  ): Promise<void>;
}
