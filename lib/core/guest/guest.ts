import { join } from "node:path";
import { text } from "node:stream/consumers";
import type {
  Context,
  ExecOptions,
  ExecSession,
  GuestAccess,
  Instance,
  Lock,
} from "../../engine/contract.ts";
import { asStrataError, failure, isStrataError } from "../../errors.ts";
import type { RootExec } from "../../guest/mounts.ts";
import type { Guest } from "../../guest/ssh.ts";
import type { CallOptions } from "../api/strata.ts";
import { displayState, getInstance, whileLocked } from "../instances/instances.ts";
import { contextOf, type Session } from "../session/session.ts";

/** This user's key pair for all guests. */
export async function userKeys(session: Session) {
  const { keyPair } = await import("../../guest/keys.ts");
  return keyPair(sshFolder(session));
}

/** Folder of the user's key and of what else ssh needs. */
export function sshFolder({ folders }: Session): string {
  return join(folders.data, "ssh");
}

/** How a guest is reached: an engine may reach some of its guests itself and leave others to us. */
export async function accessTo(session: Session, { id }: Pick<Instance, "id">): Promise<GuestAccess> {
  const { guest } = await session.engine();
  return guest.via === "engine" ? ((await guest.ssh?.(id)) ?? guest) : guest;
}

/** True if commands can run in an instance once its guest is ready: an adopted one may lack a user. */
export async function canLogIn(
  session: Session,
  instance: Pick<Instance, "id" | "record">,
): Promise<boolean> {
  return instance.record.username !== "" || (await accessTo(session, instance)).via === "engine";
}

/** Rejects if strata cannot log in. */
export async function requireLogin(
  session: Session,
  instance: Pick<Instance, "id" | "name" | "record">,
): Promise<void> {
  if (!(await canLogIn(session, instance))) {
    throw failure("NO_LOGIN", { name: instance.name });
  }
}

/** True where the guest can be reached at an address, if only at one of this host. */
export async function hasAddress(session: Session, instance: Instance): Promise<boolean> {
  if (instance.addresses.length > 0) {
    return true;
  }
  const guest = await accessTo(session, instance);
  return guest.via === "ssh" && instance.state === "running" && (await guest.endpoint(instance.id)) !== null;
}

/** How to log in to an instance over ssh, with the host key pinned at first contact. */
export async function login(session: Session, instance: Instance, lock: Lock | undefined) {
  const { instances } = await session.engine();
  const { name, record } = instance;
  const { privateKey } = await userKeys(session);
  const pin = (to: Lock, hostKey: string) => instances.annotate(to, { hostKey });
  return {
    name,
    username: record.username,
    privateKey,
    ...(record.hostKey === undefined ? {} : { hostKey: record.hostKey }),
    onHostKey: (key: string) =>
      lock === undefined
        ? whileLocked(session, instance, contextOf(), (own) => pin(own, key))
        : pin(lock, key),
  };
}

/**
 * Waits until commands can run in a guest that was started, without a lock on its instance, and mounts its
 * folders. If strata cannot log in, there is nothing to wait for.
 */
export async function awaitReady(
  session: Session,
  instance: Instance,
  timeout: number,
  context: Context,
): Promise<void> {
  const mount = (exec: RootExec) => mountAll(session, instance, exec, context);
  await onceReady(session, instance, timeout, context, mount).catch(async (error: unknown) => {
    const { withConsole } = await import("./console.ts");
    throw await withConsole(session, instance, error);
  });
}

/** Waits for a guest without changing anything in it; false if it does not answer in time. */
export async function answersWithin(
  session: Session,
  instance: Instance,
  timeout: number,
  call: CallOptions,
): Promise<boolean> {
  try {
    await onceReady(session, instance, timeout, contextOf(call), async () => {});
    return true;
  } catch (error) {
    const { code } = asStrataError(error);
    if (code === "GUEST_UNREACHABLE" || code === "TIMEOUT") {
      return false;
    }
    throw error;
  }
}

/** Waits until a login works or, with "boot", cloud-init has finished as well. Changes nothing in the guest. */
export async function awaitAnswer(
  session: Session,
  instance: Instance,
  until: "login" | "boot",
  timeout: number,
  context: Context,
): Promise<void> {
  await requireLogin(session, instance);
  await onceReady(session, instance, timeout, context, async () => {}, until);
}

