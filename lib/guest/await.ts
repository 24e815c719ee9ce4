import { text } from "node:stream/consumers";
import { setTimeout as delay } from "node:timers/promises";
import type { Context, SshEndpoint } from "../engine/contract.ts";
import { asStrataError, failure, type StrataError } from "../errors.ts";
import { type Guest, type Login, openGuest } from "./ssh.ts";

/** Between two looks, ms. */
const RETRY_INTERVAL_MS = 300;
/** Between two looks whether the guest is there at all, ms. */
const ALIVE_INTERVAL_MS = 2000;
/** One attempt to log in, ms: an emulated guest in early boot is slow to shake hands. */
const LOGIN_TIMEOUT_MS = 30_000;

/** Longest that one command waits inside, ms. */
const COMMAND_TIMEOUT_MS = 5000;
/** Between two looks inside, ms. */
const POLL_INTERVAL_MS = 200;

/**
 * Succeeds once this boot is finished. cloud-init's result of an earlier boot does not count, because /run is
 * empty at every boot. A guest without cloud-init is finished as soon as a login works.
 */
const FINISHED =
  "test -e /run/cloud-init/result.json || ! { test -d /run/cloud-init || test -d /etc/cloud || test -e /var/lib/guest-instance; }";

/** Printed by a guest whose boot is not finished; a guest that cannot run the command at all prints something else. */
const UNFINISHED = "unfinished";

/**
 * Checks this many times. The loop runs in the guest, because each command of ours costs an emulated guest
 * 0.4 s of its boot.
 */
const WAIT = `i=0; until ${FINISHED}; do i=$((i + 1)); [ $i -lt "$1" ] || { echo ${UNFINISHED}; exit 1; }; sleep ${POLL_INTERVAL_MS / 1000}; done`;

/** Errors that another attempt cannot fix. */
const FINAL: ReadonlySet<string> = new Set(["HOST_KEY_CHANGED", "CANCELLED", "INTERNAL"]);

export interface AwaitOptions extends Login {
  /** The address of sshd; null while it is not known. */
  readonly endpoint: () => Promise<SshEndpoint | null>;
  /** ms. */
  readonly timeout: number;
  readonly signal: AbortSignal;
  readonly progress?: Context["progress"];
  /** False once it has shut down, so that there is nothing to wait for. */
  readonly alive?: () => Promise<boolean>;
  /** How long a login may be refused, ms; `REFUSED_LIMIT_MS` by default. */
  readonly refusedLimit?: number;
  /** "login": the first login that works is enough, whatever the boot is still doing. */
  readonly until?: "login" | "boot";
}

/**
 * A login that is refused for this long stays refused: cloud-init creates the users and their keys before sshd
 * starts, and other systems take seconds.
 */
const REFUSED_LIMIT_MS = 10_000;
/** Refusals that no waiting changes. */
const HOPELESS = new WeakSet<StrataError>();

/**
 * Waits until a login works and, unless that is enough, the boot is finished. A guest that boots may have no
 * address, refuse or reset connections, or not know our key yet: strata tries again until the time is up, and then
 * reports the last reason. Rejects with GUEST_UNREACHABLE after the time-out or when the guest has shut down, at once
 * with HOST_KEY_CHANGED, and with GUEST_REFUSED if the login stays refused or the user cannot run commands.
 */
export async function awaitGuest(options: AwaitOptions): Promise<Guest> {
  const { name, timeout, signal } = options;
  const end = Date.now() + timeout;
  let last: StrataError = failure("GUEST_UNREACHABLE", { name, reason: "it has no address yet" });
  let hostKey = options.hostKey;
  const onHostKey = async (key: string) => {
    await options.onHostKey?.(key);
    hostKey = key;
  };
  const report = reporter(options);
  const requireAlive = aliveCheck(options);
  const refuse = refusalCheck(options);
  while (Date.now() < end) {
    if (signal.aborted) {
      throw failure("CANCELLED", {}, signal.reason);
    }
    const endpoint = await options.endpoint();
    report(endpoint === null ? "no address yet" : "ssh does not answer yet");
    if (endpoint !== null) {
      const pinned = hostKey === undefined ? { onHostKey } : { hostKey };
      const guest = await logIn({ ...options, report }, endpoint, pinned, end).catch((error: unknown) => {
        last = passing(error);
      });
      if (guest !== undefined) {
        return guest;
      }
      refuse(last);
    }
    await requireAlive(last);
    await delay(RETRY_INTERVAL_MS, undefined, { signal }).catch(() => {});
  }
  throw failure(
    "GUEST_UNREACHABLE",
    {
      name,
      reason: `no answer within ${Math.round(timeout / 1000)} s; last error: ${last.details.reason ?? last.message}`,
    },
    last,
  );
}

