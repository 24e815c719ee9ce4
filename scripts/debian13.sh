#!/bin/bash
# Runs a command in this checkout on a Debian 13 host (libvirt 11.3, QEMU 10.0) beside this one: a root file system
# made by mmdebstrap, with namespaces and a libvirtd of its own for as long as the command runs. Guests are emulated
# there, and the network has no way out: packages, npm modules and images come from this host.
#   scripts/debian13.sh npx mocha --timeout 1500000 test/e2e/private-libvirt/virsh-verbs.test.ts
# STRATA_DEBIAN13 is where the root file system is kept (1 GB).
set -euo pipefail
cd "$(dirname "$0")/.."
PROJECT=$PWD
CACHE=${XDG_CACHE_HOME:-$HOME/.cache}/strata
ROOT=${STRATA_DEBIAN13:-$CACHE/debian13}
PACKAGES=(libvirt-daemon-system libvirt-clients libvirt-daemon-driver-qemu qemu-system-x86 qemu-utils virtiofsd ovmf
  dnsmasq-base iptables nftables iproute2 genisoimage nodejs npm procps util-linux openssh-client sudo ca-certificates
  e2fsprogs xfsprogs btrfs-progs fdisk mtools cpio zstd xz-utils bzip2 openssl make git mmdebstrap grub-pc-bin grub-efi-amd64-bin
  grub-common incus attr uidmap squashfs-tools busybox-static jq rsync iputils-ping swtpm swtpm-tools)

[ $# -gt 0 ] || { sed -n 's/^# \{0,1\}//p' "$0" | tail -n +2 >&2; exit 2; }
[ "$(id -u)" = 0 ] || exec sudo --preserve-env=STRATA_DEBIAN13,XDG_CACHE_HOME "$0" "$@"

make_root() {
  [ -e "$ROOT/.complete" ] && return
  rm -rf "$ROOT.part"
  mkdir -p "$(dirname "$ROOT")"
  local mirror
  mirror=$(awk '/^URIs:/ { print $2; exit }' /etc/apt/sources.list.d/*.sources 2>/dev/null || true)
  mmdebstrap --quiet --variant=apt --include="$(IFS=,; echo "${PACKAGES[*]}")" trixie "$ROOT.part" \
    "${mirror:-http://deb.debian.org/debian}" >&2
  touch "$ROOT.part/.complete"
  mv "$ROOT.part" "$ROOT"
}

# Process 1 of the host: everything there ends with it. Its arguments are ROOT, PROJECT, CACHE and the command.
init() {
  set -e
  local root=$1 project=$2 cache=$3
  shift 3
  mount --make-rprivate /
  mount --bind "$root" "$root"
  mount --rbind /dev "$root/dev"
  mount -t proc proc "$root/proc"
  # Of its own, since it shows the network interfaces of this namespace.
  mount -t sysfs sysfs "$root/sys"
  mount --rbind /sys/fs/cgroup "$root/sys/fs/cgroup"
  mount -t tmpfs tmpfs "$root/run"
  mkdir -p "$root/run/libvirt" "$root/run/lock" "$root/strata" "$root/root/.cache/strata" "$root/oldroot"
  mount --bind "$project" "$root/strata"
  [ ! -d "$cache" ] || mount --bind "$cache" "$root/root/.cache/strata"
  if [ -e "$root/dev/kvm" ]; then
    mknod -m 000 "$root/run/libvirt/no-kvm" c 1 3
    mount --bind "$root/run/libvirt/no-kvm" "$root/dev/kvm"
  fi
  hostname debian13
  ip link set lo up
  cd "$root"
  pivot_root . oldroot
  cd /strata
  umount -l /oldroot
  export HOME=/root PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
  unset XDG_CACHE_HOME XDG_RUNTIME_DIR
  virtlogd -d
  libvirtd -d
  for _ in $(seq 300); do
    if virsh -q -c qemu:///system version >/dev/null 2>&1; then break; fi
    sleep 0.1
  done
  virsh -q -c qemu:///system net-start default >/dev/null 2>&1 || true
  "$@"
}

make_root
exec 9>"$ROOT.lock"
flock 9
export -f init
unshare --mount --pid --uts --ipc --cgroup --net --fork --mount-proc --kill-child \
  bash -c 'init "$@"' init "$ROOT" "$PROJECT" "$CACHE" "$@" 9>&-
