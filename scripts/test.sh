#!/bin/bash
# Runs every test, in two lanes at once: one after the other they leave the second core idle most of the time.
# Shows the first lane as it goes, then the second, and at the end what failed in either.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1

# What is on the host's own libvirt: two of these at once would see each other's instances.
SHARED=(test/conformance/libvirt.test.ts test/e2e/engines.test.ts test/e2e/images/cloud.test.ts
  test/e2e/remote/guest.test.ts 'test/e2e/libvirt/**/*.test.ts')

MOCHA=(npx --no-install mocha --reporter test/reporter.cjs --timeout 1500000 --exit)
[ ! -t 1 ] || MOCHA+=(--color)

out=$(mktemp -d)
trap 'kill -- -$apart 2>/dev/null; rm -rf "$out"' EXIT
trap 'exit 130' INT TERM

# In a process group of its own, so that all of it can be ended.
set -m
"${MOCHA[@]}" 'test/**/*.test.ts' "${SHARED[@]/#/--ignore=}" >"$out/apart" 2>&1 &
apart=$!
set +m
"${MOCHA[@]}" "${SHARED[@]}" 2>&1 | tee "$out/shared"
shared_status=$?
wait "$apart"
apart_status=$?
cat "$out/apart"

[ $((shared_status + apart_status)) -ne 0 ] || exit 0
for lane in shared apart; do
  printf '\n%s:\n' "$lane"
  # mocha's summary; of a lane that came to no end, its last lines.
  sed -n '/ [0-9][0-9]* passing/,$p' "$out/$lane" | grep . || tail -n 20 "$out/$lane"
done
exit 1
