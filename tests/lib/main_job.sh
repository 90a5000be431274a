# shellcheck shell=bash
# The main job, step by step, on the lab (lab.sh). The caller says how a step is shown: it defines  check NAME CMD…
# (tests/demo/run prints it with its time; tests/e2e/main_job.sh counts it as a test). Names are what a person reads.

agent() { as_user docker exec demo-agent "$@"; }
# In the agent, without the proxy variables: what goes out is caught by the sidecar.
agent_bare() { agent env -u http_proxy -u https_proxy -u HTTP_PROXY -u HTTPS_PROXY "$@"; }
fetch() { agent curl -sS --max-time 20 --cacert /tmp/ca.pem "$@"; }
fetch_bare() { agent_bare curl -sS --max-time 20 --cacert /tmp/ca.pem "$@"; }

# CMD's output holds TEXT, whatever its exit code.
says() {
	local text=$1 out
	shift
	out=$("$@" 2>&1)
	case $out in *"$text"*) return 0 ;; esac
	echo "wanted: $text"
	echo "got: $out"
	return 1
}

# CMD ends with CODE.
exits() {
	local want=$1 rc out
	shift
	out=$("$@" 2>&1) && rc=0 || rc=$?
	[ "$rc" = "$want" ] || { echo "wanted exit code $want, got $rc: $out"; return 1; }
}

# Nothing answers: CMD fails, and prints no body of the lab's servers.
refused() {
	local out
	if out=$("$@" 2>&1); then
		echo "answered: $out"
		return 1
	fi
	case $out in
	*"hello from"* | *metadata*) echo "answered: $out"; return 1 ;;
	*"No such container"* | *"is not running"* | *"not found"*) echo "could not ask: $out"; return 1 ;;
	esac
}


gone() { ! lab_running "$1"; }

job_ready() {
	check "the Engine socket is there and nothing of ours runs behind it" gone bottled
	check "a first call starts the engine" as_user docker version
	check "the images are loaded: sidecar" as_user docker load -q -i /opt/bottle/share/bottle/images/sidecar.tar
	check "the images are loaded: agent" as_user docker load -q -i /opt/bottle/share/bottle/images/agent.tar
	check "docker images lists them" says bottle/agent as_user docker images
	check "docker run --rm bottle/agent echo hello" says hello as_user docker run --rm bottle/agent echo hello
	job_links=$(links)
}

job_up() {
	cp policies/demo.json "$LAB/demo.json"
	chmod 0644 "$LAB/demo.json"
	check "bottle policy check prints the policy and its hash" as_user bottle policy check "$LAB/demo.json"
	check "bottle up: sidecar and agent come up, as an unprivileged user" as_user bottle up "$LAB/demo.json"
	check "docker ps shows the agent" says demo-agent as_user docker ps
	check "docker ps shows the sidecar" says demo-sidecar as_user docker ps
	check "bottle ls shows the bottle" says demo as_user bottle ls
	check "the agent has one network, the sidecar two" says "1 2" networks_of_both
	check "the agent gets the lab's CA" put_ca
}

networks_of_both() {
	as_user docker inspect -f '{{len .NetworkSettings.Networks}}' demo-agent demo-sidecar | xargs
}

put_ca() { as_user docker exec -i demo-agent sh -c 'cat >/tmp/ca.pem' <"$LAB/ca.pem"; }

job_allowed() {
	check "allowed host over HTTPS by the proxy variables" says "as allowed.example by https" fetch https://allowed.example/
	check "allowed host over HTTP by the proxy variables" says "as allowed.example by http" fetch http://allowed.example/
	check "allowed host over HTTPS, transparently" says "as allowed.example by https" fetch_bare https://allowed.example/
	check "allowed host over HTTP, transparently" says "as allowed.example by http" fetch_bare http://allowed.example/
	check "a name below an allowed wildcard" says "as a.wild.example by https" fetch https://a.wild.example/
	check "20 MB arrive whole" says "$(sha256sum <"$LAB/www/20m")" agent sh -c \
		'curl -sS --max-time 120 --cacert /tmp/ca.pem https://allowed.example/20m | sha256sum'
}

agent_dns() { agent_bare getent ahostsv4 "$1"; }

