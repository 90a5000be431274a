#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Bytes on the Engine socket that no client library sends: engine_raw.py SOCKET CHECK. Exit 0 when the engine does as it should."""
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time

LIMIT = 15


def connect(path):
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(LIMIT)
    s.connect(path)
    return s


class Reader:
    """Answers of one connection, one after the other."""

    def __init__(self, s):
        self.s, self.buf = s, b""

    def more(self):
        part = self.s.recv(65536)
        self.buf += part
        return bool(part)

    def until(self, mark):
        while mark not in self.buf:
            assert self.more(), "the connection ended inside %r" % self.buf[:200]
        part, self.buf = self.buf.split(mark, 1)
        return part

    def head(self):
        lines = self.until(b"\r\n\r\n").decode().split("\r\n")
        fields = {k.lower(): v for k, v in (line.split(": ", 1) for line in lines[1:])}
        return int(lines[0].split(" ")[1]), fields

    def answer(self, head_only=False):
        status, fields = self.head()
        body = b""
        if head_only or status in (204, 304):
            return status, fields, body
        if fields.get("transfer-encoding") == "chunked":
            while True:
                n = int(self.until(b"\r\n"), 16)
                while len(self.buf) < n + 2:
                    assert self.more()
                body += self.buf[:n]
                self.buf = self.buf[n + 2:]
                if n == 0:
                    return status, fields, body
        n = int(fields["content-length"])
        while len(self.buf) < n:
            assert self.more(), "the body ends early"
        body, self.buf = self.buf[:n], self.buf[n:]
        return status, fields, body

    def ended(self):
        try:
            return not self.more()
        except ConnectionResetError:
            return True


def one(path, data):
    s = connect(path)
    s.sendall(data)
    r = Reader(s)
    return r.answer(), r


PING = b"GET /_ping HTTP/1.1\r\nHost: d\r\n\r\n"


def alive(path):
    (status, _, body), _ = one(path, PING)
    assert (status, body) == (200, b"OK"), (status, body)


def headers(path):
    (status, f, body), _ = one(path, PING)
    assert (status, body) == (200, b"OK")
    want = {"api-version": "1.50", "ostype": "linux", "docker-experimental": "false", "swarm": "inactive",
            "cache-control": "no-cache, no-store, must-revalidate", "pragma": "no-cache",
            "content-type": "text/plain; charset=utf-8", "content-length": "2"}
    for k, v in want.items():
        assert f.get(k) == v, (k, f.get(k))
    assert f["server"].startswith("Docker/28.") and "date" in f
    s = connect(path)
    s.sendall(b"HEAD /_ping HTTP/1.1\r\nHost: d\r\n\r\n" + PING)
    r = Reader(s)
    status, f, _ = r.answer(head_only=True)
    assert status == 200 and f["content-length"] == "0"
    assert r.answer()[2] == b"OK"


def malformed(path):
    cases = [
        b"GET / HTTP/1.1\n\n", b"GET /_ping\r\n\r\n", b"GET /_ping HTTP/2.0\r\nHost: d\r\n\r\n",
        b"GET /_ping HTTP/1.1\r\nHost: d\r\nHost: e\r\n\r\n", b"GET /_ping HTTP/1.1\r\nHost : d\r\n\r\n",
        b"GET /_ping HTTP/1.1\r\nA: b\r\n c\r\n\r\n", b"GET /_ping HTTP/1.1\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"GET /%zz HTTP/1.1\r\nHost: d\r\n\r\n",
        b"GET /_ping?a=%zz HTTP/1.1\r\nHost: d\r\n\r\n", b"GET http://d/_ping HTTP/1.1\r\nHost: d\r\n\r\n",
        b"POST /networks/create HTTP/1.1\r\nHost: d\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}",
        b"POST /networks/create HTTP/1.1\r\nHost: d\r\nContent-Length: -1\r\n\r\n",
        b"POST /networks/create HTTP/1.1\r\nHost: d\r\nTransfer-Encoding: gzip\r\n\r\n",
    ]
    other = connect(path)
    for data in cases:
        (status, f, body), _ = one(path, data)
        assert status == 400, (data, status)
        assert f["content-type"] == "application/json" and json.loads(body)["message"], body
        assert body.endswith(b"}\n")
    other.sendall(PING)
    assert Reader(other).answer()[0] == 200, "another connection suffered"


