# shellcheck shell=bash
# The lab: a "host" and an "internet" of our own, so that nothing of the machine is touched and no internet is needed.
#
#	lab_up BUILD        makes both; starts the upstream servers, netpolicyd's socket and the user's Engine socket
#	lab_down            ends every process that it started, by pid, and removes the rest
#	on_host CMD…        as root in the host's network and mount namespace
#	as_user CMD…        there, as the unprivileged user, with DOCKER_HOST and PATH set
#	as_other CMD…       there, as another unprivileged user
#	on_net CMD…         on the internet's side
#
#	host  192.0.2.2 ── 192.0.2.1 internet: 203.0.113.10 allowed.example, *.wild.example (HTTPS, HTTP)
#	                                       203.0.113.20 other.example
#	                                       203.0.113.53 the DNS server that the host uses
#	                                       169.254.169.254 metadata; 10.99.0.1 a private network

LAB_USER=bottle-demo LAB_OTHER=nobody
LAB_INTERNET=(203.0.113.10 203.0.113.20 203.0.113.53 169.254.169.254 10.99.0.1)
lab_pids=()

lab_fail() {
	echo "lab: $*" >&2
	return 1
}

# Waits until CMD succeeds, at most SECONDS.
lab_wait() {
	local limit=$((SECONDS + $1))
	shift
	until "$@" >/dev/null 2>&1; do
		[ $SECONDS -lt $limit ] || { lab_fail "waited in vain for: $*"; return 1; }
		sleep 0.05
	done
}

# Each of these ends in one exec: started with lab_spawn, the pid is the program's own.
on_host() { ${lab_exec:-} nsenter -t "$LAB_HOST" -m -n -- "$@"; }
on_net() { ${lab_exec:-} nsenter -t "$LAB_NET" -n -- "$@"; }

as_uid() {
	local user=$1 uid
	shift
	uid=$(id -u "$user")
	${lab_exec:-} nsenter -t "$LAB_HOST" -m -n -- setpriv --reuid="$uid" --regid="$(id -g "$user")" --clear-groups \
		env -i PATH="/opt/bottle/bin:/usr/local/bin:/usr/bin:/bin" HOME="$LAB/home-$user" TERM=xterm LANG=C.UTF-8 \
		XDG_RUNTIME_DIR="/run/user/$uid" DOCKER_HOST="unix:///run/user/$uid/bottle/engine.sock" \
		DOCKER_CONFIG="$LAB/home-$user/.docker" "$@"
}
as_user() { as_uid "$LAB_USER" "$@"; }
as_other() { as_uid "$LAB_OTHER" "$@"; }

# Runs one of the above in the background, its output in LAB/NAME.log.
lab_spawn() {
	local name=$1
	shift
	lab_exec="exec"
	"$@" >>"$LAB/$name.log" 2>&1 </dev/null &
	lab_pids+=($!)
	lab_exec=
}

lab_holder() {
	"$@" sleep 3600 >/dev/null 2>&1 </dev/null &
	lab_pids+=($!)
	# unshare(1) becomes sleep once the namespaces stand.
	lab_wait 10 grep -q sleep "/proc/$!/comm"
}

lab_certificates() {
	local names=DNS:allowed.example,DNS:other.example,DNS:a.wild.example,DNS:bad.wild.example
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj "/CN=Lab CA" \
		-keyout "$LAB/ca.key" -out "$LAB/ca.pem" 2>/dev/null
	openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=allowed.example" \
		-keyout "$LAB/server.key" -out "$LAB/server.csr" 2>/dev/null
	openssl x509 -req -in "$LAB/server.csr" -CA "$LAB/ca.pem" -CAkey "$LAB/ca.key" -CAcreateserial -days 30 \
		-extfile <(echo "subjectAltName=$names") -out "$LAB/server.pem" 2>/dev/null
}

lab_upstreams() {
	local a
	for a in "${LAB_INTERNET[@]}"; do on_net ip addr add "$a/32" dev lo; done
	head -c 20000000 /dev/urandom >"$LAB/www/20m"
	cat >"$LAB/nginx.conf" <<-CONF
		daemon off; worker_processes 1; pid $LAB/nginx.pid; error_log $LAB/nginx.log;
		events { worker_connections 512; }
		http {
			access_log $LAB/access.log; client_body_temp_path $LAB/nginx-body; client_max_body_size 64m;
			proxy_temp_path $LAB/nginx-t1; fastcgi_temp_path $LAB/nginx-t2; uwsgi_temp_path $LAB/nginx-t3; scgi_temp_path $LAB/nginx-t4;
			server {
				listen 80; listen 443 ssl; listen 8080;
				ssl_certificate $LAB/server.pem; ssl_certificate_key $LAB/server.key;
				root $LAB/www;
				location = / { default_type text/plain; return 200 "hello from \$server_addr as \$host by \$scheme\n"; }
				location = /latest/meta-data { return 200 "metadata\n"; }
			}
		}
	CONF
	lab_spawn nginx on_net nginx -c "$LAB/nginx.conf" -e "$LAB/nginx.log"
	lab_spawn dnsmasq on_net dnsmasq -k -C /dev/null --no-resolv --no-hosts --user=root --pid-file= --listen-address=203.0.113.53 \
		--bind-interfaces --log-queries --log-facility="$LAB/dns.log" --address=/allowed.example/203.0.113.10 \
		--address=/wild.example/203.0.113.10 --address=/other.example/203.0.113.20 --address=/rebind.example/10.99.0.1
	lab_wait 20 on_net curl -sf -o /dev/null http://203.0.113.10/
	lab_wait 20 test -s "$LAB/dns.log"
}

