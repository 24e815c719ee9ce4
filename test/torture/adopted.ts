import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { execa } from "execa";
import { context } from "../../lib/engine/conformance/fixture.ts";
import type { Instance } from "../../lib/engine/contract.ts";
import type { LibvirtFixture } from "../support/libvirt/fixture.ts";
import { foreignRecord } from "../support/libvirt/foreign-domain.ts";
import { diskXml } from "../support/libvirt/foreign-lab.ts";

/** The folder of the disks that the domain brings along. */
export const OWN = "own";

/**
 * Adopts a domain of that name with three disks of its own: an overlay on a raw image, a raw file, and another one
 * without a format. A fourth one, read-only, has the target that a seed would have.
 */
export async function adoptAs(name: string, fixture: LibvirtFixture, folder: string): Promise<Instance> {
  const { adoption } = fixture.engine;
  if (adoption === undefined) {
    throw new Error("the engine adopts nothing");
  }
  const own = join(folder, OWN);
  await mkdir(own);
  const file = async (name: string, ...args: string[]) => {
    await execa("qemu-img", ["create", "-q", ...args, join(own, name), "9M"]);
    return join(own, name);
  };
  const box = await file("box.raw", "-f", "raw");
  await execa("qemu-io", ["-f", "raw", "-c", "write -P 77 0 9M", box]);
  const system = await file("system.qcow2", "-f", "qcow2", "-b", box, "-F", "raw");
  const [second, third, fourth] = [
    await file("second.raw", "-f", "raw"),
    await file("third.raw", "-f", "raw"),
    await file("fourth.raw", "-f", "raw"),
  ];
  const disks = [
    diskXml({ file: system }, "vda"),
    diskXml({ file: fourth }, "vdb", "raw", "<readonly/>"),
    diskXml({ file: second }, "vdc", "raw"),
    diskXml({ file: third }, "vdd", ""),
  ];
  await fixture.connection.defineDomain(`<domain type='qemu'><name>${name}</name>
    <memory unit='MiB'>128</memory><vcpu>1</vcpu><os><type arch='x86_64' machine='q35'>hvm</type></os>
    <features><acpi/></features><devices>${disks.join("")}</devices></domain>`);
  return adoption.adopt(name, { ...foreignRecord(), createdAt: 1 }, context());
}
