#!/usr/bin/env bash
# A hostile agent, root in its VM, against the whole: what policies/threat-model.md promises, attack by attack. The lab's
# two ledgers count each packet that comes out on the internet's side or in to the host, whatever the attack believes.
set -u
cd "$(dirname "$0")/../.." || exit 1
# shellcheck source=tests/lib/tap.sh
. tests/lib/tap.sh
# shellcheck source=tests/lib/lab.sh
. tests/lib/lab.sh
# shellcheck source=tests/lib/main_job.sh
. tests/lib/main_job.sh
trap lab_down EXIT
lab_up "$BUILD" || exit 1

address() { as_user docker inspect -f "{{(index .NetworkSettings.Networks \"$2\").IPAddress}}" "$1"; }
# As the guest's kernel would: every capability, /proc/sys writable.
owner() { as_user docker exec --privileged -u 0 demo-agent "$@"; }
second() { as_user docker exec second-agent "$@"; }
bb=/tmp/att/busybox

# What no attack may cause: a packet on the internet's side to anything but the allowed hosts and the host's resolver; a
# new flow that reached the host.
ledgers() {
	on_net nft -f - <<-'NFT'
		table inet ledger {
			set leaks { type ipv4_addr . inet_proto . inet_service; flags dynamic; size 1024; }
			set odd { type inet_proto; flags dynamic; size 256; }
			chain in {
				type filter hook prerouting priority 0;
				iifname != "lab0" return
				ip daddr 203.0.113.10 tcp dport { 80, 443 } return
				ip daddr 203.0.113.53 meta l4proto { tcp, udp } th dport 53 return
				meta nfproto ipv6 meta l4proto ipv6-icmp return
				meta nfproto ipv4 meta l4proto { tcp, udp } add @leaks { ip daddr . meta l4proto . th dport } return
				add @odd { meta l4proto }
			}
		}
	NFT
	on_host nft -f - <<-'NFT'
		table inet ledger {
			set leaks { type ipv4_addr . inet_proto; flags dynamic; size 1024; }
			chain in {
				type filter hook input priority 100;
				iifname "bn0" ct state new add @leaks { ip daddr . meta l4proto }
			}
		}
	NFT
}

# on_net or on_host, set
ledger_is_empty() {
	local found
	found=$("$1" nft list set inet ledger "$2") || return 1
	case $found in *elements*) echo "$found"; return 1 ;; esac
}

nothing_left() {
	check "$1: no packet left but to the allowed" ledger_is_empty on_net leaks
	check "$1: and none of another protocol" ledger_is_empty on_net odd
	check "$1: no packet reached the host" ledger_is_empty on_host leaks
}

# The sidecar's image with a shell in it, for the test that ends its children.
sidecar_with_tools() {
	local d=$LAB/tools
	mkdir -p "$d/x"
	tar -x -C "$d/x" -f "$BUILD/share/bottle/images/sidecar.tar"
	mv "$d/x/"*.tar "$d/root.tar"
	tar -r -f "$d/root.tar" -C /bin --transform 's|^|./|' busybox
	echo '{"Entrypoint": ["/sidecar"], "Env": ["PATH=/"]}' >"$d/config.json"
	images/recipes/archive "$d/root.tar" "$d/config.json" bottle/sidecar:latest "$d/sidecar.tar"
	chmod 0755 "$d" && chmod 0644 "$d/sidecar.tar"
	as_user docker load -q -i "$d/sidecar.tar"
}

bottles() {
	jq '.egress.allow += [{"host": "rebind.example", "ports": [80, 443]}]' policies/demo.json >"$LAB/demo.json"
	jq '.name = "second" | .publish = []' "$LAB/demo.json" >"$LAB/second.json"
	chmod 0644 "$LAB/demo.json" "$LAB/second.json"
	as_user docker load -q -i /opt/bottle/share/bottle/images/sidecar.tar &&
		as_user docker load -q -i /opt/bottle/share/bottle/images/agent.tar &&
		as_user env HOST_SECRET=planted-secret-of-the-host bottle up "$LAB/demo.json" &&
		sidecar_with_tools && as_user bottle up "$LAB/second.json"
}

