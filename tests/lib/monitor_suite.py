#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The cases of tests/integration/monitor.sh: a real bottle-monitor, QEMU and bottle-init. TAP lines without a plan.

monitor_suite.py MONITOR ASSETS WORK LABEL FIRST_NUMBER [CASE…]
"""
import ctypes
import fcntl
import os
import signal
import socket
import struct
import subprocess
import sys
import time
import traceback

import monitor_client as M
from monitor_client import F, OK, ERR, OUT, frames, read_all, read_until

program, assets, work, label, number = sys.argv[1:6]
number = int(number)
files = dict(kernel=f'{assets}/vmlinux', initrd=f'{assets}/initramfs', scratch=f'{work}/scratch.ext4',
             layers=[f'{work}/root.sqfs'])
monitors = []


def tap(name, ok, why=''):
    global number
    number += 1
    print(f'{"ok" if ok else "not ok"} {number} - {label}: {name}', flush=True)
    for line in str(why).splitlines() if not ok else ():
        print(f'# {line}', flush=True)


def shows(name, fn):
    try:
        r = fn()
        tap(name, r is None or r is True, r)
    except Exception:
        tap(name, False, traceback.format_exc())


def same(got, want):
    return True if got == want else f'got  {got!r}\nwant {want!r}'


def monitor(*argv, **kw):
    m = M.Monitor(program, files, work, argv, **kw)
    monitors.append(m)
    assert m.create[0] == OK, m.create
    return m


def proc_status(pid):
    with open(f'/proc/{pid}/status') as f:
        return dict((line.split(':', 1)[0], line.split(':', 1)[1].strip()) for line in f)


def wait_until(condition, limit=30):
    end = time.monotonic() + limit
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


def writable(pid, m):
    """Files, not sockets and the like, that pid holds open for writing beyond what a VM needs."""
    allowed = {os.path.join(m.data, 'scratch')}
    out = []
    for fd in os.listdir(f'/proc/{pid}/fd'):
        path = os.readlink(f'/proc/{pid}/fd/{fd}')
        with open(f'/proc/{pid}/fdinfo/{fd}') as f:
            flags = int(dict(line.split(':', 1) for line in f)['flags'], 8)
        if path.startswith('/') and flags & 3 and path not in allowed and not path.startswith('/memfd:'):
            out.append(path)
    return out


def count_fds(pid):
    return len(os.listdir(f'/proc/{pid}/fd'))


def jail_checks(m, pid):
    s = proc_status(pid)
    uid = '65534' if os.getuid() == 0 else str(os.getuid())
    shows('QEMU has no root uid', lambda: same(s['Uid'].split(), [uid] * 4))
    for key, want in (('CapEff', '0' * 16), ('CapPrm', '0' * 16), ('CapInh', '0' * 16), ('CapBnd', '0' * 16),
                      ('CapAmb', '0' * 16), ('NoNewPrivs', '1'), ('Seccomp', '2')):
        shows(f'QEMU: {key} {want}', lambda key=key, want=want: same(s[key], want))
    shows('QEMU has its own namespaces', lambda: same(
        [n for n in ('mnt', 'pid', 'net', 'ipc', 'uts') if os.readlink(f'/proc/{pid}/ns/{n}') == os.readlink(f'/proc/self/ns/{n}')], []))
    shows('QEMU sees no file but its own', lambda: same(
        sorted(os.listdir(f'/proc/{pid}/root')), ['initrd', 'kernel', 'lib', 'lib64', 'usr']))
    shows('QEMU sees no network but loopback', lambda: same(
        [line.split(':')[0].strip() for line in open(f'/proc/{pid}/net/dev').readlines()[2:]], ['lo']))
    shows('QEMU cannot write where it stands', lambda: same(
        [line.split()[1] for line in open(f'/proc/{pid}/mounts')
         if not line.split()[3].startswith('ro,') and line.split()[3] != 'ro'], []))
    limits = dict((line[:26].strip(), line[26:].split()[:2]) for line in open(f'/proc/{pid}/limits'))
    size = str(os.stat(files['scratch']).st_size)
    shows('QEMU cannot write behind the end of its disk', lambda: same(limits['Max file size'], [size, size]))
    shows('QEMU can write to its scratch disk, its RAM and no other file', lambda: same(writable(pid, m), []))
    shows('the monitor is confined too', lambda: same(
        [proc_status(m.proc.pid)[k] for k in ('Seccomp', 'NoNewPrivs')], ['2', '1']))
    keep = '0000000000000020' if os.getuid() == 0 else '0' * 16
    shows('the monitor keeps no capability but to end its VM', lambda: same(proc_status(m.proc.pid)['CapEff'], keep))


def exec_checks(m):
    def code_first():
        xid, c, r = m.exec('sh', '-c', 'echo out; echo err >&2; exit 42')
        data = read_all(c)
        try:
            while True:
                m.pump(0)  # only what is there already: the code came before the end of the stream
        except TimeoutError:
            pass
        codes = [f['CODE'] for k, f in m.events if k == M.EV_EXEC_EXIT and f['EXEC_ID'] == xid]
        return same((r[0], frames(data), codes), (OK, {1: b'out\n', 2: b'err\n'}, [42]))

    def with_input():
        xid, c, r = m.exec('sh', '-c', 'wc -c', flags=OUT | F['STDIN'], EARLY=b'x' * 1000)
        block = b'y' * 65536
        for _ in range(32):
            c.sendall(block)
        c.shutdown(socket.SHUT_WR)
        return same((r[0], frames(read_all(c))[1].strip()), (OK, b'%d' % (1000 + 32 * 65536)))

    def without_input():
        _, c, _ = m.exec('sh', '-c', 'sleep 0.2; cat; echo done')
        c.shutdown(socket.SHUT_WR)
        return same(frames(read_all(c))[1], b'done\n')

    def unknown():
        xid, c, r = m.exec('no-such-program')
        return same((r[0], r[1]['CODE'], read_all(c)), (ERR, 127, b''))

    def large():
        _, c, _ = m.exec('sh', '-c', 'head -c 3000000 /dev/zero; head -c 1000000 /dev/zero >&2')
        got = frames(read_all(c))
        return same((len(got[1]), len(got[2])), (3000000, 1000000))

    def detached():
        xid, _, r = m.exec('sh', '-c', 'echo nobody; exit 9', flags=F['DETACH'])
        return same((r[0], m.event(M.EV_EXEC_EXIT, match=lambda f: f['EXEC_ID'] == xid)['CODE']), (OK, 9))

    def stalled():
        slow_id, slow, _ = m.exec('sh', '-c', 'head -c 4000000 /dev/zero')
        _, quick, _ = m.exec('sh', '-c', 'head -c 2000000 /dev/zero; echo end')
        fast = len(frames(read_all(quick))[1])
        ended = any(k == M.EV_EXEC_EXIT and f['EXEC_ID'] == slow_id for k, f in m.events)
        return same((fast, ended, len(frames(read_all(slow))[1])), (2000004, False, 4000000))

    def gone():
        xid, c, _ = m.exec('sh', '-c', 'echo hi; sleep 1; echo more; exit 5')
        read_until(c, b'hi')
        c.close()
        m.event(M.EV_DETACHED, match=lambda f: f.get('EXEC_ID') == xid)
        return same(m.event(M.EV_EXEC_EXIT, match=lambda f: f['EXEC_ID'] == xid)['CODE'], 5)

    def no_leak():
        qemu = int(m.status()['pid'])
        before = count_fds(m.proc.pid), count_fds(qemu)
        for i in range(20):
            read_all(m.exec('true' if i % 2 else 'no-such-program')[1])
            m.attach().close()
        m.ask(M.INSPECT)
        return wait_until(lambda: (count_fds(m.proc.pid), count_fds(qemu)) == before, 5) or 'descriptors are left'

    shows("an exec's code is told before its stream ends", code_first)
    shows('two megabytes and early bytes go in, and their end', with_input)
    shows('without stdin a half-closed client still gets everything', without_input)
    shows('an unknown program is 127', unknown)
    shows('four megabytes come out whole, by stream', large)
    shows('a detached exec runs without a connection', detached)
    shows('a client that does not read stalls only its own exec, and loses nothing', stalled)
    shows('an exec outlives its client', gone)
    shows('execs and clients leave no descriptor', no_leak)


def tty_checks(m):
    def size():
        _, c, _ = m.exec('sh', '-c', 'stty size; read x; stty size', tty=True, flags=OUT | F['STDIN'], xid='a' * 64)
        first = read_until(c, b'\r\n')
        m.ask(M.RESIZE, EXEC_ID='a' * 64, ROWS=44, COLS=111)
        c.sendall(b'\n')
        return same((first, read_all(c)), (b'24 80\r\n', b'\r\n44 111\r\n'))

    def keys():
        xid, c, _ = m.exec('sh', '-c', 'read a; echo "[$a]"; sleep 1000', tty=True, flags=OUT | F['STDIN'])
        c.sendall(b'ab\x10')
        c.sendall(b'c\n')
        text = read_until(c, b'[ab\x10c]')
        c.sendall(b'\x10')
        c.sendall(b'\x11')
        rest = read_all(c)
        m.event(M.EV_DETACHED, match=lambda f: f.get('EXEC_ID') == xid)
        x = m.ask(M.INSPECT)[1]['execs'][xid]
        m.ask(M.SIGNAL, EXEC_ID=xid, SIGNAL=9)
        code = m.event(M.EV_EXEC_EXIT, match=lambda f: f['EXEC_ID'] == xid)['CODE']
        return same((x['EXEC_RUNNING'], b'[ab\x10c]' in text, code, rest.count(b'\x11')), (1, True, 137, 0))

    shows("a terminal's size is set at the start and changed", size)
    shows('detach keys leave the process running; half of them are input', keys)


def case_life():
    """Most of what a container does, in one VM."""
    m = monitor('sh', '-c', 'trap "echo term; exit 3" TERM; echo up; n=0; while :; do sleep 0.2 & wait; '
                'n=$((n+1)); [ -e /tmp/say ] && { rm /tmp/say; echo said; }; done')
    first, second = m.attach(), m.attach(F['STDOUT'])
    shows('status before the start: created', lambda: same(m.status()['state'], 'created'))
    r = m.ask(M.START)
    shows('start tells the pid', lambda: same((r[0], r[1].get('PID', 0) > 0), (OK, True)))
    pid = r[1]['PID']
    shows('an attach before the start sees the first byte', lambda: same(
        [frames(read_until(c, b'up\n'))[1] for c in (first, second)], [b'up\n'] * 2))
    shows('status: running, with the pid', lambda: same((m.status()['state'], m.status()['pid']), ('running', str(pid))))
    jail_checks(m, pid)
    exec_checks(m)
    tty_checks(m)

    def late():
        c, d = m.attach(), m.attach(OUT | F['REPLAY'])
        e = m.attach(OUT | F['REPLAY'] | F['NO_STREAM'])
        replayed = frames(read_all(e))[1]
        m.exec('touch', '/tmp/say', flags=F['DETACH'])
        got = [frames(read_until(x, b'said\n'))[1] for x in (c, d)]
        return same((replayed, got), (b'up\n', [b'said\n', b'up\nsaid\n']))

    def paused():
        a = m.ask(M.PAUSE)[0], m.status()['state'], m.exec('true')[2][0], m.ask(M.UNPAUSE)[0], m.status()['state']
        return same(a, (OK, 'paused', ERR, OK, 'running'))

    def stats():
        r, f = m.ask(M.STATS)
        return same((r, len(f['STATS']) > 16), (OK, True))

    def back():
        xid, c, _ = m.exec('sh', '-c', 'read x; echo "still $x"', flags=OUT | F['STDIN'])
        m.reconnect()
        r, f = m.ask(M.INSPECT)
        c.sendall(b'here\n')
        return same((r, f['STATE'], f['PID'], xid in f['execs'], frames(read_all(c))[1]),
                    (OK, 2, pid, True, b'still here\n'))

    def newest():
        old = m.conn
        m.conn = socket.socketpair()[0]
        m.reconnect()
        m.ask(M.INSPECT)
        old.settimeout(10)
        while old.recv(70000):
            pass  # events from before

    shows('a late attach gets only new output, unless it asks for the log', late)
    shows('pause and unpause', paused)
    shows('statistics come from the guest', stats)
    shows('the container and its clients outlive bottled; another one finds all through control', back)
    shows('the newest connection replaces the older', newest)
    if os.getuid() == 0:
        shows('another user is not let in', lambda: other_user(m))
    shows('malformed requests are refused', lambda: same(
        [m.ask(*a)[0] for a in ((99,), (M.RESIZE,), (M.EXEC,), (M.CREATE,))], [ERR] * 4))
    m.ask(M.STOP, SIGNAL=15, TIMEOUT_MS=20000)
    shows('stop: the process gets its signal and its own code counts', lambda: same(
        m.event(M.EV_EXIT)['CODE'], 3))
    shows('the attached client got the last word, then its end', lambda: same(
        frames(read_all(first))[1][-5:], b'term\n'))
    shows('status: exited', lambda: same([m.status().get(k) for k in ('state', 'code', 'oom', 'error', 'pid')],
                                         ['exited', '3', '0', None, None]))
    shows('the log has it all in records', lambda: same(m.log(), [(1, 0, b'up\n'), (1, 0, b'said\n'), (1, 0, b'term\n')]))
    shows('the monitor ends and leaves no runtime files', lambda: same(
        (m.proc.wait(20), os.path.exists(m.runtime), os.path.exists(f'/proc/{pid}')), (0, False, False)))


def other_user(m):
    path = os.path.join(m.runtime, 'control')
    os.chmod(path, 0o666)
    code = ('import socket,sys; s=socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET); s.settimeout(10); '
            's.connect(sys.argv[1]); sys.exit(0 if s.recv(1) == b"" else 1)')
    r = subprocess.run(['setpriv', '--reuid', '12345', '--regid', '12345', '--clear-groups', '/usr/bin/python3', '-c', code, path])
    os.chmod(path, 0o600)
    return same((r.returncode, m.ask(M.INSPECT)[0]), (0, OK))


def case_input():
    """docker run -i: input from before the start, its end once, then the end of everything."""
    m = monitor('sh', '-c', 'cat; echo "$?"', stdin=True)
    c = m.attach(OUT | F['STDIN'] | F['STDIN_ONCE'], EARLY=b'early ')
    c.sendall(b'and more\n')
    c.shutdown(socket.SHUT_WR)
    m.ask(M.START)
    shows('input sent before the start arrives, then its end', lambda: same(
        frames(read_all(c))[1], b'early and more\n0\n'))
    shows('status is written before the attach connection ends', lambda: same(m.status()['state'], 'exited'))
    shows('exit 0', lambda: same(m.event(M.EV_EXIT)['CODE'], 0))


def case_stubborn():
    """A process that ignores TERM; bottled dies before the end."""
    poke = os.path.join(work, f'poke-{label}')
    s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    s.bind(poke)
    s.listen()
    s.settimeout(60)
    m = monitor('sh', '-c', 'trap "" TERM; echo up; while :; do sleep 1; done', poke=poke)
    a = m.attach()
    m.ask(M.START)
    read_until(a, b'up\n')
    m.exec('sh', '-c', 'echo kept > /kept', flags=F['DETACH'])
    m.event(M.EV_EXEC_EXIT)
    r = m.ask(M.STOP, SIGNAL=15, TIMEOUT_MS=300)
    m.conn.close()
    m.conn = None

    def poked():
        c, _ = s.accept()
        c.settimeout(10)
        return same((r[0], c.recv(1), m.status()['code'], m.status()['state']), (OK, b'', '137', 'exited'))

    shows('stop with a timeout kills; without a bottled its socket is poked', poked)
    m.proc.wait(20)
    n = monitor('sh', '-c', 'cat /kept; sleep 1000', scratch=os.path.join(m.data, 'scratch'))
    a = n.attach()
    n.ask(M.START)
    shows('what was written before the kill is on the disk', lambda: same(frames(read_until(a, b'kept\n'))[1], b'kept\n'))
    os.kill(n.status() and int(n.status()['pid']), signal.SIGKILL) if os.getuid() == 0 else n.ask(M.KILL_VM)
    e = n.event(M.EV_EXIT)
    if os.getuid() == 0:
        shows('a VM that dies by itself is 255, with the reason', lambda: same(
            (e['CODE'], 'ended unexpectedly' in e.get('TEXT', ''), 'ended unexpectedly' in n.status()['error']), (255, True, True)))
    else:
        shows('a VM that is killed on request is 137', lambda: same((e['CODE'], 'TEXT' in e), (137, False)))
    shows('its clients end with it', lambda: same(read_all(a), b''))


def case_fails():
    m = monitor('/no/such/program')
    a = m.attach()
    r = m.ask(M.START)
    shows('a program that is not there: 127 and a reason', lambda: same(
        (r[0], r[1]['CODE'], len(r[1]['TEXT']) > 10), (ERR, 127, True)))
    shows('then the exit, with the same code', lambda: same(m.event(M.EV_EXIT)['CODE'], 127))
    shows('and the end of the attached stream', lambda: same(read_all(a), b''))


def make_tap():
    """A tap in a network namespace of its own, which lives as long as the descriptor."""
    ours, theirs = socket.socketpair()
    if os.fork() == 0:
        ctypes.CDLL(None).unshare(0x40000000)  # CLONE_NEWNET
        fd = os.open('/dev/net/tun', os.O_RDWR)
        fcntl.ioctl(fd, 0x400454ca, struct.pack('16sH22x', b'tap0', 0x5002))  # TUNSETIFF: TAP, NO_PI, VNET_HDR
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        fcntl.ioctl(s, 0x8914, struct.pack('16sH22x', b'tap0', 0x41))  # SIOCSIFFLAGS: UP, RUNNING
        socket.send_fds(theirs, [b'x'], [fd])
        os._exit(0)
    os.wait()
    return socket.recv_fds(ours, 1, 1)[1][0]


def case_nic():
    config = (M.u32(39, 0) + M.field(40, b'eth0') + M.field(41, bytes.fromhex('02aabbccddee')) +
              M.field(42, bytes([10, 9, 8, 7])) + M.u32(43, 24))
    tap_fd = make_tap()
    m = monitor('sh', '-c', 'cat /sys/class/net/eth0/address /sys/class/net/eth0/operstate; cat /proc/net/route', taps=[tap_fd],
                config=config)
    a = m.attach()
    m.ask(M.START)
    out = frames(read_all(a))[1].decode()
    shows('a tap becomes the named NIC with its MAC and address', lambda: same(
        (out.split()[0], '0008090A' in out), ('02:aa:bb:cc:dd:ee', True)))


def case_orphan():
    m = monitor('sleep', '1000')
    pid = m.ask(M.START)[1]['PID']
    m.proc.kill()
    shows('QEMU dies with its monitor', lambda: wait_until(lambda: not os.path.exists(f'/proc/{pid}')))


def case_bad():
    """MON_CREATE that cannot work: an answer with the reason, and no process is left."""
    broken = dict(files, kernel=files['initrd'])
    m = M.Monitor(program, broken, work, ['true'])
    monitors.append(m)
    end = m.create if m.create[0] == ERR else None
    if not end:  # QEMU may answer before it finds out
        r = m.ask(M.START)
        end = r
    shows('a kernel that is none: refused with the reason', lambda: same((end[0], len(end[1]['TEXT']) > 20), (ERR, True)))
    shows('and the monitor ends', lambda: m.proc.wait(90) is not None)


cases = {k[5:]: v for k, v in list(globals().items()) if k.startswith('case_')}
for name in sys.argv[6:] or cases:
    try:
        cases[name]()
    except Exception:
        tap(f'{name} runs to its end', False, traceback.format_exc() + ''.join(
            open(os.path.join(m.data, 'stderr')).read()[-1500:] for m in monitors[-1:]))
    while monitors:
        monitors.pop().finish()
