#!/bin/bash
# Makes a host ready for strata: packages, libvirt's daemon, its default network. Can be run again. `strata setup`
# runs it; `scripts/setup.sh` does more for a checkout. Further packages may be named as arguments.
set -euo pipefail

PACKAGES=(libvirt-daemon-system libvirt-clients libvirt-daemon-driver-qemu qemu-system-x86 qemu-utils
  dnsmasq-base nftables iptables iproute2 genisoimage mmdebstrap e2fsprogs fdisk grub-pc-bin grub-efi-amd64-bin
  grub-common mtools cpio zstd xz-utils bzip2 openssh-client util-linux procps)
PACKAGES+=("$@")

as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }
say() { printf 'setup: %s\n' "$*" >&2; }

# Asks until the command succeeds, for at most 30 seconds.
await() {
  for _ in $(seq 300); do
    if "$@" >/dev/null 2>&1; then return; fi
    sleep 0.1
  done
  say "no success within 30 s: $*"
  return 1
}

is_installed() { dpkg-query -W -f='${Status}' "$1" 2>/dev/null | grep -q 'ok installed'; }

install_packages() {
  local missing=() package
  for package in "${PACKAGES[@]}"; do
    is_installed "$package" || missing+=("$package")
  done
  [ "${#missing[@]}" -eq 0 ] || install "${missing[@]}"
  # Since Debian 13 a package of its own; before, part of qemu-system-common.
  [ -x /usr/lib/qemu/virtiofsd ] || [ -x /usr/libexec/virtiofsd ] || install virtiofsd
}

install() {
  command -v apt-get >/dev/null || { say "there is no apt-get; install by hand what is on Debian: $*"; return 1; }
  say "installing $*"
  local apt=(env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "$@")
  as_root "${apt[@]}" >/dev/null 2>&1 || { as_root apt-get update -qq; as_root "${apt[@]}" >/dev/null; }
}

# A /dev/kvm without processor extensions belongs to a nested hypervisor: ordinary guests hang on it, and
# libvirt probes QEMU anew at every call as long as it may open the device.
kvm_misleads() {
  [ -e /dev/kvm ] && [ "$(uname -m)" = x86_64 ] && ! grep -qwE 'vmx|svm' /proc/cpuinfo
}

start_daemons() {
  if [ -d /run/systemd/system ]; then
    as_root systemctl enable --now virtlogd.socket >/dev/null 2>&1 || true
    as_root systemctl enable --now libvirtd.socket >/dev/null 2>&1 ||
      as_root systemctl enable --now virtqemud.socket virtnetworkd.socket virtstoraged.socket
    return
  fi
  as_root mkdir -p /run/libvirt
  pgrep -x virtlogd >/dev/null || as_root virtlogd -d
  pgrep -x libvirtd >/dev/null && return 0
  say "starting libvirtd"
  if kvm_misleads; then
    as_root rm -f /run/libvirt/no-kvm
    as_root mknod -m 000 /run/libvirt/no-kvm c 1 3
    as_root unshare -m sh -c 'mount --bind /run/libvirt/no-kvm /dev/kvm && exec libvirtd -d'
  else
    as_root libvirtd -d
  fi
}

start_network() {
  local virsh=(as_root virsh -q -c qemu:///system)
  "${virsh[@]}" net-info default >/dev/null 2>&1 ||
    "${virsh[@]}" net-define /usr/share/libvirt/networks/default.xml >/dev/null
  [[ $("${virsh[@]}" net-list --name) =~ (^|[[:space:]])default($|[[:space:]]) ]] ||
    "${virsh[@]}" net-start default >/dev/null
  "${virsh[@]}" net-autostart default >/dev/null
}

install_packages
start_daemons
await as_root virsh -q -c qemu:///system version
start_network
say "ready"
