#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Images from hostile bytes to the store: image-unpack alone, then bottled with the docker CLI as its client.
# Scripts for other shells are quoted on purpose.
# shellcheck disable=SC2016
set -u
here=$(cd "$(dirname "$0")/.." && pwd)
# shellcheck source=tests/lib/tap.sh
. "$here/lib/tap.sh"
export LC_ALL=C
work=$(mktemp -d /tmp/bottle-images.XXXXXX)
engine_pid=
cleanup() {
	[ -z "$engine_pid" ] || kill "$engine_pid" 2>/dev/null
	wait 2>/dev/null
	rm -rf "$work"
}
trap cleanup EXIT

python3 "$here/lib/image_archives.py" good "$work/good" && python3 "$here/lib/image_archives.py" hostile "$work/hostile" || exit 1

unpack() { # MODE ARCHIVE JOB [PREFIX…]
	mkdir -p "$3"
	[ "$1" = load ] || echo '{"architecture":"amd64","os":"linux","config":{"Cmd":["x"]}}' >"$3/config.json"
	timeout 120 python3 "$here/lib/image_unpack.py" "$BUILD/bin/image-unpack" "$@"
}
messages() { jq -r '.type' "$1" | tr '\n' ' '; }
field() { jq -r --arg f "$2" '.fields[] | select(.[0] == $f) | .[1]' "$1"; }

# ---- image-unpack: what it takes ----

