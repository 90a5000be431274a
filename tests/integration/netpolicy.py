# SPDX-License-Identifier: Apache-2.0
"""Checks of netpolicyd; started by netpolicy.sh. H is the namespace it starts in, N is netpolicyd's, INTERNET a third."""
import json
import os
import socket
import struct
import subprocess
import sys
import time

from netclient import *

BUILD, TMP = sys.argv[1:3]
SOCKET, PIN = f"{TMP}/socket", f"{TMP}/netns"
DAEMON = f"{BUILD}/bin/netpolicyd"
A, B = 1000, 1001  # two users
count = failed = 0


def check(name, good, *why):
    global count, failed
    count += 1
    failed += not good
    print(f"{'ok' if good else 'not ok'} {count} - {name}", flush=True)
    if not good:
        for w in why:
            print(f"#   {w}", flush=True)


class Daemon:
    def __init__(self, *options):
        self.p = subprocess.Popen([DAEMON, "--socket", SOCKET, "--netns", PIN, "--resolv-conf", f"{TMP}/resolv.conf",
                                   "--timeout", "1s", *options])
        deadline = time.monotonic() + WAIT
        self.first = None
        while not self.first:  # the socket is there before it is served; a connection waits in its queue
            try:
                self.first = Client(SOCKET, 0)
            except OSError:
                if time.monotonic() > deadline or self.p.poll() is not None:
                    raise
                time.sleep(0.02)
        assert self.first.call(LIST).ok

    def idle(self):
        """After the last client went it ends by itself."""
        self.first.close()
        return self.p.wait(WAIT) == 0


def nft(ns):
    with inside(ns):
        return json.loads(sh("nft", "-j", "list", "ruleset"))["nftables"]


def elements(ns, skip=("deny4", "hostip", "natnet", "veth4", "resolvers")):
    """(family, set) -> sorted texts of its elements."""
    out = {}
    for o in nft(ns):
        s = o.get("set") or o.get("map")
        if s and s["table"] == "bottle" and s.get("elem") and s["name"] not in skip:
            out[s["family"], s["name"]] = sorted(json.dumps(e) for e in s["elem"])
    return out


def rules(ns):
    """The ruleset without counters, handles and elements."""
    out = []
    for o in nft(ns):
        if "rule" in o:
            out.append(json.dumps([x for x in o["rule"]["expr"] if "counter" not in x]))
        elif "chain" in o:
            out.append(json.dumps({k: v for k, v in o["chain"].items() if k != "handle"}))
    return out


def links(ns):
    with inside(ns):
        return sorted(l["ifname"] for l in json.loads(sh("ip", "-j", "link")))


def bound(addr, port, kind=socket.SOCK_STREAM):
    s = socket.socket(socket.AF_INET, kind)
    s.bind((addr, port))
    return s


def publish(c, sock, **args):
    """sock: a socket, alive until the answer, or a descriptor."""
    return c.call(PUBLISH, [sock if isinstance(sock, int) else sock.fileno()], **args)


def connect_from(uid, addr, port, kind=socket.SOCK_STREAM, sport=0, wait=2):
    def ask():
        s = socket.socket(socket.AF_INET, kind)
        if sport:
            s.bind(("0.0.0.0", sport))
        return tcp_ask(s, addr, port, wait) if kind == socket.SOCK_STREAM else udp_ask(s, addr, port, b"x", wait)
    return as_uid(uid, ask)


# ---- the world ----
ip("link set lo up")
with open(f"{TMP}/resolv.conf", "w", encoding="ascii") as f:
    f.write("nameserver 192.168.50.53\n")
INTERNET = new_ns()
ip("link add wan type veth peer name eth0")
ip(f"link set eth0 netns /proc/{os.getpid()}/fd/{INTERNET}")
with inside(INTERNET):
    ip("link set lo up")
    ip("addr add 203.0.113.9/24 dev eth0")
    for a in ("192.168.50.9", "192.168.50.53", "10.99.0.9", "169.254.169.254", "100.64.0.9"):
        ip(f"addr add {a}/32 dev lo")
    ip("link set eth0 up")
ip("addr add 203.0.113.1/24 dev wan")
ip("link set wan up")
for n in ("192.168.50.0/24", "10.99.0.0/24", "169.254.169.254/32", "100.64.0.0/10"):
    ip(f"route add {n} via 203.0.113.9")
world = Guest.__new__(Guest)
world.ns, world.sniffer = INTERNET, Sniffer(INTERNET)
world.udp_server(7)
world.udp_server(53, "192.168.50.53")
world.tcp_server(80)
host_seen = Sniffer(HOST)
hostworld = Guest.__new__(Guest)
hostworld.ns = HOST
hostworld.udp_server(7000)
hostworld.tcp_server(7001)
check("control: the host itself reaches what guests must not",
      udp_ask(socket.socket(socket.AF_INET, socket.SOCK_DGRAM), "192.168.50.9", 7, b"x").endswith(" x"))

