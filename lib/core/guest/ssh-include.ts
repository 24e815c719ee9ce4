import { rm } from "node:fs/promises";
import { join } from "node:path";
import { asStrataError, failure } from "../../errors.ts";
import { folderOf, withInclude, withoutInclude, withSections } from "../../guest/ssh-config.ts";
import { atOwn } from "../../util/own-files.ts";
import type { CallOptions } from "../api/strata.ts";
import { contextOf, type Session } from "../session/session.ts";
import { change, readText } from "./ssh-files.ts";
import { sshLogins } from "./ssh-logins.ts";

const pathOf = ({ folders }: Session) => join(folders.ssh, "config.d", "strata");
const configOf = ({ folders }: Session) => join(folders.ssh, "config");

/** Has ssh know all running instances, now and after every change of them. */
export async function include(session: Session, call?: CallOptions): Promise<{ readonly path: string }> {
  const path = pathOf(session);
  const { data } = session.folders;
  await requireOurs(session);
  await change(session, path, (before) => before || withSections("", session.engineName, [], data));
  await write(session, call);
  for (const each of await session.others()) {
    await refreshInclude(each, call);
  }
  await change(session, configOf(session), (before) => withInclude(before, bytesOf(path)), "latin1");
  return { path };
}

/** Takes away what `include` has made. */
export async function exclude(session: Session): Promise<void> {
  const path = pathOf(session);
  if (!(await requireOurs(session))) {
    return;
  }
  await change(session, configOf(session), (before) => withoutInclude(before, bytesOf(path)), "latin1");
  await atOwn(path, () => rm(path, { force: true }));
}

/**
 * Writes the file anew where the user has it and it is about this data folder. What goes wrong costs a warning:
 * what was asked for has been done.
 */
export async function refreshInclude(session: Session, call?: CallOptions): Promise<void> {
  const { warn } = contextOf(call);
  try {
    const text = await readText(pathOf(session));
    if (text !== undefined && folderOf(text) === session.folders.data) {
      await write(session, call);
    }
  } catch (error) {
    warn?.(`${pathOf(session)} was not brought up to date: ${asStrataError(error).message}`);
  }
}

/** The characters of a text's bytes: the user's file is changed as bytes, whatever its encoding. */
function bytesOf(text: string): string {
  return Buffer.from(text, "utf8").toString("latin1");
}

/** Replaces the sections of the session's engine. */
async function write(session: Session, call?: CallOptions): Promise<void> {
  const { data } = session.folders;
  const { signal } = contextOf(call);
  const logins = await sshLogins(session, undefined, { signal });
  await change(session, pathOf(session), (before) => withSections(before, session.engineName, logins, data));
}

/** False where there is none. Rejects where it is somebody else's, another strata of the user's included. */
async function requireOurs(session: Session): Promise<boolean> {
  const path = pathOf(session);
  const text = await readText(path);
  if (text !== undefined && folderOf(text) !== session.folders.data) {
    throw failure("FILE_NOT_OURS", { path });
  }
  return text !== undefined;
}