sidecar_addr() {
	as_user docker inspect -f '{{(index .NetworkSettings.Networks "demo-internal").IPAddress}}' demo-sidecar
}

job_refused() {
	check "a host that is not allowed is refused with a readable reason" says "other.example" fetch http://other.example/
	check "… and says that the policy refused it" says "Denied by this bottle's policy" fetch http://other.example/
	check "… over HTTPS by the proxy" refused fetch https://other.example/
	check "… over HTTPS, transparently" refused fetch_bare --resolve other.example:443:203.0.113.20 https://other.example/
	check "a denied name below an allowed wildcard" refused fetch https://bad.wild.example/
	check "the allowed host by another name in SNI" refused fetch_bare --connect-to other.example:443:203.0.113.10:443 https://other.example/
	check "an allowed name in SNI at another address" refused fetch_bare --resolve allowed.example:443:203.0.113.20 https://allowed.example/
	check "another name in Host" refused fetch_bare -f -H "Host: other.example" http://allowed.example/
	check "another name in Host by the proxy" refused fetch -f -H "Host: other.example" http://allowed.example/
	check "an IP literal over HTTPS by the proxy" refused fetch -k https://203.0.113.10/
	check "an IP literal over HTTPS" refused fetch_bare -k https://203.0.113.10/
	check "an IP literal over HTTP" refused fetch_bare -f http://203.0.113.10/
	check "a port that the policy does not name" refused fetch -f http://allowed.example:8080/
	check "the host's own address" refused fetch_bare -f --max-time 5 http://192.0.2.2:22/
	check "the host's address on the LAN's side" refused fetch_bare -f --max-time 5 http://192.0.2.1/
	check "the metadata address" refused fetch_bare -f --max-time 5 http://169.254.169.254/latest/meta-data
	check "the metadata address by the proxy" refused fetch -f --max-time 5 http://169.254.169.254/latest/meta-data
	check "a private address" refused fetch_bare -f --max-time 5 http://10.99.0.1/
	check "DNS answers an allowed name" says 203.0.113.10 agent_dns allowed.example
	check "DNS refuses a name that is not allowed" refused agent_dns other.example
	check "… and the query never left" not grep -q "query.*other.example" "$LAB/dns.log"
	check "the audit log names the rule that refused" says other.example as_user docker logs demo-sidecar
}

job_docker() {
	check "docker exec -it gives a terminal" says "terminal" in_terminal_exec
	check "docker exec returns the exit code" exits 7 as_user docker exec demo-agent sh -c 'exit 7'
	check "docker logs of the agent works" as_user docker logs demo-agent
	check "docker inspect shows the policy's hash" says bottle.policy as_user docker inspect demo-agent
	check "docker run --rm returns the exit code" exits 3 as_user docker run --rm bottle/agent sh -c 'exit 3'
	check "… 127 for a command that is not there" exits 127 as_user docker run --rm bottle/agent /no/such
	check "docker stop" as_user docker stop -t 1 demo-agent
	check "docker ps -a shows it exited" says Exited as_user docker ps -a --filter name=demo-agent
	check "docker start" as_user docker start demo-agent
	check "the started agent reaches the allowed host again" says "by http" fetch http://allowed.example/
}

in_terminal_exec() {
	script -qec "$(lab_line as_user docker exec -it demo-agent sh -c 'test -t 0 && echo terminal')" /dev/null </dev/null
}

# A command line that a fresh shell can run: the functions it needs, and the call.
lab_line() {
	printf '%q -c %q' bash "$(declare -p LAB LAB_HOST LAB_USER LAB_OTHER); $(declare -f as_uid as_user); $(printf '%q ' "$@")"
}

job_publish() {
	check "the sidecar's port answers at 127.0.0.16:8443" says healthy as_user curl -sf --max-time 10 http://127.0.0.16:8443/healthz
	check "… at 127.0.0.1 nobody answers" refused as_user curl -sf --max-time 5 http://127.0.0.1:8443/healthz
	check "… at 127.0.0.17 nobody answers" refused as_user curl -sf --max-time 5 http://127.0.0.17:8443/healthz
	check "… at the host's LAN address nobody answers" refused on_net curl -sf --max-time 5 http://192.0.2.2:8443/healthz
	check "… and not from the LAN by a forged loopback route" refused lan_to_loopback
	check "… another user of the host is refused" refused as_other curl -sf --max-time 5 http://127.0.0.16:8443/healthz
	check "… the agent is refused" refused fetch_bare -f --max-time 5 http://127.0.0.16:8443/healthz
	check "… the agent is refused at the sidecar's own address" refused fetch_bare -f --max-time 5 "http://$(sidecar_addr):8443/healthz"
}