put_tools() {
	sidecar=$(address demo-sidecar demo-internal) agent_ip=$(address demo-agent demo-internal)
	sidecar2=$(address second-sidecar second-internal) agent2=$(address second-agent second-internal)
	mkdir -p "$LAB/att"
	cp /bin/busybox tests/lib/attack_agent.pl "$LAB/att/"
	python3 tests/lib/attack_bytes.py "$LAB/att" "$sidecar" "$(address demo-sidecar demo-egress)" "$sidecar2" "$agent2" || return 1
	tar -c -C "$LAB/att" . | as_user docker exec -i demo-agent sh -c 'mkdir /tmp/att && tar -x -C /tmp/att'
}

# Is the answer ID in FILE as WANT says?
answered() {
	local hex value=$3
	hex=$(sed -n "s/^$2 //p" "$1")
	grep -q "^$2 " "$1" || { echo "the attack was not run"; return 1; }
	case $value in
	hex:*) LC_ALL=C grep -qP -- "${value#hex:}" <<<"$hex" ;;
	*) xxd -r -p <<<"$hex" | tr '\r\n\0' '   ' | LC_ALL=C grep -aqP -- "$value" ;;
	esac || { echo "wanted: $value"; echo "got: $(xxd -r -p <<<"$hex" | head -c 300 | cat -v)"; return 1; }
}

run_plan() {
	local id want name
	agent perl /tmp/att/attack_agent.pl /tmp/att 4 >"$LAB/answers"
	while IFS=$'\t' read -r id _ _ _ want name; do check "$name" answered "$LAB/answers" "$id" "$want"; done <"$LAB/att/plan"
	check "the refused names never left: the DNS server has not seen them" not grep -E "other\.example|bad\.wild|c2VjcmV0" "$LAB/dns.log"
	check "no hidden request reached a server" not grep -E "smuggled|pipelined|inside-connect" "$LAB/access.log"
	nothing_left "after the plan"
}

# --- DNS as a tunnel

upstream_names() { grep -c 'query\[A\] n[0-9]*\.wild\.example' "$LAB/dns.log"; }
tunnel() {
	owner bash -c "for i in \$(seq 300); do
		printf '\\x42\\x42\\x01\\0\\0\\x01\\0\\0\\0\\0\\0\\0\\x04n%03d\\x04wild\\x07example\\0\\0\\x01\\0\\x01' \$i >/dev/udp/$sidecar/53; done"
	{ [ "$(upstream_names)" -gt 0 ] && [ "$(upstream_names)" -le 100 ]; } || { echo "$(upstream_names) names reached the server"; return 1; }
}

# --- the agent as the owner of its machine