# ---- start ----
bad = subprocess.run(["setpriv", "--reuid=1000", "--clear-groups", DAEMON], capture_output=True, text=True, check=False)
check("without root it says what to do", bad.returncode == 1 and "needs root" in bad.stderr and bad.stderr.count("\n") == 1, bad)
d = Daemon()
N = os.open(PIN, os.O_RDONLY)
for pid in (d.p.pid, int(sh("pgrep", "-P", str(d.p.pid)))):
    with open(f"/proc/{pid}/status", encoding="ascii") as f:
        st = dict(line.split(":\t", 1) for line in f.read().splitlines() if ":\t" in line)
    caps = {st[k] for k in ("CapEff", "CapPrm", "CapBnd")}
    check(f"process {st['Name']} keeps CAP_NET_ADMIN alone, as nobody, under seccomp",
          caps == {"0000000000001000"} and st["CapInh"] == st["CapAmb"] == "0" * 16 and st["Seccomp"] == "2" and
          st["NoNewPrivs"] == "1" and set(st["Uid"].split()) == {"65534"}, st)
second = subprocess.run([DAEMON, "--socket", f"{TMP}/other", "--netns", PIN], capture_output=True, text=True, check=False)
check("a second one for the same namespace refuses to start", second.returncode == 1 and "another netpolicyd" in second.stderr, second)

a, b = Client(SOCKET, A), Client(SOCKET, B)
hello_a, hello_b = a.call(HELLO, VERSION=1), b.call(HELLO, VERSION=1)
check("each uid has its own slice", hello_a.ok and hello_b.ok and hello_a.v["SLICE"] != hello_b.v["SLICE"] and
      hello_a.v["PREFIX"] == 20, hello_a, hello_b)
check("another version is refused", a.call(HELLO, VERSION=99).cls == INVALID)

# ---- a bottle of A, and one of B with the same addresses ----
for c in (a, b):
    check("internal network", c.call(NETWORK_ADD, NETWORK=1, KIND=INTERNAL, SUBNET="10.5.0.0", PREFIX=24, GATEWAY="10.5.0.2").ok)
    check("egress network", c.call(NETWORK_ADD, NETWORK=2, KIND=EGRESS).ok)
    check("bridge network", c.call(NETWORK_ADD, NETWORK=3, KIND=BRIDGE).ok)
check("adding a network again is fine", a.call(NETWORK_ADD, NETWORK=1, KIND=INTERNAL, SUBNET="10.5.0.0", PREFIX=24).ok)
check("adding it with other values is not", a.call(NETWORK_ADD, NETWORK=1, KIND=INTERNAL, SUBNET="10.6.0.0", PREFIX=24).cls == CONFLICT)
agent, sidecar, c1, c2, agent_b, sidecar_b = (Guest() for _ in range(6))
n_agent = agent.plug("net0", a.call(ENDPOINT_ADD, NETWORK=1, ENDPOINT=0x10, ADDR="10.5.0.3"))
n_side = sidecar.plug("net0", a.call(ENDPOINT_ADD, NETWORK=1, ENDPOINT=0x11, ADDR="10.5.0.2"))
n_eg = sidecar.plug("net1", a.call(ENDPOINT_ADD, NETWORK=2, ENDPOINT=0x12))
n_c1 = c1.plug("net0", a.call(ENDPOINT_ADD, NETWORK=3, ENDPOINT=0x13))
n_c2 = c2.plug("net0", a.call(ENDPOINT_ADD, NETWORK=3, ENDPOINT=0x14))
n_agent_b = agent_b.plug("net0", b.call(ENDPOINT_ADD, NETWORK=1, ENDPOINT=0x10, ADDR="10.5.0.3"))
n_eg_b = sidecar_b.plug("net0", b.call(ENDPOINT_ADD, NETWORK=2, ENDPOINT=0x12))
for g in (agent, sidecar, c1, c2, agent_b, sidecar_b):
    g.udp_server(9)
    g.tcp_server(8443)
    g.udp_server(5353)

# ---- the ruleset, read back by another tool ----
eh, en = elements(HOST), elements(N)
check("elements name owner and endpoint", "uid=1000 ep=0000000000000012" in str(en.get(("inet", "egtap"))) and
      f"t" in str(en.get(("bridge", "tap"))), en)
pins = str(en.get(("bridge", "pin4")))
check("each bridged tap is pinned to MAC and address", all(n.mac.hex(":") in pins and n.addr in pins for n in
      (n_agent, n_side, n_c1, n_c2, n_agent_b)), pins)
policies = {(o["chain"]["family"], o["chain"]["name"]): o["chain"].get("policy") for o in nft(N) if "chain" in o}
check("N's own stack and forwarding are shut by policy", all(policies["inet", c] == "drop" for c in ("input", "output", "forward")), policies)
check("the host's namespace has one link of ours", [l for l in links(HOST) if l not in ("lo", "wan")] == ["bn0"], links(HOST))
with inside(N):
    addrs = [x["local"] for l in json.loads(sh("ip", "-j", "-4", "addr")) for x in l["addr_info"]]
    check("N has no address on an internal bridge", not [x for x in addrs if x.startswith("10.5.")], addrs)
    check("N has no IPv6 address", not [1 for l in json.loads(sh("ip", "-j", "-6", "addr")) for x in l.get("addr_info", ())])
rt = {k: open(f"/proc/sys/net/ipv4/conf/{k}/route_localnet", encoding="ascii").read().strip() for k in ("all", "default", "wan", "bn0")}
check("route_localnet is on for bn0 alone", rt == {"all": "0", "default": "0", "wan": "0", "bn0": "1"}, rt)