lab_network() {
	lab_holder unshare -n
	LAB_NET=${lab_pids[-1]}
	lab_holder unshare -n -m --propagation private
	LAB_HOST=${lab_pids[-1]}
	on_net ip link set lo up
	on_host ip link set lo up
	on_net ip link add lab0 type veth peer name wan0 netns "$LAB_HOST"
	on_net ip addr add 192.0.2.1/24 dev lab0
	on_net ip link set lab0 up
	on_host ip addr add 192.0.2.2/24 dev wan0
	on_host ip link set wan0 up
	on_host ip route add default via 192.0.2.1
}

lab_filesystem() {
	local user uid
	echo "nameserver 203.0.113.53" >"$LAB/resolv.conf"
	on_host mount -t tmpfs -o mode=0755 tmpfs /run
	on_host mount --bind "$LAB/resolv.conf" "$(realpath /etc/resolv.conf)"
	on_host mkdir -p /opt/bottle
	on_host mount --bind "$LAB_BUILD" /opt/bottle
	for user in "$LAB_USER" "$LAB_OTHER"; do
		uid=$(id -u "$user")
		on_host install -d -m 0700 -o "$uid" "/run/user/$uid" "/run/user/$uid/bottle" "$LAB/home-$user"
	done
}

lab_sockets() {
	local uid
	uid=$(id -u "$LAB_USER")
	on_host install -d -m 0755 /run/bottle
	lab_spawn netpolicyd on_host /opt/bottle/bin/bottle socket hold --socket /run/bottle/netpolicyd.sock --mode 0666 \
		--type seqpacket -- /opt/bottle/bin/netpolicyd
	lab_spawn bottled as_user /opt/bottle/bin/bottle socket hold --socket "/run/user/$uid/bottle/engine.sock" -- \
		/opt/bottle/bin/bottled --timeout "${LAB_TIMEOUT:-5s}"
	lab_wait 20 on_host test -S /run/bottle/netpolicyd.sock
	lab_wait 20 on_host test -S "/run/user/$uid/bottle/engine.sock"
}

lab_up() {
	[ "$(id -u)" = 0 ] || { lab_fail "the lab makes network namespaces and a user of its own: run it as root"; return 1; }
	LAB_BUILD=$(realpath "$1")
	LAB=$(mktemp -d /tmp/bottle-lab.XXXXXX)
	chmod 0755 "$LAB"
	mkdir "$LAB/www"
	id "$LAB_USER" >/dev/null 2>&1 || useradd --system --home-dir /nonexistent --shell /usr/sbin/nologin "$LAB_USER"
	lab_certificates && lab_network && lab_filesystem && lab_upstreams && lab_sockets
}

# Is the process (or its parent: QEMU has a namespace of its own) in the lab's network namespace?
lab_owns() {
	local parent
	parent=$(sed -n 's/^PPid:\t//p' "/proc/$1/status" 2>/dev/null)
	[ "$(readlink "/proc/$1/ns/net")" = "$lab_ns" ] || [ "$(readlink "/proc/$parent/ns/net")" = "$lab_ns" ]
}

# Processes of ours and of this lab, one "pid name" a line; of the lab's user, or of those named.
lab_processes() {
	local p exe lab_ns
	lab_ns=$(readlink "/proc/$LAB_HOST/ns/net")
	for p in $(pgrep -u "${1:-$LAB_USER}"); do
		exe=$(readlink "/proc/$p/exe") || continue
		case ${exe##*/} in bottled | bottle-monitor | image-unpack | qemu-*) lab_owns "$p" && echo "$p ${exe##*/}" ;; esac
	done
}

lab_running() { lab_processes | grep -q " $1\$"; }

lab_ended() { ! kill -0 "$1"; }

lab_down() {
	local p
	[ -n "${LAB:-}" ] || return 0
	for p in $(lab_processes "$LAB_USER,$LAB_OTHER" | cut -d' ' -f1); do kill -9 "$p" 2>/dev/null; done
	for ((p = ${#lab_pids[@]} - 1; p >= 0; p--)); do
		kill "${lab_pids[p]}" 2>/dev/null
		lab_wait 5 lab_ended "${lab_pids[p]}" || kill -9 "${lab_pids[p]}" 2>/dev/null
	done
	[ -n "${LAB_KEEP:-}" ] || rm -rf "$LAB"
	LAB=
}