def bodies(path):
    """Status of a POST with that body, and whether the connection goes on."""
    head = b"POST /networks/create HTTP/1.1\r\nHost: d\r\nContent-Type: application/json\r\n"
    chunked = head + b"Transfer-Encoding: chunked\r\n\r\n"
    name = b'{"name":"%s"}'
    cases = [
        (chunked + b"5\r\n{\"nam\r\n", None),
        (chunked + b"zz\r\n{}\r\n0\r\n\r\n", 400), (chunked + b"2\r\n{}XX0\r\n\r\n", 400),
        (chunked + b"fffffffffffffffff\r\n", 400), (chunked + b"2\n{}\n0\n\n", 400),
        (chunked + b"2\r\n{}\r\n0\r\n\r\n", 400), (chunked + b"2\r\n[]\r\n0\r\n\r\n", 400),
        (head + b"Content-Length: 5\r\n\r\n{\"a\":", 400), (head + b"Content-Length: 1\r\n\r\n\"", 400),
        (head.replace(b"application/json", b"text/plain") + b"Content-Length: 2\r\n\r\n{}", 400),
        (head + b"Content-Length: 99999999\r\n\r\n" + b" " * (5 << 20), 413),
    ]
    for data, want in cases:
        if want is None:
            s = connect(path)
            s.sendall(data)
            s.close()
            continue
        s = connect(path)
        try:
            s.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            pass
        status, _, body = Reader(s).answer()
        assert status == want, (data[:200], status, body)
    whole = name % b"chunky"
    (status, _, _), r = one(path, chunked + b"".join(b"1\r\n%c\r\n" % c for c in whole) + b"0\r\nX: y\r\n\r\n" + PING)
    assert status == 201, status
    assert r.answer()[0] == 200
    (status, _, _), _ = one(path, b"DELETE /networks/chunky HTTP/1.1\r\nHost: d\r\n\r\n")
    assert status == 204, status


def expect(path):
    s = connect(path)
    r = Reader(s)
    s.sendall(b"POST /networks/create HTTP/1.1\r\nHost: d\r\nContent-Type: application/json\r\nContent-Length: 2\r\n"
              b"Expect: 100-continue\r\n\r\n")
    assert r.until(b"\r\n\r\n") == b"HTTP/1.1 100 Continue"
    s.sendall(b"{}")
    assert r.answer()[0] == 400
    s.sendall(b"POST /nowhere HTTP/1.1\r\nHost: d\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n")
    status, f, _ = r.answer()
    assert status == 404 and f["connection"] == "close", "what is refused needs no body"
    assert r.ended()


def pipeline(path):
    s = connect(path)
    n = 200
    s.sendall((PING + b"GET /nowhere HTTP/1.1\r\nHost: d\r\nContent-Length: 3\r\n\r\nabc") * n)
    r = Reader(s)
    for _ in range(n):
        assert r.answer()[0] == 200
        assert r.answer()[0] == 404
    s.sendall(PING.replace(b"Host", b"Connection: close\r\nHost"))
    status, f, _ = r.answer()
    assert status == 200 and f["connection"] == "close" and r.ended()
    (status, f, _), r = one(path, b"GET /_ping HTTP/1.0\r\n\r\n")
    assert status == 200 and r.ended()


def flood(path):
    """A head without an end, too many fields, a path of 64 KiB that is fine."""
    s = connect(path)
    try:
        s.sendall(b"GET /_ping HTTP/1.1\r\nHost: d\r\n" + b"".join(b"A%d: b\r\n" % i for i in range(100000)))
    except (BrokenPipeError, ConnectionResetError):
        pass
    assert Reader(s).answer()[0] == 431
    s = connect(path)
    try:
        s.sendall(b"GET /" + b"a" * (1 << 20))
    except (BrokenPipeError, ConnectionResetError):
        pass
    assert Reader(s).answer()[0] == 431
    (status, _, _), _ = one(path, b"GET /_ping?x=" + b"a" * 70000 + b" HTTP/1.1\r\nHost: d\r\n\r\n")
    assert status == 200


