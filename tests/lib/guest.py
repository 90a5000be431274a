# SPDX-License-Identifier: Apache-2.0
"""A VM with bottle-init and the host's end of its channel, for tests: the tested minimal QEMU command line.

By hand:  BUILD=build python3 tests/lib/guest.py     boots, prints HELLO and the time to it, powers off.
"""
import os
import select
import socket
import struct
import subprocess
import sys
import time

H = {"CONFIG": 1, "SHUTDOWN": 2, "STATS": 3, "SYNC": 4, "START": 16, "STDIN": 17, "STDIN_EOF": 18, "WINDOW": 19,
     "RESIZE": 20, "SIGNAL": 21}
G = {64: "HELLO", 65: "CONFIGURED", 66: "FAILED", 67: "STATS", 68: "SYNCED", 69: "LOG", 80: "STARTED",
     81: "START_FAILED", 82: "STDOUT", 83: "STDERR", 84: "WINDOW_IN", 85: "EXIT"}
TAGS = {"VERSION": 1, "KERNEL": 2, "TEXT": 3, "CODE": 4, "PID": 5, "CREDIT": 6, "ROWS": 7, "COLS": 8, "SIGNAL": 9,
        "GROUP": 10, "OOM": 11}
CONFIG = ["ENTROPY", "CLOCK_NS", "HOSTNAME", "DOMAINNAME", "ROOT_RO", "LAYER", "SCRATCH", "NIC", "NIC_NAME", "NIC_MAC",
          "NIC_ADDR", "NIC_PREFIX", "NIC_GATEWAY", "NIC_MTU", "NEIGH_ADDR", "NEIGH_MAC", "DNS", "DNS_SEARCH",
          "DNS_OPTION", "HOST", "TMPFS", "SHM_SIZE", "SYSCTL", "MODULE", "FILE_PATH", "FILE_MODE", "FILE_DATA"]
START = ["ARG", "ENV", "CWD", "USER", "GROUP_ADD", "TTY", "STDIN", "CAPS", "NO_NEW_PRIVS", "RLIMIT", "PIDS_MAX", "MAIN",
         "INIT", "OOM_ADJ"]
STATS = ["MEM_TOTAL", "MEM_USED", "MEM_CACHE", "CPU_USER_NS", "CPU_SYSTEM_NS", "CPU_COUNT", "PIDS", "RX_BYTES",
         "RX_PACKETS", "TX_BYTES", "TX_PACKETS", "READ_BYTES", "WRITE_BYTES"]
TAGS.update({n: 32 + i for i, n in enumerate(CONFIG)})
TAGS.update({n: 96 + i for i, n in enumerate(START)})
TAGS.update({n: 160 + i for i, n in enumerate(STATS)})
NAMES = {v: k for k, v in TAGS.items()}
U64 = {"CLOCK_NS", "SHM_SIZE", "CAPS", "PIDS_MAX"}
DOCKER_CAPS = 0xa80425fb
WINDOW = 256 * 1024


def tlv(*fields):
    out = b""
    for name, value in fields:
        if isinstance(value, str):
            value = value.encode()
        elif isinstance(value, int):
            value = struct.pack("<Q" if name in U64 else "<I", value)
        out += struct.pack("<HHI", TAGS[name], 0, len(value)) + value
    return out


def untlv(body):
    out = {}
    while body:
        tag, _, n = struct.unpack("<HHI", body[:8])
        data, body = body[8:8 + n], body[8 + n:]
        name = NAMES[tag]
        out[name] = (data.decode() if name in ("TEXT", "KERNEL") else int.from_bytes(data, "little"))
    return out


def frame(kind, stream=0, body=b""):
    return struct.pack("<IHHI", len(body), H.get(kind, kind), 0, stream) + body


def tsc_khz():
    """TCG's rdtsc is the host's; without this the guest calibrates against the PIT and may hang for ever."""
    for line in open("/proc/cpuinfo"):
        if line.startswith("cpu MHz"):
            return int(float(line.split(":")[1]) * 1000)
    return 2000000


APPEND = ("quiet panic=-1 cryptomgr.notests tsc=reliable tsc_early_khz=%d no_timer_check random.trust_cpu=on "
          "8250.nr_uarts=1 i8042.noaux i8042.nokbd swiotlb=noforce")