# ---- what must pass ----
check("agent to sidecar, UDP", agent.udp_ask("10.5.0.2", 9, b"hi") == "10.5.0.3 hi")
check("sidecar to agent, TCP", sidecar.tcp_ask("10.5.0.3", 8443) == "10.5.0.2")
check("sidecar to a public address, UDP, translated", sidecar.udp_ask("203.0.113.9", 7, b"out") == "203.0.113.1 out")
check("sidecar to a public address, TCP", sidecar.tcp_ask("203.0.113.9", 80) == "203.0.113.1")
check("container to a public address", c1.tcp_ask("203.0.113.9", 80) == "203.0.113.1")
check("container to container of one network", c1.udp_ask(n_c2.addr, 9, b"hi") == n_c1.addr + " hi")
for g, n in ((sidecar, "sidecar"), (c1, "container")):
    check(f"{n} to the host's resolver, UDP 53", g.udp_ask("192.168.50.53", 53, b"q").endswith(" q"))

# ---- what must not ----
world.sniffer.drain()
host_seen.drain()
forbidden = [("192.168.50.9", 7), ("192.168.50.53", 7), ("10.99.0.9", 7), ("169.254.169.254", 80), ("100.64.0.9", 7), ("203.0.113.1", 7000),
             ("10.77.255.1", 7000), ("10.77.255.2", 7000), (n_eg_b.addr, 9), (n_eg_b.addr, 8443), ("10.5.0.3", 9), ("127.0.0.16", 8443)]
for g, nic, name in ((sidecar, n_eg, "sidecar"), (c1, n_c1, "container")):
    other = [(n_c1.addr, 9)] if g is sidecar else [(n_eg.addr, 9), (n_eg.addr, 8443)]
    for dst, port in forbidden + other + [(nic.gateway_mac and ("10.77.1.1" if g is c1 else "10.77.0.1"), 9)]:
        for proto in (17, 6):
            body = udp(1111, port, b"leak") if proto == 17 else struct.pack("!HHIIHHHH", 1111, port, 1, 0, 0x5002, 1024, 0, 0)
            nic.send(eth(nic.gateway_mac, nic.mac, 0x800, ipv4(nic.addr, dst, proto, body)))
    check(f"{name}: fence after forbidden targets", g.udp_ask("203.0.113.9", 7, b"fence-" + name.encode()).endswith("fence-" + name))
seen = world.sniffer.until(b"fence-container") or [b"leak"]
check("nothing for a private, metadata or shared address left the host", not [f for f in seen if b"leak" in f or f[12:14] == b"\x08\0" and
      f[23] == 6 and f[36:38] != struct.pack("!H", 80)], [f.hex() for f in seen if b"leak" in f])
check("nothing for another bottle, network or the host arrived there", not [f for g in (agent, c2, agent_b, sidecar_b) for f in g.sniffer.drain() if b"leak" in f])
check("the host's own services were not reached", not [f for f in host_seen.drain() if b"leak" in f and f[30:34] == b"\x7f\0\0\x10"] and
      c1.tcp_ask("203.0.113.1", 7001, 0.5) != "203.0.113.1" and sidecar.tcp_ask("10.77.255.1", 7001, 0.5) in ("TimeoutError", "OSError"))

# Frames straight from the agent's tap: to the bridge's own address, and by broadcast.
with inside(N):
    bridge = {l["ifalias"].split(":")[1] + l["ifalias"].split(":")[2]: l for l in json.loads(sh("ip", "-j", "link")) if "ifalias" in l}
    bridge_mac = bytes.fromhex(bridge["uid=1000net=0000000000000001"]["address"].replace(":", ""))
    n_seen = Sniffer(N)
    before = elements(N)
sidecar.sniffer.drain()
for dst in ("203.0.113.9", "203.0.113.1", "10.77.255.1", "10.77.255.2", "169.254.169.254", "127.0.0.16", n_eg.addr, n_c1.addr, "10.77.0.1"):
    n_agent.send(eth(bridge_mac, n_agent.mac, 0x800, ipv4(n_agent.addr, dst, 17, udp(1111, 9, b"leak"))))
    n_agent.send(eth(n_eg.gateway_mac, n_agent.mac, 0x800, ipv4(n_agent.addr, dst, 17, udp(1111, 9, b"leak"))))
    n_agent.send(eth(BROADCAST, n_agent.mac, 0x806, arp(1, n_agent.mac, n_agent.addr, b"\0" * 6, dst)))
n_agent.send(eth(n_side.mac, n_agent.mac, 0x800, ipv4(n_agent.addr, n_side.addr, 17, udp(1111, 2, b"fence"))))
seen = sidecar.sniffer.until(b"fence") or [b"leak"]
check("agent's frames to N, host, internet, other networks: none arrived", not [f for s in (world.sniffer, agent_b.sniffer, c1.sniffer, sidecar_b.sniffer)
      for f in s.drain() if b"leak" in f] and not [f for f in seen if b"leak" in f])
