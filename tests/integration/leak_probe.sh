#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# sidecar-probe against the real sidecar in network namespaces: an agent's, the sidecar's and an upstream's with a web
# server, DNS, DHCP and other ports, joined by a bridge of its own. Tight first; then one hole at a time, each of which
# it must name. No packet leaves these namespaces.
set -u
# shellcheck source=tests/lib/tap.sh
. "$(dirname "$0")/../lib/tap.sh"
T=$(mktemp -d)
A=bpa$$ B=bpb$$ S=bps$$ U=bpu$$ X=bpx$$
pids=()

cleanup() {
	local p n
	for p in "${pids[@]}"; do kill "$p" 2>/dev/null; done
	for n in $A $B $S $U $X; do ip netns del "$n" 2>/dev/null; done
	rm -rf "$T"
}
trap cleanup EXIT

wait_for() {
	local end=$((SECONDS + $1))
	shift
	until "$@" >/dev/null 2>&1; do
		[ $SECONDS -lt $end ] || return 1
		sleep 0.05
	done
}

on() { ip netns exec "$@"; }
no_ipv6() { on "$1" sysctl -qw net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.default.disable_ipv6=1; }

# agent A ── bridge (B) ── sidecar S ── upstream U
lab() {
	local n
	for n in $A $B $S $U $X; do
		ip netns add "$n" && no_ipv6 "$n" && ip -n "$n" link set lo up || return 1
	done
	ip -n $B link add br0 type bridge mcast_snooping 0 && ip -n $B link set br0 up || return 1
	for n in $A $S $X; do ip -n $B link add "$n" type veth peer name eth0 netns "$n" || return 1; done
	for n in $A $S; do ip -n $B link set "$n" master br0 up; done
	ip -n $S link set eth0 name int0
	ip -n $A addr add 10.88.9.2/29 dev eth0 && ip -n $A link set eth0 up
	ip -n $A route add default via 10.88.9.1
	ip -n $S addr add 10.88.9.1/29 dev int0 && ip -n $S link set int0 up
	ip -n $S link add ext0 type veth peer name eth0 netns $U
	ip -n $S addr add 203.0.113.2/24 dev ext0 && ip -n $S link set ext0 up
	ip -n $S route add default via 203.0.113.1
	on $S sysctl -qw net.ipv4.icmp_echo_ignore_all=1 net.ipv4.conf.all.arp_ignore=1
	for n in 1 10; do ip -n $U addr add 203.0.113.$n/24 dev eth0; done
	ip -n $U link set eth0 up && ip -n $U route add 10.88.9.0/29 via 203.0.113.2
}

servers() {
	on $U dnsmasq -k -C /dev/null --no-resolv --no-hosts --user=root --pid-file= --listen-address=203.0.113.1 \
		--bind-interfaces --address=/#/203.0.113.10 >"$T/dns" 2>&1 &
	pids+=($!)
	on $U python3 -m http.server -b 203.0.113.10 80 >"$T/web" 2>&1 &
	pids+=($!)
	on $U python3 -m http.server -b 203.0.113.10 22 >"$T/ssh" 2>&1 &
	pids+=($!)
	wait_for 10 on $U python3 -c "import socket; [socket.create_connection(a, 1) for a in
		(('203.0.113.10', 80), ('203.0.113.10', 22), ('203.0.113.1', 53))]"
}

sidecar() {
	BOTTLE_INTERNAL=10.88.9.1 BOTTLE_STATUS_PORT=9000 ip netns exec $S unshare -m --propagation private sh -c \
		"mount -t tmpfs run /run && exec $BUILD/guest/sidecar" >"$T/audit" 2>"$T/sidecar.err" &
	sidecar_pid=$!
	pids+=("$sidecar_pid")
	wait_for 10 nsenter -t "$sidecar_pid" -m -n test -S /run/sidecar.sock
}

apply() {
	echo '{"version":1,"name":"lab","default":"deny","allow":[],"deny":[]}' |
		nsenter -t "$sidecar_pid" -m -n "$BUILD/guest/sidecar" ctl apply
}

