# SPDX-License-Identifier: Apache-2.0
"""A client of netpolicyd and guests for its taps, for tests/integration/netpolicy.sh. Needs root in a namespace of its own."""
import array
import ctypes
import fcntl
import os
import select
import socket
import struct
import subprocess
import threading

HELLO, NETWORK_ADD, NETWORK_DEL, ENDPOINT_ADD, ENDPOINT_DEL, PUBLISH, UNPUBLISH, LIST, CHECK = range(1, 10)
OK, ERR = 64, 65
INTERNAL, BRIDGE, EGRESS = 1, 2, 3
TAGS = ["VERSION", "CODE", "CLASS", "TEXT", "NETWORK", "ENDPOINT", "PUBLISHED", "KIND", "SUBNET", "PREFIX", "GATEWAY", "INDEX",
        "ADDR", "MAC", "GATEWAY_MAC", "PROTO", "PORT", "HOST_ADDR", "HOST_PORT", "ALIVE", "SLICE", "QUOTA_NETWORKS",
        "QUOTA_ENDPOINTS", "QUOTA_PUBLISHES"]
U64 = {"NETWORK", "ENDPOINT", "PUBLISHED"}
ADDRS = {"SUBNET", "GATEWAY", "ADDR", "HOST_ADDR", "SLICE"}
MACS = {"MAC", "GATEWAY_MAC"}
DENIED, NOTFOUND, CONFLICT, LIMIT, INVALID = 2, 3, 4, 5, 1
libc = ctypes.CDLL(None, use_errno=True)
WAIT = 10


def encode(name, v):
    if name in U64:
        return struct.pack("<Q", v)
    return socket.inet_aton(v) if name in ADDRS else struct.pack("<I", v)


def decode(name, v):
    if name in U64:
        return struct.unpack("<Q", v)[0]
    if name in ADDRS:
        return socket.inet_ntoa(v)
    if name in MACS:
        return v
    return v.decode() if name == "TEXT" else struct.unpack("<I", v)[0]


class Answer:
    def __init__(self, kind, rows, fds):
        self.ok, self.rows, self.fds = kind == OK, rows, fds
        self.v = dict(rows)
        self.cls = self.v.get("CLASS")

    def __repr__(self):
        return f"{'OK' if self.ok else 'ERR'} {self.rows}"


class Client:
    """Speaks as a uid: what SO_PEERCRED says is the effective one at connect(2)."""

    def __init__(self, path, uid):
        self.s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.s.settimeout(WAIT)
        os.seteuid(uid)
        try:
            self.s.connect(path)
        finally:
            os.seteuid(0)
        self.seq = 0

    def raw(self, data, fds=()):
        anc = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        self.s.sendmsg([data], anc)
        try:
            data, got, _, _ = socket.recv_fds(self.s, 70000, 4)
        except ConnectionResetError:
            return None
        if not data:
            return None
        kind, _, seq = struct.unpack("<HHI", data[:8])
        rows, at = [], 8
        while at < len(data):
            tag, _, n = struct.unpack("<HHI", data[at:at + 8])
            rows.append((TAGS[tag - 1], decode(TAGS[tag - 1], data[at + 8:at + 8 + n])))
            at += 8 + n
        assert seq == self.seq
        return Answer(kind, rows, list(got))

    def call(self, kind, fds=(), **args):
        self.seq += 1
        body = struct.pack("<HHI", kind, 0, self.seq)
        for k, v in args.items():
            d = encode(k, v)
            body += struct.pack("<HHI", TAGS.index(k) + 1, 0, len(d)) + d
        return self.raw(body, fds)

    def close(self):
        self.s.close()


# ---- namespaces ----

def setns(fd):
    if libc.setns(fd, 0x40000000) < 0:
        raise OSError(ctypes.get_errno(), "setns")


HOST = os.open("/proc/thread-self/ns/net", os.O_RDONLY)


def new_ns():
    if libc.unshare(0x40000000) < 0:
        raise OSError(ctypes.get_errno(), "unshare")
    fd = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    setns(HOST)
    return fd


class inside:
    def __init__(self, fd):
        self.fd = fd

    def __enter__(self):
        setns(self.fd)

    def __exit__(self, *_):
        setns(HOST)


def sh(*args):
    return subprocess.run(args, check=True, capture_output=True, text=True).stdout


def ip(line):
    return sh("ip", *line.split())


# ---- frames ----

def checksum(data):
    data += b"\0" * (len(data) % 2)
    s = sum(struct.unpack(f"!{len(data) // 2}H", data))
    s = (s >> 16) + (s & 0xffff)
    return ~(s + (s >> 16)) & 0xffff


def eth(dst, src, kind, payload):
    return dst + src + struct.pack("!H", kind) + payload


def ipv4(src, dst, proto, payload):
    head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(payload), 1, 0, 64, proto, 0, socket.inet_aton(src), socket.inet_aton(dst))
    return head[:10] + struct.pack("!H", checksum(head)) + head[12:] + payload


def udp(sport, dport, data):
    return struct.pack("!HHHH", sport, dport, 8 + len(data), 0) + data


def arp(op, smac, sip, tmac, tip, htype=1):
    return struct.pack("!HHBBH", htype, 0x800, 6, 4, op) + smac + socket.inet_aton(sip) + tmac + socket.inet_aton(tip)


