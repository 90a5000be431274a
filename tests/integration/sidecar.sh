#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The sidecar's real programs between two network namespaces: an agent's, which has nothing but the sidecar, and an
# upstream's with nginx and dnsmasq on TEST-NET addresses. No packet leaves these namespaces.
set -u
# shellcheck source=tests/lib/tap.sh
. "$(dirname "$0")/../lib/tap.sh"
here=$(cd "$(dirname "$0")" && pwd)
T=$(mktemp -d)
A=bsa$$ S=bss$$ U=bsu$$
pids=()

cleanup() {
	local p n
	for n in $A $S $U; do
		for p in $(ip netns pids "$n" 2>/dev/null); do kill "$p" 2>/dev/null; done
	done
	for p in "${pids[@]}"; do kill "$p" 2>/dev/null; done
	for n in $A $S $U; do ip netns del "$n" 2>/dev/null; done
	rm -rf "$T"
}
trap cleanup EXIT

# wait_for SECONDS COMMAND…: until it succeeds.
wait_for() {
	local end=$((SECONDS + $1))
	shift
	until "$@" >/dev/null 2>&1; do
		[ $SECONDS -lt $end ] || return 1
		sleep 0.05
	done
}

agent() { ip netns exec $A env -i PATH="$PATH" HOME=/nonexistent "$@"; }
upstream() { ip netns exec $U "$@"; }
# In the sidecar's own view: its network, its /run and its resolv.conf.
inside() { nsenter -t "$sidecar_pid" -m -n "$@"; }
ctl() { inside "$BUILD/guest/sidecar" ctl "$@"; }
curl_a() { agent curl -sS --max-time 20 --cacert "$T/ca.pem" --noproxy '*' --resolve "$1" "${@:2}"; }
proxy() { agent curl -sS --max-time 20 --cacert "$T/ca.pem" -x http://10.5.0.1:3128 "$@"; }
client() { agent python3 "$here/sidecar-client.py" "$@"; }
# What the client prints, by the expression that it must match.
expect() {
	local pattern=$1 out
	shift
	out=$("$@" 2>&1)
	grep -qE -- "$pattern" <<<"$out" || { echo "wanted: $pattern"; echo "got: $out"; return 1; }
}
audited() { wait_for 5 grep -qE -- "$1" "$T/audit"; }
same() { cmp "$1" "$2"; }

lab() {
	local n
	for n in $A $S $U; do ip netns add "$n" && ip -n "$n" link set lo up || return 1; done
	ip -n $S link add int0 type veth peer name eth0 netns $A
	ip -n $S link add ext0 type veth peer name eth0 netns $U
	ip -n $A addr add 10.5.0.2/24 dev eth0
	ip -n $A link set eth0 up
	ip -n $S addr add 10.5.0.1/24 dev int0
	ip -n $S link set int0 up
	ip -n $S addr add 203.0.113.2/24 dev ext0
	ip -n $S link set ext0 up
	for n in 1 10 11 66; do ip -n $U addr add 203.0.113.$n/24 dev eth0; done
	ip -n $U addr add 10.9.9.9/32 dev lo
	ip -n $U link set eth0 up
	ip -n $A route add default via 10.5.0.1
	ip -n $S route add default via 203.0.113.1
}

certificates() {
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=lab-ca \
		-keyout "$T/ca.key" -out "$T/ca.pem" &&
	openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=lab \
		-keyout "$T/srv.key" -out "$T/srv.csr" &&
	openssl x509 -req -in "$T/srv.csr" -CA "$T/ca.pem" -CAkey "$T/ca.key" -days 2 -out "$T/srv.pem" \
		-extfile <(echo 'subjectAltName=DNS:*.example.com,DNS:*.example.org,DNS:example.com')
}

servers() {
	mkdir -p "$T/www" "$T/up"
	head -c 20000000 /dev/urandom >"$T/www/big"
	echo hello >"$T/www/index.html"
	cat >"$T/nginx.conf" <<-EOT
		daemon off; worker_processes 1; pid $T/nginx.pid; error_log $T/nginx.err; user root;
		events { worker_connections 256; }
		http {
			access_log $T/nginx.log; client_body_temp_path $T/up; proxy_temp_path $T/p1; fastcgi_temp_path $T/p2;
			uwsgi_temp_path $T/p3; scgi_temp_path $T/p4; client_max_body_size 100m; root $T/www;
			server {
				listen 203.0.113.10:80; listen 203.0.113.11:80; listen 203.0.113.66:80; listen 203.0.113.10:8080;
				listen 203.0.113.10:443 ssl; listen 203.0.113.66:443 ssl; listen 10.9.9.9:80;
				ssl_certificate $T/srv.pem; ssl_certificate_key $T/srv.key;
			}
		}
	EOT
	upstream nginx -c "$T/nginx.conf" >"$T/nginx.out" 2>&1 &
	pids+=($!)
	upstream dnsmasq -k --no-resolv --no-hosts --port=53 --listen-address=203.0.113.1 --bind-interfaces \
		--log-queries --log-facility="$T/dns.log" --pid-file="$T/dns.pid" --user=root --local-ttl=60 \
		--address=/api.example.com/203.0.113.10 --address=/other.example.com/203.0.113.11 \
		--host-record=multi.example.org,203.0.113.10 --host-record=multi.example.org,203.0.113.11 \
		--cname=alias.example.org,multi.example.org --host-record=rebind.example.org,10.9.9.9 \
		--txt-record=api.example.com,secret --address=/evil.test/203.0.113.66 --address=/down.example.com/203.0.113.99 \
		--address=/deny.example.org/203.0.113.66 --address=/wild.example.org/203.0.113.10 \
		>"$T/dnsmasq.out" 2>&1 &
	pids+=($!)
	upstream python3 "$here/sidecar-client.py" origin 203.0.113.11 9080 >"$T/origin.out" 2>&1 &
	pids+=($!)
	wait_for 10 upstream python3 -c "import socket; [socket.create_connection(a, 1) for a in
		(('203.0.113.10', 443), ('203.0.113.1', 53), ('203.0.113.11', 9080))]"
}

