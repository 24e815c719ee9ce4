/** Files of the container: Debian with systemd and cloud-init, without kernel, boot loader and sshd. */

import { quietUnits } from "./quiet-units.ts";

export const CONTAINER_PACKAGES = [
  "systemd-sysv",
  "systemd-resolved",
  "dbus",
  "libpam-systemd",
  "cloud-init",
  // Without this, systemd-networkd waits for the interface forever.
  "udev",
  "sudo",
  "iproute2",
  "netbase",
  "ca-certificates",
  "procps",
  "less",
  "iputils-ping",
];

const CLOUD_CFG = `datasource_list: [ LXD, NoCloud, None ]
disable_root: true
ssh_pwauth: false
manage_etc_hosts: true
apt: { preserve_sources_list: true }
system_info:
  distro: debian
  default_user: { name: ubuntu, lock_passwd: true, gecos: Ubuntu, groups: [adm, sudo], sudo: ["ALL=(ALL) NOPASSWD:ALL"], shell: /bin/bash }
  network: { renderers: [ networkd ] }
locale: false
# Debian's list without what belongs to machines of their own and to other package managers.
cloud_init_modules: [ bootcmd, write-files, set_hostname, update_hostname, update_etc_hosts, ca-certs, users-groups ]
cloud_config_modules: [ locale, set-passwords, apt-configure, timezone, runcmd ]
cloud_final_modules: [ package-update-upgrade-install, write-files-deferred, scripts-vendor, scripts-per-once, scripts-per-boot, scripts-per-instance, scripts-user, phone-home, final-message, power-state-change ]
`;

export const CONTAINER_FILES: Readonly<Record<string, readonly [mode: number, text: string]>> = {
  "etc/cloud/cloud.cfg.d/90_guest.cfg": [0o644, CLOUD_CFG],
  "etc/cloud/ds-identify.cfg": [0o644, "policy: search,found=first,maybe=all,notfound=enabled\n"],
  "etc/machine-id": [0o444, ""],
  "etc/hostname": [0o644, "guest\n"],
  "etc/hosts": [0o644, "127.0.0.1 localhost\n127.0.1.1 guest\n"],
  "etc/fstab": [0o644, ""],
  "etc/systemd/journald.conf.d/guest.conf": [0o644, "[Journal]\nStorage=volatile\n"],
  // The default waits for every link: a container may have none.
  "etc/systemd/system/systemd-networkd-wait-online.service.d/any.conf": [
    0o644,
    "[Service]\nExecStart=\nExecStart=/lib/systemd/systemd-networkd-wait-online --any --timeout=10\n",
  ],
};

export const CONTAINER_LINKS: Readonly<Record<string, string>> = {
  "etc/resolv.conf": "../run/systemd/resolve/stub-resolv.conf",
  "etc/systemd/system/default.target": "/lib/systemd/system/multi-user.target",
  ...quietUnits("systemd-binfmt.service"),
};

export const CONTAINER_SERVICES = ["systemd-networkd.service", "systemd-resolved.service"];

/** The metadata that LXD requires of an image. */
export function containerMetadata(codename: string, createdAt: number): string {
  return `architecture: x86_64
creation_date: ${Math.floor(createdAt / 1000)}
properties: { os: Debian, release: ${codename}, description: "Debian ${codename}, built by strata" }
`;
}
