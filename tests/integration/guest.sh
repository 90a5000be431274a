#!/usr/bin/env bash
# bottle-init in a real VM (TCG), spoken to by tests/integration/guest_channel.py over its real channel.
set -eu
cd "$(dirname "$0")/../.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

root=$work/root
mkdir -p "$root"/{bin,etc,tmp,home/user,var/lib,modules}
cp "$(command -v busybox)" "$root/bin/busybox"
for a in sh cat ls id hostname ip stat sleep echo env tty stty head tail wc md5sum kill ps grep test touch mount dd true false \
	printf pwd sync rm mkdir nproc sed arp ulimit yes chmod unshare readlink awk free tr; do
	ln -s busybox "$root/bin/$a"
done
printf 'root:x:0:0::/root:/bin/sh\nuser:x:1000:1000::/home/user:/bin/sh\n' >"$root/etc/passwd"
printf 'root:x:0:\nuser:x:1000:\nextra:x:2000:user\nvideo:x:44:\n' >"$root/etc/group"
ln -s ../run/nowhere/resolv.conf "$root/etc/resolv.conf"
ln -s /../../modules "$root/escape"
printf 'no interpreter\n' >"$root/bin/noexec"
printf 'plain\n' >"$root/etc/plain"
chmod 0755 "$root/bin/noexec"
chmod 1777 "$root/tmp"
mksquashfs "$root" "$work/base.img" -noI -noD -noF -noX -all-root -no-progress -quiet >/dev/null
mkdir -p "$work/top/etc"
echo top >"$work/top/etc/layer"
mksquashfs "$work/top" "$work/top.img" -noI -noD -noF -noX -all-root -no-progress -quiet >/dev/null
truncate -s 64M "$work/scratch.img"
/sbin/mke2fs -q -F -t ext4 -E lazy_itable_init=1 "$work/scratch.img"

PYTHONPATH=tests/lib python3 -B tests/integration/guest_channel.py "$work"