policy() {
	cat <<-EOT
		{"version":1,"name":"lab","default":"deny","allow":[
		{"host":"api.example.com","ports":[80,443,8080],"at":"lab.json:3"},
		{"host":"other.example.com","ports":[80,9080,2222],"at":"lab.json:4"},
		{"host":"down.example.com","at":"lab.json:5"},
		{"host":"*.example.org","at":"lab.json:6"}$1],
		"deny":[{"host":"deny.example.org","at":"lab.json:9"}]}
	EOT
}

start() {
	echo 'nameserver 203.0.113.1' >"$T/resolv.conf"
	BOTTLE_INTERNAL=10.5.0.1 BOTTLE_STATUS_PORT=9000 ip netns exec $S unshare -m --propagation private sh -c \
		"mount -t tmpfs run /run && mount --bind $T/resolv.conf /etc/resolv.conf && exec $BUILD/guest/sidecar" \
		>"$T/audit" 2>>"$T/sidecar.err" &
	sidecar_pid=$!
	pids+=("$sidecar_pid")
	wait_for 10 inside test -S /run/sidecar.sock || { cat "$T/sidecar.err"; false; }
}

child_pid() { pgrep -P "$sidecar_pid" -f "$1"; }
status_field() { grep -E "^$2:" "/proc/$(child_pid "$1")/status"; }

check "a lab of three network namespaces" lab
check "certificates" certificates
# Not inside of check, which runs its command in a subshell: their pids are needed here.
servers
check "upstream: nginx, dnsmasq and an origin" test $? = 0
start
check "the sidecar starts and waits" test $? = 0
check "before a policy it is not healthy" not ctl status
check "before a policy nothing listens" expect refused client connect 10.5.0.1 3128
check_not "a broken policy is refused" ctl apply <<<'{"version":2}'
check "a policy is applied" ctl apply < <(policy '')
# Everything below needs a sidecar that runs.
kill -0 "$sidecar_pid" || { sed 's/^/# /' "$T/sidecar.err"; done_testing; exit 1; }
check "it is healthy then" expect '"healthy":true' ctl status
check "ctl why: allowed" expect '^allow lab.json:3' ctl why api.example.com 443
check "ctl why: denied" expect '^deny default' ctl why evil.test 443

