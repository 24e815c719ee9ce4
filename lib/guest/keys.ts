import { randomUUID } from "node:crypto";
import { chmod, link, readFile, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import ssh2 from "ssh2";
import { errnoOf, failure } from "../errors.ts";
import { atOwn, createFile, makeFolder } from "../util/own-files.ts";

export interface KeyPair {
  /** One line, `ssh-ed25519 BASE64 COMMENT`. */
  readonly publicKey: string;
  /** OpenSSH's own form. */
  readonly privateKey: string;
}

/**
 * The user's key pair for guests, created at first use in `folder` (0700, the key 0600). Rejects with
 * PERMISSION_DENIED if other users could read the key.
 */
export async function keyPair(folder: string): Promise<KeyPair> {
  const path = join(folder, "id_ed25519");
  const existing = await readPair(path);
  if (existing !== undefined) {
    return existing;
  }
  await atOwn(path, () => writePair(folder, path));
  const pair = await readPair(path);
  if (pair === undefined) {
    throw failure("FILE_NOT_FOUND", { path });
  }
  return pair;
}

async function writePair(folder: string, path: string): Promise<void> {
  await makeFolder(folder);
  await chmod(folder, 0o700);
  const draft = join(folder, `.${randomUUID()}`);
  try {
    await using file = await createFile(draft);
    await file.writeFile(makeKeyPair().private);
    await file.sync();
    // If two processes create a key at once, the first link wins and both use its key.
    await link(draft, path).catch((error: unknown) => {
      if (errnoOf(error) !== "EEXIST") {
        throw error;
      }
    });
  } finally {
    await rm(draft, { force: true });
  }
}

/**
 * Creates a pair that can be read back. One in about 250 pairs of ssh2 cannot: it drops a leading zero of the
 * public half.
 */
export function makeKeyPair(
  generate = () => ssh2.utils.generateKeyPairSync("ed25519", { comment: "strata" }),
): { readonly private: string; readonly public: string } {
  for (;;) {
    const made = generate();
    if (!(ssh2.utils.parseKey(made.private) instanceof Error)) {
      return made;
    }
  }
}

async function readPair(path: string): Promise<KeyPair | undefined> {
  const found = await stat(path).catch(() => undefined);
  if (found === undefined) {
    return undefined;
  }
  if ((found.mode & 0o077) !== 0) {
    throw failure("PERMISSION_DENIED", {
      reason: `the key ${path} must not be readable by others; run chmod 600 on it, or remove it if it leaked`,
    });
  }
  const privateKey = await atOwn(path, () => readFile(path, "utf8"));
  const parsed = ssh2.utils.parseKey(privateKey);
  if (parsed instanceof Error) {
    throw failure("PERMISSION_DENIED", { reason: `${path} is not an ssh key` }, parsed);
  }
  const publicKey = `${parsed.type} ${parsed.getPublicSSH().toString("base64")} strata`;
  return { privateKey, publicKey };
}
