#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What a QEMU taken over by its guest could do with a template's RAM: sealed_ram PID. Ends with 0 when nothing of it works."""
import errno
import mmap
import os
import sys


def denied(what, fn):
    try:
        fn()
    except (OSError, PermissionError) as e:
        if e.errno == errno.EPERM:
            return True
        print(f'{what}: {e}')
        return False
    print(f'{what} was possible')
    return False


def main(pid):
    fds = [f'/proc/{pid}/fd/{n}' for n in os.listdir(f'/proc/{pid}/fd')]
    ram = [p for p in fds if os.readlink(p).startswith('/memfd:bottle-template-ram')]
    if not ram:
        print('QEMU holds no template')
        return False
    ok = True
    for path in ram:
        fd = os.open(path, os.O_RDWR)
        page = os.pread(fd, 4096, 0)
        ok &= denied('write', lambda: os.pwrite(fd, b'x', 0))
        ok &= denied('shared mapping', lambda: mmap.mmap(fd, 4096, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE))
        ok &= denied('cut', lambda: os.ftruncate(fd, 4096))
        ok &= denied('hole', lambda: os.posix_fallocate(fd, 0, 1 << 40))
        private = mmap.mmap(fd, 4096, mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_WRITE)
        private[:4] = b'mine'
        ok &= os.pread(fd, 4096, 0) == page
    return ok


sys.exit(0 if main(sys.argv[1]) else 1)