/** Calls a function that runs commands as root in a guest, as soon as they can run. */
async function onceReady(
  session: Session,
  instance: Instance,
  timeout: number,
  context: Context,
  work: (exec: RootExec) => Promise<void>,
  until: "login" | "boot" = "boot",
): Promise<void> {
  const guest = await accessTo(session, instance);
  if (guest.via === "engine") {
    await guest.ready(instance.id, timeout, context);
    return work((argv) => guest.exec(instance.id, argv, { user: "root" }));
  }
  if (instance.record.username === "") {
    return;
  }
  const { awaitGuest } = await import("../../guest/await.ts");
  await using reached = await awaitGuest({
    ...(await login(session, instance, undefined)),
    endpoint: () => guest.endpoint(instance.id),
    alive: () => isAlive(session, instance),
    timeout,
    signal: context.signal,
    progress: context.progress,
    until,
  });
  await work((argv) => reached.exec(argv, { user: "root" }));
}

/** False once the instance is stopped: whoever was to be waited for has shut down. */
async function isAlive(session: Session, { name }: Instance): Promise<boolean> {
  const { instances } = await session.engine();
  return (await instances.find(name))?.state !== "stopped";
}

/** Mounts an instance's folders in a guest that is ready; warns about those that cannot be mounted. */
async function mountAll(
  session: Session,
  { id, name, mounts }: Instance,
  exec: RootExec,
  context: Context,
): Promise<void> {
  const { mounts: group } = await session.engine();
  if (group === undefined || mounts.length === 0) {
    return;
  }
  const { mountInside, outermostFirst } = await import("../../guest/mounts.ts");
  for (const each of outermostFirst(await group.inside(id))) {
    await mountInside(name, exec, each).catch((error: unknown) => {
      if (!isStrataError(error) || error.code !== "MOUNT_FAILED") {
        throw error;
      }
      context.warn?.(error.message);
    });
  }
}

/** Starts a command in a running instance; `lock` if the caller has locked it. */
export async function execIn(
  session: Session,
  instance: Instance,
  argv: readonly string[],
  options: ExecOptions & { readonly timeout?: number; readonly lock?: Lock },
): Promise<ExecSession> {
  const guest = await accessTo(session, instance);
  if (guest.via === "engine") {
    return guest.exec(instance.id, argv, options);
  }
  await requireLogin(session, instance);
  const endpoint = await guest.endpoint(instance.id);
  if (endpoint === null) {
    throw failure("GUEST_UNREACHABLE", { name: instance.name, reason: "it has no address yet" });
  }
  const { openGuest } = await import("../../guest/ssh.ts");
  const connection = await openGuest({
    ...(await login(session, instance, options.lock)),
    endpoint,
    ...(options.timeout === undefined ? {} : { timeout: options.timeout }),
    ...(options.signal === undefined ? {} : { signal: options.signal }),
  });
  return hangUpAfter(connection, argv, options);
}

/** The connection serves one command and ends with it. */
async function hangUpAfter(
  connection: Guest,
  argv: readonly string[],
  options: ExecOptions,
): Promise<ExecSession> {
  try {
    const running = await connection.exec(argv, options);
    const exit = running.exit.finally(() => connection[Symbol.asyncDispose]());
    exit.catch(() => {});
    return { ...running, exit };
  } catch (error) {
    await connection[Symbol.asyncDispose]();
    throw error;
  }
}

/** Runs argv as the default user of an instance that must be running. */
export async function execRunning(
  session: Session,
  name: string,
  argv: readonly string[],
  options: ExecOptions = {},
): Promise<ExecSession> {
  const instance = await getInstance(session, name);
  if (instance.state !== "running") {
    throw failure("WRONG_STATE", {
      name,
      reason: "Commands can run only in running instances",
      state: displayState(instance),
    });
  }
  return execIn(session, instance, argv, options);
}

/** Runs a command and returns its output, whatever its status; null if the guest does not answer in time. */
export async function tryOutput(
  session: Session,
  instance: Instance,
  argv: readonly string[],
  timeout: number,
): Promise<string | null> {
  try {
    const running = await execIn(session, instance, argv, { timeout, signal: AbortSignal.timeout(timeout) });
    running.stdin.end();
    running.stderr.resume();
    const output = await text(running.stdout);
    await running.exit;
    return output;
  } catch (error) {
    session.log.debug(`the guest of ${instance.name} does not answer`, { error: String(error) });
    return null;
  }
}