check("nobody answers the agent's ARP for N's or the host's addresses", not [f for f in agent.sniffer.drain() if f[12:14] == b"\x08\x06" and
      f[20:22] == b"\0\2" and f[28:32] != socket.inet_aton(n_side.addr)])
host_seen.drain()

# Frames that no guest of ours sends: after each row a good one, which arrives.
MY, PEER = n_agent.mac, n_side.mac
OTHER = b"\x02\xb0\1\2\3\4"
GOOD = ipv4(n_agent.addr, n_side.addr, 17, udp(1, 2, b"evil"))


def spoofs(mac, peer, addr, peer_addr, good):
    return {
        "other source MAC": eth(peer, OTHER, 0x800, good),
        "other source address": eth(peer, mac, 0x800, ipv4("10.5.0.77", peer_addr, 17, udp(1, 2, b"evil"))),
        "the peer's address": eth(peer, mac, 0x800, ipv4(peer_addr, peer_addr, 17, udp(1, 2, b"evil"))),
        "a public source address": eth(peer, mac, 0x800, ipv4("203.0.113.50", peer_addr, 17, udp(1, 2, b"evil"))),
        "loopback source": eth(peer, mac, 0x800, ipv4("127.0.0.1", peer_addr, 17, udp(1, 2, b"evil"))),
        "no source": eth(peer, mac, 0x800, ipv4("0.0.0.0", peer_addr, 17, udp(1, 2, b"evil"))),
        "broadcast": eth(BROADCAST, mac, 0x800, ipv4(addr, "255.255.255.255", 17, udp(1, 2, b"evil"))),
        "multicast": eth(b"\1\0\x5e\0\0\xfb", mac, 0x800, ipv4(addr, "224.0.0.251", 17, udp(5353, 5353, b"evil"))),
        "DHCP offer": eth(peer, mac, 0x800, ipv4(addr, peer_addr, 17, udp(67, 68, b"evil"))),
        "DHCP discover": eth(peer, mac, 0x800, ipv4(addr, peer_addr, 17, udp(68, 67, b"evil"))),
        "802.1Q": eth(peer, mac, 0x8100, b"\0\5\x08\0" + good),
        "priority tag": eth(peer, mac, 0x8100, b"\0\0\x08\0" + good),
        "QinQ": eth(peer, mac, 0x88a8, b"\0\5\x81\0\0\5\x08\0" + good),
        "IPv6": eth(peer, mac, 0x86dd, b"\x60" + b"\0" * 39 + b"evil"),
        "router advertisement": eth(b"\x33\x33\0\0\0\1", mac, 0x86dd, b"\x60\0\0\0\0\x10\x3a\xff" + b"\xfe\x80" + b"\0" * 14 +
                                    b"\xff\x02" + b"\0" * 13 + b"\1" + b"\x86" + b"\0" * 15 + b"evil"),
        "PPPoE": eth(peer, mac, 0x8864, b"\x11\0\0\1\0\x20\0\x21" + good),
        "MPLS": eth(peer, mac, 0x8847, b"\0\0\x11\xff" + good),
        "RARP": eth(peer, mac, 0x8035, arp(3, mac, addr, mac, peer_addr) + b"evil"),
        "LLC": eth(peer, mac, 0x26, b"\x42\x42\3evil"),
        "spanning tree": eth(b"\1\x80\xc2\0\0\0", mac, 0x26, b"\x42\x42\3evil"),
        "unknown type": eth(peer, mac, 0x9999, b"evil" * 12),
        "ARP: other sender address": eth(peer, mac, 0x806, arp(2, mac, "10.5.0.77", peer, peer_addr) + b"evil"),
        "ARP: the peer's address": eth(BROADCAST, mac, 0x806, arp(1, mac, peer_addr, b"\0" * 6, peer_addr) + b"evil"),
        "ARP: other sender MAC": eth(peer, mac, 0x806, arp(2, OTHER, addr, peer, peer_addr) + b"evil"),
        "ARP: other frame's MAC": eth(peer, OTHER, 0x806, arp(2, mac, addr, peer, peer_addr) + b"evil"),
        "ARP: bad hardware type": eth(peer, mac, 0x806, arp(2, mac, addr, peer, peer_addr, 6) + b"evil"),
        "ARP: bad operation": eth(peer, mac, 0x806, arp(9, mac, addr, peer, peer_addr) + b"evil"),
        "ARP: probe": eth(BROADCAST, mac, 0x806, arp(1, mac, "0.0.0.0", b"\0" * 6, peer_addr) + b"evil"),
        "truncated IPv4": eth(peer, mac, 0x800, b"\x45\0\0\x14evil"),
        "truncated ARP": eth(peer, mac, 0x806, b"\0\1\x08\0\6\4\0\1evil"),
        "only a head": eth(peer, mac, 0x800, b"evil"[:0]),
    }


