#!/usr/bin/env bash
# Bad input and missing parts, through the real front doors: refused before anything starts, with one sentence that says what to do.
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

# demo.json changed by a jq program; its path.
variant() {
	jq "$1" policies/demo.json >"$LAB/variant.json"
	chmod 0644 "$LAB/variant.json"
}

nothing_started() { [ -z "$(as_user docker ps -aq)" ] && ! as_user docker network ls | grep -q demo-; }

# NAME, jq program, what the message must hold, exit code
policy_refused() {
	variant "$2"
	check "$1: says so" says "$3" as_user bottle up "$LAB/variant.json"
	check "$1: exit code $4" exits "$4" as_user bottle up "$LAB/variant.json"
	check "$1: nothing was started" nothing_started
}

as_user docker load -q -i /opt/bottle/share/bottle/images/sidecar.tar >/dev/null || exit 1

policy_refused "an unknown key" '.egress.alow = []' alow 3
policy_refused "a bad glob" '.egress.allow[0].host = "a*.example.com"' 'a*.example.com' 3
policy_refused "a host given as an IP" '.egress.allow[0].host = "192.0.2.7"' 192.0.2.7 3
policy_refused "a port out of range" '.egress.allow[0].ports = [65536]' 65536 3
policy_refused "a field that is not enforced" '.egress.allow[0].methods = ["GET"]' methods 3
policy_refused "a missing secret" '.egress.allow[0].inject = {"header": "Authorization", "secret": "key"}' key 3
policy_refused "a secret whose variable is not set" '.secrets = {"key": {"from": "env:NO_SUCH_VARIABLE"}}' NO_SUCH_VARIABLE 3
policy_refused "a publish beyond loopback" '.publish[0].host_ip = "0.0.0.0"' 0.0.0.0 3
policy_refused "a missing image" '.agent.image = "no/such"' no/such 1
check "a policy that is not there" exits 1 as_user bottle up /no/such.json

# Hostile archives, as docker users would hand them in.
hostile() {
	python3 - "$LAB/hostile.tar" "$1" <<-'PY'
		import io, sys, tarfile
		out, kind = sys.argv[1:]
		with tarfile.open(out, "w") as t:
		    def add(name, type=tarfile.REGTYPE, link="", data=b"x"):
		        e = tarfile.TarInfo(name)
		        e.type, e.linkname, e.size = type, link, len(data) if type == tarfile.REGTYPE else 0
		        t.addfile(e, io.BytesIO(data) if e.size else None)
		    add("bin", tarfile.DIRTYPE)
		    if kind == "absolute": add("/etc/passwd")
		    if kind == "dotdot": add("bin/../../escape")
		    if kind == "hardlink": add("bin/x", tarfile.LNKTYPE, "../../etc/passwd")
		    if kind == "symlink":
		        add("out", tarfile.SYMTYPE, "../../../etc")
		    if kind == "through":
		        add("lnk", tarfile.SYMTYPE, "/etc"); add("lnk/passwd")
		    if kind == "device":
		        e = tarfile.TarInfo("bin/sda"); e.type, e.devmajor, e.devminor = tarfile.BLKTYPE, 8, 0; t.addfile(e)
		if kind == "cut":
		    data = open(out, "rb").read(); open(out, "wb").write(data[:700])
		if kind == "garbage":
		    open(out, "wb").write(b"\x7fELF" * 5000)
	PY
	chmod 0644 "$LAB/hostile.tar"
}

store_listing() { (cd "$(state_dir)" && find . -type f ! -name 'state.db*' | sort); }

before=$(store_listing) images=$(as_user docker images -aq)
for kind in absolute dotdot hardlink symlink through device cut garbage; do
	hostile "$kind"
	check_not "docker import of a tar with: $kind" as_user docker import "$LAB/hostile.tar" bad:1
	check_not "docker load of a tar with: $kind" as_user docker load -i "$LAB/hostile.tar"
done
check "the store is as it was" [ "$(store_listing)" = "$before" ]
check "the images are as they were" [ "$(as_user docker images -aq)" = "$images" ]

raw() { printf '%b' "$1" | as_user timeout 5 socat -t2 - "UNIX-CONNECT:/run/user/$(id -u "$LAB_USER")/bottle/engine.sock"; }
check "a malformed request line: 400" says "400 Bad Request" raw 'GET /_ping\r\n\r\n'
check "both Content-Length and Transfer-Encoding: 400" says "400 Bad Request" raw 'POST /containers/create HTTP/1.1\r\nHost: d\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n'
check "and the next connection works" says OK raw 'GET /_ping HTTP/1.1\r\nHost: d\r\nConnection: close\r\n\r\n'
check "another user's client is refused" refused as_other curl -sf --max-time 5 --unix-socket "/run/user/$(id -u "$LAB_USER")/bottle/engine.sock" http://d/_ping

# Parts that are missing, one at a time, each with its own engine.
engine_with() {
	local dir=$LAB/home-$LAB_USER/$1
	shift
	as_user mkdir -p "$dir/run" "$dir/data"
	lab_spawn engine as_user bottled --timeout 60s --socket "$dir/run/engine.sock" --data "$dir/data" --runtime "$dir/run" "$@"
	lab_wait 10 test -S "$dir/run/engine.sock" || return 1
	as_user docker -H "unix://$dir/run/engine.sock" load -q -i /opt/bottle/share/bottle/images/sidecar.tar >/dev/null
	missing=(as_user docker -H "unix://$dir/run/engine.sock")
}

engine_with no-net --netpolicy-socket /no/such/socket
check "netpolicyd is not running: says so and what to do" says netpolicyd "${missing[@]}" run --rm --entrypoint /sidecar bottle/sidecar
check "netpolicyd is not running: exit code 125" exits 125 "${missing[@]}" run --rm --entrypoint /sidecar bottle/sidecar
check "a taken socket path: one sentence" says "$LAB/home-$LAB_USER/no-net/run/engine.sock" as_user bottled --socket "$LAB/home-$LAB_USER/no-net/run/engine.sock" \
	--data "$LAB/home-$LAB_USER/other" --runtime "$LAB/home-$LAB_USER/other-run"
check "a second engine on one state directory: one sentence" says "$LAB/home-$LAB_USER/no-net/data" as_user bottled --socket "$LAB/home-$LAB_USER/second.sock" \
	--data "$LAB/home-$LAB_USER/no-net/data" --runtime "$LAB/home-$LAB_USER/other-run"

qemu=$(command -v qemu-system-x86_64)
on_host mount --bind /dev/null "$(realpath "$qemu")"
check "QEMU is missing: says so" says qemu "${missing[@]}" run --rm --network none --entrypoint /sidecar bottle/sidecar
check "QEMU is missing: system check says so too" says qemu as_user bottle system check
on_host umount "$(realpath "$qemu")"

on_host mkdir -p /run/empty
on_host mount --bind /run/empty /opt/bottle/share/bottle
check "the guest kernel is missing: says so" says vmlinux "${missing[@]}" run --rm --network none --entrypoint /sidecar bottle/sidecar
check "the guest kernel is missing: and what to do" says "make guest" "${missing[@]}" run --rm --network none --entrypoint /sidecar bottle/sidecar
on_host umount /opt/bottle/share/bottle
check "nothing is left of the failed starts" [ -z "$("${missing[@]}" ps -aq)" ]
done_testing
