#!/bin/bash
# Builds build/strata_VERSION_all.deb from the checkout as it is built (`make deb`). No debhelper: there is nothing
# to compile, and dpkg-deb is on every Debian.
set -euo pipefail
cd "$(dirname "$0")/.."
VERSION=$(node -p 'require("./package.json").version')
NODE=$(node -p 'require("./package.json").engines.node.replace(/[^\d.]/g, "")')
: "${SOURCE_DATE_EPOCH:=$(git log -1 --format=%ct 2>/dev/null || stat -c %Y package.json)}"
export SOURCE_DATE_EPOCH
MAINTAINER="strata maintainers <maintainers@strata-vm.example>"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
umask 022
root=$work/root
share=$root/usr/share
mkdir -p "$root/DEBIAN" "$root/usr/bin" "$share/strata/dist" "$share/strata/scripts" "$share/doc/strata" \
  "$share/man/man1" "$share/bash-completion/completions" "$share/zsh/vendor-completions" \
  "$share/fish/vendor_completions.d"

# The program is one bundle; only ssh2, which has a native part that it can do without, lies beside it.
cp -r dist/bin "$share/strata/dist/"
# Engines are in the bundle too; which there are is told by their folders.
for engine in dist/plugins/*/; do mkdir -p "$share/strata/dist/plugins/$(basename "$engine")"; done
sed -i '1s|^#!.*|#!/usr/bin/node|' "$share/strata/dist/bin/strata.js"
cp package.json "$share/strata/"
install -m 755 scripts/setup-host.sh "$share/strata/scripts/"
copy_module() { # NAME: with what it depends on, but for what is optional
  local name=$1 each
  [ ! -d "$share/strata/node_modules/$name" ] || return 0
  mkdir -p "$share/strata/node_modules/$name"
  # Code and its licence; neither tests nor sources of the native part.
  (cd "node_modules/$name" && find . -type f \( -name '*.js' -o -name package.json -o -iname 'licen[cs]e*' \) \
    -not -path './test/*' -not -path './node_modules/*' -not -path './examples/*' -not -path './util/*' \
    -not -path './build/*' -not -name install.js -not -name tests.js -not -name '.*' -print0 | tar --create --null --files-from=- ) |
    tar --extract --no-same-owner --directory "$share/strata/node_modules/$name"
  for each in $(node -p "Object.keys(require('./node_modules/$name/package.json').dependencies ?? {}).join(' ')"); do
    copy_module "$each"
  done
}
copy_module ssh2
ln -s ../share/strata/dist/bin/strata.js "$root/usr/bin/strata"

gzip -9n <docs/strata.1 >"$share/man/man1/strata.1.gz"
for shell in bash zsh fish; do node dist/bin/strata.js completion "$shell" >"$work/$shell"; done
cp "$work/bash" "$share/bash-completion/completions/strata"
cp "$work/zsh" "$share/zsh/vendor-completions/_strata"
cp "$work/fish" "$share/fish/vendor_completions.d/strata.fish"

cp -r README.md SECURITY.md docs "$share/doc/strata/"
rm "$share/doc/strata/docs/strata.1"
cp packaging/copyright "$share/doc/strata/copyright"
cp CHANGELOG.md "$share/doc/strata/"
gzip -9n >"$share/doc/strata/changelog.gz" <<CHANGELOG
strata ($VERSION) unstable; urgency=medium

  * See CHANGELOG.md beside this file.

 -- $MAINTAINER  $(LC_ALL=C date -R -u -d "@$SOURCE_DATE_EPOCH")
CHANGELOG
# What is bundled, with versions and licences.
node -e '
  const lock = require("./package-lock.json").packages;
  for (const [path, { dev, version, license, optional }] of Object.entries(lock)) {
    if (path && !dev && !optional) console.log(path.replace(/^.*node_modules\//, ""), version, license ?? "");
  }' >"$share/doc/strata/modules.txt"

for unit in packaging/systemd/*.{service,socket,timer}; do
  [ ! -e "$unit" ] || install -D -m 644 -t "$root/usr/lib/systemd/system" "$unit"
done
for unit in packaging/systemd/user/*.{service,socket,timer}; do
  [ ! -e "$unit" ] || install -D -m 644 -t "$root/usr/lib/systemd/user" "$unit"
done

install -m 755 packaging/postrm "$root/DEBIAN/postrm"
find "$root" -type d -exec chmod 755 {} +
find "$root/usr" -type f -not -name setup-host.sh -not -name strata.js -exec chmod 644 {} +
chmod 755 "$share/strata/dist/bin/strata.js"
(cd "$root" && find usr -type f -print0 | sort -z | xargs -0 md5sum) >"$root/DEBIAN/md5sums"
cat >"$root/DEBIAN/control" <<CONTROL
Package: strata
Version: $VERSION
Architecture: all
Maintainer: $MAINTAINER
Installed-Size: $(du -sk --apparent-size "$root/usr" | cut -f1)
Depends: nodejs (>= $NODE), libvirt-daemon-system, qemu-system-x86 | qemu-system-arm | qemu-system, qemu-utils, genisoimage | xorriso
Recommends: libvirt-clients, dnsmasq-base, iptables, virtiofsd | qemu-system-common (<< 1:8), mmdebstrap, e2fsprogs, fdisk, grub-pc-bin, grub-efi-amd64-bin, grub-common, mtools, cpio, zstd, xz-utils, bzip2, openssh-client
Suggests: virt-viewer, ovmf, lxd | incus
Section: admin
Priority: optional
Homepage: $(node -p 'require("./package.json").homepage')
Description: run virtual machines on libvirt, each with a tree of snapshots
 strata runs virtual machines on libvirt and QEMU from the command line: take
 snapshots, restore them, branch, and delete any of them anywhere in the tree
 without affecting the others.
 .
 It has no daemon and no database. An instance is an ordinary libvirt domain,
 and a snapshot an ordinary libvirt snapshot.
CONTROL
find "$root" -depth -exec touch --no-dereference --date="@$SOURCE_DATE_EPOCH" {} +
mkdir -p build
dpkg-deb --root-owner-group --build -Zxz "$root" "build/strata_${VERSION}_all.deb" >/dev/null
echo "build/strata_${VERSION}_all.deb"