class Guest:
    def __init__(self, disks=(), nics=0, memory=256, console=None, extra=()):
        build = os.environ["BUILD"]
        ours, theirs = socket.socketpair()
        share = os.path.join(build, "share/bottle")
        argv = ["qemu-system-x86_64", "-M", "microvm,acpi=on,usb=off,graphics=off", "-accel", "tcg", "-cpu", "max", "-m", str(memory),
                "-smp", "1", "-nodefaults", "-no-user-config", "-nographic", "-no-reboot",
                "-global", "virtio-mmio.force-legacy=false",
                "-kernel", share + "/vmlinux", "-initrd", share + "/initramfs",
                "-append", APPEND % tsc_khz() + (" console=ttyS0" if console else ""),
                "-serial", "file:" + console if console else "none",
                "-chardev", "socket,id=ctl,fd=%d" % theirs.fileno(),
                "-device", "virtio-serial-device,max_ports=2",
                "-device", "virtserialport,chardev=ctl,name=bottle.0,nr=1"]
        for i, (path, ro) in enumerate(disks):
            argv += ["-drive", "if=none,id=d%d,format=raw,file=%s%s" % (i, path, ",readonly=on" if ro else ",discard=unmap"),
                     "-device", "virtio-blk-device,drive=d%d,serial=disk%d" % (i, i)]
        for i in range(nics):
            argv += ["-netdev", "hubport,id=n%d,hubid=%d" % (i, i),
                     "-device", "virtio-net-device,netdev=n%d,mac=02:b0:77:00:00:%02x" % (i, i)]
        self.begin = time.monotonic()
        self.process = subprocess.Popen(argv + list(extra), pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL)
        theirs.close()
        self.socket = ours
        self.data = b""
        self.streams = {}   # number -> dict(out, err, events, credit in)
        self.control = []
        self.stall = set()  # streams whose output gets no credit
        self.next = 0

    def send(self, kind, stream=0, body=b""):
        self.socket.sendall(frame(kind, stream, body))

    def _take(self, kind, stream, body):
        if not stream:
            self.control.append((kind, untlv(body)))
            return
        s = self.streams[stream]
        if kind in ("STDOUT", "STDERR"):
            s[kind] += body
            if stream in self.stall:
                s["owed"] += len(body)
            elif body:
                self.send("WINDOW", stream, tlv(("CREDIT", len(body))))
        elif kind == "WINDOW_IN":
            s["credit"] += untlv(body)["CREDIT"]
        else:
            s["events"][kind] = untlv(body)

    def pump(self, timeout):
        """Handles what comes within timeout; False at the end of the channel."""
        if not select.select([self.socket], [], [], max(timeout, 0))[0]:
            return True
        try:
            more = self.socket.recv(1 << 18)
        except ConnectionResetError:
            more = b""
        if not more:
            return False
        self.data += more
        while len(self.data) >= 12:
            size, kind, _, stream = struct.unpack("<IHHI", self.data[:12])
            if len(self.data) < 12 + size:
                break
            body, self.data = self.data[12:12 + size], self.data[12 + size:]
            self._take(G[kind], stream, body)
        return True

    def until(self, what, timeout=30, why="an event"):
        end = time.monotonic() + timeout
        while not what():
            left = end - time.monotonic()
            if left <= 0:
                raise TimeoutError("no %s within %s s; control %s" % (why, timeout, self.control))
            if not self.pump(left) and not what():
                raise EOFError("the guest left before %s; control %s" % (why, self.control))

    def wait_control(self, *kinds, timeout=60):
        self.until(lambda: any(k in kinds for k, _ in self.control), timeout, " or ".join(kinds))
        i = next(i for i, (k, _) in enumerate(self.control) if k in kinds)
        return self.control.pop(i)

    def hello(self):
        body = self.wait_control("HELLO")[1]
        self.boot_s = time.monotonic() - self.begin
        return body

    def configure(self, *fields):
        base = [("ENTROPY", os.urandom(64)), ("CLOCK_NS", time.time_ns())]
        self.send("CONFIG", 0, tlv(*base, *fields))
        return self.wait_control("CONFIGURED", "FAILED")

    def start(self, *argv, env=("PATH=/bin:/sbin",), caps=DOCKER_CAPS, **more):
        """Keyword arguments are tags: tty=1, user="x", rlimit=[...]."""
        self.next += 1
        n = self.next
        fields = [("ARG", a) for a in argv] + [("ENV", v) for v in env] + [("CAPS", caps)]
        for k, v in more.items():
            fields += [(k.upper(), x) for x in (v if isinstance(v, (list, tuple)) else [v])]
        self.streams[n] = {"STDOUT": b"", "STDERR": b"", "events": {}, "credit": WINDOW, "owed": 0}
        self.send("START", n, tlv(*fields))
        return n

    def write(self, n, data, timeout=60):
        s = self.streams[n]
        while data:
            self.until(lambda: s["credit"] > 0 or "EXIT" in s["events"], timeout, "input credit")
            k = min(s["credit"], 32768, len(data))
            if not k:
                return
            self.send("STDIN", n, data[:k])
            s["credit"] -= k
            data = data[k:]

    def eof(self, n):
        self.send("STDIN_EOF", n)

    def wait(self, n, timeout=30):
        s = self.streams[n]
        self.until(lambda: "EXIT" in s["events"] or "START_FAILED" in s["events"], timeout, "end of stream %d" % n)
        return s

    def run(self, *argv, timeout=30, **more):
        """(code, stdout, stderr or the sentence of START_FAILED)"""
        s = self.wait(self.start(*argv, **more), timeout)
        if "START_FAILED" in s["events"]:
            return s["events"]["START_FAILED"]["CODE"], "", s["events"]["START_FAILED"]["TEXT"]
        return s["events"]["EXIT"]["CODE"], s["STDOUT"].decode(), s["STDERR"].decode()

    def wait_end(self, timeout=20):
        """QEMU's own end: its exit status."""
        end = time.monotonic() + timeout
        while time.monotonic() < end and self.pump(0.5):
            pass
        return self.process.wait(max(0.1, end - time.monotonic()))

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.socket.close()


def main():
    g = Guest(console=sys.argv[1] if len(sys.argv) > 1 else None)
    try:
        print(g.hello(), "%.2f s" % g.boot_s)
        begin = time.monotonic()
        g.send("SHUTDOWN")
        print("qemu ended with", g.wait_end(), "%.2f s after HOST_SHUTDOWN" % (time.monotonic() - begin))
    finally:
        g.close()


if __name__ == "__main__":
    main()