# DNS
check "dns: an allowed name" expect '^NOERROR 203.0.113.10$' client dns 10.5.0.1 api.example.com A
check "dns: any server address is ours" expect '^NOERROR 203.0.113.10$' client dns 198.51.100.53 api.example.com A
check "dns: by TCP" expect '^NOERROR 203.0.113.10$' client dnstcp 198.51.100.53 API.example.com. A
check "dns: a CNAME chain ends in one owner" expect '^NOERROR 203.0.113.1[01] 203.0.113.1[01]$' client dns 10.5.0.1 alias.example.org A
check "dns: another name is refused" expect '^REFUSED' client dns 10.5.0.1 c2VjcmV0.evil.test A
check "dns: the refused name never left" not grep -q evil.test "$T/dns.log"
check "dns: a denied name is refused" expect '^REFUSED' client dns 10.5.0.1 deny.example.org A
for t in TXT AAAA HTTPS ANY MX CNAME; do
	check "dns: $t of an allowed name has no data" expect '^NOERROR $' client dns 10.5.0.1 api.example.com $t
done
check "dns: only A was asked upstream" not grep -E 'query\[(TXT|AAAA|HTTPS|ANY|MX|type)' "$T/dns.log"
check "dns: a private address does not exist" expect '^NXDOMAIN' client dns 10.5.0.1 rebind.example.org A
check "dns: which is in the audit" audited '"host":"rebind.example.org","address":"10.9.9.9","verdict":"deny"'
check "dns: class CHAOS is refused" expect '^REFUSED' client dnsclass 10.5.0.1 api.example.com 3
check "dns: two questions are a format error" expect '^FORMERR' client dnstwo 10.5.0.1 api.example.com
check "dns: a loop of pointers is a format error" expect '^FORMERR' client dnsloop 10.5.0.1
check "dns: refusals are in the audit" audited '"plane":"dns".*"host":"c2vjcmv0.evil.test".*"verdict":"deny".*"rule":"default"'
check "dns: many new names are rationed" expect 'limited' client dnsflood 10.5.0.1 wild.example.org

# Explicit proxy
check "proxy: HTTPS" expect hello proxy https://api.example.com/
check "proxy: HTTP" expect hello proxy http://api.example.com/
check "proxy: HTTP on another port" expect hello proxy http://api.example.com:8080/
check "proxy: HTTP inside a CONNECT" expect hello proxy -p http://api.example.com/
check "proxy: a refusal that a person can read" expect 'Denied by this bottle.s policy: evil.test port 80 is in no rule' \
	proxy http://evil.test/
check "proxy: it is a 403" expect '^403$' proxy -o /dev/null -w '%{http_code}\n' http://evil.test/
check "proxy: CONNECT to another host is a 403" expect '403' proxy https://evil.test/
check "proxy: a port that no rule has" expect 'a rule has other ports' proxy http://api.example.com:81/
check "proxy: a denied host under an allowed wildcard" expect 'denied by a rule' proxy http://deny.example.org/
check "proxy: nobody listens there" expect 'does not accept connections' proxy http://down.example.com:1/
for ip in 203.0.113.10 0xcb00710a 3405803786 203.0.28938 0313.0.0161.012 '[::ffff:203.0.113.10]'; do
	check "proxy: address $ip" expect '^HTTP/1.1 403.*is an address' client raw 10.5.0.1 3128 \
		"GET http://$ip/ HTTP/1.1\r\nHost: $ip\r\n\r\n"
	check "proxy: CONNECT to address $ip" expect '^HTTP/1.1 403' client raw 10.5.0.1 3128 \
		"CONNECT $ip:443 HTTP/1.1\r\nHost: $ip:443\r\n\r\n"
done
check "proxy: target and Host disagree" expect '^HTTP/1.1 403.*its Host field says' client raw 10.5.0.1 3128 \
	"GET http://api.example.com/ HTTP/1.1\r\nHost: evil.test\r\n\r\n"
check "proxy: CONNECT and SNI disagree" expect 'alert access denied' client tls 10.5.0.1 3128 api.example.com evil.test
check "proxy: that is in the audit" audited 'CONNECT was for api.example.com and the TLS hello inside names evil.test'
check "proxy: CONNECT without SNI" expect 'alert access denied' client tls 10.5.0.1 3128 api.example.com ''
check "proxy: CONNECT to 443 without TLS" expect '^HTTP/1.1 200.*\|$' client connectraw 10.5.0.1 3128 api.example.com:443 "SSH-2.0-x\r\n"
check "proxy: CONNECT with another Host inside" expect '403 Forbidden' client connectraw 10.5.0.1 3128 api.example.com:80 \
	"GET / HTTP/1.1\r\nHost: other.example.com\r\n\r\n"
