# SPDX-License-Identifier: Apache-2.0
"""A stand-in for bottled: speaks proto/monitor.h to a bottle-monitor, for tests/integration/monitor.sh."""
import array
import os
import select
import signal
import socket
import struct
import subprocess
import time

(CREATE, ATTACH, START, EXEC, RESIZE, SIGNAL, STOP, KILL_VM, PAUSE, UNPAUSE, STATS, INSPECT) = range(1, 13)
OK, ERR, EV_EXIT, EV_EXEC_EXIT, EV_LOG, EV_DETACHED = range(64, 70)
T = dict(CODE=1, CLASS=2, TEXT=3, FLAGS=4, EARLY=5, EXEC_ID=6, EXEC_RUNNING=7, ROWS=8, COLS=9, SIGNAL=10, TIMEOUT_MS=11,
         PID=12, STATE=13, STARTED_NS=14, FINISHED_NS=15, OOM=16, STATS=17, DETACH_KEYS=18,
         ID=32, CPUS=33, CPU_QUOTA=34, MEMORY=35, GUEST_CONFIG=36, PROCESS=37, LAYERS=38, NICS=39, LOG_MAX=40, POKE=41)
U64 = {'TIMEOUT_MS', 'MEMORY', 'LOG_MAX', 'STARTED_NS', 'FINISHED_NS'}
BYTES = {'EARLY', 'DETACH_KEYS', 'GUEST_CONFIG', 'PROCESS', 'STATS'}
STR = {'TEXT', 'EXEC_ID', 'ID', 'POKE'}
NAMES = {v: k for k, v in T.items()}
F = dict(STDIN=1, STDOUT=2, STDERR=4, TTY=8, DETACH=16, STDIN_ONCE=32, REPLAY=64, NO_STREAM=128)
OUT = F['STDOUT'] | F['STDERR']
WAIT = 60


def field(tag, data):
    return struct.pack('<HHI', tag, 0, len(data)) + data


def u32(tag, v):
    return field(tag, struct.pack('<I', v))


def u64(tag, v):
    return field(tag, struct.pack('<Q', v))


def body(**kw):
    out = b''
    for name, v in kw.items():
        tag = T[name]
        if name in U64:
            out += u64(tag, v)
        elif name in BYTES:
            out += field(tag, v)
        elif name in STR:
            out += field(tag, v.encode())
        else:
            out += u32(tag, v)
    return out


def parse(data):
    out, execs, at = {}, {}, 0
    current = out
    while at < len(data):
        tag, zero, n = struct.unpack_from('<HHI', data, at)
        assert zero == 0
        raw = data[at + 8:at + 8 + n]
        at += 8 + n
        name = NAMES[tag]
        if name == 'EXEC_ID':
            current = execs.setdefault(raw.decode(), {})
            out['EXEC_ID'] = raw.decode()
            continue
        if name in U64:
            v = struct.unpack('<Q', raw)[0]
        elif name in BYTES:
            v = raw
        elif name in STR:
            v = raw.decode()
        else:
            v = struct.unpack('<I', raw)[0]
        out.setdefault(name, v)
        current[name] = v
    out['execs'] = execs
    return out


def process(*argv, tty=False, stdin=False, main=False, env=('PATH=/bin', 'HOME=/')):
    out = b''.join(field(96, a.encode()) for a in argv)
    out += b''.join(field(97, e.encode()) for e in env)
    if tty:
        out += u32(101, 1) + u32(7, 24) + u32(8, 80)
    if stdin:
        out += u32(102, 1)
    if main:
        out += u32(107, 1)
    return out


class Gone(Exception):
    pass


