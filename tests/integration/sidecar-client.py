#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What an agent may try, byte by byte, and an origin that says what it got. Used by sidecar.sh."""
import hashlib
import os
import socket
import ssl
import struct
import sys

TYPES = {"A": 1, "CNAME": 5, "MX": 15, "TXT": 16, "AAAA": 28, "HTTPS": 65, "ANY": 255}
RCODES = ["NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED"]


def text(s):
    return s.encode().decode("unicode_escape").encode("latin-1")


def dial(host, port, timeout=10):
    return socket.create_connection((host, int(port)), timeout)


def read_all(s):
    data = b""
    try:
        while True:
            part = s.recv(65536)
            if not part:
                return data
            data += part
    except ConnectionResetError:
        return data + b"|reset"


def show(data):
    print(data.decode("latin-1").replace("\r", "").replace("\n", "|"))


# ---- DNS ----

def qname(name):
    return b"".join(bytes([len(label)]) + label.encode() for label in name.rstrip(".").split(".")) + b"\0"


def question(name, qtype=1, qclass=1, count=1):
    return os.urandom(2) + struct.pack(">HHHHH", 0x0100, count, 0, 0, 0) + (qname(name) + struct.pack(">HH", qtype, qclass)) * count


def answer(q, a):
    assert a[:2] == q[:2], "id"
    flags, n_q, n_a = struct.unpack(">HHH", a[2:8])
    off = 12
    owner = None
    addrs = []
    if n_q:
        end = a.index(b"\0", 12) + 1
        owner = a[12:end]
        assert a[12:end + 4] == q[12:end + 4], "question"
        off = end + 4
    for _ in range(n_a):
        assert a[off:off + 2] == b"\xc0\x0c", "owner"
        rtype, rclass, ttl, n = struct.unpack(">HHIH", a[off + 2:off + 12])
        assert (rtype, rclass, n) == (1, 1, 4) and 0 < ttl <= 300, "record"
        addrs.append(socket.inet_ntoa(a[off + 12:off + 16]))
        off += 16
    assert off == len(a), "trailing bytes"
    print(RCODES[flags & 15], " ".join(sorted(addrs)))


def ask(server, q):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.settimeout(10)
    s.connect((server, 53))  # only the address that was asked may answer
    s.send(q)
    return s.recv(4096)


def cmd_dns(server, name, qtype):
    q = question(name, TYPES[qtype])
    answer(q, ask(server, q))


def cmd_dnsclass(server, name, qclass):
    q = question(name, 1, int(qclass))
    answer(q, ask(server, q))


def cmd_dnstwo(server, name):
    q = question(name, count=2)
    print(RCODES[ask(server, q)[3] & 15])


def cmd_dnsloop(server):
    q = os.urandom(2) + struct.pack(">HHHHH", 0x0100, 1, 0, 0, 0) + b"\xc0\x0c\0\1\0\1"
    print(RCODES[ask(server, q)[3] & 15])


def cmd_dnstcp(server, name, qtype):
    s = dial(server, 53)
    q = question(name, TYPES[qtype])
    packet = struct.pack(">H", len(q)) + q
    for i in range(len(packet)):  # one byte a segment
        s.send(packet[i:i + 1])
    n = struct.unpack(">H", s.recv(2, socket.MSG_WAITALL))[0]
    answer(q, s.recv(n, socket.MSG_WAITALL))


def cmd_dnsflood(server, under):
    codes = [ask(server, question("n%d-%s.%s" % (i, os.urandom(3).hex(), under)))[3] & 15 for i in range(60)]
    print("limited" if codes.count(2) >= 10 and codes.count(0) >= 10 else "codes %s" % codes)


# ---- sockets ----

def cmd_connect(host, port):
    try:
        dial(host, port, 2)
        print("connected")
    except ConnectionRefusedError:
        print("refused")
    except TimeoutError:
        print("silence")


def cmd_udp(host, port):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.settimeout(1)
    s.connect((host, int(port)))
    s.send(question("api.example.com"))
    try:
        print("answer", s.recv(512))
    except ConnectionRefusedError:
        print("refused")
    except TimeoutError:
        print("silence")


def cmd_ping(host):
    s = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
    s.settimeout(1)
    body = struct.pack(">BBHHH", 8, 0, 0, 1, 1)
    total = sum(struct.unpack(">4H", body))
    total = ~(total + (total >> 16)) & 0xffff
    s.sendto(struct.pack(">BBHHH", 8, 0, total, 1, 1), (host, 0))
    try:
        print("answer", s.recv(512))
    except TimeoutError:
        print("silence")


# ---- HTTP ----

def cmd_raw(host, port, request):
    s = dial(host, port)
    s.sendall(text(request))
    show(read_all(s))


def tunnel(host, port, target):
    s = dial(host, port)
    s.sendall(("CONNECT %s HTTP/1.1\r\nHost: %s\r\n\r\n" % (target, target)).encode())
    head = b""
    while b"\r\n\r\n" not in head:
        part = s.recv(1)
        assert part, head
        head += part
    return s, head


def cmd_connectraw(host, port, target, first):
    s, head = tunnel(host, port, target)
    s.sendall(text(first))
    show(head + read_all(s))


def cmd_longhead(host, port):
    s = dial(host, port)
    try:
        s.sendall(b"GET http://api.example.com/ HTTP/1.1\r\nX: " + b"a" * 200000)
    except (BrokenPipeError, ConnectionResetError):
        pass
    show(read_all(s)[:200])