check "proxy: WebSocket is refused" expect '^HTTP/1.1 403.*Upgrade to websocket' client raw 10.5.0.1 3128 \
	"GET http://api.example.com/ HTTP/1.1\r\nHost: api.example.com\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"
check "proxy: Content-Length with Transfer-Encoding" expect '^HTTP/1.1 400' client raw 10.5.0.1 3128 \
	"POST http://api.example.com/ HTTP/1.1\r\nHost: api.example.com\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
check "proxy: two Hosts" expect '^HTTP/1.1 400' client raw 10.5.0.1 3128 \
	"GET http://api.example.com/ HTTP/1.1\r\nHost: api.example.com\r\nHost: evil.test\r\n\r\n"
check "proxy: an endless head" expect '^HTTP/1.1 431' client longhead 10.5.0.1 3128
check "proxy: each request on a connection is decided" expect '^200 200 403$' client keepalive 10.5.0.1 3128 \
	http://api.example.com/ http://other.example.com/ http://evil.test/
check "proxy: hop-by-hop and Proxy- fields stay here" expect '^clean' client hop 10.5.0.1 3128 http://other.example.com:9080/echo
check "proxy: chunked both ways" expect '^echo 300000 ok' client chunked 10.5.0.1 3128 http://other.example.com:9080/echo
check "proxy: an answer with two framings is not passed on" expect '^HTTP/1.1 502' client raw 10.5.0.1 3128 \
	"GET http://other.example.com:9080/smuggle HTTP/1.1\r\nHost: other.example.com:9080\r\n\r\n"
check "proxy: a switch of protocols is not passed on" expect '^HTTP/1.1 502' client raw 10.5.0.1 3128 \
	"GET http://other.example.com:9080/switch HTTP/1.1\r\nHost: other.example.com:9080\r\n\r\n"
check "proxy: a private name does not resolve" expect 'no public address' proxy http://rebind.example.org/

# Transparent
r80=api.example.com:80:203.0.113.10 r443=api.example.com:443:203.0.113.10
check "transparent: HTTP" expect hello curl_a $r80 http://api.example.com/
check "transparent: HTTPS" expect hello curl_a $r443 https://api.example.com/
check "transparent: HTTP to another host is a 403 that a person can read" expect 'Denied by this bottle' \
	curl_a evil.test:80:203.0.113.66 http://evil.test/
check "transparent: TLS to another host gets an alert" expect 'alert access denied' client tls 203.0.113.66 443 '' evil.test
check "transparent: a forged SNI to an address that is not the name's" expect 'alert access denied' \
	client tls 203.0.113.66 443 '' api.example.com
check "transparent: that is in the audit" audited 'address 203.0.113.66 is not one of api.example.com.s'
check "transparent: a forged Host likewise" expect '403.*is not one of' client raw 203.0.113.66 80 \
	"GET / HTTP/1.1\r\nHost: api.example.com\r\n\r\n"
check "transparent: no SNI" expect 'alert access denied' client tls 203.0.113.10 443 '' ''
check "transparent: Host is an address" expect '403.*is an address' client raw 203.0.113.10 80 \
	"GET / HTTP/1.1\r\nHost: 203.0.113.10\r\n\r\n"
check "transparent: another Host with an absolute target" expect '403.*its Host field' client raw 203.0.113.10 80 \
	"GET http://api.example.com/ HTTP/1.1\r\nHost: evil.test\r\n\r\n"
check "transparent: a hello in crumbs of records and segments" expect '^handshake' client crumbs 203.0.113.10 443 api.example.com
check "transparent: the metadata service" expect '403' client raw 169.254.169.254 80 \
	"GET / HTTP/1.1\r\nHost: api.example.com\r\n\r\n"
check "nothing of evil.test reached the origin" not grep -q evil "$T/nginx.log"

