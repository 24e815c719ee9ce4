import { homedir } from "node:os";
import { isAbsolute, join } from "node:path";
import type { LibvirtEngine } from "../engine.ts";

/** Where libvirt's driver for QEMU keeps what it saves for domains; there is no call that tells it. */
export function qemuFolder({ session }: Pick<LibvirtEngine, "session">): string {
  if (!session) {
    return "/var/lib/libvirt/qemu";
  }
  const { XDG_CONFIG_HOME: config = "" } = process.env;
  return join(isAbsolute(config) ? config : join(homedir(), ".config"), "libvirt/qemu");
}