for name, nic, peer, guest in (("agent", n_agent, n_side, sidecar), ("container", n_c1, n_c2, c2)):
    good = ipv4(nic.addr, peer.addr, 17, udp(1, 2, b"evil"))
    got = []
    for case, frame in spoofs(nic.mac, peer.mac, nic.addr, peer.addr, good).items():
        guest.sniffer.drain()
        nic.send(frame)
        nic.send(eth(peer.mac, nic.mac, 0x800, ipv4(nic.addr, peer.addr, 17, udp(1, 2, b"fence"))))
        seen = guest.sniffer.until(b"fence")
        if seen is None or [f for f in seen if b"fence" not in f and (b"evil" in f or len(f) <= 60 and f[6:12] in (nic.mac, OTHER))]:
            got.append(case)
    check(f"{name}: {len(spoofs(MY, PEER, '1.1.1.1', '1.1.1.2', good))} kinds of bad frames are dropped, the good one after each arrives", not got, got)
got = []
for case, frame in spoofs(n_eg.mac, n_eg.gateway_mac, n_eg.addr, "203.0.113.9", ipv4(n_eg.addr, "203.0.113.9", 17, udp(1, 2, b"x"))).items():
    world.sniffer.drain()
    n_eg.send(frame)
    sidecar.udp_ask("203.0.113.9", 7, b"fence")
    # To a router these are plain: a tag without a VLAN, and datagrams from the guest's own address to a public one.
    if case not in ("priority tag", "DHCP offer", "DHCP discover") and [f for f in world.sniffer.drain() if b"evil" in f]:
        got.append(case)
check("sidecar's routed tap: bad frames don't get out", not got, got)
with inside(N):
    neigh = sh("ip", "neigh", "show", "dev", next(l for l in bridge.values() if l["ifalias"].endswith("addr=" + n_eg.addr))["ifname"])
check("no ARP of the sidecar's changes its neighbour entry", "PERMANENT" in neigh and n_eg.mac.hex(":") in neigh and neigh.count("\n") == 1, neigh)
n_side.send(eth(n_agent.mac, n_side.mac, 0x800, ipv4("203.0.113.80", n_agent.addr, 17, udp(80, 2, b"answer"))))
check("the gateway of an internal network may answer as a public address", agent.sniffer.until(b"answer") is not None)
n_side.send(eth(n_agent.mac, n_side.mac, 0x800, ipv4("192.168.50.9", n_agent.addr, 17, udp(80, 2, b"evil"))))
n_side.send(eth(n_agent.mac, n_side.mac, 0x800, ipv4("203.0.113.80", n_agent.addr, 17, udp(80, 2, b"fence"))))
check("and not as a private one", not [f for f in agent.sniffer.until(b"fence") or [b"evil"] if b"evil" in f])

# ---- publishing ----
t_res, u_res = bound("127.0.0.16", 8443), bound("127.0.0.16", 5353, socket.SOCK_DGRAM)
check("publish TCP", publish(a, t_res, ENDPOINT=0x12, PORT=8443).ok)
check("publish UDP", publish(a, u_res, ENDPOINT=0x12, PORT=5353).ok)
check("publishing again is fine", publish(a, t_res, ENDPOINT=0x12, PORT=8443).ok)
check("its owner reaches it; the guest sees the host's end", connect_from(A, "127.0.0.16", 8443) == "10.77.255.1")
check("its owner reaches it, UDP", connect_from(A, "127.0.0.16", 5353, socket.SOCK_DGRAM) == "10.77.255.1 x")
check("another user is refused", connect_from(B, "127.0.0.16", 8443) == "ConnectionRefusedError")
check("another user gets nothing by UDP", connect_from(B, "127.0.0.16", 5353, socket.SOCK_DGRAM, wait=0.5) == "TimeoutError")
check("root is refused", connect_from(0, "127.0.0.16", 8443) == "ConnectionRefusedError")
for addr, port in (("127.0.0.17", 8443), ("127.0.0.1", 8443), ("127.0.0.16", 8444), ("203.0.113.1", 8443)):
    check(f"{addr}:{port} is refused", connect_from(A, addr, port) == "ConnectionRefusedError")
check("the guest's address itself is not reachable", connect_from(A, n_eg.addr, 8443, wait=0.5) != "10.77.255.1")
check("an unpublished port is not", connect_from(A, n_eg.addr, 9, socket.SOCK_DGRAM, wait=0.3) in ("TimeoutError", "PermissionError"))
first = connect_from(A, "127.0.0.16", 5353, socket.SOCK_DGRAM, 4444)
again = connect_from(B, "127.0.0.16", 5353, socket.SOCK_DGRAM, 4444, 0.5)
check("a flow's source port does not pass to another user", first == "10.77.255.1 x" and again in ("TimeoutError", "PermissionError"), first, again)
check("nor from the network", world.tcp_ask("203.0.113.1", 8443, 0.5) == "ConnectionRefusedError")
with inside(INTERNET):
    ip("route add 10.77.0.0/16 via 203.0.113.1")
check("nor by the guest's address from the network", world.tcp_ask(n_eg.addr, 8443, 0.5) in ("TimeoutError", "OSError"))
world_mac = json.loads(sh("ip", "-j", "link", "show", "dev", "wan"))[0]["address"]
sidecar.sniffer.drain()
with inside(INTERNET):
    s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    s.bind(("eth0", 0))