/** Reports what is missing, and since when the guest has been waited for. */
function reporter({ name, timeout, progress }: AwaitOptions): (missing: string) => void {
  const wait = { since: Date.now(), timeout };
  return (missing) => progress?.({ phase: `Waiting for ${name}: ${missing}`, wait });
}

/** Throws the error of an attempt once the login has been refused for too long, or for good. */
function refusalCheck({ refusedLimit = REFUSED_LIMIT_MS }: AwaitOptions): (last: StrataError) => void {
  let since: number | undefined;
  return (last) => {
    since = last.code === "GUEST_REFUSED" ? (since ?? Date.now()) : undefined;
    if (since !== undefined && (HOPELESS.has(last) || Date.now() - since >= refusedLimit)) {
      throw last;
    }
  };
}

/** Looks now and then whether the guest is still there; rejects once it has shut down. */
function aliveCheck({ name, alive }: AwaitOptions): (last: StrataError) => Promise<void> {
  let lookAt = 0;
  return async (last) => {
    if (Date.now() < lookAt) {
      return;
    }
    lookAt = Date.now() + ALIVE_INTERVAL_MS;
    if ((await alive?.()) === false) {
      throw failure(
        "GUEST_UNREACHABLE",
        { name, reason: "it shut down or crashed while it was waited for" },
        last,
      );
    }
  };
}

type Attempt = AwaitOptions & { readonly report: (missing: string) => void };

/** The error of one attempt; throws if another attempt cannot fix it. */
function passing(thrown: unknown): StrataError {
  const error = asStrataError(thrown);
  if (FINAL.has(error.code)) {
    throw error;
  }
  return error;
}

/** One attempt: resolves to a guest that is ready, or rejects with what is missing. */
async function logIn(
  options: Attempt,
  endpoint: SshEndpoint,
  pinned: Pick<Login, "hostKey" | "onHostKey">,
  end: number,
): Promise<Guest> {
  const { name, username, privateKey, signal } = options;
  const timeout = Math.max(1000, Math.min(LOGIN_TIMEOUT_MS, end - Date.now()));
  const guest = await openGuest({ name, username, privateKey, endpoint, timeout, signal, ...pinned });
  let finished = false;
  try {
    finished = options.until === "login" || (await untilFinished(guest, options, end));
  } finally {
    if (!finished) {
      await guest[Symbol.asyncDispose]();
    }
  }
  if (!finished) {
    throw failure("GUEST_UNREACHABLE", { name, reason: "cloud-init has not finished" });
  }
  return guest;
}

async function untilFinished(
  guest: Guest,
  { name, username, signal, report }: Attempt,
  end: number,
): Promise<boolean> {
  report("cloud-init has not finished yet");
  while (Date.now() < end) {
    const looks = Math.ceil(Math.min(COMMAND_TIMEOUT_MS, end - Date.now()) / POLL_INTERVAL_MS);
    const session = await guest.exec(["sh", "-c", WAIT, "sh", String(looks)], { signal });
    session.stdin.end();
    const [said, complaint] = await Promise.all([text(session.stdout), text(session.stderr)]);
    if ((await session.exit).code === 0) {
      return true;
    }
    // sshd runs no command for a user whose password has expired, and says so in its place.
    if (!said.includes(UNFINISHED) && /password/i.test(complaint)) {
      const reason = `it runs no commands (${complaint.trim().split("\n").at(-1)})`;
      const refused = failure("GUEST_REFUSED", { name, username, reason });
      HOPELESS.add(refused);
      throw refused;
    }
    await delay(RETRY_INTERVAL_MS, undefined, { signal });
  }
  return false;
}
