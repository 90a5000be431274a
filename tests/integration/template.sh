#!/usr/bin/env bash
# VMs as clones of a template, by the real docker CLI on real parts. No network is needed.
set -u
cd "$(dirname "$0")/../.." || exit 1
# shellcheck source=tests/lib/tap.sh
. tests/lib/tap.sh
if ! [ -s "$BUILD/share/bottle/vmlinux" ] || ! command -v docker >/dev/null; then
	skip "templates" "the guest's kernel or docker's CLI is missing (make guest)"
	done_testing
	exit
fi
dir=$(mktemp -d)
export DOCKER_HOST=unix://$dir/s.sock DOCKER_CONFIG=$dir
trap finish EXIT

docker() {
	timeout 90 /usr/bin/env docker "$@"
}

await() {
	local limit=$((SECONDS + $1))
	shift
	until "$@" >/dev/null 2>&1; do
		[ $SECONDS -lt $limit ] || { echo "waited in vain for: $*"; return 1; }
		sleep 0.05
	done
}

# start_engine RUNTIME [WRAPPER…]
start_engine() {
	local runtime=$1
	shift
	"$@" "$BUILD/bin/bottled" --data "$dir/data" --runtime "$runtime" --socket "$dir/s.sock" --timeout 0 >/dev/null 2>>"$dir/log" &
	echo $! >"$dir/engine"
	await 10 docker version || { echo "Bail out! bottled did not start: $(tail -n 3 "$dir/log")"; exit 1; }
}

stop_engine() {
	local pid
	pid=$(cat "$dir/engine")
	kill "$pid"
	await 10 not kill -0 "$pid"
}

finish() {
	docker ps -aq 2>/dev/null | xargs -r timeout 60 docker rm -f >/dev/null 2>&1
	[ ! -s "$dir/engine" ] || stop_engine
	pid=$(makers)
	[ -z "$pid" ] || kill -9 "$pid"
	rm -rf "$dir"
}

run() {
	docker run --rm --network none "$@"
}

# Processes of this test that make a template (never others': the directory is ours).
makers() {
	local p
	for p in $(pgrep -x bottle-monitor); do
		tr '\0' ' ' <"/proc/$p/cmdline" 2>/dev/null | grep -q -- "--template $dir/run/templates" && echo "$p"
	done
	return 0
}

whole() { compgen -G "$dir/run/templates/[0-9a-f]*/meta" >/dev/null; }
made() { whole && [ -z "$(makers)" ]; }
booted() { grep -c "its VM is booted, not cloned" "$dir/log"; }

# clones COMMAND…: it works, and no VM is booted for it.
clones() {
	local before
	before=$(booted)
	"$@" || return 1
	[ "$(booted)" = "$before" ] || tail -n 1 "$dir/log" | not cat
}

# boots TEXT COMMAND…: it works, and the log tells once that a VM was booted, and why.
boots() {
	local text=$1 before
	shift
	before=$(booted)
	"$@" || return 1
	[ "$(booted)" = $((before + 1)) ] && grep "its VM is booted" "$dir/log" | tail -n 1 | grep -q -- "$text" || tail -n 3 "$dir/log" | not cat
}

different() {
	[ "$(sort "$1" | uniq | wc -l)" = 20 ] || { sort "$1" | uniq -c | sort -rn | head -n 5; return 1; }
}

# What must differ between clones; a process' stack is placed by exec, behind the new seed.
twenty() {
	local i
	for i in $(seq 20); do
		run busybox sh -c 'cat /proc/sys/kernel/random/boot_id
			head -c 16 /dev/urandom | od -An -tx1 | busybox tr -d " \n"; echo
			grep "\[stack\]" /proc/self/maps
			cat /proc/sys/kernel/random/uuid
			hostname' >"$dir/out" || return 1
		for n in 1 2 3 4 5; do sed -n "${n}p" "$dir/out" >>"$dir/twenty.$n"; done
	done
}

clock_right() {
	local seconds
	seconds=$(run busybox date +%s) || return 1
	[ $(($(date +%s) - seconds)) -lt 3 ]
}

qemu_of() {
	docker inspect -f '{{.State.Pid}}' "$1"
}

jail_holds() {
	local pid
	pid=$(qemu_of idle)
	[ "$(ls "/proc/$pid/root" | tr '\n' ' ')" = "fd lib lib64 usr " ] || { ls "/proc/$pid/root"; return 1; }
	grep -q '^CapEff:.0000000000000000$' "/proc/$pid/status" && grep -q '^Seccomp:.2$' "/proc/$pid/status" || return 1
	# of /proc there is its own list of descriptors
	grep ' /fd ' "/proc/$pid/mountinfo" | grep -q "^[0-9]* [0-9]* [0-9:]* /$pid/fd /fd ro,"
}

first_data() {
	python3 -c 'import os,sys; f=os.open(sys.argv[1], os.O_RDONLY); print(os.lseek(f, 1 << 20, os.SEEK_DATA))' "$1"
}