s.send(eth(bytes.fromhex(world_mac.replace(":", "")), OTHER, 0x800, ipv4("203.0.113.9", "127.0.0.16", 17, udp(1, 5353, b"evil"))))
sidecar.udp_ask("203.0.113.9", 7, b"fence")
check("nor by a frame for 127.0.0.16 on the wire", not [f for f in sidecar.sniffer.until(b"fence") or [b"evil"] if b"evil" in f])
check("the same address can't be published by another user", publish(b, t_res, ENDPOINT=0x12, PORT=8443).cls == CONFLICT)
lst = bound("127.0.0.16", 1234)
lst.listen()
check("a listening socket is refused", publish(a, lst, ENDPOINT=0x12, PORT=1).cls == INVALID)
check("an unbound socket is refused", publish(a, socket.socket(), ENDPOINT=0x12, PORT=1).cls == INVALID)
check("what is no socket is refused", publish(a, N, ENDPOINT=0x12, PORT=1).cls == INVALID)
check("an IPv6 socket is refused", publish(a, socket.socket(socket.AF_INET6), ENDPOINT=0x12, PORT=1).cls == INVALID)
with inside(INTERNET):
    foreign = bound("127.0.0.16", 9999)
check("a socket of another namespace is denied", publish(a, foreign, ENDPOINT=0x12, PORT=1).cls == DENIED)
r = publish(a, bound("203.0.113.1", 8443), ENDPOINT=0x12, PORT=8443)
check("another address than loopback is denied, with a way out", r.cls == DENIED and "--publish-any" in r.v["TEXT"], r)
check("so is every address", publish(a, bound("0.0.0.0", 8555), ENDPOINT=0x12, PORT=8443).cls == DENIED)
check("an internal endpoint can't be published", publish(a, bound("127.0.0.16", 1), ENDPOINT=0x10, PORT=1).cls == DENIED)

# ---- two users ----
check("another's network is not found", b.call(ENDPOINT_ADD, NETWORK=0x77, ENDPOINT=5).cls == NOTFOUND and
      Client(SOCKET, 1002).call(ENDPOINT_ADD, NETWORK=1, ENDPOINT=5).cls == NOTFOUND)
stranger = Client(SOCKET, 1002)
check("another's endpoint is not found", publish(stranger, bound("127.0.0.99", 99), ENDPOINT=0x12, PORT=8443).cls == NOTFOUND)
state = (elements(HOST), elements(N))
for kind, args in ((ENDPOINT_DEL, {"ENDPOINT": 0x12}), (NETWORK_DEL, {"NETWORK": 1}),
                   (UNPUBLISH, {"ENDPOINT": 0x12, "PROTO": 6, "HOST_ADDR": "127.0.0.16", "HOST_PORT": 8443})):
    stranger.call(kind, **args)
b.call(UNPUBLISH, ENDPOINT=0x12, PROTO=6, HOST_ADDR="127.0.0.16", HOST_PORT=8443)
check("another's deletions change nothing", (elements(HOST), elements(N)) == state and connect_from(A, "127.0.0.16", 8443) == "10.77.255.1")
check("a stranger's list is empty", stranger.call(LIST).rows == [])
check("a list holds one's own only", ("ENDPOINT", 0x13) not in b.call(LIST).rows and ("ENDPOINT", 0x13) in a.call(LIST).rows)

# ---- what can't be asked for ----
for name, args, cls in (
        ("a public subnet", {"KIND": INTERNAL, "SUBNET": "8.8.8.0", "PREFIX": 24}, DENIED),
        ("host bits", {"KIND": INTERNAL, "SUBNET": "10.0.0.1", "PREFIX": 24}, DENIED),
        ("prefix 7", {"KIND": INTERNAL, "SUBNET": "10.0.0.0", "PREFIX": 7}, DENIED),
        ("prefix 300", {"KIND": INTERNAL, "SUBNET": "10.0.0.0", "PREFIX": 300}, DENIED),
        ("a gateway outside", {"KIND": INTERNAL, "SUBNET": "10.8.0.0", "PREFIX": 24, "GATEWAY": "10.9.0.1"}, DENIED),
        ("no subnet", {"KIND": INTERNAL}, INVALID), ("an unknown kind", {"KIND": 9}, INVALID),
        ("an index outside the slice", {"KIND": BRIDGE, "INDEX": 14}, DENIED),
        ("a subnet for a bridge", {"KIND": BRIDGE, "SUBNET": "10.77.16.0", "PREFIX": 24}, INVALID),
        ("a bridge's index that is taken", {"KIND": BRIDGE, "INDEX": 0}, CONFLICT)):
    r = a.call(NETWORK_ADD, NETWORK=0x99, **args)
    check(f"refused: {name}", r.cls == cls, r)
for name, args, cls in (("an address outside", {"NETWORK": 1, "ADDR": "10.6.0.5"}, DENIED), ("the network's address", {"NETWORK": 1, "ADDR": "10.5.0.0"}, DENIED),
                        ("the broadcast address", {"NETWORK": 1, "ADDR": "10.5.0.255"}, DENIED), ("a taken address", {"NETWORK": 1, "ADDR": "10.5.0.3"}, CONFLICT),
                        ("the gateway's address", {"NETWORK": 3, "ADDR": "10.77.1.1"}, DENIED), ("a chosen routed address", {"NETWORK": 2, "ADDR": "10.77.0.9"}, INVALID)):
    r = a.call(ENDPOINT_ADD, ENDPOINT=0x98, **args)
    check(f"refused: {name}", r.cls == cls, r)
