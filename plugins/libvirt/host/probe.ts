import { readFile } from "node:fs/promises";
import type { Connection } from "../rpc/index.ts";
import { elements, find, parse, text } from "../xml/document.ts";

export type Accelerator = "kvm" | "tcg";

/** What a host offers its guests. */
export interface Host {
  readonly arch: string;
  readonly accelerator: Accelerator;
  /** Why KVM is or is not used. */
  readonly reason: string;
  /** The uid and gid of QEMU; null if unknown. */
  readonly qemuUser: { readonly uid: number; readonly gid: number } | null;
}

/**
 * Probes the host. `auto` uses KVM only if the processor has the extensions: a /dev/kvm without them belongs
 * to a nested hypervisor, on which ordinary guests hang.
 */
export async function probeHost(connection: Connection, choice: string): Promise<Host> {
  const capabilities = await parse(await connection.capabilities());
  const host = find(capabilities, "host");
  const arch = text(find(host, "cpu", "arch"));
  const dac = elements(host, "secmodel").find((model) => text(find(model, "model")) === "dac");
  const label = /^\+?(\d+):\+?(\d+)$/.exec(text(find(dac, "baselabel")));
  const guests = elements(capabilities, "guest").map((guest) => find(guest, "arch"));
  const offered = guests.some(
    (guest) =>
      guest?.attributes.name === arch &&
      elements(guest, "domain").some((domain) => domain.attributes.type === "kvm"),
  );
  const [accelerator, reason] = await chooseAccelerator(choice, arch, offered);
  return {
    arch,
    accelerator,
    reason,
    qemuUser: label === null ? null : { uid: Number(label[1]), gid: Number(label[2]) },
  };
}

async function chooseAccelerator(
  choice: string,
  arch: string,
  offered: boolean,
): Promise<readonly [Accelerator, string]> {
  if (choice === "kvm" || choice === "tcg") {
    return [choice, "chosen by the setting local.libvirt.accelerator"];
  }
  if (!offered) {
    return ["tcg", "libvirt offers no KVM here"];
  }
  if (!(await hasExtensions(arch))) {
    return ["tcg", "the processor shows neither vmx nor svm, so KVM guests may hang"];
  }
  return ["kvm", "the processor has virtualization extensions and libvirt offers KVM"];
}

/**
 * True if the processor has the extensions that KVM needs. For other architectures, what libvirt reports is
 * trusted.
 */
export async function hasExtensions(arch: string): Promise<boolean> {
  if (arch !== "x86_64" && arch !== "i686") {
    return true;
  }
  const info = await readFile("/proc/cpuinfo", "utf8").catch(() => "");
  return /^flags\s*:.*\b(vmx|svm)\b/m.test(info);
}
