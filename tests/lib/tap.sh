# shellcheck shell=bash
# TAP for shell tests. Source it, then:  check "what is shown" COMMAND…   and at the end:  done_testing
# A check passes when COMMAND succeeds; its output is shown as a comment when it fails.
tap_n=0 tap_failed=0

check() {
	local name=$1 out rc
	shift
	out=$("$@" 2>&1) && rc=0 || rc=$?
	tap_n=$((tap_n + 1))
	if [ "$rc" = 0 ]; then
		echo "ok $tap_n - $name"
	else
		tap_failed=$((tap_failed + 1))
		echo "not ok $tap_n - $name"
		printf 'exit %s from: %s\n%s\n' "$rc" "$*" "$out" | head -n 40 | sed 's/^/# /'
	fi
}

# The command must fail.
check_not() {
	local name=$1
	shift
	check "$name" not "$@"
}

not() {
	if "$@"; then
		return 1
	fi
}

skip() {
	tap_n=$((tap_n + 1))
	echo "ok $tap_n - $1 # SKIP $2"
}

done_testing() {
	echo "1..$tap_n"
	[ "$tap_failed" = 0 ]
}
