#!/bin/bash
# The main job on a real guest: launch, write, snapshot, change, restore, branch, delete from the middle.
set -euo pipefail
cd "$(dirname "$0")/.."
NAME=${STRATA_DEMO_NAME:-strata-demo}
strata() { node dist/bin/strata.js "$@"; }
step() { printf '\n== %s\n' "$*"; }
show() { printf '$ strata %s\n' "$*"; strata "$@"; }
expect() { # WHAT EXPECTED ACTUAL
  if [ "$2" = "$3" ]; then printf '   ok: %s is %s\n' "$1" "$2"; else printf '   WRONG: %s is %s, not %s\n' "$1" "$3" "$2" >&2; exit 1; fi
}
inside() { strata exec "$NAME" -- "$@"; }
memory() { inside awk '/^MemTotal/ { print int($2 / 1024 / 400) }' /proc/meminfo; } # in steps of 400 MiB

cleanup() { strata delete --purge "$NAME" 2>/dev/null || true; }
trap cleanup EXIT
cleanup

if ! strata image list --format csv | grep -q 'debian-micro'; then
  step "Build a guest image from Debian's packages"
  show image build debian --variant micro
fi
step "Launch a guest"
show launch debian-micro --name "$NAME" --cpus 1 --memory 512M
inside sh -c 'echo first > note && sync'
show stop "$NAME"
show snapshot "$NAME" --name clean --comment "as launched"

step "Change everything: the file, the CPUs, the memory"
show set "local.$NAME.cpus=2" "local.$NAME.memory=1G"
show start "$NAME"
inside sh -c 'echo second > note && sync'
expect "the number of CPUs" 2 "$(inside nproc)"
expect "the memory in steps of 400 MiB" 2 "$(memory)"
show stop "$NAME"
show snapshot "$NAME" --name changed
show snapshot "$NAME" --name later

step "Restore the first snapshot"
show restore --destructive "$NAME.clean"
show start "$NAME"
expect "the file" first "$(inside cat note)"
expect "the number of CPUs" 1 "$(inside nproc)"
expect "the memory in steps of 400 MiB" 1 "$(memory)"

step "Branch off"
inside sh -c 'echo third > note && sync'
show stop "$NAME"
show snapshot "$NAME" --name branch
show list --snapshots --tree
if [ "$(id -u)" = 0 ]; then printf '$ virsh snapshot-list --tree %s\n' "$NAME"; virsh snapshot-list --tree "$NAME"; fi

step "Delete a snapshot from the middle; all others keep their contents"
show delete --purge "$NAME.changed"
show delete --purge "$NAME.clean"
show list --snapshots --tree
show restore --destructive "$NAME.later"
show start "$NAME"
expect "the file in later" second "$(inside cat note)"
expect "the number of CPUs in later" 2 "$(inside nproc)"
show stop "$NAME"
show restore --destructive "$NAME.branch"
show start "$NAME"
expect "the file in branch" third "$(inside cat note)"

step "Remove everything"
show stop "$NAME"
show delete --purge "$NAME"
show list
trap - EXIT
printf '\nThe demo has ended well.\n'
