/** Files of the cloud guest: Debian with systemd, cloud-init, sshd and the guest agent. */

import { quietUnits } from "./quiet-units.ts";

export const CLOUD_PACKAGES = [
  "linux-image-cloud-amd64",
  "initramfs-tools",
  "busybox",
  "zstd",
  "systemd-sysv",
  "systemd-resolved",
  "systemd-timesyncd",
  "dbus",
  "libpam-systemd",
  "openssh-server",
  "cloud-init",
  "qemu-guest-agent",
  "sudo",
  "iproute2",
  "netbase",
  "ca-certificates",
  "cloud-guest-utils",
  "fdisk",
  "e2fsprogs",
  "kmod",
  "udev",
  "procps",
  "less",
  "iputils-ping",
];

/**
 * Read by initramfs-tools when the kernel is installed: include only what a virtio guest needs to find its
 * root.
 */
export const INITRAMFS_CONF = "MODULES=list\nCOMPRESS=zstd\nCOMPRESSLEVEL=10\nRESUME=none\nBUSYBOX=n\n";
export const INITRAMFS_MODULES =
  "virtio_pci\nvirtio_blk\nvirtio_scsi\nsd_mod\next4\ncrc32c_generic\ncrc32c_intel\n";

const CLOUD_CFG = `datasource_list: [ NoCloud, None ]
datasource: { NoCloud: { fs_label: cidata } }
disable_root: true
ssh_pwauth: false
ssh_genkeytypes: [ ed25519 ]
ssh_publish_hostkeys: { enabled: false }
no_ssh_fingerprints: true
manage_etc_hosts: true
apt: { preserve_sources_list: true }
system_info:
  distro: debian
  default_user: { name: ubuntu, lock_passwd: true, gecos: Ubuntu, groups: [adm, sudo], sudo: ["ALL=(ALL) NOPASSWD:ALL"], shell: /bin/bash }
  network: { renderers: [ networkd ] }
locale: false
# Debian's list without what belongs to other clouds and other package managers.
cloud_init_modules: [ bootcmd, write-files, growpart, resizefs, disk_setup, mounts, set_hostname, update_hostname, update_etc_hosts, ca-certs, users-groups, ssh ]
cloud_config_modules: [ ssh-import-id, keyboard, locale, set-passwords, apt-configure, ntp, timezone, runcmd ]
cloud_final_modules: [ package-update-upgrade-install, write-files-deferred, scripts-vendor, scripts-per-once, scripts-per-boot, scripts-per-instance, scripts-user, phone-home, final-message, power-state-change ]
`;

/** cloud-init renews host keys and the host name with an instance, but not this. */
const MACHINE_ID = `#!/bin/sh
instance=$(cat /var/lib/cloud/data/instance-id 2>/dev/null) || exit 0
[ "$instance" != "$(cat /var/lib/cloud/machine-id-of 2>/dev/null)" ] || exit 0
tr -d - < /proc/sys/kernel/random/uuid > /etc/machine-id.new
chmod 444 /etc/machine-id.new
mv /etc/machine-id.new /etc/machine-id
echo "$instance" > /var/lib/cloud/machine-id-of
`;

const MACHINE_ID_UNIT = `[Unit]
Description=A machine id for each instance
DefaultDependencies=no
After=cloud-init-local.service
Before=network-pre.target systemd-networkd.service
Wants=network-pre.target
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/local/sbin/guest-machine-id
[Install]
WantedBy=cloud-init.target
`;

export const CLOUD_FILES: Readonly<Record<string, readonly [mode: number, text: string]>> = {
  "etc/cloud/cloud.cfg.d/90_guest.cfg": [0o644, CLOUD_CFG],
  "etc/cloud/ds-identify.cfg": [
    0o644,
    "datasource: NoCloud\npolicy: search,found=first,maybe=none,notfound=enabled\n",
  ],
  "etc/fstab": [0o644, "LABEL=root / ext4 rw,noatime,errors=remount-ro 0 1\n"],
  "etc/machine-id": [0o444, ""],
  "etc/hostname": [0o644, "guest\n"],
  "etc/hosts": [0o644, "127.0.0.1 localhost\n127.0.1.1 guest\n"],
  "usr/local/sbin/guest-machine-id": [0o755, MACHINE_ID],
  "etc/systemd/system/guest-machine-id.service": [0o644, MACHINE_ID_UNIT],
  // By default a guest requests a lease by its machine id, which changes only after a clone has booted.
  "etc/systemd/network/10-cloud-init-eth0.network.d/lease.conf": [0o644, "[DHCPv4]\nClientIdentifier=mac\n"],
  "etc/ssh/sshd_config.d/10-guest.conf": [0o644, "UseDNS no\nGSSAPIAuthentication no\n"],
  "etc/systemd/journald.conf.d/guest.conf": [0o644, "[Journal]\nStorage=volatile\n"],
  // The default waits for every link: wait for any routable one, for a limited time.
  "etc/systemd/system/systemd-networkd-wait-online.service.d/any.conf": [
    0o644,
    "[Service]\nExecStart=\nExecStart=/lib/systemd/systemd-networkd-wait-online --any --timeout=30\n",
  ],
};

export const CLOUD_LINKS: Readonly<Record<string, string>> = {
  "etc/resolv.conf": "../run/systemd/resolve/stub-resolv.conf",
  "etc/systemd/system/default.target": "/lib/systemd/system/multi-user.target",
  ...quietUnits("e2scrub_reap.service", "systemd-pstore.service"),
};

export const CLOUD_SERVICES = [
  "systemd-networkd.service",
  "systemd-resolved.service",
  "guest-machine-id.service",
  "ssh.service",
  "serial-getty@ttyS0.service",
];