reach_ids=
# Nothing of the plan's raw attacks gets an answer.
raw_is_silent() {
	local out
	out=$(owner perl /tmp/att/attack_agent.pl /tmp/att 2 "$reach_ids") || return 1
	[ -n "$out" ] && ! grep -E '^a[0-9]+ .' <<<"$out"
}
ping_is_silent() { refused owner $bb ping -c1 -W2 "$1"; }
restore() {
	owner sh -c "ip link set eth0 down; ip link set eth0 address $agent_mac; ip addr flush dev eth0
		ip addr add $agent_ip/29 dev eth0; ip link set eth0 up; ip route replace default via $sidecar; ip neigh flush all"
}
spoof() {
	local name=$1
	shift
	owner sh -c "$*" || echo "# $name: could not be set"
	check "$name: no way out" refused fetch -f --max-time 2 http://allowed.example/
	check "$name: nor to anything else" raw_is_silent
	restore
}
other_bottle_works() { says "by http" second curl -sS --max-time 20 http://allowed.example/; }

own_the_network() {
	agent_mac=$(as_user docker inspect -f '{{(index .NetworkSettings.Networks "demo-internal").MacAddress}}' demo-agent)
	local mac2
	mac2=$(as_user docker inspect -f '{{(index .NetworkSettings.Networks "second-internal").MacAddress}}' second-agent)
	reach_ids=$(awk -F'\t' '$6 ~ /^raw TCP/ && $6 !~ /sidecar.s status port$|SSH on the/ { printf "%s%s", s, $1; s = "|" }' "$LAB/att/plan")
	check "ICMP to an allowed host" ping_is_silent 203.0.113.10
	check "ICMP to the host" ping_is_silent 192.0.2.2
	owner sh -c "for a in 10.77.255.1 10.77.255.2 192.0.2.2 10.77.0.1 $sidecar2 $agent2; do ip route replace \$a dev eth0; done"
	check "routes to the host and to others straight on the link" raw_is_silent
	check "… nobody answers ARP there" not says lladdr owner sh -c "ip neigh show 10.77.255.1; ip neigh show 192.0.2.2; ip neigh show $sidecar2"
	restore
	owner sh -c 'mount -t proc proc /mnt && for i in all default eth0; do echo 0 >/mnt/sys/net/ipv6/conf/$i/disable_ipv6; done; umount /mnt
		ip -6 addr add fd00::2/64 dev eth0 nodad; ip -6 route replace default dev eth0'
	check "IPv6 enabled by the agent: it has an address" says fd00::2 owner ip -6 addr show dev eth0
	check "… and nobody there" not says lladdr owner sh -c "$bb ping6 -c1 -W2 fd00::1; $bb ping6 -c1 -W2 2001:db8::1; ip -6 neigh"
	spoof "another bottle's agent's address" "ip addr flush dev eth0; ip addr add $agent2/8 dev eth0; ip route replace default dev eth0"
	spoof "another bottle's sidecar's address" "ip addr flush dev eth0; ip addr add $sidecar2/8 dev eth0; ip route replace default via $sidecar dev eth0"
	spoof "the host's address" "ip addr flush dev eth0; ip addr add 10.77.255.1/8 dev eth0; ip route replace default via $sidecar dev eth0"
	spoof "another MAC address" "ip link set eth0 down; ip link set eth0 address $mac2; ip link set eth0 up; ip route replace default via $sidecar"
	owner $bb timeout 3 $bb arping -U -c 2 -I eth0 "$sidecar2" >/dev/null 2>&1
	check "ARP announcements for another sidecar: that bottle works on" other_bottle_works
	owner sh -c "ip link add link eth0 name v7 type vlan id 7; ip addr add 10.77.255.9/24 dev v7; ip link set v7 up" >/dev/null 2>&1
	check "a VLAN of its own: nobody there" raw_is_silent
	check "the agent's own address again: it works" says "by http" fetch http://allowed.example/
	nothing_left "after spoofing"
}

# --- what the guest can read

# TEXT in any process's arguments or environment, or in a file. It goes in by standard input: the search must not find itself.
guest_has() {
	as_user docker exec -i --privileged -u 0 demo-agent sh -c 'cat >/tmp/att/text
		cat /proc/[0-9]*/environ /proc/[0-9]*/cmdline /proc/cmdline 2>/dev/null | grep -aqFf /tmp/att/text ||
		grep -rqsFf /tmp/att/text --exclude-dir=att /etc /run /tmp /root /home /var /opt' <<<"$1"
}
secrecy() {
	check "the search finds what is there (the control)" guest_has http_proxy=
	check_not "the guest holds no secret of the host's environment" guest_has planted-secret
	check_not "… nor the policy" guest_has bad.wild
	check_not "… nor the sidecar's environment" guest_has BOTTLE_
	check_not "… nor a path of the host" guest_has "${LAB##*/}"
	check_not "the Engine socket is not in the guest" owner sh -c 'find / -xdev -name "*.sock" | grep -q .'
	check "the kernel's command line switches no defence off" not says "mitigations=off" owner cat /proc/cmdline
}

# --- floods

healthy() { says '"healthy":true' as_user curl -sf --max-time 10 http://127.0.0.16:8443/healthz; }
log_bytes() { as_user sh -c 'cat "$1"/log "$1"/log.1 2>/dev/null | wc -c' sh "$(state_dir)/containers/$(as_user docker inspect -f '{{.Id}}' demo-sidecar)"; }

# A thousand connections, each with half a head, held for some seconds.
connection_flood() {
	owner perl -MSocket -e '
		for (1 .. 1000) {
			socket(my $s, PF_INET, SOCK_STREAM, 0) or last;
			$s->blocking(0);
			connect($s, pack_sockaddr_in(3128, inet_aton($ARGV[0])));
			push @s, $s;
		}
		sleep 1;
		syswrite($_, "GET http://allowed.example/ HTTP/1.1\r\nX: ") for @s;
		sleep 6' -MIO::Handle "$sidecar" &
	lab_wait 6 flood_is_on && healthy
	local rc=$?
	wait $!
	return $rc
}
flood_is_on() { says '"open":512' as_user curl -sf --max-time 10 http://127.0.0.16:8443/healthz; }

# Denied names, each another: the log may grow by 200 lines a second, however many there are.
denied_flood() {
	local before after t=$SECONDS
	before=$(log_bytes)
	owner perl -MIO::Socket::INET -e '
		my $s = IO::Socket::INET->new(Proto => "udp", PeerAddr => $ARGV[0], PeerPort => 53);
		my $end = time + 6;
		for (my $i = 0; time < $end; $i++) {
			my $l = sprintf("%060d", $i);
			$s->send("\x42\x42\1\0\0\1\0\0\0\0\0\0" . ("\x3c" . $l) x 3 . "\5other\7example\0\0\1\0\1");
		}
		print "$i\n"' "$sidecar" >/dev/null
	after=$(log_bytes)
	t=$((SECONDS - t + 3))
	{ [ $((after - before)) -gt 1000 ] && [ $((after - before)) -lt $((t * 200 * 800)) ]; } || { echo "the log grew by $((after - before)) bytes in $t s"; return 1; }
}

# A container's own output: two files of max-size at most.
output_flood() {
	local dir size
	as_user docker run -d --name loud --network none --log-opt max-size=1m bottle/agent sh -c 'head -c 12000000 /dev/zero | tr "\0" "\n"; echo over' >/dev/null
	as_user timeout 60 docker wait loud >/dev/null || return 1
	dir=$(state_dir)/containers/$(as_user docker inspect -f '{{.Id}}' loud)
	size=$(as_user sh -c 'cat "$1"/log* | wc -c' sh "$dir")
	as_user docker rm -f loud >/dev/null
	{ [ "$size" -gt 100000 ] && [ "$size" -lt 4000000 ]; } || { echo "$size bytes of log"; return 1; }
}

floods() {
	check "names under a wildcard as a tunnel: at most 100 a minute leave" tunnel
	check "1000 connections with half a head: the sidecar is healthy meanwhile" connection_flood
	check "… and serves the agent afterwards" lab_wait 30 says "by http" fetch http://allowed.example/
	check "a flood of refusals: the log grows by 200 lines a second at most" denied_flood
	check "… and the sidecar is healthy" healthy
	check "a container that prints without end: its log keeps its size" output_flood
}

# --- a plain container on the default network

plain() { as_user docker exec plain "$@"; }
plain_probes() {
	local i=0 line name a p
	mkdir "$LAB/plain"
	cp tests/lib/attack_agent.pl "$LAB/plain/"
	while read -r a p name; do
		i=$((i + 1))
		: >"$LAB/plain/p$i"
		printf 'p%d\tconnect\t%s\t%s\thex:^$\t%s\n' $i "$a" "$p" "$name" >>"$LAB/plain/plan"
	done <<-LIST
		192.0.2.2 9001 the host's LAN address
		10.77.255.1 9001 the host's veth address
		10.77.255.2 9001 the network namespace's veth address
		$(as_user docker inspect -f '{{.NetworkSettings.Gateway}}' plain) 9001 the gateway of its network
		127.0.0.1 9000 the host's loopback
		127.0.0.16 8443 a loopback publish
		192.0.2.1 8080 the LAN
		10.99.0.1 8080 a private network
		169.254.169.254 80 the metadata service
		$sidecar 3128 a bottle's sidecar
		$agent_ip 9 a bottle's agent
		$(address demo-sidecar demo-egress) 8443 a bottle's status port
		$1 9000 another user's container
	LIST
	tar -c -C "$LAB/plain" . | as_user docker exec -i plain sh -c 'mkdir /tmp/att && tar -x -C /tmp/att'
	plain perl /tmp/att/attack_agent.pl /tmp/att 3 >"$LAB/plain/answers"
	while IFS=$'\t' read -r i _ _ _ line name; do check "a plain container: $name" answered "$LAB/plain/answers" "$i" "$line"; done <"$LAB/plain/plan"
}

# Another user with an engine of its own, and a container that listens.
others_container() {
	local uid
	uid=$(id -u "$LAB_OTHER")
	lab_spawn others as_other bottled --timeout 300s --socket "/run/user/$uid/bottle/engine.sock"
	lab_wait 20 on_host test -S "/run/user/$uid/bottle/engine.sock" || return 1
	as_other docker load -q -i /opt/bottle/share/bottle/images/agent.tar >/dev/null
	as_other docker run -d --name theirs bottle/agent perl -MIO::Socket::INET -e \
		'my $s = IO::Socket::INET->new(Listen => 9, LocalPort => 9000, ReuseAddr => 1); while (my $c = $s->accept) { print $c "theirs\n" }' >/dev/null
	theirs=$(as_other docker inspect -f '{{.NetworkSettings.IPAddress}}' theirs)
	[ -n "$theirs" ]
}

plain_container() {
	theirs=
	others_container
	check "another user's container listens" test -n "$theirs"
	check "a plain container on the default network" as_user docker run -d --name plain bottle/agent sleep 600
	check "a plain container: public addresses answer (the control)" says "by http" plain curl -sS --max-time 10 -H "Host: allowed.example" http://203.0.113.10/
	plain_probes "$theirs"
	check_not "another user cannot list or enter the first user's containers" as_other docker exec plain true
	check "a plain container: no packet reached the host" ledger_is_empty on_host leaks
	check "a plain container: no packet left to what is closed" ledger_is_empty on_net leaks
}

# --- the sidecar falls

child_ended() { as_user docker exec second-sidecar /busybox sh -c "/busybox kill -9 \$(/busybox pidof sidecar-$1)"; }
sidecar_over() { says exited as_user docker inspect -f '{{.State.Status}}' second-sidecar; }
fail_closed() {
	check "the second bottle works (the control)" other_bottle_works
	check "the sidecar's egress process is killed inside it" child_ended egress
	check "… the sidecar ends as a whole" lab_wait 20 sidecar_over
	check "… its agent has no way out by the proxy" refused second curl -sf --max-time 4 http://allowed.example/
	check "… nor transparently" refused second env -u http_proxy curl -sf --max-time 4 --resolve allowed.example:80:203.0.113.10 http://allowed.example/
	check "… nor names" refused second timeout 5 getent ahostsv4 allowed.example
}

# --- the guest turned against its monitor

engine_works() { says demo-agent as_user docker ps -a; }
wreck() {
	owner sh -c 'mount -o remount,rw /; mount -o remount,rw /proc/sys; echo 1 >/proc/sys/kernel/sysrq; /tmp/att/busybox rmmod virtio_balloon; /tmp/att/busybox insmod /nonexistent.ko;
		for m in vport0p1 vport0p2 vport1p1; do d=$(cat /sys/class/virtio-ports/$m/dev) && mknod /tmp/$m c ${d%:*} ${d#*:} && head -c 200000 /dev/urandom >/tmp/$m; done' >/dev/null 2>&1
	nothing_left "guest root takes its machine apart"
	owner sh -c "mount -t proc proc /mnt && echo 1 >/mnt/sys/kernel/sysrq; echo c >/mnt/sysrq-trigger" >/dev/null 2>&1 &
	local crash=$!
	check "the agent crashes its kernel: the engine sees it end" lab_wait 20 agent_over
	kill "$crash" 2>/dev/null
	check "… and works on" engine_works
	check "bottle down removes all of it" as_user bottle down --all
	check "no container of theirs is left" not says demo- as_user docker ps -a
}
agent_over() { says exited as_user docker inspect -f '{{.State.Status}}' demo-agent; }

lab_spawn service9000 on_host socat TCP-LISTEN:9000,bind=127.0.0.1,fork,reuseaddr "SYSTEM:echo host"
lab_spawn service9001 on_host socat TCP-LISTEN:9001,fork,reuseaddr "SYSTEM:echo host"
check "two bottles come up" bottles
check "the attacker's tools are in" put_ca
put_tools || exit 1
ledgers || exit 1
run_plan
own_the_network
secrecy
floods
plain_container
fail_closed
wreck
done_testing
