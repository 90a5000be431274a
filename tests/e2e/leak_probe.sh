#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# bottle up refuses a bottle whose agent would not be shut in. The hole is made by root in the network namespace of
# the bridges, while `bottle up` stands still between the networks and the sidecar: no race decides what is seen.
set -u
cd "$(dirname "$0")/../.." || exit 1
# shellcheck source=tests/lib/tap.sh
. tests/lib/tap.sh
# shellcheck source=tests/lib/lab.sh
. tests/lib/lab.sh
trap lab_down EXIT
lab_up "$BUILD" || exit 1

in_n() { on_host nsenter --net=/run/bottle/netns "$@"; }
says() { grep -qF -- "$1" "$2" || { echo "wanted: $1"; cat "$2"; return 1; }; }

# Starts `bottle up` and halts it as soon as the step NAME is told.
up_until() {
	local step=$1 out=$LAB/up.out
	: >"$out"
	lab_exec="exec"
	as_user bottle up "$LAB/demo.json" >"$out" 2>&1 </dev/null &
	up_pid=$!
	lab_exec=
	lab_wait 60 grep -q "^$step " "$out" && kill -STOP "$up_pid"
}

# Goes on; its exit code is CODE.
up_ends() {
	kill -CONT "$up_pid"
	wait "$up_pid"
	local rc=$?
	[ "$rc" = "$1" ] || { echo "wanted exit code $1, got $rc"; cat "$LAB/up.out"; return 1; }
}

internal_bridge() {
	in_n ip -d -j link show type bridge | jq -r '.[] | select((.ifalias // "") | test("sub=10\\.88\\.")) | .ifname'
}
# The subnet's address number N.
internal_addr() {
	as_user docker network inspect -f '{{(index .IPAM.Config 0).Subnet}}' demo-internal |
		python3 -c 'import ipaddress, sys; print(ipaddress.ip_network(sys.stdin.read().strip())['"$1"'])'
}

# A machine of the hole's on the internal bridge: a listener at ADDR/29 in a namespace of its own.
open_hole() {
	local bridge
	bridge=$(internal_bridge)
	[ -n "$bridge" ] || { echo "no internal bridge"; in_n ip -d link; return 1; }
	in_n ip link add hole0 type veth peer name hole1 netns "$LAB_HOLE" &&
		in_n ip link set hole0 master "$bridge" up &&
		nsenter -t "$LAB_HOLE" -n ip addr add "$1/29" dev hole1 &&
		nsenter -t "$LAB_HOLE" -n ip link set hole1 up
}
close_hole() { in_n ip link del hole0; }

nothing_left() {
	local left
	left=$(as_user docker ps -aq; as_user docker network ls -q --filter label=bottle.name; lab_processes | grep -v bottled)
	[ -z "$left" ] || { echo "left: $left"; return 1; }
}

lab_holder unshare -n
LAB_HOLE=${lab_pids[-1]}
cp policies/demo.json "$LAB/demo.json"
chmod 0644 "$LAB/demo.json"
check "the sidecar's image" as_user docker load -q -i /opt/bottle/share/bottle/images/sidecar.tar
check "the agent's image" as_user docker load -q -i /opt/bottle/share/bottle/images/agent.tar

as_user bottle up --json "$LAB/demo.json" >"$LAB/up.json" 2>"$LAB/up.err"
check "a sound bottle comes up" test $? = 0
check "… probed by more than a hundred checks" jq -e '.steps[] | select(.step == "probe") | .checked > 100' "$LAB/up.json"
check "… before its agent" jq -e '[.steps[].step] | index("probe") < index("agent")' "$LAB/up.json"
check "… in the agent's place" test "$(jq -r .agent_address "$LAB/up.json")" = "$(internal_addr 2)"
check "… and the probe is gone" test -z "$(as_user docker ps -aq --filter label=bottle.role=probe)"
check "bottle down" as_user bottle down demo

up_until networks
check "up halts behind the networks" test $? = 0
addr=$(internal_addr 5)
check "a hole: another machine on the internal bridge" open_hole "$addr"
up_ends 1
check "bottle up refuses with exit code 1" test $? = 0
check "… names who answered" says "$addr (arp)" "$LAB/up.out"
check "… on a line of its own" grep -q "^leak: $addr (arp)" "$LAB/up.out"
check "… and says that the agent was not started" says "the agent would not be shut in, so it was not started" "$LAB/up.out"
check "… and no agent was made" not grep -qE '^(agent|start) ' "$LAB/up.out"
check "… and leaves nothing" lab_wait 20 nothing_left
check "the hole is closed" close_hole

up_until networks
check "up halts again" test $? = 0
check "a hole: the host's own address answers on the bridge" open_hole 192.0.2.2
up_ends 1
check "bottle up refuses" test $? = 0
check "… names the host's address" says "192.0.2.2 (arp)" "$LAB/up.out"
check "… and leaves nothing" lab_wait 20 nothing_left
check "the hole is closed" close_hole

up_until sidecar
check "up halts while its probe stands" test $? = 0
kill -9 "$up_pid"
wait "$up_pid" 2>/dev/null
as_user bottle ls >"$LAB/ls.out" 2>&1
check "killed there: bottle ls shows a bottle without an agent" grep -qE '^demo +- +running' "$LAB/ls.out"
as_user bottle show demo >"$LAB/show.out" 2>&1
check "… bottle show shows the probe" says "probe: demo-probe" "$LAB/show.out"
as_user bottle up "$LAB/demo.json" >"$LAB/again.out" 2>&1
check "… bottle up does not touch it" says "'bottle down demo' removes it" "$LAB/again.out"
check "… bottle down removes it" as_user bottle down demo
check "… and leaves nothing" lab_wait 20 nothing_left

check "a sound bottle comes up again" as_user bottle up "$LAB/demo.json"
check "bottle down at the end" as_user bottle down demo
done_testing
