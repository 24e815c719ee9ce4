import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { execa } from "execa";
import { type Connection, connect, type Domain, LibvirtError } from "../../../plugins/libvirt/rpc/index.ts";

/** The name of the domain of a test of the binding. */
export const NAME = `strata-test-binding-${process.pid}`;

/** A connection to the host's libvirt, a folder that its QEMU may enter, and a domain in which nothing boots. */
export interface BindingRoom extends AsyncDisposable {
  readonly connection: Connection;
  readonly folder: string;
  readonly domain: Domain;
}

export async function bindingRoom(): Promise<BindingRoom> {
  const folder = await mkdtemp(join(tmpdir(), "strata-binding-"));
  await execa("chmod", ["0711", folder]);
  const disk = join(folder, "disk.qcow2");
  await execa("qemu-img", ["create", "-q", "-f", "qcow2", disk, "8M"]);
  const connection = await connect("qemu:///system", { timeout: 60_000 });
  const domain = await connection.defineDomain(`<domain type='qemu'><name>${NAME}</name>
    <memory unit='MiB'>64</memory><vcpu>1</vcpu><features><acpi/></features><os><type arch='x86_64'>hvm</type></os>
    <devices><disk type='file' device='disk'><driver name='qemu' type='qcow2'/>
    <source file='${disk}'/><target dev='vda' bus='virtio'/></disk>
    <channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel></devices></domain>`);
  return {
    connection,
    folder,
    domain,
    async [Symbol.asyncDispose]() {
      await domain.destroy().catch(() => {});
      await domain.undefine(2);
      await connection.close();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/** The error that the daemon refuses work with. */
export async function refusalOf(work: Promise<unknown>): Promise<LibvirtError> {
  const error = await work.then(
    () => new Error("it was not refused"),
    (reason: unknown) => reason,
  );
  if (!(error instanceof LibvirtError)) {
    throw error;
  }
  return error;
}
