#!/usr/bin/env bash
# Containers on networks by the real docker CLI: routes of dual-homed ones, published ports, limits, restarts, idle exit, kill -9.
set -u
cd "$(dirname "$0")/../.." || exit 1
# shellcheck source=tests/lib/tap.sh
. tests/lib/tap.sh
# shellcheck source=tests/lib/lab.sh
. tests/lib/lab.sh
trap lab_down EXIT
LAB_TIMEOUT=3s
lab_up "$BUILD" || exit 1

d() { as_user timeout 60 docker "$@"; }

# CMD's output holds TEXT.
says() {
	local text=$1 out
	shift
	out=$("$@" 2>&1)
	case $out in *"$text"*) return 0 ;; esac
	printf 'wanted: %s\ngot: %s\n' "$text" "$out"
	return 1
}

exits() {
	local want=$1 rc out
	shift
	out=$("$@" 2>&1) && rc=0 || rc=$?
	[ "$rc" = "$want" ] || { echo "exit code $rc, wanted $want: $out"; return 1; }
}

# The device of a container's default route.
route_of() { d exec "$1" ip route | awk '/^default/ {print $5; exit}'; }
mac() { d inspect -f "{{(index .NetworkSettings.Networks \"$2\").MacAddress}}" "$1"; }
address() { d inspect -f "{{(index .NetworkSettings.Networks \"$2\").IPAddress}}" "$1"; }
get() { d exec "$1" sh -c "printf 'GET $4 HTTP/1.0\r\n\r\n' | nc -w 5 $2 $3"; }
links() { on_host nsenter --net=/run/bottle/netns ip -o link show | awk -F': ' '{print $2}'; }
same_links() { [ "$(links)" = "$1" ]; }
gone() { ! lab_running "$1"; }
bottled_pid() { lab_processes | awk '$2 == "bottled" {print $1}'; }
monitors() { lab_processes | grep -c bottle-monitor; }
monitors_are() { [ "$(monitors)" = "$1" ]; }
vm_dirs() { find "/proc/$LAB_HOST/root/run/user/$(id -u "$LAB_USER")/bottle/vm" -mindepth 1 -maxdepth 1 | wc -l; }

# Execs of several clients at once: each gets its own answer.
crowd() {
	local i pids=() bad=0
	for i in $(seq 20); do
		{ [ "$(d exec "$1" echo "n$i")" = "n$i" ] && d ps -a && d inspect "$1"; } >/dev/null 2>&1 &
		pids+=($!)
	done
	for i in "${pids[@]}"; do wait "$i" || bad=$((bad + 1)); done
	[ $bad = 0 ] || { echo "$bad of 20 failed"; return 1; }
}

open_files() { find "/proc/$1/fd" -mindepth 1 | wc -l; }
memory_kb() { awk '/VmRSS/ {print $2}' "/proc/$1/status"; }

# Descriptors and memory of one bottled before and after 12 execs and 2 runs; the first run of each warms it up.
no_growth() {
	local pid files memory
	d run --rm --network plain busybox true && d exec first true || return 1
	pid=$(bottled_pid) files=$(open_files "$pid") memory=$(memory_kb "$pid")
	for _ in 1 2; do d run --rm --network plain busybox true || return 1; done
	for _ in $(seq 12); do d exec first true || return 1; done
	[ "$(bottled_pid)" = "$pid" ] || { echo "bottled was exchanged meanwhile"; return 1; }
	echo "descriptors $files, then $(open_files "$pid"); memory $memory kB, then $(memory_kb "$pid") kB"
	[ "$(open_files "$pid")" -le $((files + 1)) ] && [ "$(memory_kb "$pid")" -le $((memory + 2048)) ]
}

# bottled is killed SECONDS after a start began: afterwards the container runs whole or not at all.
killed_in_start() {
	local before rc=0 pid state
	before=$(links)
	d version >/dev/null
	pid=$(bottled_pid)
	d run -d --name cut --network plain -p 127.0.0.20:9200:80 busybox sleep 600 >/dev/null 2>&1 &
	sleep "$1"
	kill -9 "$pid"
	wait $!
	state=$(d inspect -f '{{.State.Status}}' cut 2>/dev/null) || state=none
	case $state in
	running) lab_wait 5 monitors_are 3 || rc=1 ;;
	exited | created | none) { lab_wait 5 monitors_are 2 && lab_wait 5 same_links "$before"; } || rc=1 ;;
	*) rc=1 ;;
	esac
	[ "$state" = none ] || d rm -f cut >/dev/null || rc=1
	{ lab_wait 5 monitors_are 2 && lab_wait 5 same_links "$before"; } || rc=1
	[ "$(vm_dirs)" = 2 ] || rc=1
	echo "after $1 s: state $state, $(monitors) monitors, $(vm_dirs) directories, links $(links | xargs)"
	return $rc
}

