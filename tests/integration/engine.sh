#!/usr/bin/env bash
# The Engine socket of a real bottled: clients as they are, and bytes as no client sends them.
set -u
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=tests/lib/tap.sh
. "$here/../lib/tap.sh"

work=$(mktemp -d /tmp/bottle-engine.XXXXXX)
sock=$work/engine.sock
pid=
trap 'stop_engine; rm -rf "$work"' EXIT
bottled=("$BUILD/bin/bottled" --data "$work/data" --runtime "$work/run" --netpolicy-socket "$work/nobody")

raw() {
	timeout 60 python3 "$here/engine_raw.py" "$sock" "$@"
}

api() {
	curl -sS --max-time 10 --unix-socket "$sock" "$@"
}

# Starts bottled at $sock with these options: in this shell, since a check's output is a pipe that it would hold.
start_engine() {
	"${bottled[@]}" --socket "$sock" "$@" >/dev/null 2>>"$work/log" &
	pid=$!
	raw wait_for
}

stop_engine() {
	[ -n "$pid" ] && kill "$pid" 2>/dev/null && wait "$pid"
	pid=
}

# The process ends within 10 s; its code is left in $code. Outside of a check, which is a subshell and has no such child.
ended() {
	timeout 10 tail --pid="$pid" -f /dev/null && wait "$pid"
	code=$?
	pid=
}

message_is() {
	local want=$1 got
	shift
	got=$(api "$@" | jq -r .message)
	[ "$got" = "$want" ] || { echo "got: $got"; return 1; }
}

status_is() {
	local want=$1 got
	shift
	got=$(api -o /dev/null -w '%{http_code}' "$@")
	[ "$got" = "$want" ] || { echo "got: $got"; return 1; }
}

# The CLI sends whole seconds: until the next one.
cli_events() {
	timeout 20 docker events --since 1h --until $(($(date +%s) + 1)) --filter type=network --format '{{.Action}}' |
		grep -qx destroy
}

json_is() {
	local filter=$1
	shift
	api "$@" | tee "$work/answer" | jq -e "$filter" >/dev/null || { head -c 2000 "$work/answer"; return 1; }
}

start_engine --timeout 0
check "bottled starts on its own socket" raw alive
check "the socket is its owner's only" test "$(stat -c %a "$sock")" = 600
check "_ping has docker's headers, HEAD and GET" raw headers
check "too new a version" message_is "client version 1.99 is too new. Maximum supported API version is 1.50" http://d/v1.99/info
check "too old a version" message_is "client version 1.1 is too old. Minimum supported API version is 1.22, please upgrade your client to a newer version" http://d/v1.1/info
check "skopeo's 1.22 is served" status_is 200 http://d/v1.22/info
check "an unknown path is 404" message_is "page not found" http://d/v1.41/nowhere
check "a wrong method is 404" message_is "page not found" -X PATCH http://d/info
check "a trailing slash is tolerated" status_is 200 http://d/networks/
check "podman's ping" status_is 200 http://d/v4.3.1/libpod/_ping
check "a known call that is not offered says so" status_is 501 -X POST http://d/v1.41/auth
check "swarm calls are 503" status_is 503 -X POST "http://d/swarm/leave?force=1"
check "OPTIONS *" status_is 200 -X OPTIONS --request-target '*' http://d/
check "version" json_is '.ApiVersion == "1.50" and .MinAPIVersion == "1.22" and .Components[0].Name == "Engine"' http://d/version
check "info" json_is '.NCPU > 0 and .MemTotal > 0 and .Swarm.LocalNodeState == "inactive" and .Containers == 0 and .OSType == "linux"' http://d/info
check "df" json_is '.LayersSize >= 0 and .Images == [] and .Containers == []' http://d/system/df
check "malformed requests are 400 and cost only their connection" raw malformed
check "bodies by length and in chunks, good and broken" raw bodies
check "large bodies of many clients share one budget" raw large_bodies
check "Expect: 100-continue" raw expect
check "requests in a pipeline are answered in order" raw pipeline
check "floods of header fields end, long request lines pass" raw flood
check "a slow head is given up in time" raw slow
check "peers that only closed their sending side are answered" raw half_closed
check "events: at once, replayed, filtered" raw events
check "more connections than the limit" raw many

check "the built-in networks are there" json_is '[.[].Name] | contains(["bridge", "host", "none"])' http://d/networks
check "an internal network with a gateway of the user's" json_is '.Id | length == 64' -X POST -H 'Content-Type: application/json' \
	-d '{"Name":"in","Internal":true,"IPAM":{"Config":[{"Subnet":"10.201.0.0/24","Gateway":"10.201.0.2"}]},"Labels":{"a":"b"}}' http://d/networks/create
