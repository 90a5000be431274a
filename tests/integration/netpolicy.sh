#!/usr/bin/env bash
# netpolicyd with real taps, rules and packets, in a network and a mount namespace of its own.
set -u
cd "$(dirname "$0")/../.." || exit 1
if [ "$(id -u)" != 0 ]; then
	echo "ok 1 - netpolicyd # SKIP needs root"
	echo "1..1"
	exit 0
fi
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
chmod 755 "$tmp"
PYTHONPATH=tests/lib PYTHONDONTWRITEBYTECODE=1 unshare -n -m timeout 120 python3 tests/integration/netpolicy.py "$BUILD" "$tmp"