idle_removal() {
	local before
	before=$(links)
	d run -d --rm --name brief --network plain busybox sleep 6 >/dev/null || return 1
	lab_wait 20 gone bottled || return 1
	lab_wait 30 monitors_are 2 || return 1
	d version >/dev/null || return 1
	! d inspect brief >/dev/null 2>&1 || { echo "brief is still there"; return 1; }
	lab_wait 5 same_links "$before"
}

python3 tests/lib/busybox_image "$LAB/busybox.tar"
chmod 0644 "$LAB/busybox.tar"
check "an image" d load -q -i "$LAB/busybox.tar"
check "a network" d network create plain
check "an internal network" d network create --internal --subnet 10.77.0.0/24 inside

d create --name first --network plain -p 127.0.0.20:9000:80 -p 127.0.0.20::81 -m 256m --cpus 1 --pids-limit 20 busybox \
	sh -c 'mkdir /w; echo hi >/w/i; httpd -p 80 -h /w; httpd -p 81 -h /w; exec sleep 1000' >/dev/null
check "connect: the internal network second" d network connect inside first
d create --name second --network inside --storage-opt size=200m busybox sleep 1000 >/dev/null
check "connect: the internal network first" d network connect plain second
check "both start" d start first second
check "the default route is on the first, which leads out" says eth0 route_of first
check "the default route is on the second, which leads out" says eth1 route_of second
check "the networks of one that runs stay" says "is running" d network disconnect plain second
check "neighbours on a bridge reach each other" says hi get second "$(address first plain)" 80 /i
check "… and on the internal one" says hi get second "$(address first inside)" 80 /i
check "… and what is outside" says "hello from" get second 203.0.113.10 80 /

check "a published port answers" says hi as_user curl -s -m 5 http://127.0.0.20:9000/i
check "its address is bound to its own MAC, whoever had it before" says "$(mac first plain) PERMANENT" \
	on_host nsenter --net=/run/bottle/netns ip neigh show nud permanent to "$(address first plain)"
check "a port that was picked answers" says hi as_user curl -s -m 5 "http://$(d port first 81)/i"
check "… not another user" exits 7 as_other curl -s -m 5 http://127.0.0.20:9000/i
check "a port that is taken is said" says "Bind for 127.0.0.20:9000 failed: port is already allocated" \
	d run --name third -p 127.0.0.20:9000:80 busybox true
check "… and costs the start only" says created d inspect -f '{{.State.Status}}' third
d rm third >/dev/null

check "memory is the guest's" says "ok" d exec first sh -c \
	'[ $(sed -n "s/MemTotal: *\([0-9]*\).*/\1/p" /proc/meminfo) -lt 262144 ] && echo ok'
check "so are cpus" says 1 d exec first grep -c ^processor /proc/cpuinfo
check "and pids" says "can't fork" d exec first sh -c 'for i in $(seq 30); do sleep 5 & done'
check "and the disk" says "No space left" d exec second sh -c "dd if=/dev/zero of=/big bs=1M count=300"

check "20 clients at once" crowd second
check "runs and execs leave nothing in bottled" no_growth
check "rmi of an image in use is a conflict" says "is using its referenced image" d rmi busybox
check "restart" d restart -t 0 first
check "… and its port answers again" lab_wait 10 as_user curl -sf -m 5 http://127.0.0.20:9000/i
for t in 0.05 0.4 1.5; do check "kill -9 of bottled $t s into a start leaves nothing half-made" killed_in_start $t; done
check "run --rm that ends while no bottled runs is removed by the next" idle_removal
check "rm -f" d rm -f first second
check "network prune" says plain d network prune -f
check "no monitor is left" lab_wait 5 monitors_are 0
done_testing