def slow(path):
    """A head that never ends: closed in bounded time, with others served meanwhile."""
    s = connect(path)
    begin, bytes_sent = time.monotonic(), 0
    s.sendall(b"GET /_ping HTTP/1.1\r\n")
    while time.monotonic() - begin < 14:
        if select.select([s], [], [], 0.3)[0]:
            break
        s.sendall(b"A")
        bytes_sent += 1
        if bytes_sent % 10 == 0:
            alive(path)
    took = time.monotonic() - begin
    assert Reader(s).answer()[0] == 408 and 8 < took < 13, took


def half_closed(path):
    for data in (PING, b"GET /info HTTP/1.1\r\nHost: d\r\n\r\n"):
        s = connect(path)
        s.sendall(data)
        s.shutdown(socket.SHUT_WR)
        r = Reader(s)
        assert r.answer()[0] == 200 and r.ended()
    s = connect(path)
    s.sendall(b"GET /_pi")
    s.shutdown(socket.SHUT_WR)
    assert Reader(s).ended(), "half a head and no more is nothing to wait for"
    s = connect(path)
    s.sendall(b"POST /networks/create HTTP/1.1\r\nHost: d\r\nContent-Length: 9\r\n\r\n{")
    s.shutdown(socket.SHUT_WR)
    assert Reader(s).answer()[0] == 400
    s = connect(path)
    s.sendall(b"GET /events HTTP/1.1\r\nHost: d\r\n\r\n")
    s.shutdown(socket.SHUT_WR)
    r = Reader(s)
    assert r.head()[0] == 200
    make_network(path, "half")
    r.until(b'"name":"half"')


def make_network(path, name):
    body = json.dumps({"name": name, "internal": True}).encode()
    (status, _, text), _ = one(path, b"POST /v1.41/networks/create HTTP/1.1\r\nHost: d\r\nContent-Type: application/json\r\n"
                               b"Content-Length: %d\r\n\r\n%s" % (len(body), body))
    assert status == 201, (status, text)
    return json.loads(text)["Id"]


def many(path):
    """More connections than the engine takes at once: the idle ones give way."""
    conns = []
    for i in range(1100):
        conns.append(connect(path))
        if i % 50 == 0:
            conns[-1].sendall(PING)
            assert Reader(conns[-1]).answer()[0] == 200
    alive(path)


def large_bodies(path):
    """Unfinished large bodies share one budget: who is beyond it is told so, and the others go on."""
    head = b"POST /networks/create HTTP/1.1\r\nHost: d\r\nContent-Type: application/json\r\nContent-Length: 4000000\r\n\r\n"
    waiting, refused = [], 0
    for _ in range(24):
        s = connect(path)
        try:
            s.sendall(head + b'{"a":"' + b"x" * 3900000)
        except (BrokenPipeError, ConnectionResetError):
            pass
        if select.select([s], [], [], 0.05)[0]:
            assert Reader(s).answer()[0] == 503
            refused += 1
        else:
            waiting.append(s)
    assert refused and len(waiting) >= 12, (refused, len(waiting))
    waiting.pop().close()
    alive(path)
    waiting[0].sendall(b"x" * (4000000 - 3900000 - 6 - 2) + b'"}')
    assert Reader(waiting[0]).answer()[0] == 400, "a network without a name"
    for s in waiting:
        s.close()
    make_network(path, "roomy")
    (status, _, _), _ = one(path, b"DELETE /networks/roomy HTTP/1.1\r\nHost: d\r\n\r\n")
    assert status == 204, status