targets() {
	echo '{"self":"10.88.9.2","gateway":"10.88.9.1","own":["10.88.9.1","203.0.113.2"],
		"hosts":["203.0.113.10","203.0.113.2","169.254.169.254","192.0.2.2"],"dns":["203.0.113.1"],
		"ports":[["127.0.0.16",8443]]}'
}

# probe CODE TEXT…: it ends with CODE and says all of it.
probe() {
	local want=$1 rc out text
	shift
	out=$(targets | on $A timeout 10 "$BUILD/guest/sidecar-probe" run 2>&1) && rc=0 || rc=$?
	echo "exit code $rc: $out"
	[ "$rc" = "$want" ] || return 1
	for text in "$@"; do
		case $out in *"$text"*) ;; *) echo "wanted: $text"; return 1 ;; esac
	done
}

in_time() {
	local began=${EPOCHREALTIME/./}
	probe 0 && [ $((${EPOCHREALTIME/./} - began)) -lt 1900000 ]
}

stranger_up() { ip -n $B link set $X master br0 up && ip -n $X link set eth0 up; }
# The agent's kernel may still believe the stranger: it forgets.
stranger_away() {
	ip -n $X addr flush dev eth0 && ip -n $B link set $X nomaster down && ip -n $A neigh flush all
}

forward_on() {
	on $S sysctl -qw net.ipv4.ip_forward=1 && ip -n $S rule add pref 40 iif int0 to 203.0.113.0/24 lookup main
}

check "a lab of five network namespaces" lab
servers
check "upstream answers" test $? = 0
check "without a sidecar there is no verdict" probe 2 "silence proves nothing"
sidecar
check "the sidecar starts" test $? = 0
check "before it has a policy there is no verdict" probe 2 "silence proves nothing"
check "a policy is applied" apply
check "tight: no leak" probe 0 '"ok":true' '"leaks":[]'
check "… within its bound" in_time
kill -0 "$sidecar_pid" || { sed 's/^/# /' "$T/sidecar.err"; done_testing; exit 1; }

check "hole: another machine on the bridge" ip -n $X addr add 10.88.9.5/29 dev eth0
check "… comes up" stranger_up
check "… is found" probe 1 '"what":"arp","target":"10.88.9.5"'
check "… goes away" stranger_away
check "hole: the host has an address on the bridge" ip -n $B addr add 10.88.9.6/29 dev br0
check "… is found" probe 1 '"what":"arp","target":"10.88.9.6"'
check "… goes away" ip -n $B addr del 10.88.9.6/29 dev br0
check "tight again" probe 0 '"ok":true'
check "hole: a machine with an address of another network answers ARP" ip -n $X addr add 192.0.2.2/32 dev lo
check "… comes up" stranger_up
check "… is found by the host's address" probe 1 '"target":"192.0.2.2"'
check "… goes away" stranger_away
check "hole: IPv6 on the bridge" on $X sysctl -qw net.ipv6.conf.all.disable_ipv6=0 net.ipv6.conf.eth0.disable_ipv6=0
check "… comes up" stranger_up
check "… is found" probe 1 '"what":"ipv6"'
check "… goes away" stranger_away
check "hole: a second machine claims the sidecar's address" no_ipv6 $X
check "… with it" ip -n $X addr add 10.88.9.1/29 dev eth0
check "… comes up" stranger_up
check "… is found" probe 1 '"leaks":[{'
check "… goes away" stranger_away
check "tight again after all of them" probe 0 '"ok":true'

# A sidecar that forwards ends by itself (main watches its routes); the hole stays open, and a plain router remains.
check "hole: the sidecar's machine forwards" forward_on
check "… is found: ports, ping and DNS of the other side" probe 1 '"what":"forwarded","target":"203.0.113.10"' \
	'"what":"dns","target":"203.0.113.1:53"' '"what":"http","target":"203.0.113.10:80"'
done_testing
