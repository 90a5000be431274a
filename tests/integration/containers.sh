#!/usr/bin/env bash
# Containers by the real docker CLI on real parts: bottled, bottle-monitor, QEMU, bottle-init. No network is needed.
set -u
. tests/lib/tap.sh
if ! [ -s "$BUILD/share/bottle/vmlinux" ] || ! command -v docker >/dev/null; then
	skip "containers" "the guest's kernel or docker's CLI is missing (make guest)"
	done_testing
	exit
fi
dir=$(mktemp -d)
engine=
export DOCKER_HOST=unix://$dir/s.sock DOCKER_CONFIG=$dir
trap finish EXIT

docker() {
	timeout 60 /usr/bin/env docker "$@"
}

start_engine() {
	"$BUILD/bin/bottled" --data "$dir/data" --runtime "$dir/run" --socket "$dir/s.sock" --timeout 0 2>>"$dir/log" &
	engine=$!
	for _ in $(seq 100); do
		docker version >/dev/null 2>&1 && return
		sleep 0.1
	done
	echo "Bail out! bottled did not start: $(tail -n 3 "$dir/log")"
	exit 1
}

finish() {
	docker ps -aq 2>/dev/null | xargs -r timeout 60 docker rm -f >/dev/null 2>&1
	[ -z "$engine" ] || kill "$engine" 2>/dev/null
	wait 2>/dev/null
	rm -rf "$dir"
}

# code N COMMAND…: the command ends with that exit code.
code() {
	local want=$1 rc
	shift
	"$@" && rc=0 || rc=$?
	[ "$rc" = "$want" ] || { echo "exit code $rc, wanted $want"; return 1; }
}

# says TEXT COMMAND…: its output is exactly that.
says() {
	local want=$1 out
	shift
	out=$("$@" 2>&1 </dev/null)
	[ "$out" = "$want" ] || { printf 'got: %q\n' "$out"; return 1; }
}

api() {
	curl -sS --max-time 60 --unix-socket "$dir/s.sock" "$@"
}

status() {
	api -o "$dir/body" -w '%{http_code}' "$@"
}

run() {
	docker run --rm --network none "$@"
}

start_engine
tests/lib/busybox_image "$dir/busybox.tar"
check "an image is loaded" docker load -qi "$dir/busybox.tar"

# ---- one VM each: exit codes as docker has them
check "run --rm: output and code 0" says hello run busybox echo hello
check "run: the command's code" code 3 run busybox sh -c 'exit 3'
check "run: 127 for a command that is not there" code 127 run busybox nosuch
check "run: 126 for a file that cannot be executed" code 126 run busybox /etc/notexec
check "run: 125 for an option that is refused" code 125 run --privileged busybox true
check "the refused option is named" grep -q Privileged <(run --privileged busybox true 2>&1)
check "nothing is left of --rm" says "" docker ps -aq

printf 'one\ntwo\n' >"$dir/in"
stdin_run() { [ "$(docker run --rm -i --network none busybox tr a-z A-Z <"$dir/in")" = $'ONE\nTWO' ]; }
check "run -i: input to its end" stdin_run
check "run -t: a terminal" says $'/dev/pts/0\r' run -t busybox tty
check "env, user, directory, host name" says "A=1 65534 /tmp box 1" run -e A=1 -u nobody -w /tmp -h box busybox \
	sh -c 'echo A=$A $(id -u) $PWD $(hostname) $FROM_IMAGE'
first_bytes() {
	for _ in 1 2; do
		[ "$(docker run --rm --network none busybox sh -c 'echo first; echo err >&2; echo last' 2>"$dir/err" | tr '\n' ,)" = first,last, ] || return 1
		[ "$(cat "$dir/err")" = err ] || return 1
	done
}
check "attached before the start: the first byte is there, streams apart" first_bytes

