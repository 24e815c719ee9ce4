import { chmod, mkdir, mkdtemp, readFile, rename, rm } from "node:fs/promises";
import { hostname, userInfo } from "node:os";
import { join } from "node:path";
import { errnoOf } from "../../../lib/errors.ts";
import { run } from "../../../lib/util/programs.ts";
import type { Flavour } from "../flavour.ts";
import type { Identity } from "../rest/endpoint.ts";

/** The user's client certificate and key, and the path of the certificate. */
export interface ClientIdentity extends Identity {
  readonly path: string;
}

/**
 * The user's identity, created at first use: a self-signed certificate, and a key that only its owner can
 * read.
 */
export async function clientIdentity({ name }: Flavour, dataFolder: string): Promise<ClientIdentity> {
  const folder = join(dataFolder, name);
  return (await readIdentity(folder)) ?? makeIdentity(dataFolder, folder);
}

async function readIdentity(folder: string): Promise<ClientIdentity | undefined> {
  const path = join(folder, "client.crt");
  try {
    const [certificate, key] = await Promise.all([
      readFile(path, "utf8"),
      readFile(join(folder, "client.key"), "utf8"),
    ]);
    return { certificate, key, path };
  } catch (error) {
    if (errnoOf(error) === "ENOENT") {
      return undefined;
    }
    throw error;
  }
}

async function makeIdentity(dataFolder: string, folder: string): Promise<ClientIdentity> {
  await mkdir(dataFolder, { recursive: true, mode: 0o700 });
  const work = await mkdtemp(join(dataFolder, ".client-"));
  try {
    const name = `${userInfo().username}@${hostname()}`.replace(/[^A-Za-z0-9@.-]/g, "");
    const key = join(work, "client.key");
    await run(
      "openssl",
      [
        ...["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:secp384r1", "-sha384", "-nodes"],
        ...["-days", "3650", "-subj", `/O=strata/CN=${name}`],
        ...["-addext", "extendedKeyUsage=clientAuth"],
        ...["-keyout", key, "-out", join(work, "client.crt")],
      ],
      { package: "openssl" },
    );
    await chmod(key, 0o600);
    // All or nothing; if another process was quicker, its identity is used.
    await rename(work, folder).catch((error: unknown) => {
      if (!["ENOTEMPTY", "EEXIST"].includes(errnoOf(error) ?? "")) {
        throw error;
      }
    });
  } finally {
    await rm(work, { recursive: true, force: true });
  }
  const made = await readIdentity(folder);
  if (made === undefined) {
    throw new Error(`${folder} holds no client.crt with its client.key`);
  }
  return made;
}
