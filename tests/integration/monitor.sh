#!/usr/bin/env bash
# bottle-monitor with a real QEMU and guest; this suite plays bottled. Once as root, once as an ordinary user.
set -u
cd "$(dirname "$0")/../.." || exit 1
# shellcheck source=tests/lib/tap.sh
. tests/lib/tap.sh
work=$(mktemp -d /tmp/bottle-monitor-test.XXXXXX)
trap 'rm -rf "$work"' EXIT
uid=12345

# The smallest root: one static program under many names.
make_root() {
	local name
	mkdir -p "$work"/root/{bin,proc,sys,dev,tmp,etc,run}
	cp "$(command -v busybox)" "$work/root/bin/"
	for name in sh cat echo sleep stty head true touch wc kill read; do
		ln -s busybox "$work/root/bin/$name"
	done
	echo 'root:x:0:0::/:/bin/sh' >"$work/root/etc/passwd"
	mksquashfs "$work/root" "$work/root.sqfs" -noI -noD -noF -noX -all-root -quiet >/dev/null
	truncate -s 256M "$work/scratch.ext4"
	mke2fs -q -F "$work/scratch.ext4"
}

probe_shape() {
	"$BUILD/bin/bottle-monitor" --probe --cache "$work/probe" |
		jq -e '(.kvm | type == "boolean") and (.reason | type == "string") and .ms > 0 and .tsc_khz > 0'
}

# The second answer is the file's: it takes no second probe and has the same duration in it.
probe_kept() {
	[ "$("$BUILD/bin/bottle-monitor" --probe --cache "$work/probe")" = "$("$BUILD/bin/bottle-monitor" --probe --cache "$work/probe")" ]
}

probe_other_boot() {
	sed -i 's/"boot":"[^"]*"/"boot":"another"/; s/"tsc_khz":[0-9]*/"tsc_khz":1/' "$work/probe"
	"$BUILD/bin/bottle-monitor" --probe --cache "$work/probe" | jq -e '.tsc_khz > 1000'
}

suite() {
	local label=$1 dir=$2 out
	shift 2
	out=$(timeout -k 5 400 "$@" /usr/bin/python3 "$dir/lib/monitor_suite.py" "$dir/build/bin/bottle-monitor" "$BUILD/share/bottle" "$dir" \
		"$label" "$tap_n" "${cases[@]}")
	printf '%s\n' "$out"
	tap_n=$((tap_n + $(grep -cE '^(not )?ok ' <<<"$out")))
	tap_failed=$((tap_failed + $(grep -c '^not ok ' <<<"$out")))
}

# An ordinary user may not be able to read the build directory: its own copy of what it runs.
prepare() {
	local dir=$1
	mkdir -p "$dir/build/bin" "$dir/lib"
	cp "$BUILD/bin/bottle-monitor" "$dir/build/bin/"
	cp tests/lib/monitor_client.py tests/lib/monitor_suite.py "$dir/lib/"
	[ "$dir" = "$work" ] || cp --sparse=always "$work/root.sqfs" "$work/scratch.ext4" "$dir/"
}

check "root file system and scratch disk" make_root
check "the probe tells what the machine can run" probe_shape
check "its answer is kept" probe_kept
check "an answer of another boot is not used" probe_other_boot
if [ "$(id -u)" = 0 ]; then
	chmod 0755 "$work" # so that the other user reaches the control socket, and is refused by its uid
	prepare "$work"
	cases=(life input stubborn fails nic orphan bad)
	suite root "$work" env
	prepare "$work/user"
	chown -R "$uid:$uid" "$work/user"
	cases=(life stubborn orphan)
	suite user "$work/user" setpriv --reuid "$uid" --regid "$uid" --clear-groups
else
	prepare "$work"
	cases=(life input stubborn fails orphan bad)
	suite user "$work" env
fi
done_testing
