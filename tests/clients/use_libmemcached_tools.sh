#!/usr/bin/env bash
# The scenario with libmemcached's command line tools, by text and by the binary protocol.
set -euo pipefail
servers=--servers=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

fail() { echo "FAILED: $*" >&2; exit 1; }

head -c 900000 /dev/urandom >large
printf one >a
for protocol in "" --binary; do
    memcping "$servers" || fail "memcping"
    memcflush "$servers" || fail "memcflush"
    ! memcexist "$servers" $protocol a 2>/dev/null || fail "exists before it is set"
    memccp "$servers" $protocol a large || fail "memccp"
    [ "$(memccat "$servers" $protocol a)" = one ] || fail "memccat"
    memccat "$servers" $protocol --file=back large && cmp large back || fail "a value of 900 KB"
    memcexist "$servers" $protocol a || fail "memcexist"
    memctouch "$servers" $protocol --expire=100 a || fail "memctouch"
    memcrm "$servers" $protocol a || fail "memcrm"
    ! memcexist "$servers" $protocol a 2>/dev/null || fail "exists after memcrm"
    long=$(printf 'k%.0s' $(seq 250))
    printf x >"$long"
    memccp "$servers" $protocol "$long" || fail "a key of 250"
    [ "$(memccat "$servers" $protocol "$long")" = x ] || fail "get of a key of 250"
    printf y >short
    memccp "$servers" $protocol --expire=1 short || fail "memccp for a second"
    sleep 2.6
    ! memccat "$servers" $protocol short 2>/dev/null | grep -q y || fail "get of what has expired"
done
memcstat "$servers" | grep -q curr_items || fail "memcstat"
if [ -n "${RESTART:-}" ]; then
    sh -c "$RESTART"
    memcping "$servers" || fail "memcping after a restart"
fi