def events(path):
    """Headers at once; what happens; a replay by since and until; filters."""
    s = connect(path)
    s.sendall(b"GET /events HTTP/1.1\r\nHost: d\r\n\r\n")
    r = Reader(s)
    status, f = r.head()
    assert status == 200 and f["transfer-encoding"] == "chunked" and f["content-type"] == "application/json"
    since = time.time()
    net = make_network(path, "seen")
    line = r.until(b"}\n\r\n").split(b"\r\n", 1)[1] + b"}"
    ev = json.loads(line)
    assert (ev["Type"], ev["Action"], ev["Actor"]["ID"], ev["scope"]) == ("network", "create", net, "local"), ev
    assert "status" not in ev and abs(ev["timeNano"] / 1e9 - since) < 10 and ev["time"] == ev["timeNano"] // 10**9
    for i in range(600):
        (status, _, _), _ = one(path, b"DELETE /networks/seen HTTP/1.1\r\nHost: d\r\n\r\n")
        assert status == 204
        make_network(path, "seen")
    until = time.time()

    def replay(query):
        (status, _, body), _ = one(path, b"GET /events?%s HTTP/1.1\r\nHost: d\r\n\r\n" % query.encode())
        return status, [json.loads(x) for x in body.splitlines()] if status == 200 else []

    status, evs = replay("since=%.9f&until=%.9f" % (since, until))
    assert status == 200 and len(evs) >= 256
    assert [e["timeNano"] for e in evs] == sorted(e["timeNano"] for e in evs)
    status, evs = replay('since=%d&until=%.9f&filters={%%22event%%22:[%%22destroy%%22]}' % (since, until))
    assert status == 200 and evs and all(e["Action"] == "destroy" for e in evs)
    status, evs = replay('since=1h&until=%.9f&filters={%%22type%%22:{%%22container%%22:true}}' % until)
    assert status == 200 and not evs
    assert replay("since=1h&until=%.9f&filters={%%22foo%%22:[%%22a%%22]}" % until)[0] == 400
    assert replay("since=yesterday")[0] == 400
    begin = time.monotonic()
    status, evs = replay("until=%.9f" % (time.time() + 1))
    assert status == 200 and time.monotonic() - begin < 5


def stays_for_events(path, pid):
    """The idle exit (2 s) does not come while somebody listens, and comes after."""
    s = connect(path)
    s.sendall(b"GET /events HTTP/1.1\r\nHost: d\r\n\r\n")
    assert Reader(s).head()[0] == 200
    pidfd = os.pidfd_open(pid)
    assert not select.select([s, pidfd], [], [], 3.5)[0], "the engine left its listener"
    s.close()
    assert select.select([pidfd], [], [], 5)[0], "the engine stays without work"


def keeps_idle_out(path, pid):
    """A kept-alive connection without a request does not hold the engine; its next write fails at once."""
    s = connect(path)
    s.sendall(PING)
    assert Reader(s).answer()[0] == 200
    pidfd = os.pidfd_open(pid)
    assert select.select([pidfd], [], [], 6)[0], "an idle connection holds the engine"
    try:
        s.sendall(PING)
        raise AssertionError("written to nobody")
    except (BrokenPipeError, ConnectionResetError):
        pass


def killed_while_writing(path, *command):
    """kill -9 between requests that change the state: what was answered is there afterwards."""
    made = []
    for turn in range(4):
        engine = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        wait_for(path)
        names = {n["Name"] for n in json.loads(one(path, b"GET /networks HTTP/1.1\r\nHost: d\r\n\r\n")[0][2])}
        assert names >= set(made), set(made) - names
        for i in range(10 + turn):
            make_network(path, "k%d-%d" % (turn, i))
            made.append("k%d-%d" % (turn, i))
        s = connect(path)
        s.sendall(b"POST /networks/create HTTP/1.1\r\nHost: d\r\nContent-Type: application/json\r\n"
                  b"Content-Length: 14\r\n\r\n{\"name\":\"last\"")
        engine.send_signal(signal.SIGKILL)
        engine.wait()


def wait_for(path):
    end = time.monotonic() + 10
    while True:
        try:
            return alive(path)
        except (FileNotFoundError, ConnectionRefusedError):
            assert time.monotonic() < end, "no engine at %s" % path
            time.sleep(0.02)


if __name__ == "__main__":
    args = [int(a) if a.isdigit() else a for a in sys.argv[3:]]
    globals()[sys.argv[2]](sys.argv[1], *args)