check("a tap is handed out once", a.call(ENDPOINT_ADD, NETWORK=1, ENDPOINT=0x10).cls == CONFLICT)
check("a network with endpoints stays", a.call(NETWORK_DEL, NETWORK=1).cls == CONFLICT)
for name, data in (("garbage", b"\xff" * 40), ("a short head", b"\1\0"), ("an unknown type", struct.pack("<HHI", 77, 0, 1)),
                   ("a missing field", struct.pack("<HHI", NETWORK_DEL, 0, 1)), ("a field cut short", struct.pack("<HHIHHI", NETWORK_DEL, 0, 1, 5, 0, 8) + b"12"),
                   ("a wrong length", struct.pack("<HHIHHII", NETWORK_DEL, 0, 1, 5, 0, 4, 1)),
                   ("a field twice", struct.pack("<HHI", NETWORK_DEL, 0, 1) + struct.pack("<HHIQ", 5, 0, 8, 1) * 2)):
    check(f"dropped: {name}", Client(SOCKET, 1003).raw(data) is None)
check("dropped: a descriptor that nobody asked for", Client(SOCKET, 1003).raw(struct.pack("<HHI", LIST, 0, 1), [0]) is None)

# ---- quotas ----
q = Client(SOCKET, 1004)
got = [q.call(NETWORK_ADD, NETWORK=i, KIND=BRIDGE).cls for i in range(15)]
check("14 bridges, not 15", got == [None] * 14 + [LIMIT], got)
got = [q.call(NETWORK_ADD, NETWORK=i, KIND=INTERNAL, SUBNET="10.1.0.0", PREFIX=16).cls for i in range(14, 129)]
check("128 networks, not 129", got == [None] * 114 + [LIMIT], got)
socks = [bound("127.0.0.20", 2000 + i) for i in range(255)]
got = [publish(a, s, ENDPOINT=0x12, PORT=7).cls for s in socks]
check("256 publishes, not 257", got == [None] * 254 + [LIMIT], got)
check("the longest list is whole", len([1 for k, _ in a.call(LIST).rows if k == "PUBLISHED"]) == 256)
for s in socks:
    a.call(UNPUBLISH, ENDPOINT=0x12, PROTO=6, HOST_ADDR="127.0.0.20", HOST_PORT=s.getsockname()[1])
    s.close()
for i in range(128):
    q.call(NETWORK_DEL, NETWORK=i)
check("nothing of the quota's test is left", q.call(LIST).rows == [])
slices = [Client(SOCKET, 3000 + i) for i in range(14)]  # beside A, B and q
check("16 slices, and a word when they are taken", [c.call(HELLO, VERSION=1).v.get("SLICE") is None for c in slices].count(True) == 1 and
      slices[-1].call(NETWORK_ADD, NETWORK=1, KIND=BRIDGE).cls == LIMIT)
for c in slices + [q, stranger]:
    c.close()

# ---- idle exit, and everything goes on ----
sh_a, sh_b, state, rs = a.call(LIST), b.call(LIST), (elements(HOST), elements(N)), (rules(HOST), rules(N))
flushed = subprocess.run(["nft", "flush", "ruleset"], capture_output=True, text=True, check=False)
owned = "flags owner" in sh("nft", "list", "ruleset")
check("while it runs, a flush by others leaves its table alone", owned and connect_from(A, "127.0.0.16", 8443) == "10.77.255.1", flushed)
check("check finds nothing wrong", a.call(CHECK).rows == [], a.call(CHECK))
a.close()
b.close()
check("it exits when it is idle", d.idle())
check("without it, a publish works on", connect_from(A, "127.0.0.16", 8443) == "10.77.255.1")
check("without it, the pins are in force", agent.udp_ask("10.5.0.2", 9, b"hi") == "10.5.0.3 hi" and
      sidecar.udp_ask("192.168.50.9", 7, b"x", 0.3) == "TimeoutError")
d, a, b = Daemon(), Client(SOCKET, A), Client(SOCKET, B)
check("a new one reads all back", sorted(map(str, a.call(LIST).rows)) == sorted(map(str, sh_a.rows)) and
      sorted(map(str, b.call(LIST).rows)) == sorted(map(str, sh_b.rows)), a.call(LIST), sh_a)
check("rules and elements are the same again", (elements(HOST), elements(N)) == state and (rules(HOST), rules(N)) == rs)
check("and the new one owns its tables", "flags owner" in sh("nft", "list", "ruleset"))

# ---- repair ----
for where, ns in (("the host's", HOST), ("the bottles'", N)):
    a.close(), b.close()
    d.idle()
    with inside(ns):
        sh("nft", "flush", "ruleset")
    check(f"control: {where} table is lost", elements(ns) == {} and (ns == N or connect_from(A, "127.0.0.16", 8443) == "ConnectionRefusedError"))
    d, a, b = Daemon(), Client(SOCKET, A), Client(SOCKET, B)
    check(f"{where} table is put anew at the next start", (elements(HOST), elements(N)) == state and (rules(HOST), rules(N)) == rs and
          connect_from(A, "127.0.0.16", 8443) == "10.77.255.1")

