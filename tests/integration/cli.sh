#!/usr/bin/env bash
# The bottle command where it needs no engine: policies, help and manual, the socket's holder, units, checks.
set -u
cd "$(dirname "$0")/../.." || exit 1
# shellcheck source=tests/lib/tap.sh
. tests/lib/tap.sh
bottle=$BUILD/bin/bottle
dir=$(mktemp -d /tmp/bottle-cli.XXXXXX)
pids=()
# shellcheck disable=SC2317 # by trap
cleanup() {
	local p
	for p in "${pids[@]}"; do kill "$p" 2>/dev/null; done
	wait
	rm -rf "$dir"
}
trap cleanup EXIT
unset DOCKER_HOST BOTTLE_SOCKET DOCKER_CONTEXT
export HOME=$dir/home XDG_CONFIG_HOME=$dir/home/.config XDG_RUNTIME_DIR=$dir/run DOCKER_CONFIG=$dir/home/.docker
mkdir -p "$HOME" "$XDG_RUNTIME_DIR"

# CMD ends with CODE.
exits() {
	local want=$1 rc
	shift
	"$@" && rc=0 || rc=$?
	[ "$rc" = "$want" ] || { echo "wanted exit code $want, got $rc"; return 1; }
}
# CMD's output holds TEXT, whatever its exit code.
says() {
	local text=$1 out
	shift
	out=$("$@" 2>&1)
	case $out in *"$text"*) ;; *) echo "wanted '$text' in: $out"; return 1 ;; esac
}
# Until CMD succeeds, at most SECONDS.
within() {
	local limit=$((SECONDS + $1))
	shift
	until "$@"; do
		[ $SECONDS -lt $limit ] || { echo "waited in vain for: $*"; return 1; }
		sleep 0.05
	done
}

# ---- policies ----
hash_matches() {
	local plain json
	plain=$("$bottle" policy check policies/demo.json | sed -n 's/^policy sha256://p')
	json=$("$bottle" policy check --json policies/demo.json | head -c -1 | sha256sum | cut -d' ' -f1)
	[ -n "$plain" ] && [ "$plain" = "$json" ]
}
check "policy check of the demo" exits 0 "$bottle" policy check policies/demo.json
check "the hash is that of the compiled form" hash_matches
sed 's/"allowed.example"/"*"/' policies/demo.json >"$dir/bad.json"
check "a refused policy: 3" exits 3 "$bottle" policy check "$dir/bad.json"
check "... with file, line and path" says "$dir/bad.json:16: egress.allow[0].host:" "$bottle" policy check "$dir/bad.json"
check "... and 'up' refuses it before it looks for an engine" exits 3 "$bottle" up "$dir/bad.json"
check "a policy that is not there: 1" exits 1 "$bottle" policy check "$dir/none.json"

# ---- usage, help, manual ----
check "no command: 2" exits 2 "$bottle"
check "an unknown command: 2" exits 2 "$bottle" frobnicate
check "an unknown subcommand: 2" exits 2 "$bottle" socket frobnicate
check "too few arguments: 2" exits 2 "$bottle" up
check "an unknown option: 2" exits 2 "$bottle" ls --frobnicate
check "down without a name: 2" exits 2 "$bottle" down
check "a bad name: 2" exits 2 "$bottle" up --name ../x policies/demo.json
check "a URL without a known scheme: 2" exits 2 "$bottle" why demo gopher://x
mapfile -t commands < <("$bottle" --help | sed -n '/^Commands:/,/^$/s/^  \([a-z]*\( [a-z]*\)\?\)  .*/\1/p')
manual=$(sed 's/\\-/-/g' bottle/cli/bottle.1)

in_manual() {
	local help synopsis option options
	# shellcheck disable=SC2086 # a command is one or two words
	help=$("$bottle" $1 --help) || return 1
	synopsis=$(sed -n '1s/^Usage: //p' <<<"$help")
	grep -qxF -- "$synopsis" <<<"$manual" || { echo "not in the manual: $synopsis"; return 1; }
	mapfile -t options < <(sed -n '/^Options:/,$s/.* \(--[a-z-]*\) .*/\1/p' <<<"$help")
	for option in "${options[@]}"; do
		grep -qF -- "$option" <<<"$manual" || { echo "not in the manual: $option"; return 1; }
	done
}
check "--help lists the commands" [ "${#commands[@]}" -ge 18 ]
for c in "${commands[@]}"; do check "the manual knows 'bottle $c' as --help does" in_manual "$c"; done
check "the manual is well-formed" mandoc -T lint -W error bottle/cli/bottle.1

# ---- without an engine ----
check "no engine: 1" exits 1 "$bottle" ls
check "... and what to do" says "bottle socket install" "$bottle" ls
check "a remote DOCKER_HOST is refused" says "unix://" env DOCKER_HOST=tcp://192.0.2.1:2375 "$bottle" ls
check "env" says "export DOCKER_HOST=unix://$dir/run/bottle/engine.sock" "$bottle" env
checks_complete() {
	"$bottle" system check --json >"$dir/check.json"
	[ "$(jq '[.checks[] | select((.name | length) > 0 and (.ok or (.hint | length) > 0))] | length' "$dir/check.json")" = 9 ]
}
check "system check: each row is there or says what to do" checks_complete
check "system check: the missing socket makes it 1" exits 1 "$bottle" system check