check "it reads back" json_is '.Internal and .IPAM.Config[0] == {"Subnet":"10.201.0.0/24","Gateway":"10.201.0.2"} and .Labels.a == "b"' http://d/networks/in
check "by a prefix of its id" status_is 200 "http://d/networks/$(api http://d/networks/in | jq -r '.Id[:12]')"
check "the same name again is 409" message_is "network with name in already exists" -X POST -H 'Content-Type: application/json' -d '{"Name":"in"}' http://d/networks/create
check "an overlapping subnet is refused" status_is 403 -X POST -H 'Content-Type: application/json' \
	-d '{"Name":"in2","Internal":true,"IPAM":{"Config":[{"Subnet":"10.201.0.128/25"}]}}' http://d/networks/create
check "a public subnet is refused" status_is 400 -X POST -H 'Content-Type: application/json' \
	-d '{"Name":"in2","Internal":true,"IPAM":{"Config":[{"Subnet":"8.8.8.0/24"}]}}' http://d/networks/create
check "a built-in name is refused" status_is 403 -X POST -H 'Content-Type: application/json' -d '{"Name":"bridge"}' http://d/networks/create
check "an unknown driver is refused" status_is 404 -X POST -H 'Content-Type: application/json' -d '{"Name":"o","Driver":"overlay"}' http://d/networks/create
check "filters in docker's form" json_is 'length == 1 and .[0].Name == "in"' -G --data-urlencode 'filters={"label":{"a=b":true}}' http://d/networks
check "filters in the SDKs' form" json_is 'length == 1' -G --data-urlencode 'filters={"label":["a=b"]}' http://d/networks
check "an unknown filter is refused" message_is "invalid filter 'x'" -G --data-urlencode 'filters={"x":["y"]}' http://d/networks
check "a built-in network cannot be removed" status_is 403 -X DELETE http://d/networks/bridge
check "a network is removed" status_is 204 -X DELETE http://d/networks/in
check "and gone" message_is "network in not found" http://d/networks/in

check "another user is refused, though the file would let him in" bash -c "chmod 711 '$work'; chmod 666 '$sock'
	[ \"\$(setpriv --reuid=65534 --regid=65534 --clear-groups curl -sS --max-time 5 -w '%{http_code}' --unix-socket '$sock' http://d/_ping)\" = \
	\"\$(printf '%s\n403' '{\"message\":\"this engine belongs to another user\"}')\" ]"
check "and its owner is not" raw alive

check_not "a second engine on the same state does not start" "${bottled[@]}" --socket "$work/second.sock"
second=$("${bottled[@]}" --socket "$work/second.sock" 2>&1)
check "and says what to do" grep -q "in use by another bottled: stop that one" <<<"$second"
other=$("$BUILD/bin/bottled" --data "$work/data2" --runtime "$work/run2" --socket "$sock" 2>&1)
check "a socket that is in use is not taken" grep -q "another engine answers at" <<<"$other"
check "SIGTERM ends it, with 0" bash -c "kill $pid"
ended
check "the process is gone" test "$code" = 0
check_not "and its socket" test -e "$sock"

check "a killed writer leaves a state that opens, with all that was answered" raw killed_while_writing "${bottled[@]}" --socket "$sock"
start_engine --timeout 2s
check "a stale socket is taken over" kill -0 "$pid"
check "/events holds off the idle exit, its end does not" raw stays_for_events "$pid"
ended
check "the exit code of the idle exit is 0" test "$code" = 0
start_engine --timeout 2s
check "an idle connection does not hold it" raw keeps_idle_out "$pid"
ended

systemd-socket-activate -l "$sock" "${bottled[@]}" --timeout 2s >/dev/null 2>>"$work/log" &
pid=$!
check "the first connection activates it (LISTEN_FDS)" raw wait_for
ended
check "and it ends when idle" test "$code" = 0
check "leaving the passed socket's name alone" test -S "$sock"
rm -f "$sock"

if command -v docker >/dev/null; then
	start_engine --timeout 0
	export DOCKER_HOST=unix://$sock DOCKER_CONFIG=$work/docker
	check "docker version" bash -c 'timeout 20 docker version --format "{{.Server.Version}}" | grep -q ^28'
	check "docker info" bash -c 'timeout 20 docker info --format "{{.Driver}}" | grep -qx bottle'
	check "docker network create, ls, inspect, rm" bash -c 'timeout 30 docker network create --internal --label x=y cli &&
		docker network ls --filter label=x=y --format "{{.Name}}" | grep -qx cli &&
		docker network inspect cli --format "{{.Internal}}" | grep -qx true && docker network rm cli'
	check "docker events" cli_events
	check "docker ps" timeout 20 docker ps -a
	check "docker system df" timeout 20 docker system df
	check_not "docker network inspect of nothing" timeout 20 docker network inspect nothing
fi
done_testing
