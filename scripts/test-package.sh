#!/bin/bash
# Installs the Debian package in a root of Debian 13, looks at it, and removes it again (`make test-package`). Then
# does the same with the npm package in a prefix of its own. Needs root, Debian's mirror and the npm registry.
set -euo pipefail
cd "$(dirname "$0")/.."
CACHE=${XDG_CACHE_HOME:-$HOME/.cache}/strata
BASE=${STRATA_DEBIAN13:-$CACHE/debian13}
DEB=$(ls build/strata_*_all.deb)

fail() { printf 'WRONG: %s\n' "$*" >&2; exit 1; }
ok() { printf '   ok: %s\n' "$*"; }

# In namespaces of its own, so that nothing stays mounted: the root as it was made, and what is written in memory.
debian() {
  mount --make-rprivate /
  mount -t tmpfs tmpfs "$work"
  mkdir "$work/upper" "$work/work" "$work/root"
  mount -t overlay overlay -o "lowerdir=$BASE,upperdir=$work/upper,workdir=$work/work" "$work/root"
  root=$work/root
  mount -t proc proc "$root/proc"
  mount --rbind /dev "$root/dev"
  cp --remove-destination /etc/resolv.conf "$root/etc/resolv.conf"
  printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d"
  chmod 755 "$root/usr/sbin/policy-rc.d"
  cp "$DEB" "$root/strata.deb"
  inside() { chroot "$root" env -i HOME=/root PATH=/usr/sbin:/usr/bin:/sbin:/bin DEBIAN_FRONTEND=noninteractive "$@"; }

  inside apt-get update -qq
  inside apt-get install -qq -y --no-install-recommends lintian >/dev/null
  inside lintian --allow-root --fail-on error /strata.deb || fail "lintian has errors"
  ok "lintian has no errors"

  inside apt-get install -qq -y --no-install-recommends /strata.deb >/dev/null
  version=$(dpkg-deb -f "$DEB" Version)
  [ "$(inside strata --version)" = "strata $version" ] || fail "strata --version: $(inside strata --version)"
  ok "it runs"
  for file in /usr/share/man/man1/strata.1.gz /usr/share/zsh/vendor-completions/_strata \
    /usr/share/fish/vendor_completions.d/strata.fish /usr/share/doc/strata/copyright; do
    [ -s "$root$file" ] || fail "there is no $file"
  done
  inside bash -c '. /usr/share/bash-completion/completions/strata; complete -p strata' >/dev/null
  ok "man page and completions are in their places"
  inside strata --driver memory launch any --name web | grep -q 'Launched: web' || fail "it launches nothing"
  ok "it launches an instance, of the memory engine"
  [ "$(inside strata --driver memory plugins --format csv | cut -d, -f1 | sort | xargs)" = "Name incus libvirt lxd memory" ] ||
    fail "engines: $(inside strata --driver memory plugins --format csv)"
  inside node -e 'require("/usr/share/strata/node_modules/ssh2")' || fail "ssh2 cannot be loaded"
  ok "it has all engines, and ssh"
  inside apt-get install -qq -y --reinstall --no-install-recommends /strata.deb >/dev/null
  ok "it is upgraded in place"

  files=$(inside dpkg -L strata)
  mkdir -p "$root/var/lib/libvirt/images/strata/instances/x"
  echo data >"$root/var/lib/libvirt/images/strata/instances/x/layer"
  said=$(inside apt-get purge -y strata 2>&1 </dev/null)
  grep -q 'stay in /var/lib/libvirt/images/strata' <<<"$said" || fail "purge does not say where the instances are: $said"
  [ -s "$root/var/lib/libvirt/images/strata/instances/x/layer" ] || fail "purge removed an instance"
  ok "purge asks nothing, keeps the instances and says where they are"
  while read -r file; do
    if [ -L "$root$file" ] || [ -f "$root$file" ]; then fail "$file stayed"; fi
  done <<<"$files"
  [ ! -e "$root/usr/share/strata" ] || fail "/usr/share/strata stayed"
  ok "nothing else stays"
}

npm_package() {
  npm pack --silent --ignore-scripts --pack-destination "$work" >/dev/null
  mkdir "$work/prefix"
  (cd / && npm install --global --prefix "$work/prefix" --ignore-scripts --no-fund --no-audit --loglevel=error "$work"/*.tgz)
  "$work/prefix/bin/strata" --version >/dev/null || fail "the npm package does not run"
  [ -s "$work/prefix/share/man/man1/strata.1" ] || fail "npm installs no man page"
  [ ! -e "$work/prefix/lib/node_modules/strata-vm/node_modules/fast-check" ] || fail "fast-check is installed"
  ok "npm installs the tarball, with its man page"
}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
npm_package
rm -rf "${work:?}"/*
[ -e "$BASE/.complete" ] || scripts/debian13.sh true
export -f debian fail ok
export work BASE DEB
unshare --mount bash -euo pipefail -c debian