# ---- socket hold ----
# Serves one connection of the inherited socket, then ends, as an engine that became idle.
cat >"$dir/server.py" <<'PY'
import os, socket, sys
assert os.environ["LISTEN_FDS"] == "1" and os.environ["LISTEN_PID"] == str(os.getpid())
s = socket.socket(fileno=3)
s.setblocking(True)
open(sys.argv[1], "a").write("start\n")
c, _ = s.accept()
c.send(b"pid %d" % os.getpid())
PY
cat >"$dir/ask.py" <<'PY'
import socket, sys
s = socket.socket(socket.AF_UNIX, getattr(socket, sys.argv[2]))
s.settimeout(10)
s.connect(sys.argv[1])
print(s.recv(100).decode())
PY
ask() { python3 "$dir/ask.py" "$@"; }
# NAME ARGUMENTS…: a holder in the background; $held is its pid
hold() {
	"$bottle" socket hold "$@" 2>>"$dir/hold.log" &
	held=$!
	pids+=("$held")
}
starts() { [ "$(wc -l <"$dir/starts")" -ge "$1" ]; }
gone() { ! kill -0 "$1" 2>/dev/null; }

: >"$dir/starts"
hold --socket "$dir/a/s" -- python3 "$dir/server.py" "$dir/starts"
check "hold: the socket appears" within 10 [ -S "$dir/a/s" ]
check "hold: its mode is 0600" [ "$(stat -c %a "$dir/a/s")" = 600 ]
check "hold: nothing was started" [ ! -s "$dir/starts" ]
check "hold: the first connection is served" says "pid " ask "$dir/a/s" SOCK_STREAM
check "hold: and the next, by a new process" says "pid " ask "$dir/a/s" SOCK_STREAM
check "hold: two starts" [ "$(wc -l <"$dir/starts")" = 2 ]
check "hold: a second holder is refused" exits 1 "$bottle" socket hold --socket "$dir/a/s" -- true
kill -TERM "$held"
check "hold: SIGTERM ends it" within 10 gone "$held"
check "hold: ... and removes the socket" [ ! -e "$dir/a/s" ]

hold --socket "$dir/q" --mode 0666 --type seqpacket -- python3 "$dir/server.py" "$dir/starts"
check "hold: seqpacket" within 10 [ -S "$dir/q" ]
check "hold: mode 0666" [ "$(stat -c %a "$dir/q")" = 666 ]
check "hold: a seqpacket connection is served" says "pid " ask "$dir/q" SOCK_SEQPACKET
kill -KILL "$held"
wait "$held" 2>/dev/null
hold --socket "$dir/q" --type seqpacket -- python3 "$dir/server.py" "$dir/starts"
stale_replaced() { [ "$(stat -c %a "$dir/q")" = 600 ]; }
check "hold: a socket left by a killed holder is replaced" within 10 stale_replaced
check "hold: ... and served" says "pid " ask "$dir/q" SOCK_SEQPACKET

# A command that dies at once, with a client that waits: five starts, then a pause.
: >"$dir/starts"
hold --socket "$dir/d" -- sh -c "echo start >>$dir/starts; exit 1"
within 10 [ -S "$dir/d" ]
python3 -c 'import socket,sys,time; s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); time.sleep(60)' "$dir/d" &
pids+=($!)
check "hold: a command that dies is started again" within 10 starts 5
check "hold: ... and then paused, said so" within 10 grep -q "5 times within 10 s" "$dir/hold.log"
check "hold: five starts, no more" [ "$(wc -l <"$dir/starts")" = 5 ]
check "hold: a relative path: 2" exits 2 "$bottle" socket hold --socket s -- true
check "hold: a command that is not there: 1" exits 1 "$bottle" socket hold --socket "$dir/e" -- no-such-command
echo x >"$dir/file"
check "hold: a file in the way stays: 1" exits 1 "$bottle" socket hold --socket "$dir/file" -- true
check "hold: ... untouched" grep -qx x "$dir/file"

# ---- units and context ----
check "socket status: nobody listens: 1" exits 1 "$bottle" socket status --user
check "socket install of user units" "$bottle" socket install --user --unit-dir "$dir/user"
check "the user's units pass systemd-analyze" systemd-analyze verify --user --man=no "$dir/user/bottle.socket" "$dir/user/bottle.service"
check "no netpolicyd among the user's units" [ ! -e "$dir/user/bottle-netpolicyd.service" ]
if [ "$(id -u)" = 0 ]; then
	check "socket install of system units" "$bottle" socket install --unit-dir "$dir/system"
	check "the system's units pass systemd-analyze" systemd-analyze verify --man=no "$dir"/system/bottle.socket \
		"$dir"/system/bottle.service "$dir"/system/bottle-netpolicyd.socket "$dir"/system/bottle-netpolicyd.service
else
	skip "socket install of system units" "needs root"
fi
check "docker knows the context" says bottle docker context ls
"$bottle" socket install --user --unit-dir "$dir/user" >/dev/null
check "docker's view of the context is the user's socket" says "unix://$dir/run/bottle/engine.sock" docker context inspect bottle
hold --socket "$dir/run/bottle/engine.sock" -- sh -c "echo activated >$dir/activated"
check "socket status: held" within 10 exits 0 "$bottle" socket status --user
check "... without starting anything" [ ! -e "$dir/activated" ]
check "socket uninstall" "$bottle" socket uninstall --user --unit-dir "$dir/user"
check "... leaves no unit" [ -z "$(ls -A "$dir/user")" ]
check_not "... and no context" docker context inspect bottle
done_testing
