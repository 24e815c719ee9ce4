import { join } from "node:path";
import type { InstanceOutline, SshEndpoint } from "../../engine/contract.ts";
import { asStrataError, failure } from "../../errors.ts";
import { aliasOf } from "../../guest/ssh-config.ts";
import type { CallOptions, SshLogin } from "../api/strata.ts";
import { displayState, getInstance, outlines } from "../instances/instances.ts";
import { unsupported } from "../session/features.ts";
import { contextOf, type Session } from "../session/session.ts";
import { accessTo, login, requireLogin, sshFolder, userKeys } from "./guest.ts";
import { noteHostKeys } from "./ssh-files.ts";

/** How long a guest may take to show its host key, where it was not pinned before, ms. */
const CONTACT = 20_000;

/** How to log in to instances of one engine: to those named, or to all that can be logged in to now. */
export async function sshLogins(
  session: Session,
  names: readonly string[] | undefined,
  call?: CallOptions,
): Promise<SshLogin[]> {
  // The file that it names has to be there.
  await userKeys(session);
  const found =
    names === undefined ? await loginsToReachable(session, call) : await loginsTo(session, names, call);
  await noteHostKeys(session, found);
  return found;
}

async function loginsTo(session: Session, names: readonly string[], call?: CallOptions): Promise<SshLogin[]> {
  const found: SshLogin[] = [];
  for (const name of names) {
    found.push(await loginTo(session, await getInstance(session, name), call));
  }
  return found;
}

/** Those that work: of an instance that lets nobody in the reason is a warning. */
async function loginsToReachable(session: Session, call?: CallOptions): Promise<SshLogin[]> {
  const context = contextOf(call);
  const found: SshLogin[] = [];
  for (const instance of await reachable(session)) {
    try {
      found.push(await loginTo(session, instance, call));
    } catch (thrown) {
      const error = asStrataError(thrown);
      if (error.code === "CANCELLED") {
        throw error;
      }
      if (error.code !== "UNSUPPORTED") {
        context.warn?.(error.message);
      }
    }
  }
  return found;
}

/** Those that run and let us in by ssh, as far as that is known without asking their guests. */
async function reachable(session: Session): Promise<InstanceOutline[]> {
  return (await outlines(session))
    .filter(({ state, record }) => state === "running" && !record.deleted && record.username !== "")
    .toSorted((a, b) => (a.name < b.name ? -1 : 1));
}

async function loginTo(session: Session, instance: InstanceOutline, call?: CallOptions): Promise<SshLogin> {
  const { name, record } = instance;
  const endpoint = await endpointOf(session, instance);
  const folder = sshFolder(session);
  return {
    instance: name,
    alias: aliasOf(name),
    engine: session.engineName,
    ...endpoint,
    username: record.username,
    identityFile: join(folder, "id_ed25519"),
    knownHostsFile: join(folder, "known_hosts"),
    hostKey: record.hostKey ?? (await pinnedNow(session, name, endpoint, call)),
  };
}

/** Where the sshd of a running instance listens. */
export async function endpointOf(session: Session, instance: InstanceOutline): Promise<SshEndpoint> {
  const { name } = instance;
  const guest = await accessTo(session, instance);
  if (guest.via === "engine") {
    throw await unsupported(session, `ssh to "${name}"`, "commands run in its instances without ssh");
  }
  await requireLogin(session, instance);
  if (instance.state !== "running") {
    const reason = "Only running instances can be reached by ssh";
    throw failure("WRONG_STATE", { name, reason, state: displayState(instance) });
  }
  const endpoint = await guest.endpoint(instance.id);
  if (endpoint === null) {
    throw failure("GUEST_UNREACHABLE", { name, reason: "it has no address yet" });
  }
  return endpoint;
}

/** Contacts a guest for the first time, which pins its host key. */
async function pinnedNow(
  session: Session,
  name: string,
  endpoint: SshEndpoint,
  call?: CallOptions,
): Promise<string> {
  const { signal } = contextOf(call);
  const known = await login(session, await getInstance(session, name), undefined);
  let hostKey = known.hostKey;
  const onHostKey = async (key: string) => {
    await known.onHostKey(key);
    hostKey = key;
  };
  const { openGuest } = await import("../../guest/ssh.ts");
  await using _guest = await openGuest({ ...known, onHostKey, endpoint, timeout: CONTACT, signal });
  if (hostKey === undefined) {
    throw failure("INTERNAL", { reason: "a guest let us in and showed no host key" });
  }
  return hostKey;
}
