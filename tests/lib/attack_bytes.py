#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What a hostile agent sends, as a plan for tests/lib/attack_agent.pl.

attack_bytes.py DIR SIDECAR EGRESS SECOND_SIDECAR SECOND_AGENT

Writes DIR/plan, one attack a line: id, kind (tcp, udp, connect), address, port, the regular expression that the answer
must match ("hex:" before it: in hexadecimal), the attack's name; and DIR/ID with the bytes to send.
"""
import os
import ssl
import struct
import sys

out, sidecar, egress, sidecar2, agent2 = sys.argv[1:]
plan = open(os.path.join(out, "plan"), "w", encoding="utf-8")
count = 0

REFUSED = r"^HTTP/1\.1 4\d\d "
DENIED = r"^HTTP/1\.1 403 "
HELLO = r"^HTTP/1\.1 200 .*hello from"
ALERT = "hex:^150303000202"
SILENT = "hex:^$"


def attack(name, kind, address, port, data, want):
    global count
    count += 1
    plan.write("\t".join((f"a{count}", kind, address, str(port), want, name)) + "\n")
    with open(os.path.join(out, f"a{count}"), "wb") as f:
        f.write(data if isinstance(data, bytes) else data.encode())


def proxy(name, data, want=REFUSED):
    attack("proxy: " + name, "tcp", sidecar, 3128, data, want)


def get(url, host=None, fields=""):
    host = host or url.split("/")[2]
    return f"GET {url} HTTP/1.1\r\nHost: {host}\r\n{fields}Connection: close\r\n\r\n"


def connect(to, rest=b""):
    return f"CONNECT {to} HTTP/1.1\r\nHost: {to}\r\n\r\n".encode() + rest


# --- DNS

def question(name, kind=1, cls=1, flags=0x0100, n=1):
    labels = b"".join(bytes([len(x)]) + x.encode() for x in name.split("."))
    return struct.pack(">6H", 0x4242, flags, n, 0, 0, 0) + (labels + b"\0" + struct.pack(">2H", kind, cls)) * n


def dns_attacks():
    refused, empty, address = "hex:^42428..5", "hex:^42428..00001.000", "hex:cb00710a$"
    secret = "c2VjcmV0LWtleS1vZi10aGUtYm90dGxl"
    attack("dns: an allowed name resolves (the control)", "udp", sidecar, 53, question("allowed.example"), address)
    attack("dns: a secret in a label of a name that is not allowed", "udp", sidecar, 53, question(secret + ".other.example"), refused)
    attack("dns: the apex of an allowed wildcard", "udp", sidecar, 53, question("wild.example"), refused)
    attack("dns: a denied name below an allowed wildcard", "udp", sidecar, 53, question("BAD.wild.example"), refused)
    attack("dns: allowed.example as a prefix of another name", "udp", sidecar, 53, question("allowed.example.other.example"), refused)
    for kind, number in (("TXT", 16), ("NULL", 10), ("ANY", 255), ("CNAME", 5), ("MX", 15), ("AAAA", 28), ("HTTPS", 65), ("AXFR", 252)):
        attack(f"dns: {kind} of an allowed name has no data", "udp", sidecar, 53, question("allowed.example", number), empty)
    for server in ("8.8.8.8", "203.0.113.53"):
        attack(f"dns: asked of {server} by UDP, the sidecar refuses", "udp", server, 53, question(secret + ".other.example"), refused)
        q = question(secret + ".other.example")
        attack(f"dns: asked of {server} by TCP, the sidecar refuses", "tcp", server, 53, struct.pack(">H", len(q)) + q, "hex:^....42428..5")
    for server in ("192.0.2.2", "10.77.0.1", sidecar2):
        name = server.replace(sidecar2, "another sidecar")
        attack(f"dns: asked of {name}, nobody answers", "udp", server, 53, question("allowed.example"), SILENT)
    attack("dns: rebinding to a private address", "udp", sidecar, 53, question("rebind.example"), "hex:^42428..300010000")
    attack("dns: class CHAOS", "udp", sidecar, 53, question("allowed.example", 16, 3), refused)
    attack("dns: an UPDATE", "udp", sidecar, 53, question("allowed.example", flags=0x2800), "hex:^4242a..[1-5]")
    attack("dns: a label with a NUL and a dot in it", "udp", sidecar, 53, question("allowed\0.example"), "hex:^42428..[15]")
    attack("dns: mDNS", "udp", "224.0.0.251", 5353, question("other.local"), SILENT)
    attack("dns: LLMNR", "udp", "224.0.0.252", 5355, question("other"), SILENT)


# --- TLS

def client_hello(name):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(incoming, outgoing, server_hostname=name)
    try:
        tls.do_handshake()
    except ssl.SSLWantReadError:
        pass
    return outgoing.read()


def server_name(*names):
    entries = b"".join(b"\0" + struct.pack(">H", len(n)) + n for n in names)
    return (0, struct.pack(">H", len(entries)) + entries)


def remade(hello, change):
    """The hello with other extensions; change takes and gives a list of (type, bytes)."""
    body = hello[9:]
    at = 34 + 1 + body[34]
    at += 2 + struct.unpack(">H", body[at:at + 2])[0]
    at += 1 + body[at]
    head, rest, extensions = body[:at], body[at + 2:], []
    while rest:
        kind, n = struct.unpack(">2H", rest[:4])
        extensions.append((kind, rest[4:4 + n]))
        rest = rest[4 + n:]
    packed = b"".join(struct.pack(">2H", k, len(d)) + d for k, d in change(extensions))
    body = head + struct.pack(">H", len(packed)) + packed
    return records(b"\x01" + struct.pack(">I", len(body))[1:] + body)


def records(handshake, size=16000):
    return b"".join(b"\x16\x03\x01" + struct.pack(">H", len(handshake[i:i + size])) + handshake[i:i + size]
                    for i in range(0, len(handshake), size))


def tls_attacks():
    good, other = client_hello("allowed.example"), client_hello("other.example")
    without = lambda x: [e for e in x if e[0] != 0]
    origin = "203.0.113.10"
    both = ((origin, "tls: "), (None, "tls in CONNECT: "))
    variants = {
        "no SNI": (client_hello(None), ALERT),
        "another name in SNI": (other, ALERT),
        "an encrypted ClientHello (ECH)": (remade(good, lambda x: x + [(0xfe0d, b"\0\0\1\0\1\7\0\4abcd\0\4abcd")]), ALERT),
        "two names in one SNI": (remade(good, lambda x: [server_name(b"allowed.example", b"other.example")] + without(x)), ALERT),
        "two SNI extensions": (remade(good, lambda x: [server_name(b"allowed.example"), server_name(b"other.example")] + without(x)), ALERT),
        "a NUL in SNI": (remade(good, lambda x: [server_name(b"allowed.example\0.other.example")] + without(x)), ALERT),
        "an address in SNI": (remade(good, lambda x: [server_name(origin.encode())] + without(x)), ALERT),
        "a hello with a wrong length": (good[:6] + b"\xff\xff\xff" + good[9:], ALERT),
        "an allowed hello in crumbs of records still passes": (records(good[5:], 7), "hex:^(.*0d0a0d0a)?160303"),
        "an allowed hello of 5 KB still passes": (remade(good, lambda x: [(21, bytes(5000))] + [e for e in x if e[0] != 21]), "hex:^(.*0d0a0d0a)?160303"),
    }
    for to, plane in both:
        for name, (data, want) in variants.items():
            if to:
                attack(plane + name, "tcp", to, 443, data, want)
            else:
                attack(plane + name, "tcp", sidecar, 3128, connect("allowed.example:443", data), want.replace("^1503", "0d0a0d0a1503"))
    attack("tls: an allowed name in SNI, at another address", "tcp", "203.0.113.20", 443, good, ALERT)
    attack("tls: an allowed name in SNI, at the host's address", "tcp", "192.0.2.2", 443, good, SILENT)
    attack("tls: an allowed name in SNI, at the metadata address", "tcp", "169.254.169.254", 443, good, SILENT)
    attack("tls: an allowed name in SNI, at another bottle's sidecar", "tcp", sidecar2, 443, good, SILENT)
    attack("tls: rebinding to a private address", "tcp", "10.99.0.1", 443, client_hello("rebind.example"), SILENT)
    attack("tls: SSH on port 443", "tcp", origin, 443, "SSH-2.0-x\r\n", ALERT)
    attack("tls: HTTP on port 443", "tcp", origin, 443, get("http://allowed.example/"), ALERT)
    attack("tls in CONNECT: SSH instead", "tcp", sidecar, 3128, connect("allowed.example:443", b"SSH-2.0-x\r\n"), "^HTTP/1.1 200 [^H]*$")
    attack("tls in CONNECT: HTTP instead", "tcp", sidecar, 3128, connect("allowed.example:443", get("http://other.example/").encode()), "^HTTP/1.1 200 [^H]*$")


# --- HTTP

def connect_attacks():
    literals = ["203.0.113.10", "203.0.113.20", "3405803786", "0xcb00710a", "0313.0.0161.012", "203.28938", "203.0.28938", "0xcb.0.0x71.10",
                "203.0.113.10.", "[::ffff:203.0.113.10]", "[::1]", "[::ffff:169.254.169.254]", "[fe80::1%25eth0]", "127.0.0.1", "0", "0.0.0.0",
                "127.1", "2130706433", "169.254.169.254", "10.99.0.1", "192.0.2.2", sidecar, egress, sidecar2, "localhost", "host.docker.internal"]
    for a in literals:
        proxy(f"CONNECT to {a.replace(sidecar, 'the sidecar').replace(egress, 'its egress address').replace(sidecar2, 'another sidecar')}", connect(a + ":443"))
    for a in ("3405803786", "0xcb00710a", "203.28938", "[::ffff:203.0.113.10]", sidecar + ":3128", "127.0.0.1:3128", "localhost:3128"):
        name = a.replace(sidecar, "the sidecar")
        proxy(f"GET http://{name}/", get(f"http://{a}/"))
    for port in (22, 25, 53, 853, 3128, 8080, 8443):
        proxy(f"CONNECT to port {port} of an allowed host", connect(f"allowed.example:{port}"))
    for port in ("0", "65536", "-1", "443x", "0x1bb", "", "443:22", "65979"):
        proxy(f"CONNECT to an allowed host, port '{port}'", connect("allowed.example:" + port))
    proxy("CONNECT to the sidecar's own proxy port", connect(sidecar + ":3128"))
    proxy("CONNECT to localhost's proxy port", connect("127.0.0.1:3128"))
    proxy("CONNECT with a body", "CONNECT allowed.example:443 HTTP/1.1\r\nHost: allowed.example:443\r\nContent-Length: 3\r\n\r\nabc")
    proxy("CONNECT with another Host", "CONNECT allowed.example:443 HTTP/1.1\r\nHost: other.example:443\r\n\r\n")
    proxy("HTTP to another host inside a CONNECT", connect("allowed.example:80", get("/inside-connect", "other.example").encode()),
          r"200 Connection.*HTTP/1\.1 403 ")
    proxy("a CONNECT inside a CONNECT", connect("allowed.example:80", connect("other.example:443")), r"200 Connection.*HTTP/1\.1 4\d\d ")


def host_attacks():
    denied = ["other.example", "allowed.example.other.example", "xallowed.example", "allowed-example", "wild.example", "xwild.example", "bad.wild.example",
              "BAD.WILD.EXAMPLE.", "a.wild.example"]
    for h in denied:
        proxy(f"GET of {h} by HTTP", get(f"http://{h}/"), DENIED)
    for h in ("allowed.example:80@other.example", "allowed.example@other.example", "other.example\\@allowed.example", "other.example#@allowed.example",
              "other.example%00.allowed.example", "allowed.example%2eother.example", "allowed.example:80:80", "allowed..example", "allowed.example..",
              "other.example?.allowed.example", "other.example;.allowed.example", "alloŵed.example", "allowed.example,other.example", "allowed.example other.example"):
        proxy(f"a target that reads two ways: http://{h}/", f"GET http://{h}/ HTTP/1.1\r\nHost: {h}\r\nConnection: close\r\n\r\n".encode())
        proxy(f"… by CONNECT {h}:443", f"CONNECT {h}:443 HTTP/1.1\r\nHost: {h}:443\r\n\r\n".encode())
    proxy("upper case and a trailing dot are the same host", get("http://ALLOWED.Example./"), HELLO)
    proxy("target and Host disagree", get("http://allowed.example/", "other.example"), DENIED)
    proxy("target and Host disagree, the other way", get("http://other.example/", "allowed.example"), DENIED)
    proxy("Host with another port", get("http://allowed.example/", "allowed.example:8080"), DENIED)
    proxy("two Hosts", get("http://allowed.example/", fields="Host: other.example\r\n"))
    proxy("an https:// target", get("https://other.example/"))
    proxy("an ftp:// target", get("ftp://allowed.example/"))
    proxy("no target host at all", get("/", "allowed.example"))
    attack("http: another name in Host", "tcp", "203.0.113.10", 80, get("/", "other.example"), DENIED)
    attack("http: an address in Host", "tcp", "203.0.113.10", 80, get("/", "203.0.113.10"), DENIED)
    attack("http: another host in the target", "tcp", "203.0.113.10", 80, get("http://other.example/", "allowed.example"), DENIED)
    attack("http: another port in Host", "tcp", "203.0.113.10", 80, get("/", "allowed.example:8080"), DENIED)
    attack("http: no Host", "tcp", "203.0.113.10", 80, "GET / HTTP/1.0\r\n\r\n", REFUSED)
    attack("http: CONNECT to the transparent port", "tcp", "203.0.113.10", 80, connect("allowed.example:443"), REFUSED)
    attack("http: an allowed Host at another server's address", "tcp", "203.0.113.20", 80, get("/", "allowed.example"), DENIED)
    # The answers to these would carry a private address as their source, which no frame of the bridge may.
    for where, name in (("169.254.169.254", "metadata"), ("192.0.2.2", "host's"), ("192.0.2.1", "LAN's"), ("10.77.255.1", "host's veth"),
                        ("10.99.0.1", "private"), (sidecar2, "other sidecar's"), (agent2, "other agent's")):
        attack(f"http: an allowed Host at the {name} address", "tcp", where, 80, get("/latest/meta-data", "allowed.example"), SILENT)
    attack("http: rebinding to a private address", "tcp", "10.99.0.1", 80, get("/", "rebind.example"), SILENT)
    proxy("rebinding to a private address", get("http://rebind.example/"), r"^HTTP/1\.1 502 .*no public address")


def framing_attacks():
    post = "POST http://allowed.example/ HTTP/1.1\r\nHost: allowed.example\r\n"
    smuggled = get("http://other.example/smuggled")
    for name, fields in {
        "Content-Length with Transfer-Encoding": "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n",
        "two Content-Lengths": "Content-Length: 4\r\nContent-Length: 40\r\n",
        "a list of Content-Lengths": "Content-Length: 4, 40\r\n",
        "a signed Content-Length": "Content-Length: +4\r\n",
        "a negative Content-Length": "Content-Length: -1\r\n",
        "a huge Content-Length": "Content-Length: 99999999999999999999999\r\n",
        "an unknown Transfer-Encoding": "Transfer-Encoding: xchunked\r\n",
        "chunked that is not last": "Transfer-Encoding: chunked, identity\r\n",
        "two Transfer-Encodings": "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        "an obs-fold": "X: a\r\n b\r\n",
        "a folded Transfer-Encoding": "Transfer-Encoding:\r\n chunked\r\n",
        "a bare LF": "X: a\nTransfer-Encoding: chunked\r\n",
        "a bare CR": "X: a\rTransfer-Encoding: chunked\r\n",
        "a NUL in a field": "X: a\0b\r\n",
        "a space before the colon": "Transfer-Encoding : chunked\r\n",
        "a field without a colon": "Transfer-Encoding\r\n",
        "a field without a name": ": chunked\r\n",
    }.items():
        proxy(name, post + fields + "\r\n" + "0\r\n\r\n" + smuggled)
    proxy("a chunk size that overflows", post + "Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff1\r\nx" + smuggled)
    proxy("a chunk with a bare LF", post + "Transfer-Encoding: chunked\r\n\r\n1\nx\n0\n\n" + smuggled)
    proxy("a request hidden in a body is a body", post + f"Content-Length: {len(smuggled)}\r\nConnection: close\r\n\r\n" + smuggled, r"^HTTP/1\.1 200 ((?!HTTP/1).)*$")
    keep = "GET http://allowed.example/ HTTP/1.1\r\nHost: allowed.example\r\n\r\n"
    proxy("the second request of a connection is to another host", keep + get("http://other.example/pipelined"), r"^HTTP/1\.1 200 .*HTTP/1\.1 403 ")
    attack("http: the second request of a connection is to another host", "tcp", "203.0.113.10", 80,
           "GET / HTTP/1.1\r\nHost: allowed.example\r\n\r\n" + get("/pipelined", "other.example"), r"^HTTP/1\.1 200 .*HTTP/1\.1 403 ")
    proxy("Upgrade to websocket", get("http://allowed.example/", fields="Connection: upgrade\r\nUpgrade: websocket\r\n"))
    proxy("an HTTP/2 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + "\0\0\0\4\0\0\0\0\0", r"^HTTP/1\.1 [45]\d\d ")
    proxy("HTTP/0.9", "GET http://other.example/\r\n")
    proxy("a head of 70 KB", get("http://allowed.example/", fields="X: " + "a" * 70000 + "\r\n"))
    proxy("a head of 3000 fields", get("http://allowed.example/", fields="X: a\r\n" * 3000))
    proxy("bytes of no protocol", bytes(range(256)) * 8)


# --- elsewhere

def reach_attacks():
    for name, address, port in (
        ("the sidecar's status port", sidecar, 8443), ("the sidecar's status port at its egress address", egress, 8443), ("SSH on the sidecar", sidecar, 22),
        ("the host's LAN address", "192.0.2.2", 9001), ("the host's veth address", "10.77.255.1", 9001), ("the network namespace's veth address", "10.77.255.2", 9001),
        ("the host's loopback", "127.0.0.1", 9000), ("a loopback publish", "127.0.0.16", 8443), ("the egress gateway", "10.77.0.1", 9001),
        ("another bottle's sidecar", sidecar2, 3128), ("another bottle's agent", agent2, 9), ("the LAN", "192.0.2.1", 8080),
        ("a private network", "10.99.0.1", 8080), ("metadata on another port", "169.254.169.254", 8080), ("an allowed host on port 8080", "203.0.113.10", 8080),
        ("an allowed host on port 22", "203.0.113.10", 22), ("SMTP", "203.0.113.20", 25), ("DNS over TLS at the host's resolver", "203.0.113.53", 853),
        ("DNS over TLS at a public resolver", "8.8.8.8", 853)):
        attack(f"raw TCP to {name}", "connect", address, port, b"", SILENT)
    quic = b"\xc0\0\0\0\1\x08abcdefgh\0\0" + bytes(1180)
    attack("QUIC to an allowed host", "udp", "203.0.113.10", 443, quic, SILENT)
    attack("QUIC to another host", "udp", "203.0.113.20", 443, quic, SILENT)
    attack("UDP to the host", "udp", "192.0.2.2", 9001, b"hello", SILENT)
    attack("NTP", "udp", "203.0.113.20", 123, b"\x1b" + bytes(47), SILENT)
    attack("DHCP", "udp", "255.255.255.255", 67, b"\x01\x01\x06\0" + bytes(240), SILENT)


dns_attacks()
tls_attacks()
connect_attacks()
host_attacks()
framing_attacks()
reach_attacks()