lan_to_loopback() {
	on_net ip route replace 127.0.0.16/32 via 192.0.2.2 dev lab0 table main 2>/dev/null || true
	on_net curl -sf --max-time 3 --interface lab0 http://127.0.0.16:8443/healthz
}

job_two_bottles() {
	jq '.name = "second" | .publish = []' "$LAB/demo.json" >"$LAB/second.json"
	check "a second bottle comes up beside it" as_user bottle up "$LAB/second.json"
	check "… its agent reaches the allowed host" says "by http" as_user docker exec second-agent curl -sS --max-time 20 http://allowed.example/
	check "… but not the first bottle's sidecar" refused as_user docker exec second-agent env -u http_proxy curl -sf --max-time 5 "http://$(sidecar_addr):3128/"
	check "… nor its published port" refused as_user docker exec second-agent env -u http_proxy curl -sf --max-time 5 http://127.0.0.16:8443/healthz
	check "bottle down second" as_user bottle down second
}

job_idle() {
	check "a container that will end by itself is started" as_user docker run -d --name brief --network none bottle/agent sh -c 'sleep 12; exit 42'
	check "bottled is gone a few seconds after the last client" lab_wait 30 gone bottled
	check "… while the VMs run on" lab_running bottle-monitor
	check "… and the agent's container ends meanwhile" lab_wait 60 brief_over
	check "the next docker ps starts the engine again and sees everything" says demo-agent as_user docker ps
	check "… exit codes of what died meanwhile included" says 42 as_user docker inspect -f '{{.State.ExitCode}}' brief
	check "… and the agent still reaches the allowed host" says "by http" fetch http://allowed.example/
	check "docker rm" as_user docker rm brief
}

# Seen without the engine: the monitors of the lab are the bottle's two again.
brief_over() { [ "$(lab_processes | grep -c bottle-monitor)" = 2 ]; }

job_fail_closed() {
	check "the sidecar is killed" as_user docker kill demo-sidecar
	check "… and the agent has no way out, by the proxy" refused fetch -f --max-time 5 http://allowed.example/
	check "… nor transparently" refused fetch_bare -f --max-time 5 --resolve allowed.example:80:203.0.113.10 http://allowed.example/
}

state_dir() { echo "$LAB/home-$LAB_USER/.local/share/bottle"; }
empty_dir() { [ -z "$(ls -A "$1" 2>/dev/null)" ]; }
in_n() { on_host nsenter --net=/run/bottle/netns "$@"; }
# Interfaces of ours, as before the bottle: the user's default network has its bridge from its first container on.
links() { in_n ip -o link show | awk -F': ' '{print $2}'; }
same_links() { [ "$(links)" = "$job_links" ]; }

no_elements() {
	local n
	n=$({ in_n nft -j list ruleset; on_host nft -j list ruleset; } | grep -c "02:b0\|8443")
	[ "$n" = 0 ]
}

job_down() {
	check "bottle down demo" as_user bottle down demo
	check "left behind: no container" [ -z "$(as_user docker ps -aq)" ]
	check "… no network" not says demo- as_user docker network ls
	check "… no monitor" lab_wait 20 gone bottle-monitor
	check "… no QEMU" lab_wait 20 gone qemu-system-x86_64
	check "… no tap, no bridge" lab_wait 20 same_links
	check "… no nft element" lab_wait 20 no_elements
	check "… no socket of a VM" lab_wait 20 empty_dir "/proc/$LAB_HOST/root/run/user/$(id -u "$LAB_USER")/bottle/vm"
	check "… no scratch file" lab_wait 20 empty_dir "$(state_dir)/containers"
	check "… and bottled itself" lab_wait 30 gone bottled
}

main_job() {
	job_ready && job_up && job_allowed && job_refused && job_publish && job_docker && job_two_bottles && job_idle &&
		job_fail_closed && job_down
}
