import type { ExecSession } from "../engine/contract.ts";
import { failure, type StrataError } from "../errors.ts";
import { STATUS } from "./scripts.ts";

/** A guest as a transfer sees it: a name for errors, and commands that run as the default user. */
export interface GuestEnd {
  readonly name: string;
  run(argv: readonly string[], signal: AbortSignal): Promise<ExecSession>;
}

/**
 * The errors of these streams are handled where they are awaited; without a listener they would also end the
 * process.
 */
export function ignored(): void {}

/** The error for a script that ended with that status; null if it has not ended. */
export function guestError(guest: GuestEnd, path: string, code: number | null, said: string): StrataError {
  const named = `${guest.name}:${path}`;
  const reason = said.trim().split("\n").slice(0, 5).join("; ");
  const failed = (why: string) => failure("TRANSFER_FAILED", { path: named, reason: why });
  switch (code) {
    case STATUS.missing:
      return failure("FILE_NOT_FOUND", { path: named });
    case STATUS.unreadable:
      return failure("PERMISSION_DENIED", { reason: `${named} cannot be read by the guest's user` });
    case STATUS.folder:
      return failed("it is a folder; use --recursive");
    case STATUS.special:
      return failed("it is neither a file nor a folder");
    case STATUS.noFolder:
      return failed("the folder does not exist; --parents creates it");
    case STATUS.noParent:
      return failed("its parent folder does not exist; --parents creates it");
    case STATUS.clash:
      return failed(`something else with this name exists: ${reason}`);
    case STATUS.noTar:
      return failed("the guest has no tar");
    case STATUS.unwritable:
      return failure("PERMISSION_DENIED", { reason: `${named}: ${reason}` });
    default:
      return /No space left/i.test(said)
        ? failure("NO_SPACE", { where: named })
        : failed(reason || "the guest stopped before the transfer finished");
  }
}