for f in "$work"/good/*.tar; do
	name=$(basename "$f" .tar) mode=load
	case $name in rootfs*) mode=import ;; esac
	unpack $mode "$f" "$work/job/$name" >"$work/$name.out" 2>&1
	check "$name is taken" [ "$(messages "$work/$name.out")" = "image done " ]
	check "$name: each blob has the digest of its name" sh -c '
		cd "$1/blobs" && for b in *; do [ "$(sha256sum <"$b" | cut -d" " -f1)" = "$b" ] || exit 1; done' - "$work/job/$name"
	check "$name: nothing is left but blobs and block images" sh -c '
		[ -z "$(find "$1" -type f ! -path "$1/blobs/*" ! -name "*.sqfs" ! -name config.json)" ] &&
		[ -z "$(find "$1/blobs" -name "part*")" ]' - "$work/job/$name"
done
rich=$(field "$work/rootfs.out" diff_id)
check "the diff id is the digest of the tar" [ "$rich" = "$(sha256sum <"$work/good/rootfs.tar" | cut -d' ' -f1)" ]
check "an untagged image has no reference" [ -z "$(field "$work/docker-archive-untagged.out" ref)" ]
check "an OCI layout's name is its containerd annotation" [ "$(field "$work/oci-layout.out" ref)" = docker.io/t/oci:1 ]
check "sixteen layers arrive in order" sh -c '
	n=0; for d in $1; do unsquashfs -ll "$2/layers/$d.sqfs" | grep -q "/f$n\$" || exit 1; n=$((n + 1)); done; [ $n = 16 ]' - \
	"$(field "$work/docker-archive-sixteen-layers.out" diff_id)" "$work/job/docker-archive-sixteen-layers"
for name in docker-archive docker-archive-gz docker-archive-zst docker-archive-compressed-layers docker-archive-legacy-links \
	oci-layout oci-layout-zst oci-layout-nested-index; do
	check "$name gives the same block image as the bare tar" \
		cmp "$work/job/$name/layers/$rich.sqfs" "$work/job/rootfs/layers/$rich.sqfs"
done
second=$(field "$work/docker-archive-untagged.out" diff_id)
echo "$rich" >"$work/known"
mkdir -p "$work/job/known" && cp "$work/known" "$work/job/known/known"
unpack load "$work/good/docker-archive.tar" "$work/job/known" >"$work/known.out"
check "a known layer is verified and not converted again" sh -c '
	[ "$(cd "$1/layers" && ls)" = "$2.sqfs" ]' - "$work/job/known" "$second"

# ---- file by file ----

# Path, type, mode, owner, time, size, link target, links; then content and attributes. Names as bytes.
cat >"$work/describe.py" <<'PY'
import hashlib, os, stat, sys
top = os.fsencode(sys.argv[1])
def describe(path, name):
    s = os.lstat(path)
    kind = stat.S_IFMT(s.st_mode)
    size = s.st_size if kind == stat.S_IFREG else 0
    links = 1 if kind == stat.S_IFDIR else s.st_nlink
    target = os.readlink(path) if kind == stat.S_IFLNK else b""
    data = hashlib.sha256(open(path, "rb").read()).hexdigest() if kind == stat.S_IFREG else ""
    x = {k: os.getxattr(path, k, follow_symlinks=False) for k in sorted(os.listxattr(path, follow_symlinks=False))}
    print(name, oct(s.st_mode), s.st_uid, s.st_gid, int(s.st_mtime), size, links, target, data, x)
describe(top, b".")
for base, dirs, files in os.walk(top):
    dirs.sort()
    for n in sorted(dirs + files):
        describe(base + b"/" + n, (base + b"/" + n)[len(top):])
PY
if [ "$(id -u)" = 0 ]; then
	mkdir -p "$work/tar"
	tar -xpf "$work/good/rootfs.tar" -C "$work/tar" --numeric-owner --xattrs --xattrs-include='user.*' \
		--xattrs-include='security.capability' 2>/dev/null
	# What the conversion means to change: whiteouts, devices, times before 1970, directories that the tar only implies.
	find "$work/tar" -name '.wh.*' -delete
	rm -f "$work"/tar/dev/*
	mknod -m 0 "$work/tar/gone/file" c 0 0
	python3 -c 'import os, sys; os.setxattr(sys.argv[1], "trusted.overlay.opaque", b"y")' "$work/tar/opaque"
	touch -hd @0 "$work"/tar/{old,gone/file,gone,implied/deep,implied,many}
	touch -d @1700000000 "$work"/tar/{bin,tmp,dev,opaque,.}
	unsquashfs -q -n -xattrs -d "$work/image" "$work/job/rootfs/layers/$rich.sqfs" >/dev/null
	check "the image has each file as the tar has it: content, mode, owner, time, links, attributes" \
		diff <(python3 "$work/describe.py" "$work/tar") <(python3 "$work/describe.py" "$work/image")
	check "more than 1500 files were compared" [ "$(python3 "$work/describe.py" "$work/image" | wc -l)" -gt 1500 ]
else
	skip "the image has each file as the tar has it" "owners need root"
fi
sparse=$work/job/rootfs-sparse/layers/$(field "$work/rootfs-sparse.out" diff_id).sqfs
check "a sparse file keeps its content" sh -c '
	[ "$(unsquashfs -cat "$1" holes | sha256sum)" = "$(tar -xOf "$2" | sha256sum)" ]' - "$sparse" "$work/good/rootfs-sparse.tar"
check "and its holes take no room" [ "$(stat -c %s "$sparse")" -lt $((1 << 20)) ]

# ---- image-unpack: what it refuses ----

for f in "$work"/hostile/*.tar; do
	name=$(basename "$f" .tar)
	unpack load "$f" "$work/bad/$name" >"$work/$name.out" 2>"$work/$name.err"
	check "$name is refused, and the message says why" sh -c '
		[ "$1" = "failed " ] && echo "$2" | grep -qE -- "$3"' - \
		"$(messages "$work/$name.out")" "$(field "$work/$name.out" text)" "$(cat "${f%.tar}.expect")"
	check "$name: no image remains" sh -c '[ -z "$(find "$1" -name "*.sqfs")" ]' - "$work/bad/$name"
done

# ---- the jail of the running program ----

mkfifo "$work/fifo"
mkdir "$work/job/held"
python3 "$here/lib/image_unpack.py" "$BUILD/bin/image-unpack" load "$work/fifo" "$work/job/held" >/dev/null 2>&1 &
driver=$!
exec 9>"$work/fifo"
head -c 100000 "$work/good/docker-archive.tar" >&9
jailed_pid() {
	local i
	for ((i = 0; i < 100; i++)); do
		unpack_pid=$(pgrep -P "$driver" -x image-unpack)
		[ -z "$unpack_pid" ] || ! grep -q '^Seccomp:[[:space:]]*2' "/proc/$unpack_pid/status" || return 0
		sleep 0.05
	done
	return 1
}
unpack_pid=
jailed_pid
check "it reads its first bytes inside its jail" [ $? = 0 ]
status=$(cat "/proc/$unpack_pid/status")
check "no_new_privs is set" grep -qE '^NoNewPrivs:\s*1' <<<"$status"
check "it has no capability, and can get none" sh -c '
	[ "$(echo "$1" | grep -cE "^Cap(Inh|Prm|Eff|Bnd|Amb):[[:space:]]0+$")" = 5 ]' - "$status"
check "its root is the job's directory" [ "$(readlink "/proc/$unpack_pid/root")" = "$work/job/held" ]
check "it has a network namespace without any network" \
	[ "$(readlink "/proc/$unpack_pid/ns/net")" != "$(readlink /proc/self/ns/net)" ]
exec 9>&-
wait "$driver"

# ---- bottled ----

socket=$work/run/engine.sock
data=$work/data
mkdir -p "$work/run"
export DOCKER_HOST=unix://$socket DOCKER_CONFIG=$work/docker
engine_start() {
	local i
	"$BUILD/bin/bottled" --timeout 0 --socket "$socket" --data "$data" --runtime "$work/run/b" >>"$work/bottled.log" 2>&1 &
	engine_pid=$!
	for ((i = 0; i < 100; i++)); do
		! curl -fs --max-time 5 --unix-socket "$socket" http://d/_ping >/dev/null 2>&1 || return 0
		sleep 0.05
	done
	return 1
}
engine_kill() { # SIGNAL
	kill "-$1" "$engine_pid"
	wait "$engine_pid" 2>/dev/null
	engine_pid=
}
api() { # METHOD PATH [CURL-ARGUMENTS…]
	local method=$1 path=$2
	shift 2
	curl -s --max-time 60 --unix-socket "$socket" -X "$method" "$@" "http://d$path"
}
status_of() { api "$1" "$2" -o /dev/null -w '%{http_code}' "${@:3}"; }
# All of the store: rows, names, contents.
store() {
	sqlite3 -readonly "$data/state.db" 'SELECT * FROM images; SELECT * FROM layers; SELECT * FROM image_layers; SELECT * FROM tags'
	(cd "$data" && find blobs layers staging -type f 2>/dev/null | sort | xargs -r sha256sum)
}
jobs_over() {
	local i
	for ((i = 0; i < 100; i++)); do
		[ -n "$(ls -A "$data/staging" 2>/dev/null)" ] || return 0
		sleep 0.05
	done
	return 1
}

engine_start
check "bottled starts" [ $? = 0 ]
check "an empty list is []" [ "$(api GET /images/json)" = "[]" ]
check "docker load says what it loaded" sh -c 'docker load -q -i "$1" | grep -qx "Loaded image: t/x:1"' - "$work/good/docker-archive.tar"
check "an untagged image is named by its id" sh -c 'docker load -q -i "$1" | grep -qE "^Loaded image ID: sha256:[0-9a-f]{64}$"' - \
	"$work/good/docker-archive-untagged.tar"
check "the load's stream has CRLF line ends" sh -c '
	curl -s --max-time 60 --unix-socket "$1" -X POST --data-binary "@$2" http://d/v1.22/images/load?quiet=1 |
	od -c | grep -q "\\\\r *\\\\n"' - "$socket" "$work/good/docker-archive.tar"
check "inspect has the configuration" [ "$(docker image inspect -f '{{.Config.Cmd}} {{.Os}} {{len .RootFS.Layers}}' t/x:1)" = "[/bin/sh] linux 2" ]
check "history has a row a layer, newest first" [ "$(docker history -q --no-trunc t/x:1 | head -n1)" = "$(docker image inspect -f '{{.Id}}' t/x:1)" ]
check "an image that is not there is 404" [ "$(status_of GET /images/nope/json)" = 404 ]
check "with docker's words" [ "$(api GET /images/nope/json | jq -r .message)" = "No such image: nope:latest" ]
check "a pull says that there is no registry client" sh -c 'docker pull x/y 2>&1 | grep -q "use docker load"'
check "and is 404" [ "$(status_of POST '/images/create?fromImage=x%2Fy&tag=1')" = 404 ]

check "docker import takes changes" sh -c '
	docker import -c "CMD [\"/bin/small\"]" -c "ENV A=b" -m hello - i/m:2 <"$1" | grep -qE "^sha256:[0-9a-f]{64}$" &&
	[ "$(docker image inspect -f "{{.Config.Cmd}} {{.Config.Env}} {{.Comment}}" i/m:2)" = "[/bin/small] [A=b] hello" ]' - "$work/good/rootfs.tar"
check "a change that is none is 400" [ "$(status_of POST '/images/create?fromSrc=-&changes=RUN%20x' --data-binary x)" = 400 ]
check "an import that is no tar is an error with a status" \
	[ "$(status_of POST '/images/create?fromSrc=-&repo=bad' --data-binary 'no tar at all')" = 400 ]
check "layers are shared between images" [ "$(find "$data/layers" -name "$rich*" | wc -l)" = 1 ]

check "tag" docker tag t/x:1 other/name:3
check "a tag of nothing is 404" [ "$(status_of POST '/images/nope/tag?repo=a&tag=b')" = 404 ]
check "a tag with a bad name is 400" [ "$(status_of POST '/images/t%2Fx:1/tag?repo=A&tag=b')" = 400 ]
check "filters: reference" [ "$(docker images -q -f 'reference=other/*' | wc -l)" = 1 ]
check "filters: dangling" [ "$(docker images -q -f dangling=true | wc -l)" = 1 ]
check "filters: label" [ "$(docker images -q -f label=who=nobody | wc -l)" = 0 ]
check "filters: an unknown one is 400" [ "$(status_of GET '/images/json?filters=%7B%22x%22%3A%5B%22y%22%5D%7D')" = 400 ]
check "an id of two repositories must be forced away" sh -c '
	docker rmi "$(docker image inspect -f "{{.Id}}" t/x:1)" 2>&1 | grep -q "must be forced) - image is referenced in multiple repositories"'
check "rmi of one tag of two unties it only" [ "$(docker rmi other/name:3)" = "Untagged: other/name:3" ]
check "prune removes what has no tag" sh -c 'docker image prune -f | grep -q "^deleted: sha256:" && [ -z "$(docker images -q -f dangling=true)" ]'

check "docker save" docker save -o "$work/saved.tar" t/x:1 i/m:2
before=$(docker images --no-trunc --format '{{.ID}} {{.Repository}}:{{.Tag}}' | sort)
check "rmi removes the image and its files" sh -c 'docker rmi t/x:1 i/m:2 >/dev/null && [ -z "$(find "$1/layers" "$1/blobs" -type f)" ]' - "$data"
check "what was saved loads again" docker load -q -i "$work/saved.tar"
check "with the same ids and tags" [ "$(docker images --no-trunc --format '{{.ID}} {{.Repository}}:{{.Tag}}' | sort)" = "$before" ]
check "a save of nothing is 404" [ "$(status_of GET '/images/nope/get')" = 404 ]

before=$(store)
for f in "$work"/hostile/*.tar; do
	name=$(basename "$f" .tar)
	text=$(api POST /images/load --data-binary "@$f" | tr -d '\r' | jq -r .error 2>&1)
	check "$name: docker load gets the reason" grep -qE -- "$(cat "${f%.tar}.expect")" <<<"$text"
	jobs_over
	check "$name: the store is what it was" [ "$(store)" = "$before" ]
done

# A client that goes away in the middle, and an engine that is killed in the middle.
half() { (head -c 2000 "$work/good/docker-archive.tar"; sleep 30) | curl -s --unix-socket "$socket" -X POST -T - http://d/images/load; }
staged() {
	local i
	for ((i = 0; i < 100; i++)); do
		[ -z "$(find "$data/staging" -name 'part-*' 2>/dev/null)" ] || return 0
		sleep 0.05
	done
	return 1
}
half >/dev/null 2>&1 &
client=$!
check "a load is under way" staged
pkill -P "$client"
wait "$client" 2>/dev/null
check "when its client goes, the job goes" jobs_over
check "and the store is what it was" [ "$(store)" = "$before" ]
half >/dev/null 2>&1 &
client=$!
check "another load is under way" staged
engine_kill KILL
pkill -P "$client"
wait "$client" 2>/dev/null
engine_start
check "bottled starts after it was killed" [ $? = 0 ]
check "and has removed what was unfinished" [ -z "$(ls -A "$data/staging" 2>/dev/null)" ]
check "the store is what it was" [ "$(store)" = "$before" ]
check "and it works" sh -c 'docker load -q -i "$1"' - "$work/good/oci-layout.tar"
engine_kill TERM

# A full disk, in a mount namespace of our own.
cat >"$work/full.sh" <<'SH'
mount -t tmpfs -o size=4m tmpfs "$2" || exit 77
"$1/bin/bottled" --timeout 0 --socket "$4/full.sock" --data "$2" --runtime "$4/full" 2>"$4/full.log" &
engine=$!
for i in $(seq 100); do curl -fs --unix-socket "$4/full.sock" http://d/_ping >/dev/null 2>&1 && break; sleep 0.05; done
curl -s --max-time 60 --unix-socket "$4/full.sock" -X POST --data-binary "@$3" http://d/images/load
echo "left: $(find "$2/staging" "$2/layers" "$2/blobs" -type f | wc -l)"
kill "$engine"
wait "$engine"
SH
mkdir -p "$work/small"
python3 -c 'import os, sys, tarfile, io
with tarfile.open(sys.argv[1], "w") as t:
    i = tarfile.TarInfo("big"); i.size = 8 << 20; t.addfile(i, io.BytesIO(os.urandom(i.size)))' "$work/big.tar"
if unshare -rm true 2>/dev/null; then
	full=$(unshare -rm bash "$work/full.sh" "$BUILD" "$work/small" "$work/big.tar" "$work/run" 2>&1)
	check "a full disk is said to be full" grep -q "No space left on device" <<<"$full"
	check "and nothing is left of the load" grep -qx "left: 0" <<<"$full"
else
	skip "a full disk is said to be full" "no user namespaces"
fi
done_testing
