import { randomBytes } from "node:crypto";
import { mkdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";

/** Files that a domain's firmware keeps, written by hand: the domain need not be started for them. */
export interface Firmware extends AsyncDisposable {
  /** What `foreignDomain` puts into `<os>`. */
  readonly firmware: string;
  /** What `foreignDomain` puts into `<devices>`. */
  readonly devices: string;
  readonly variables: string;
  /** Writes both as a guest would. */
  write(id: string, mark: string): Promise<void>;
  /** What both say; "" for a file that is not there. */
  read(id: string): Promise<{ variables: string; tpm: string }>;
}

/** The folder that libvirt gives the TPM of a domain. */
export function tpmFolder(id: string): string {
  return `/var/lib/libvirt/swtpm/${id}/tpm2`;
}

/** UEFI variables in a file of a folder, and an emulated TPM. */
export function firmwareIn(folder: string): Firmware {
  const variables = join(folder, `vars-${randomBytes(4).toString("hex")}_VARS.fd`);
  const ids = new Set<string>();
  return {
    variables,
    firmware: `<loader readonly='yes' type='pflash'>/usr/share/OVMF/OVMF_CODE_4M.fd</loader><nvram template='/usr/share/OVMF/OVMF_VARS_4M.fd'>${variables}</nvram>`,
    devices: "<tpm model='tpm-crb'><backend type='emulator' version='2.0'/></tpm>",
    async write(id, mark) {
      ids.add(id);
      await writeFile(variables, `variables ${mark}`, { mode: 0o600 });
      await writeTpm(id, mark);
    },
    read: async (id) => ({ variables: await readOr(variables), tpm: await readTpmState(id) }),
    async [Symbol.asyncDispose]() {
      await rm(variables, { force: true });
      for (const id of ids) {
        await rm(dirname(tpmFolder(id)), { recursive: true, force: true });
      }
    },
  };
}

export async function writeTpm(id: string, mark: string): Promise<void> {
  await mkdir(tpmFolder(id), { recursive: true });
  await writeFile(join(tpmFolder(id), "tpm2-00.permall"), `tpm ${mark}`, { mode: 0o600 });
}

export function readTpmState(id: string): Promise<string> {
  return readOr(join(tpmFolder(id), "tpm2-00.permall"));
}

/** What a file says; "" if it is not there. */
export function readOr(path: string): Promise<string> {
  return readFile(path, "utf8").catch(() => "");
}

/** Rights and owner of a file. */
export async function rightsOf(path: string): Promise<string> {
  const { mode, uid, gid } = await stat(path);
  return `${(mode & 0o777).toString(8)} ${uid}:${gid}`;
}