# Bodies
check "20 MB down through the proxy" proxy -o "$T/down1" http://api.example.com/big
check "they are intact" same "$T/www/big" "$T/down1"
check "20 MB down through a tunnel" proxy -o "$T/down2" https://api.example.com/big
check "they are intact too" same "$T/www/big" "$T/down2"
check "20 MB up through the proxy" expect "^20000000 $(sha256sum <"$T/www/big" | cut -c1-64)" \
	proxy -H 'Expect:' --data-binary "@$T/www/big" http://other.example.com:9080/sum
check "20 MB up, chunked, with Expect" expect "^20000000 $(sha256sum <"$T/www/big" | cut -c1-64)" \
	proxy -H 'Transfer-Encoding: chunked' -H 'Expect: 100-continue' --data-binary "@$T/www/big" http://other.example.com:9080/sum
check "the audit has the bytes" audited '"event":"end".*"host":"api.example.com".*"bytes_in":200[0-9]{5}'

# What is not offered
check "the agent can't reach the status port" expect 'refused' client connect 203.0.113.2 9000
check "nor by the internal address" expect 'refused' client connect 10.5.0.1 9000
check "the egress side can reach it" expect '"healthy":true,"policy":"[0-9a-f]{64}"' upstream curl -sS http://203.0.113.2:9000/healthz
check "and nothing but /healthz on it" expect '^404' upstream curl -sS -o /dev/null -w '%{http_code}' http://203.0.113.2:9000/
check "the egress side can't use the proxy" expect 'refused' upstream python3 "$here/sidecar-client.py" connect 203.0.113.2 3128
check "other ports are not forwarded" expect 'silence' client connect 203.0.113.11 9080
check "nor UDP" expect 'silence' client udp 203.0.113.1 54
check "nor ICMP" expect 'silence' client ping 203.0.113.1

# Jails
for c in sidecar-dns sidecar-egress; do
	check "$c: no capability" expect 'CapEff:\s0000000000000000' status_field $c CapEff
	check "$c: seccomp filters" expect 'Seccomp:\s2' status_field $c Seccomp
	check "$c: no new privileges" expect 'NoNewPrivs:\s1' status_field $c NoNewPrivs
done
check "sidecar-dns: its own uid" expect 'Uid:\s101\s101\s101\s101' status_field sidecar-dns Uid
check "sidecar-egress: its own uid" expect 'Uid:\s102\s102\s102\s102' status_field sidecar-egress Uid
check "main: no capability left" expect '0000000000000000' grep CapEff "/proc/$sidecar_pid/status"

# A new policy, live
cut_by_policy() {
	local out=$T/held.out
	client heldopen 10.5.0.1 3128 api.example.com "$T/held" >"$out" 2>&1 &
	local held=$!
	wait_for 10 test -e "$T/held" || return 1
	policy '' | sed '/"api.example.com"/d' | ctl apply || return 1
	wait $held
	expect '^open cut' cat "$out"
}
check "a tunnel that a new policy does not allow is cut" cut_by_policy
check "and the name is refused from then on" expect '^REFUSED' client dns 10.5.0.1 api.example.com A
check_not "a broken policy leaves the old one in force" ctl apply <<<'{'
check "it is still healthy" expect '"healthy":true' ctl status

# Fail closed
all_gone() { ! kill -0 "$sidecar_pid" && [ -z "$(ip netns pids $S)" ]; }
killed_child() { kill -9 "$(child_pid "$1")" && wait_for 10 all_gone; }
ended_with() { ! wait "$sidecar_pid"; }
for c in sidecar-egress sidecar-dns; do
	check "$c is killed: everything ends" killed_child $c
	ended_with
	check "the exit code says so" test $? = 0
	check "the agent has no resolver then" expect 'silence|refused' client udp 10.5.0.1 53
	check "and no way out" expect 'silence|refused' client connect 203.0.113.10 443
	start
	check "it starts again" test $? = 0
	check "with a policy" ctl apply < <(policy '')
done
check "a rule that is taken away ends everything" wait_for 10 sh -c \
	"ip -n $S rule del pref 50 2>/dev/null; ! kill -0 $sidecar_pid"
ended_with
check "with an exit code" test $? = 0

[ "$tap_failed" = 0 ] || sed 's/^/# /' "$T/sidecar.err"
done_testing