# ---- unpublish and ends ----
pid_r, pid_w = os.pipe()
go_r, go_w = os.pipe()
pid = os.fork()
if pid == 0:
    os.setresuid(A, A, A)
    live = socket.socket()
    live.settimeout(WAIT)
    os.write(pid_w, tcp_ask(live, "127.0.0.16", 8443)[:1].encode())
    os.read(go_r, 1)
    live.settimeout(3)
    try:
        live.sendall(b"more")
        os.write(pid_w, b"alive" if live.recv(100) else b"cut")
    except OSError:
        os.write(pid_w, b"cut")
    os._exit(0)
check("control: a connection stands", os.read(pid_r, 1) == b"1")
check("unpublish", a.call(UNPUBLISH, ENDPOINT=0x12, PROTO=6, HOST_ADDR="127.0.0.16", HOST_PORT=8443).ok)
os.write(go_w, b"1")
check("an established connection is cut", os.read(pid_r, 10) == b"cut")
os.waitpid(pid, 0)
check("new ones are refused", connect_from(A, "127.0.0.16", 8443) == "ConnectionRefusedError")
check("unpublishing again is fine", a.call(UNPUBLISH, ENDPOINT=0x12, PROTO=6, HOST_ADDR="127.0.0.16", HOST_PORT=8443).ok)
check("the other publish goes on", connect_from(A, "127.0.0.16", 5353, socket.SOCK_DGRAM) == "10.77.255.1 x")

n_c2.unplug()
check("a tap that was closed is no endpoint any more", ("ENDPOINT", 0x14) not in a.call(LIST).rows and
      "ep=0000000000000014" not in str(elements(N)))
r = a.call(ENDPOINT_ADD, NETWORK=3, ENDPOINT=0x14)
check("its id can be added anew, and has the same MAC", r.ok and r.v["MAC"] == n_c2.mac)
fcntl.ioctl(r.fds[0], 0x400454cb, 1)  # TUNSETPERSIST
os.close(r.fds[0])
gone = a.call(ENDPOINT_ADD, NETWORK=3, ENDPOINT=0x15)
a.close(), b.close()
d.idle()
os.close(gone.fds[0])
d, a, b = Daemon(), Client(SOCKET, A), Client(SOCKET, B)
check("taps that went or were abandoned while it was away leave nothing", not [x for x in (0x14, 0x15) if ("ENDPOINT", x) in a.call(LIST).rows] and
      "ep=0000000000000014" not in str(elements(N)) and "ep=0000000000000015" not in str(elements(N)) and len([l for l in links(N) if l[0] == "t"]) == 6,
      links(N))
td = subprocess.run([DAEMON, "--teardown", "--netns", PIN], capture_output=True, text=True, check=False)
check("teardown waits for a running one", td.returncode == 1)
a.close(), b.close()
d.idle()
td = subprocess.run([DAEMON, "--teardown", "--netns", PIN], capture_output=True, text=True, check=False)
check("teardown refuses while guests are connected", td.returncode == 1 and "--force" in td.stderr, td)

# ---- options ----
d, a, b = Daemon("--root-may-connect", "--publish-any"), Client(SOCKET, A), Client(SOCKET, B)
check("with --root-may-connect root reaches a publish", connect_from(0, "127.0.0.16", 5353, socket.SOCK_DGRAM) == "10.77.255.1 x" and
      connect_from(B, "127.0.0.16", 5353, socket.SOCK_DGRAM, wait=0.3) == "TimeoutError")
ext, wild = bound("203.0.113.1", 8443), bound("0.0.0.0", 8081)
check("with --publish-any another address", publish(a, ext, ENDPOINT=0x12, PORT=8443).ok and world.tcp_ask("203.0.113.1", 8443) == "203.0.113.9")
check("and all of them", publish(a, wild, ENDPOINT=0x13, PORT=8443).ok and world.tcp_ask("203.0.113.1", 8081) == "203.0.113.9" and
      connect_from(B, "203.0.113.1", 8081).startswith("203.0.113.1"))

# ---- the end ----
for c, eps in ((a, (0x10, 0x11, 0x12, 0x13)), (b, (0x10, 0x12))):
    for e in eps:
        check(f"delete endpoint {e:x}", c.call(ENDPOINT_DEL, ENDPOINT=e).ok)
    for n in (1, 2, 3):
        c.call(NETWORK_DEL, NETWORK=n)
    check("nothing is left of the user", c.call(LIST).rows == [])
check("the descriptor of a deleted endpoint is dead", agent.udp_ask("10.5.0.2", 9, b"x", 0.3) in ("TimeoutError", "OSError"))
check("no element is left", elements(HOST) == {} and elements(N) == {}, elements(HOST), elements(N))
check("no link is left", links(N) == ["lo", "up0"], links(N))
a.close(), b.close()
d.idle()
os.close(N)
td = subprocess.run([DAEMON, "--teardown", "--netns", PIN], capture_output=True, text=True, check=False)
check("teardown", td.returncode == 0, td)
check("leaves no table, link or pin", "bottle" not in sh("nft", "list", "ruleset") and "bn0" not in links(HOST) and
      not os.path.exists(PIN) and not os.path.exists(PIN + ".lock"))
print(f"1..{count}")
sys.stdout.flush()
os._exit(failed != 0)
