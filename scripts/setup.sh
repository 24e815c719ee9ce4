#!/bin/bash
# Makes a host ready for this checkout: what strata needs (setup-host.sh), and npm modules. Can be run again.
# "tests" in addition installs what only the tests need: LXD, whose daemons they start themselves.
set -euo pipefail
cd "$(dirname "$0")/.."

TESTS=()
[ "${1:-}" != tests ] || TESTS=(lxd lxd-client btrfs-progs xfsprogs openssl ovmf jq rsync ansible-core openssh-server swtpm swtpm-tools)

install_modules() {
  [ node_modules/.package-lock.json -nt package-lock.json ] && return 0
  echo "setup: installing npm modules" >&2
  npm ci --ignore-scripts --no-fund --no-audit --loglevel=error
}

install_modules
scripts/setup-host.sh "${TESTS[@]}"
