/** Files of the micro guest: Debian's userland and kernel, busybox as init, a small NoCloud reader. */

import {
  GUEST_AGENT,
  GUEST_BOOT,
  GUEST_DHCP,
  GUEST_HALT,
  GUEST_LATE,
  GUEST_POWER,
  INITTAB,
} from "./micro-init.ts";
import { NOCLOUD } from "./micro-nocloud.ts";

export const MICRO_PACKAGES = [
  "linux-image-cloud-amd64",
  "busybox-static",
  "openssh-sftp-server",
  "dropbear-bin",
  "qemu-guest-agent",
  "sudo",
  "iproute2",
  "netbase",
  "fdisk",
  "kmod",
  "procps",
  "python3-minimal",
  "python3-yaml",
];

/** Files by path in the guest, with their modes. */
export const MICRO_FILES: Readonly<Record<string, readonly [mode: number, text: string]>> = {
  "etc/inittab": [0o644, INITTAB],
  "etc/fstab": [0o644, "LABEL=root / ext4 rw,noatime,errors=remount-ro 0 1\n"],
  "etc/hostname": [0o644, "guest\n"],
  "etc/hosts": [0o644, "127.0.0.1 localhost\n127.0.1.1 guest\n::1 localhost ip6-localhost\n"],
  "etc/machine-id": [0o444, ""],
  "etc/resolv.conf": [0o644, ""],
  "etc/sudoers.d/90-ubuntu": [0o440, "ubuntu ALL=(ALL) NOPASSWD:ALL\n"],
  // busybox's acpid runs this when the power button is pressed.
  "etc/acpi/PWRF/00000080": [0o755, "#!/bin/sh\nexec /usr/sbin/poweroff\n"],
  "usr/local/sbin/guest-boot": [0o755, GUEST_BOOT],
  "usr/local/sbin/guest-agent": [0o755, GUEST_AGENT],
  "usr/local/sbin/guest-late": [0o755, GUEST_LATE],
  "usr/local/sbin/guest-halt": [0o755, GUEST_HALT],
  "usr/local/sbin/guest-dhcp": [0o755, GUEST_DHCP],
  "usr/local/sbin/guest-power": [0o755, GUEST_POWER],
  "usr/local/lib/nocloud.py": [0o644, NOCLOUD],
};

/** Links by path in the guest. */
export const MICRO_LINKS: Readonly<Record<string, string>> = {
  "usr/sbin/init": "/bin/busybox",
  "usr/sbin/poweroff": "/usr/local/sbin/guest-power",
  "usr/sbin/reboot": "/usr/local/sbin/guest-power",
  "usr/sbin/halt": "/usr/local/sbin/guest-power",
  "usr/sbin/shutdown": "/usr/local/sbin/guest-power",
};