class Monitor:
    """One monitor and the connection to it. files: dict of kernel, initrd, scratch, layers."""

    def __init__(self, program, files, run_dir, argv, cid=None, memory=256, poke=None, tty=False,
                 stdin=False, log_max=64 << 20, taps=(), scratch=None, config=b''):
        self.cid = cid or os.urandom(32).hex()
        self.data = os.path.join(run_dir, 'containers', self.cid)
        self.runtime = os.path.join(run_dir, 'rt', 'vm', self.cid[:32])
        os.makedirs(self.data, exist_ok=True)
        os.makedirs(self.runtime, exist_ok=True)
        self.seq, self.pending, self.events, self.conn = 0, {}, [], None
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.conn = ours
        self.err = open(os.path.join(self.data, 'stderr'), 'wb')

        def child():
            os.dup2(theirs.fileno(), 3)
            os.set_inheritable(3, True)

        keep = theirs.fileno()
        self.proc = subprocess.Popen([program, '-v'], preexec_fn=child, pass_fds=(3, keep), stdin=subprocess.DEVNULL,
                                     stdout=subprocess.DEVNULL, stderr=self.err)
        theirs.close()
        path = scratch or os.path.join(self.data, 'scratch')
        if not os.path.exists(path):
            subprocess.run(['cp', '--sparse=always', files['scratch'], path], check=True)
        fds = [os.open(self.data, os.O_PATH), os.open(self.runtime, os.O_PATH), os.open(files['kernel'], os.O_RDONLY),
               os.open(files['initrd'], os.O_RDONLY), os.open(path, os.O_RDWR)]
        fds += [os.open(p, os.O_RDONLY) for p in files['layers']]
        config = field(34, b'box') + config
        config += b''.join(u32(37, i + 1) for i in range(len(files['layers']))) + u32(38, 0)
        kw = dict(ID=self.cid, CPUS=1, MEMORY=memory << 20, GUEST_CONFIG=config,
                  PROCESS=process(*argv, main=True, tty=tty, stdin=stdin), LAYERS=len(files['layers']), LOG_MAX=log_max)
        if poke:
            kw['POKE'] = poke
        self.create = self.ask(CREATE, fds=fds + list(taps), raw=body(**kw) + u32(T['NICS'], len(taps)))
        for fd in fds:
            os.close(fd)

    def send(self, kind, fds=(), raw=None, **kw):
        self.seq += 1
        data = struct.pack('=HHI', kind, 0, self.seq) + (raw if raw is not None else body(**kw))
        anc = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array('i', fds))] if fds else []
        self.conn.sendmsg([data], anc)
        return self.seq

    def pump(self, timeout=WAIT):
        r, _, _ = select.select([self.conn], [], [], timeout)
        if not r:
            raise TimeoutError('the monitor said nothing')
        data = self.conn.recv(70000)
        if not data:
            raise Gone()
        kind, _, seq = struct.unpack_from('=HHI', data)
        fields = parse(data[8:])
        if kind in (OK, ERR):
            self.pending[seq] = (kind, fields)
        else:
            self.events.append((kind, fields))

    def answer(self, seq, timeout=WAIT):
        end = time.monotonic() + timeout
        while seq not in self.pending:
            self.pump(max(0.01, end - time.monotonic()))
        return self.pending.pop(seq)

    def ask(self, kind, fds=(), raw=None, **kw):
        return self.answer(self.send(kind, fds, raw, **kw))

    def event(self, kind, timeout=WAIT, match=lambda f: True):
        end = time.monotonic() + timeout
        while True:
            for i, (k, f) in enumerate(self.events):
                if k == kind and match(f):
                    del self.events[i]
                    return f
            self.pump(max(0.01, end - time.monotonic()))

    def attach(self, flags=OUT, **kw):
        ours, theirs = socket.socketpair()
        r = self.ask(ATTACH, fds=[theirs.fileno()], FLAGS=flags, **kw)
        theirs.close()
        assert r[0] == OK, r
        return ours

    def exec(self, *argv, flags=OUT, tty=False, xid=None, **kw):
        xid = xid or os.urandom(32).hex()
        ours, theirs = socket.socketpair()
        raw = body(EXEC_ID=xid, FLAGS=flags | (F['TTY'] if tty else 0),
                   PROCESS=process(*argv, tty=tty, stdin=bool(flags & F['STDIN'])), **kw)
        r = self.ask(EXEC, fds=[] if flags & F['DETACH'] else [theirs.fileno()], raw=raw)
        theirs.close()
        return xid, ours, r

    def reconnect(self):
        s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        s.connect(os.path.join(self.runtime, 'control'))
        self.conn.close()
        self.conn, self.pending, self.events = s, {}, []

    def status(self):
        with open(os.path.join(self.data, 'status')) as f:
            return dict(line.rstrip('\n').split(' ', 1) for line in f)

    def log(self):
        out = []
        for name in ('log.1', 'log'):
            try:
                with open(os.path.join(self.data, name), 'rb') as f:
                    data = f.read()
            except FileNotFoundError:
                continue
            at = 0
            while at < len(data):
                t, n, stream, partial, _ = struct.unpack_from('<QIBBH', data, at)
                out.append((stream, partial, data[at + 16:at + 16 + n]))
                at += 16 + n
        return out

    def finish(self):
        """Ends what a failed test left."""
        if self.proc.poll() is None:
            self.proc.kill()
        self.proc.wait(10)
        if self.conn:
            self.conn.close()


def read_all(sock, timeout=WAIT, limit=None):
    """Until end of file (or limit bytes)."""
    out, end = b'', time.monotonic() + timeout
    while limit is None or len(out) < limit:
        sock.settimeout(max(0.01, end - time.monotonic()))
        data = sock.recv(65536)
        if not data:
            break
        out += data
    return out


def read_until(sock, text, timeout=WAIT):
    out, end = b'', time.monotonic() + timeout
    while text not in out:
        sock.settimeout(max(0.01, end - time.monotonic()))
        data = sock.recv(65536)
        if not data:
            raise Gone(out)
        out += data
    return out


def frames(data):
    """stdcopy: {1: stdout, 2: stderr}; complains about a cut frame."""
    out, at = {1: b'', 2: b''}, 0
    while at < len(data):
        stream, n = data[at], struct.unpack_from('>I', data, at + 4)[0]
        assert data[at + 1:at + 4] == b'\0\0\0' and at + 8 + n <= len(data), 'cut or malformed frame'
        out[stream] += data[at + 8:at + 8 + n]
        at += 8 + n
    return out
