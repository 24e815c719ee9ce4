import { readFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { withKnownHosts } from "../../guest/ssh-config.ts";
import { lockFile } from "../../util/file-lock.ts";
import { atOwn, makeFolder, readOwn } from "../../util/own-files.ts";
import type { SshLogin } from "../api/strata.ts";
import type { Session } from "../session/session.ts";
import { sshFolder } from "./guest.ts";

/** How long one command waits while another writes the same files, ms. */
const LOCK_TIMEOUT_MS = 30_000;

/** Keeps the host keys of logins where ssh finds them. */
export async function noteHostKeys(session: Session, logins: readonly SshLogin[]): Promise<void> {
  const path = join(sshFolder(session), "known_hosts");
  await change(session, path, (before) => {
    const named = new Set(logins.map(({ alias }) => alias));
    const lines = before.split("\n").flatMap((line) => {
      const [alias = "", type, key, engine = ""] = line.split(" ");
      return engine !== session.engineName || named.has(alias)
        ? []
        : [{ alias, engine, hostKey: `${type} ${key}` }];
    });
    return withKnownHosts(before, session.engineName, [...lines, ...logins]);
  });
}

/** Reads a file of the user's; undefined where there is none. */
export function readText(path: string, encoding: BufferEncoding = "utf8"): Promise<string | undefined> {
  return readOwn(path, () => readFile(path, encoding));
}

/** Changes a file of the user's, one command at a time; one that is there keeps its mode, and a link stays one. */
export async function change(
  session: Session,
  path: string,
  make: (before: string) => string,
  encoding: BufferEncoding = "utf8",
): Promise<void> {
  const folder = sshFolder(session);
  await using _lock = await atOwn(folder, async () => {
    await makeFolder(folder);
    return lockFile(join(folder, "lock"), { name: "the configuration of ssh", wait: LOCK_TIMEOUT_MS });
  });
  const before = (await readText(path, encoding)) ?? "";
  const after = make(before);
  if (after === before) {
    return;
  }
  const { default: writeFileAtomic } = await import("write-file-atomic");
  await atOwn(path, async () => {
    await makeFolder(dirname(path));
    await writeFileAtomic(path, Buffer.from(after, encoding), before === "" ? { mode: 0o600 } : {});
  });
}
