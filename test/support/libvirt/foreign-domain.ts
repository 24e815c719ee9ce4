import { createHash, randomUUID } from "node:crypto";
import { readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { execa } from "execa";
import type { Foreign } from "../../../lib/engine/conformance/fixture.ts";
import { type InstanceRecord, RECORD_VERSION } from "../../../lib/engine/contract.ts";
import type { Connection } from "../../../plugins/libvirt/rpc/index.ts";
import { diskXml } from "./foreign-lab.ts";

export interface ForeignDomain extends Foreign {
  /** Its own disk. */
  readonly disk: string;
}

/** The record of a domain that was adopted and is not logged in to. */
export function foreignRecord(): InstanceRecord {
  return {
    version: RECORD_VERSION,
    image: { sha256: "", release: "", os: "" },
    username: "",
    deleted: false,
    snapshotsTaken: 0,
    cloudInstanceId: "",
    createdAt: 0,
  };
}

/**
 * A domain as others make them: its disk is in a folder of theirs, on a bus of theirs, beside an empty
 * CD drive. `devices` are further ones, `firmware` what `<os>` has beside its type, `owner` whose it is. Of so many
 * further `disks`, every other one is raw.
 */
export async function foreignDomain(
  connection: Connection,
  folder: string,
  o: {
    readonly format?: string;
    readonly devices?: string;
    readonly firmware?: string;
    readonly owner?: number;
    readonly disks?: number;
  } = {},
): Promise<ForeignDomain> {
  const { format = "qcow2", devices = "", firmware = "", owner = process.pid, disks = 0 } = o;
  const name = `foreign-${owner}-${randomUUID().slice(0, 8)}a`;
  const disk = join(folder, `${name}.img`);
  await execa("qemu-img", ["create", "-q", "-f", format, disk, "16M"]);
  await execa("qemu-io", ["-f", format, "-c", "write -P 200 1M 64k", disk]);
  const further: { readonly target: string; readonly file: string }[] = [];
  for (let at = 0; at < disks; at++) {
    const [kind, target] = [at % 2 === 0 ? "raw" : "qcow2", `sd${String.fromCharCode(99 + at)}`];
    const file = join(folder, `${name}-${target}.${kind}`);
    await execa("qemu-img", ["create", "-q", "-f", kind, file, "16M"]);
    further.push({ target, file });
  }
  const domain = await connection.defineDomain(`
    <domain type='qemu'>
      <name>${name}</name>
      <memory unit='MiB'>128</memory>
      <vcpu>1</vcpu>
      <os><type arch='x86_64' machine='q35'>hvm</type>${firmware}</os>
      <features><acpi/></features>
      <devices>
        <disk type='file' device='cdrom'><target dev='sda' bus='sata'/><readonly/></disk>
        <disk type='file' device='disk'>
          <driver name='qemu' type='${format}'/>
          <source file='${disk}'/>
          <target dev='sdb' bus='sata'/>
        </disk>
        ${further.map(({ target, file }) => diskXml({ file }, target, file.endsWith(".raw") ? "raw" : "qcow2")).join("")}
        ${devices}
      </devices>
    </domain>`);
  return {
    name,
    disk,
    ...(disks === 0 ? {} : { disks: further.map(({ target }) => target) }),
    digest: async () => {
      const hash = createHash("sha256");
      for (const file of [disk, ...further.map((each) => each.file)]) {
        hash.update(await readFile(file));
      }
      return hash.digest("hex");
    },
    async [Symbol.asyncDispose]() {
      // Whoever has removed it for good has undefined it as well.
      await execa("virsh", ["undefine", domain.uuid, "--snapshots-metadata", "--keep-nvram"], {
        reject: false,
      });
      for (const file of [disk, ...further.map((each) => each.file)]) {
        await rm(file, { force: true });
      }
      await rm(`/var/lib/libvirt/images/strata/instances/${domain.uuid}`, { recursive: true, force: true });
    },
  };
}