# damage FUNCTION: what is kept is damaged by it; that is found, a VM is booted, and a new template is made.
damage() {
	await 60 made || return 1
	stop_engine
	for d in "$dir"/run/templates/*/; do "$@" "$d" || return 1; done
	start_engine "$dir/run"
	boots "is made anew" run busybox true && await 60 made && clones run busybox true
}
alter_ram() { printf 'altered' | dd of="$1/ram" bs=1 seek="$(first_data "$1/ram")" conv=notrunc status=none; }
cut_ram() { truncate -s 1M "$1/ram"; }
cut_state() { truncate -s 1000 "$1/state"; }
alter_meta() { printf 'x' | dd of="$1/meta" bs=1 seek=100 conv=notrunc status=none; }

maker_booting() {
	[ -n "$(makers)" ] && pgrep -P "$(makers)" >/dev/null
}

# A maker is killed in the middle: its VM goes with it, and nothing half made is used or left.
kill_maker() {
	local pid vm
	stop_engine
	rm -rf "$dir/run/templates"
	start_engine "$dir/run"
	docker run -d --network none --name first busybox sleep 1000 >/dev/null || return 1
	await 30 maker_booting || return 1
	pid=$(makers)
	vm=$(pgrep -P "$pid")
	mkdir "$dir/run/templates/0123456789abcdef.part"
	kill -9 "$pid"
	await 10 not kill -0 "$vm" || return 1
	not whole || return 1
	docker rm -f first >/dev/null
	boots "no template of its kind" run busybox true && await 60 made && clones run busybox true || return 1
	not compgen -G "$dir/run/templates/*.part"
}

# A state that QEMU refuses, with right sums: a VM is booted in its place, and the container runs.
refused_state() {
	await 60 made || return 1
	stop_engine
	for d in "$dir"/run/templates/*/; do python3 tests/lib/bad_template.py "$d" || return 1; done
	start_engine "$dir/run"
	[ "$(run busybox echo lives)" = lives ] && grep -q "could not be cloned from the template, one is booted" "$dir/log" || tail -n 3 "$dir/log" | not cat
	stop_engine
	rm -rf "$dir/run/templates"
	start_engine "$dir/run"
	run busybox true && await 60 made
}

persists() {
	docker run --network none --name keeper busybox sh -c '[ -e /file ] && cat /file; echo kept >/file' || return 1
	[ "$(docker start -a keeper)" = kept ]
}

# One page of the template is not enough to hold what another VM did.
isolated() {
	run busybox sh -c 'echo one >/dev/shm/mark; echo two >/tmp/mark; sync' && not run busybox cat /dev/shm/mark && not run busybox cat /tmp/mark
}

no_space() {
	mkdir "$dir/small"
	start_engine "$dir/small" unshare -m sh -c "mount -t tmpfs -o size=64m,mode=0700 none '$dir/small' && exec \"\$@\"" sh
	run busybox true || return 1
	await 20 grep -q "takes 256 MiB of free space" "$dir/log" || return 1
	boots "no template could be made" run busybox true
}

start_engine "$dir/run"
tests/lib/busybox_image "$dir/busybox.tar"
docker load -qi "$dir/busybox.tar" >/dev/null
check "the first VM is booted, and the log says why" boots "there is no template of its kind yet" run busybox true
check "a template is made in the background, and its maker ends" await 60 made
check "the next VM is a clone" clones run busybox true
check "twenty clones" clones twenty
check "each has a boot id of its own" different "$dir/twenty.1"
check "each has random bytes of its own" different "$dir/twenty.2"
check "each places its processes elsewhere" different "$dir/twenty.3"
check "each has uuids of its own" different "$dir/twenty.4"
check "each has a host name of its own" different "$dir/twenty.5"
check "a clone's clock is the host's" clock_right
check "clones see nothing of each other" isolated
check "a clone in the background" docker run -d --network none --name idle busybox sleep 1000
check "QEMU cannot alter the template that it holds" python3 tests/lib/sealed_ram.py "$(qemu_of idle)"
check "QEMU's jail holds: no file, no capability, of /proc its own descriptors" jail_holds
check "pause, unpause" eval "docker pause idle >/dev/null && docker unpause idle >/dev/null && docker exec idle true"
check "memory of another size gets a template of its own" boots "no template of its kind" run --memory 200m busybox true
check "rm -f of a clone" docker rm -f idle
check "a clone's disk outlives it" persists
check "a clone that does not live is replaced by a booted VM" refused_state
check "altered RAM is found, and the template made anew" damage alter_ram
check "cut RAM is found" damage cut_ram
check "a cut state is found" damage cut_state
check "an altered description is found" damage alter_meta
check "a killed maker leaves nothing half made" kill_maker
if [ "$(id -u)" = 0 ]; then
	stop_engine
	check "without room for a template VMs are booted, and the log says so" no_space
else
	skip "without room for a template VMs are booted" "needs root to mount"
fi
done_testing
