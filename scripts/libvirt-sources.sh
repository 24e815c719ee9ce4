#!/bin/bash
# Fetches what scripts/generate-binding.ts reads from Debian's mirror: the headers of libvirt-dev, and from libvirt's
# source the protocol files, which have the numbers of procedures and no package of binaries has.
#   scripts/libvirt-sources.sh SUITE FOLDER     bookworm has libvirt 9.0, trixie 11.3
set -euo pipefail
[ $# -eq 2 ] || { sed -n 's/^# \{0,1\}//p' "$0" | tail -n +2 >&2; exit 2; }
suite=$1
mkdir -p "$2"
folder=$(cd "$2" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mirror=$(awk '/^URIs:/ { print $2; exit }' /etc/apt/sources.list.d/*.sources 2>/dev/null || true)
for type in deb deb-src; do
  echo "$type [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] ${mirror:-http://deb.debian.org/debian} $suite main"
done >"$work/sources.list"
mkdir -p "$work/lists/partial" "$work/cache/archives/partial"
apt() {
  apt-get -qq -o Dir::Etc::SourceList="$work/sources.list" -o Dir::Etc::SourceParts=/dev/null \
    -o Dir::State::Lists="$work/lists" -o Dir::Cache="$work/cache" -o APT::Sandbox::User=root "$@"
}
apt update
cd "$work"
apt download libvirt-dev
# The archive of the source is enough; a mirror may lack the description of the package.
apt source --download-only --tar-only libvirt
dpkg -x libvirt-dev_*.deb dev
tar -xJf libvirt_*.orig.tar.xz --strip-components=3 --wildcards --one-top-level=protocol '*/src/remote/*_protocol.x'
rm -rf "$folder/headers" "$folder/protocol"
mv dev/usr/include/libvirt "$folder/headers"
mv protocol "$folder/protocol"
version=$(dpkg-deb -f libvirt-dev_*.deb Version)
echo "headers of Debian's libvirt-dev $version, protocol files of the source $(basename libvirt_*.orig.tar.xz)" >"$folder/source"
