#!/bin/bash
# Makes a host ready for strata: packages, npm modules, daemons, the default network. Can be run again.
# "tests" in addition installs what only the tests need: LXD, whose daemons they start themselves.
set -euo pipefail
cd "$(dirname "$0")/.."

PACKAGES=(libvirt-daemon-system libvirt-clients libvirt-daemon-driver-qemu qemu-system-x86 qemu-utils
  dnsmasq-base nftables iptables iproute2 genisoimage mmdebstrap e2fsprogs fdisk grub-pc-bin grub-efi-amd64-bin
  grub-common mtools cpio zstd openssh-client util-linux procps)
[ "${1:-}" != tests ] || PACKAGES+=(lxd lxd-client btrfs-progs xfsprogs openssl ovmf jq)

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

install_packages() {
  local missing=() package
  for package in "${PACKAGES[@]}"; do
    dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
  done
  [ "${#missing[@]}" -gt 0 ] || return 0
  command -v apt-get >/dev/null || { say "install these by hand, there is no apt-get: ${missing[*]}"; return 1; }
  say "installing ${missing[*]}"
  local install=(env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "${missing[@]}")
  as_root "${install[@]}" >/dev/null 2>&1 || { as_root apt-get update -qq; as_root "${install[@]}" >/dev/null; }
}

install_modules() {
  [ node_modules/.package-lock.json -nt package-lock.json ] && return 0
  say "installing npm modules"
  npm ci --ignore-scripts --no-fund --no-audit --loglevel=error
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
install_modules
start_daemons
await as_root virsh -q -c qemu:///system version
start_network
say "ready"