def read_response(f):
    status = int(f.readline().split()[1])
    length, chunked = 0, False
    while True:
        line = f.readline().strip().lower()
        if not line:
            break
        if line.startswith(b"content-length:"):
            length = int(line.split(b":")[1])
        chunked |= line == b"transfer-encoding: chunked"
    if not chunked:
        return status, f.read(length)
    body = b""
    while True:
        n = int(f.readline(), 16)
        body += f.read(n)
        f.readline()
        if n == 0:
            return status, body


def cmd_keepalive(host, port, *urls):
    s = dial(host, port)
    s.sendall(b"".join(("GET %s HTTP/1.1\r\nHost: %s\r\n\r\n" % (u, u.split("/")[2])).encode() for u in urls))
    f = s.makefile("rb")
    print(*[read_response(f)[0] for _ in urls])


def cmd_hop(host, port, url):
    s = dial(host, port)
    s.sendall(("GET %s HTTP/1.1\r\nHost: %s\r\nConnection: close, X-Hop\r\nX-Hop: 1\r\nProxy-Authorization: Basic eDp5\r\n"
               "Keep-Alive: 5\r\nTE: trailers\r\nX-Kept: yes\r\n\r\n" % (url, url.split("/")[2])).encode())
    got = read_response(s.makefile("rb"))[1].decode().lower()
    bad = [h for h in ("x-hop", "proxy-", "keep-alive:", "\nte:", "http://") if h in got]
    print("clean" if not bad and "x-kept: yes" in got and got.startswith("get /echo http/1.1") else (bad, got))


def cmd_chunked(host, port, url):
    """Several times on one connection: a byte that is held back for want of room must not be forgotten."""
    s = socket.socket()
    s.settimeout(20)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)  # so that the sidecar has to hold bytes back
    s.connect((host, int(port)))
    f = s.makefile("rb")
    for n in range(12):
        body = os.urandom(80000 + 20000 * n)
        s.sendall(("POST %s HTTP/1.1\r\nHost: %s\r\nTransfer-Encoding: chunked\r\n\r\n" % (url, url.split("/")[2])).encode())
        for i in range(0, len(body), 7001):
            part = body[i:i + 7001]
            s.sendall(b"%x;ext=1\r\n" % len(part) + part + b"\r\n")
        s.sendall(b"0\r\nX-Trailer: 1\r\n\r\n")
        status, got = read_response(f)
        if (status, got) != (200, body):
            print("differs", status, len(got))
            return
    print("echo", len(got), "ok")


# ---- TLS ----

def hello(name):
    """The ClientHello of a real client, from memory."""
    ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    ctx.check_hostname = False
    ctx.verify_mode = ssl.CERT_NONE
    out = ssl.MemoryBIO()
    obj = ctx.wrap_bio(ssl.MemoryBIO(), out, server_hostname=name or None)
    try:
        obj.do_handshake()
    except ssl.SSLWantReadError:
        pass
    return out.read()


def cmd_tls(host, port, via, name):
    """via: the CONNECT target, or '' for a transparent connection."""
    s = tunnel(host, port, via + ":443")[0] if via else dial(host, port)
    s.sendall(hello(name))
    data = read_all(s)
    print("alert access denied" if data == b"\x15\x03\x03\0\x02\x02\x31" else data)


def cmd_crumbs(host, port, name):
    """One handshake byte a record, each record in two segments."""
    s = dial(host, port)
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    raw = hello(name)[5:]
    for i in range(len(raw)):
        record = b"\x16\x03\x01\0\x01" + raw[i:i + 1]
        s.send(record[:3])
        s.send(record[3:])
    first = s.recv(1)
    print("handshake" if first == b"\x16" else "got %r" % first)


def cmd_heldopen(host, port, name, flag):
    s, _ = tunnel(host, port, name + ":443")
    s.sendall(hello(name))
    assert s.recv(1) == b"\x16"
    open(flag, "w").close()
    try:
        while s.recv(65536):
            pass
        print("open cut")
    except ConnectionResetError:
        print("open cut")


# ---- an origin ----

def origin_answer(f, s):
    line = f.readline().decode()
    if not line:
        return False
    path = line.split()[1]
    head, length, chunked = line, 0, False
    while True:
        field = f.readline().decode()
        if not field.strip():
            break
        head += field
        key, value = field.split(":", 1)
        if key.lower() == "content-length":
            length = int(value)
        chunked |= key.lower() == "transfer-encoding"
        if key.lower() == "expect":
            s.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
    body = b""
    if chunked:
        while True:
            n = int(f.readline().split(b";")[0], 16)
            body += f.read(n)
            f.readline()
            if n == 0:
                break
    else:
        body = f.read(length)
    if path == "/smuggle":
        s.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")
    elif path == "/switch":
        s.sendall(b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\nhidden")
    elif path == "/sum":
        out = ("%d %s\n" % (len(body), hashlib.sha256(body).hexdigest())).encode()
        s.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(out) + out)
    else:
        out = body or head.encode()
        s.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for i in range(0, len(out), 4999):
            s.sendall(b"%x\r\n" % len(out[i:i + 4999]) + out[i:i + 4999] + b"\r\n")
        s.sendall(b"0\r\n\r\n")
    return True


def cmd_origin(host, port):
    listener = socket.create_server((host, int(port)))
    while True:
        s, _ = listener.accept()
        if os.fork() == 0:
            f = s.makefile("rb")
            while origin_answer(f, s):
                pass
            os._exit(0)
        s.close()


globals()["cmd_" + sys.argv[1]](*sys.argv[2:])