BROADCAST = b"\xff" * 6
VNET = b"\0" * 12


class Sniffer:
    """Every frame that arrives at a namespace's interfaces."""

    def __init__(self, ns):
        with inside(ns):
            self.s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
        self.s.setblocking(False)

    def drain(self):
        got = []
        while True:
            try:
                data, addr = self.s.recvfrom(4096)
            except BlockingIOError:
                return got
            if addr[2] != 4:  # PACKET_OUTGOING
                got.append(data)

    def until(self, mark):
        """All frames up to one that holds mark; None when it does not come."""
        got = []
        while select.select([self.s], [], [], WAIT)[0]:
            data, addr = self.s.recvfrom(4096)
            if addr[2] == 4:
                continue
            got.append(data)
            if mark in data:
                return got
        return None


# ---- guests ----

class Nic:
    """A tap from netpolicyd joined to an interface of the guest's namespace."""

    def __init__(self, vm, name, answer):
        self.fd, self.mac, self.addr = answer.fds[0], answer.v["MAC"], answer.v["ADDR"]
        self.vm, self.name, self.gateway_mac = vm, name, answer.v.get("GATEWAY_MAC")
        with inside(vm.ns):
            self.guest = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
            fcntl.ioctl(self.guest, 0x400454ca, struct.pack("16sH22x", name.encode(), 0x0002 | 0x1000 | 0x4000))
            fcntl.ioctl(self.guest, 0x400454d8, struct.pack("i", 12))
            ip(f"link set {name} address {self.mac.hex(':')}")
            ip(f"addr add {self.addr}/{answer.v['PREFIX']} dev {name}")
            ip(f"link set {name} up")
            if "GATEWAY" in answer.v:
                ip(f"route replace default via {answer.v['GATEWAY']} dev {name}")
        self.stop, self.stopper = os.pipe()
        self.thread = threading.Thread(target=self.pump, daemon=True)
        self.thread.start()

    def pump(self):
        other = {self.fd: self.guest, self.guest: self.fd}
        while True:
            ready = select.select([self.fd, self.guest, self.stop], [], [])[0]
            if self.stop in ready:
                return
            for fd in ready:
                try:
                    os.write(other[fd], os.read(fd, 70000))
                except BlockingIOError:
                    pass
                except OSError:
                    return

    def send(self, frame):
        try:
            os.write(self.fd, VNET + frame)
        except OSError as e:
            if e.errno != 22:  # the kernel refuses frames without a whole head
                raise

    def unplug(self):
        """Closes the tap, as the end of its VM does."""
        os.write(self.stopper, b"x")
        self.thread.join()
        for fd in (self.fd, self.guest, self.stop, self.stopper):
            os.close(fd)


class Guest:
    def __init__(self):
        self.ns = new_ns()
        with inside(self.ns):
            ip("link set lo up")
            for k in ("all", "default"):
                with open(f"/proc/sys/net/ipv6/conf/{k}/disable_ipv6", "w", encoding="ascii") as f:
                    f.write("1")
        self.sniffer = Sniffer(self.ns)

    def plug(self, name, answer):
        assert answer.ok, answer
        return Nic(self, name, answer)

    def tcp_server(self, port):
        """Greets with the peer's address, then echoes."""
        with inside(self.ns):
            s = socket.create_server(("0.0.0.0", port))
        threading.Thread(target=accept_loop, args=(s,), daemon=True).start()

    def udp_server(self, port, addr="0.0.0.0"):
        with inside(self.ns):
            s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            s.bind((addr, port))
        threading.Thread(target=udp_loop, args=(s,), daemon=True).start()

    def udp_ask(self, addr, port, data, wait=WAIT):
        with inside(self.ns):
            s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        return udp_ask(s, addr, port, data, wait)

    def tcp_ask(self, addr, port, wait=WAIT):
        with inside(self.ns):
            s = socket.socket()
        return tcp_ask(s, addr, port, wait)


def echo_loop(c, peer):
    try:
        c.sendall(peer[0].encode() + b"\n")
        while data := c.recv(4096):
            c.sendall(data)
    except OSError:
        pass
    c.close()


def accept_loop(s):
    while True:
        c, peer = s.accept()
        threading.Thread(target=echo_loop, args=(c, peer), daemon=True).start()


def udp_loop(s):
    while True:
        data, peer = s.recvfrom(4096)
        s.sendto(peer[0].encode() + b" " + data, peer)


def udp_ask(s, addr, port, data, wait=WAIT):
    s.settimeout(wait)
    try:
        s.sendto(data, (addr, port))
        return s.recv(4096).decode()
    except OSError as e:
        return type(e).__name__


def tcp_ask(s, addr, port, wait=WAIT):
    s.settimeout(wait)
    try:
        s.connect((addr, port))
        return s.recv(100).decode().strip()
    except OSError as e:
        return type(e).__name__


def as_uid(uid, fn, *args):
    """What fn says when another user calls it."""
    r, w = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)
        os.write(w, str(fn(*args)).encode())
        os._exit(0)
    os.close(w)
    text = b""
    while data := os.read(r, 4096):
        text += data
    os.close(r)
    os.waitpid(pid, 0)
    return text.decode()
