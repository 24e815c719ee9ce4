import { setTimeout as delay } from "node:timers/promises";
import type {
  Context,
  EngineAccess,
  ExecOptions,
  ExecSession,
  SshAccess,
} from "../../../lib/engine/contract.ts";
import { mapErrors } from "../../../lib/engine/map-errors.ts";
import { failure } from "../../../lib/errors.ts";
import { getManaged } from "../domain/managed.ts";
import { readState } from "../domain/view.ts";
import type { LxdEngine } from "../engine.ts";
import { errorsOf } from "../errors.ts";
import { machineAccess } from "../lifecycle/machines.ts";
import { execute } from "./exec.ts";

/** Interval between checks of a guest that starts, ms. */
const POLL_INTERVAL_MS = 200;

/**
 * Exits with 0 once this boot is finished: cloud-init is done, if there is one. If systemd has not enabled it
 * for this boot, it will not run.
 */
const FINISHED =
  "test -e /run/cloud-init/result.json || test -e /run/cloud-init/disabled || ! test -d /etc/cloud";

/**
 * Runs "$@" as a user, in the user's home or in a folder, with the environment of a login. Without argv, it
 * runs the user's login shell. Arguments: user, folder ("" for the home), how long to linger ("" for not at
 * all), command.
 *
 * LXD kills the process that it has started, and a terminal belongs to that process, so nothing must stay
 * between LXD and the command. `su` of util-linux would stay, and gives its child a session without the
 * terminal; it comes last, for busybox, whose `su` does neither.
 *
 * But LXD 5.0 may lose the last output on a terminal once no process has it open. So a shell lingers after
 * the command; killing it hangs up on the command.
 */
const AS_USER = `user=$1 folder=$2 linger=$3
shift 3
home=$(eval "printf %s ~$user")
entry=$(grep "^$user:" /etc/passwd) || { printf '%s\\n' "there is no user $user" >&2; sleep "\${linger:-0}"; exit 126; }
shell=\${entry##*:}
export HOME="$home" USER="$user" LOGNAME="$user" SHELL="\${shell:=/bin/sh}"
cd -- "\${folder:-$home}" || { sleep "\${linger:-0}"; exit 126; }
if [ $# = 0 ]; then set -- "$shell" -l; fi
launch() {
  [ -n "$linger" ] || exec "$@"
  trap : INT QUIT
  (exec "$@")
  code=$?
  sleep "$linger"
  exit "$code"
}
[ "$user" != root ] || launch "$@"
if command -v setpriv >/dev/null && setpriv --help 2>&1 | grep -q init-groups; then
  launch setpriv --reuid "$user" --regid "$(id -g "$user")" --init-groups -- "$@"
fi
if chroot --help 2>&1 | grep -q skip-chdir; then
  ids=$(id -u "$user"):$(id -g "$user") groups=$(id -G "$user" | tr ' ' ,)
  launch chroot --userspec "$ids" --groups "$groups" --skip-chdir / "$@"
fi
launch su -s /bin/sh -c 'exec "$0" "$@"' "$user" -- "$@"`;

/** Seconds; LXD reads the last output much sooner. */
const LINGER = "0.1";
const PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/** User names that the shell above can read. */
const USER = /^[a-z_][a-z0-9_-]*$/i;

/** `machines`: whether there may be virtual machines among the instances. */
export function guestAccess(engine: LxdEngine, { machines }: { readonly machines: boolean }): EngineAccess {
  return {
    via: "engine",
    ...(machines ? { ssh: (id: string) => access(engine, id) } : {}),
    ready: (id, timeout, context) => ready(engine, id, timeout, context),
    async exec(id, argv, options) {
      // Once the command runs, its failures are not reported through this call.
      return mapErrors(await exec(engine, id, argv, options), (error) => errorsOf(engine)(error, id));
    },
  };
}

/** How a virtual machine is reached; must be asked again whenever it has started. */
async function access(engine: LxdEngine, id: string): Promise<SshAccess | null> {
  const found = await machineAccess(engine, id);
  return found === null ? null : mapErrors(found, errorsOf(engine));
}

async function exec(
  engine: LxdEngine,
  id: string,
  argv: readonly string[],
  options: ExecOptions,
): Promise<ExecSession> {
  const { name, own, instance } = await getManaged(engine, id);
  if (readState(instance.status) !== "running") {
    throw failure("GUEST_UNREACHABLE", { name, reason: "it is not running" });
  }
  const user = options.user ?? own.record.username;
  if (!USER.test(user)) {
    throw failure("INVALID_VALUE", { what: "the user", value: user, reason: "must be a valid user name" });
  }
  const linger = options.tty === undefined ? "" : LINGER;
  const command = ["/bin/sh", "-c", AS_USER, "sh", user, options.cwd ?? "", linger, ...argv];
  return execute(engine, name, command, { ...options, environment: { PATH, LANG: "C.UTF-8" } });
}

async function ready(engine: LxdEngine, id: string, timeout: number, context: Context): Promise<void> {
  const { name } = await getManaged(engine, id);
  const end = Date.now() + timeout;
  const wait = { since: Date.now(), timeout };
  context.progress({ phase: `Waiting for ${name}: its guest does not answer yet`, wait });
  for (;;) {
    const reason = await unready(engine, id, context);
    if (reason === undefined) {
      return;
    }
    if (Date.now() > end) {
      throw failure("GUEST_UNREACHABLE", {
        name,
        reason: `no answer within ${Math.round(timeout / 1000)} s; last error: ${reason}`,
      });
    }
    await delay(POLL_INTERVAL_MS, undefined, { signal: context.signal }).catch((error: unknown) => {
      throw failure("CANCELLED", {}, error);
    });
  }
}

/** Why commands cannot run in a guest yet; undefined if they can. */
async function unready(engine: LxdEngine, id: string, { signal }: Context): Promise<string | undefined> {
  const { name, instance } = await getManaged(engine, id);
  if (readState(instance.status) !== "running") {
    return "it is not running";
  }
  const session = await execute(engine, name, ["/bin/sh", "-c", FINISHED], { signal });
  session.stdin.end();
  session.stdout.resume();
  session.stderr.resume();
  return (await session.exit).code === 0 ? undefined : "cloud-init has not finished";
}