# ---- one container that lives
id=$(docker run -d --network none --name live -l a=b busybox sh -c 'trap "echo bye; exit 7" TERM; echo up; while :; do sleep 1 & wait $!; done')
check "run -d prints the id" test ${#id} = 64
check "ps: running" says "live Up" sh -c "docker ps --format '{{.Names}} {{.Status}}' | cut -c1-7"
check "inspect: a pid that is QEMU's" grep -q qemu "/proc/$(docker inspect -f '{{.State.Pid}}' live)/comm"
check "list: filters by label, name and status" says "$id" docker ps -q --no-trunc --filter label=a=b --filter name=^/live$ --filter status=running
check "exec: output" says here docker exec live echo here
check "exec: its code" code 5 docker exec live sh -c 'exit 5'
check "exec: 127" code 127 docker exec live nosuch
check "exec -i" says abc sh -c 'echo abc | docker exec -i live cat'
check "exec -d" docker exec -d live touch /tmp/mark
check "exec -d did it" code 0 docker exec live sh -c 'for i in 1 2 3 4 5; do [ -e /tmp/mark ] && exit; sleep 1; done; exit 1'
check "exec has user and environment of its own" says "65534 x" docker exec -u nobody -e V=x live sh -c 'echo $(id -u) $V'
check "top" grep -q sleep <(docker top live)
check "stats: one answer with figures" test "$(docker stats --no-stream --format '{{.PIDs}}' live)" -gt 0
check "logs" says up docker logs live
check "logs: timestamps" grep -qE '^20[0-9-]+T[0-9:.]+Z up' <(docker logs -t live)
check "logs: neither stream is 400" test "$(status "http://d/containers/live/logs")" = 400
check "start of a running one is 304" test "$(status -X POST http://d/containers/live/start)" = 304
check "its removal without force is 409" test "$(status -X DELETE http://d/containers/live)" = 409
check "a taken name is 409" test "$(status -X POST -H 'Content-Type: application/json' -d '{"Image":"busybox"}' 'http://d/containers/create?name=live')" = 409
check "pause" docker pause live
check "paused in ps" grep -q Paused <(docker ps)
check "exec in a paused one is refused" code 1 docker exec live true
check "unpause" docker unpause live
check "rename" docker rename live alive
check "rename shows" says /alive docker inspect -f '{{.Name}}' "$id"

# ---- bottled dies, the container does not
docker logs -f alive >"$dir/follow" 2>&1 &
follower=$!
kill -9 "$engine"
wait "$engine" 2>/dev/null
wait "$follower"
start_engine
check "after kill -9 of bottled: ps" says alive docker ps --format '{{.Names}}'
check "after kill -9: logs" says up docker logs alive
check "after kill -9: exec" says still docker exec alive echo still
docker logs -f alive >"$dir/follow" 2>&1 &
follower=$!
docker wait alive >"$dir/code" &
waiter=$!
check "stop: TERM" docker stop alive
wait "$follower" "$waiter"
check "wait has the code" grep -qx 7 "$dir/code"
check "logs -f ends with the container, with all of it" says $'up\nbye' cat "$dir/follow"
check "logs --tail" says bye docker logs --tail 1 alive
check "stop of a stopped one is 304" test "$(status -X POST http://d/containers/alive/stop)" = 304
check "ps -a: the code" grep -q 'Exited (7)' <(docker ps -a)
check "start again" docker start alive
check "kill" docker kill alive
check "137 after KILL" says 137 docker wait alive
check "start once more" docker start alive
check "its disk is kept" code 0 docker exec alive ls /tmp/mark

# ---- it ends while nobody listens
kill -9 "$engine"
wait "$engine" 2>/dev/null
kill -9 "$(sed -n 's/^pid //p' "$dir/data/containers/$id/status")"
start_engine
exited() { for _ in $(seq 50); do [ "$(docker inspect -f '{{.State.Running}}' alive)" = false ] && return; sleep 0.1; done; return 1; }
check "a VM killed behind bottled's back is seen as exited" exited
check "rm" docker rm alive
check "rm -f of a running one" sh -c 'docker run -d --name gone --network none busybox sleep 1000 && docker rm -f gone && ! docker inspect gone'
check "no directory is left" says "" ls "$dir/data/containers"
check "no VM is left" says "" ls "$dir/run/vm"
done_testing
