# SPDX-License-Identifier: Apache-2.0
"""The figures of `make bench`. Runs inside tests/bench/run, which has set up the lab.

Each figure is a function; the table FIGURES at the end names them. Ours and the peer's runs alternate, so that a machine
whose speed drifts treats both alike. Times are wall-clock milliseconds of a whole command or request.
"""
import io
import json
import os
import pwd
import socket
import statistics
import subprocess
import sys
import tarfile
import time

LAB, HOST, BUILD = os.environ["LAB"], os.environ["LAB_HOST"], os.environ["LAB_BUILD"]
USER = pwd.getpwnam(os.environ["LAB_USER"])
ENGINE = f"/run/user/{USER.pw_uid}/bottle/engine.sock"
ROOTFS = f"/proc/{HOST}/root"  # the lab's mounts, seen from here
IMAGE = "bench/busybox:latest"
PODMAN_ENV = {"CONTAINERS_CONF": f"{LAB}/containers.conf"}


def on_host(*argv, **kw):
    return subprocess.run(["nsenter", "-t", HOST, "-m", "-n", "--", *argv], **kw)


def as_user(*argv, **kw):
    env = ["env", "-i", "PATH=/opt/bottle/bin:/usr/local/bin:/usr/bin:/bin", f"HOME={LAB}/home-{USER.pw_name}",
           f"XDG_RUNTIME_DIR=/run/user/{USER.pw_uid}", f"DOCKER_HOST=unix://{ENGINE}",
           f"DOCKER_CONFIG={LAB}/home-{USER.pw_name}/.docker", "LANG=C.UTF-8"]
    return on_host("setpriv", f"--reuid={USER.pw_uid}", f"--regid={USER.pw_gid}", "--clear-groups", *env, *argv, **kw)


def quiet(run, *argv):
    r = run(*argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if r.returncode:
        raise SystemExit(f"bench: {' '.join(argv)} ended with {r.returncode}: {r.stdout}")
    return r.stdout


def ms(fn):
    start = time.perf_counter()
    fn()
    return (time.perf_counter() - start) * 1000


def spread(values):
    v = sorted(values)
    return {"median": round(statistics.median(v), 3), "p99": round(v[min(len(v) - 1, int(len(v) * 0.99))], 3),
            "min": round(v[0], 3), "max": round(v[-1], 3)}


def report(name, unit, ours, peer=None, peer_values=None):
    line = {"name": name, "unit": unit, "ours": spread(ours), "peer": peer,
            "peer_value": spread(peer_values) if peer_values else None,
            "ratio": round(statistics.median(ours) / statistics.median(peer_values), 3) if peer_values else None,
            "runs": len(ours)}
    print(json.dumps(line), flush=True)
    beside = f"{peer} {line['peer_value']['median']:>9.2f}   ratio {line['ratio']}" if peer else ""
    print(f"{name:16s} {line['ours']['median']:>9.2f} {unit:4s} ({line['ours']['min']:.2f}..{line['ours']['max']:.2f}, "
          f"n={len(ours)})  {beside}", file=sys.stderr, flush=True)


# ---- set-up -----------------------------------------------------------------------------------------------------

def archive(path):
    """A docker-archive of busybox: one layer, small, the same bytes for every engine."""
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as t:
        for d in ("bin", "etc", "tmp", "proc", "sys", "dev"):
            e = tarfile.TarInfo(d)
            e.type, e.mode = tarfile.DIRTYPE, 0o755
            t.addfile(e)
        t.add("/bin/busybox", "bin/busybox")
        for name in ("sh", "true", "sleep", "cat", "echo", "ps"):
            e = tarfile.TarInfo(f"bin/{name}")
            e.type, e.linkname = tarfile.SYMTYPE, "busybox"
            t.addfile(e)
    import hashlib
    diff = "sha256:" + hashlib.sha256(layer.getvalue()).hexdigest()
    config = json.dumps({"architecture": "amd64", "os": "linux", "config": {"Cmd": ["/bin/sh"], "Env": ["PATH=/bin"]},
                         "rootfs": {"type": "layers", "diff_ids": [diff]}}).encode()
    manifest = json.dumps([{"Config": "config.json", "RepoTags": [IMAGE], "Layers": ["layer.tar"]}]).encode()
    with tarfile.open(path, "w") as t:
        for name, data in (("config.json", config), ("layer.tar", layer.getvalue()), ("manifest.json", manifest)):
            e = tarfile.TarInfo(name)
            e.size = len(data)
            t.addfile(e, io.BytesIO(data))
    os.chmod(path, 0o644)


def podman(*argv, **kw):
    return on_host("env", f"CONTAINERS_CONF={LAB}/containers.conf", "podman", "--root", f"{LAB}/podman", "--runroot",
                   f"{LAB}/podman-run", "--runtime", "runc", "--cgroup-manager", "cgroupfs",
                   "--events-backend", "file", *argv, **kw)


def prepare():
    archive(f"{LAB}/bench.tar")
    with open(f"{LAB}/containers.conf", "w") as f:
        f.write('[containers]\ndefault_ulimits = ["nofile=1024:1024", "nproc=4096:4096"]\n')
    quiet(as_user, "docker", "load", "-q", "-i", f"{LAB}/bench.tar")
    quiet(podman, "load", "-q", "-i", f"{LAB}/bench.tar")


# ---- sockets ----------------------------------------------------------------------------------------------------

def connect(path):
    """Ours answers its own user only; the directory is opened first, since /proc/PID/root is root's."""
    s = socket.socket(socket.AF_UNIX)
    if not path.startswith(ROOTFS):
        s.connect(path)
        return s
    d = os.open(os.path.dirname(path), os.O_PATH)
    os.seteuid(USER.pw_uid)
    try:
        s.connect(f"/proc/self/fd/{d}/{os.path.basename(path)}")
    finally:
        os.seteuid(0)
        os.close(d)
    return s


def ping(path):
    """Connect, GET /_ping, read the answer."""
    s = connect(path)
    s.sendall(b"GET /_ping HTTP/1.1\r\nHost: d\r\nConnection: close\r\n\r\n")
    data = b""
    while not data.endswith(b"OK"):
        more = s.recv(4096)
        if not more:
            raise SystemExit(f"bench: no ping from {path}: {data!r}")
        data += more
    s.close()


def ping_again(path, n):
    """The same on one kept connection, n times: milliseconds each."""
    s, out = connect(path), []
    for _ in range(n):
        start = time.perf_counter()
        s.sendall(b"GET /_ping HTTP/1.1\r\nHost: d\r\n\r\n")
        while not s.recv(4096).endswith(b"OK"):
            pass
        out.append((time.perf_counter() - start) * 1000)
    s.close()
    return out


def our_processes(name):
    out = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            if os.stat(f"/proc/{pid}").st_uid == USER.pw_uid and os.readlink(f"/proc/{pid}/exe").endswith(f"/{name}"):
                out.append(int(pid))
        except OSError:
            continue
    return out


def wait_gone(name, limit=30):
    end = time.time() + limit
    while our_processes(name):
        if time.time() > end:
            raise SystemExit(f"bench: {name} is still there after {limit} s")
        time.sleep(0.05)


class Podman:
    """podman's API service, started as an init system would: a socket, and the process on the first connection."""

    def __init__(self, seconds):
        self.path = f"{LAB}/podman.sock"
        if os.path.exists(self.path):
            os.unlink(self.path)
        self.p = subprocess.Popen(["nsenter", "-t", HOST, "-m", "-n", "--", "systemd-socket-activate", "-l", self.path, "-E",
                                   f"CONTAINERS_CONF={LAB}/containers.conf", "podman", "--root", f"{LAB}/podman",
                                   "--runroot", f"{LAB}/podman-run", "--cgroup-manager", "cgroupfs", "--events-backend",
                                   "file", "system", "service", "--time", str(seconds)],
                                  stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        end = time.time() + 20
        while not os.path.exists(self.path) and time.time() < end:
            time.sleep(0.02)

    def stop(self):
        self.p.kill()
        self.p.wait()


# ---- figures ----------------------------------------------------------------------------------------------------

def figure_activate():
    ours, theirs = [], []
    for _ in range(10):
        wait_gone("bottled")
        ours.append(ms(lambda: ping(ROOTFS + ENGINE)))
        peer = Podman(5)
        theirs.append(ms(lambda: ping(peer.path)))
        peer.stop()
    report("activate", "ms", ours, "podman", theirs)


def figure_ping():
    peer = Podman(60)
    ping(peer.path)
    ours, theirs = [], []
    for _ in range(10):
        ours += ping_again(ROOTFS + ENGINE, 100)
        theirs += ping_again(peer.path, 100)
    peer.stop()
    report("ping", "ms", ours, "podman", theirs)


def run_pair(name, args, runs):
    ours, theirs = [], []
    for _ in range(runs):
        ours.append(ms(lambda: quiet(as_user, "docker", "run", "--rm", *args, IMAGE, "true")))
        theirs.append(ms(lambda: quiet(podman, "run", "--rm", *args, IMAGE, "true")))
    report(name, "ms", ours, "podman", theirs)


def figure_run():
    run_pair("run", [], 7)


def figure_run_none():
    run_pair("run-none", ["--network", "none"], 7)


def rss_kb(pid, key="VmRSS"):
    with open(f"/proc/{pid}/status") as f:
        return next(int(line.split()[1]) for line in f if line.startswith(key))


def pss_kb(pid):
    with open(f"/proc/{pid}/smaps_rollup") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("Pss:"))


def figure_vm_memory():
    ids = [quiet(as_user, "docker", "run", "-d", "--network", "none", "--memory", "256m", IMAGE, "sleep", "600").strip()
           for _ in range(3)]
    time.sleep(2)
    report("vm-memory", "MiB", [pss_kb(p) / 1024 for p in our_processes("qemu-system-x86_64")])
    report("monitor-memory", "MiB", [rss_kb(p) / 1024 for p in our_processes("bottle-monitor")])
    report("engine-memory", "MiB", [rss_kb(p) / 1024 for p in our_processes("bottled")])
    quiet(as_user, "docker", "rm", "-f", *ids)


def figure_boot():
    """From QEMU's exec to the guest's first process saying hello, without the engine."""
    sys.path.insert(0, "tests/lib")
    os.environ["BUILD"] = BUILD
    import guest
    ours = []
    for _ in range(5):
        start = time.perf_counter()
        g = guest.Guest()
        g.hello()
        ours.append((time.perf_counter() - start) * 1000)
        g.close()
    report("boot", "ms", ours)


def figure_exec():
    ours, theirs = [], []
    quiet(as_user, "docker", "run", "-d", "--name", "bench-exec", "--network", "none", IMAGE, "sleep", "600")
    quiet(podman, "run", "-d", "--name", "bench-exec", "--network", "none", IMAGE, "sleep", "600")
    for _ in range(15):
        ours.append(ms(lambda: quiet(as_user, "docker", "exec", "bench-exec", "true")))
        theirs.append(ms(lambda: quiet(podman, "exec", "bench-exec", "true")))
    quiet(as_user, "docker", "rm", "-f", "bench-exec")
    quiet(podman, "rm", "-f", "-t", "0", "bench-exec")
    report("exec", "ms", ours, "podman", theirs)


def figure_up():
    """From the command to the agent's first allowed answer; sidecar's memory and image on the way."""
    images = f"{BUILD}/share/bottle/images"
    for name in ("sidecar", "agent"):
        quiet(as_user, "docker", "load", "-q", "-i", f"/opt/bottle/share/bottle/images/{name}.tar")
    with open("policies/demo.json") as f, open(f"{LAB}/demo.json", "w") as g:
        g.write(f.read())
    os.chmod(f"{LAB}/demo.json", 0o644)
    ours, memory = [], []
    for _ in range(3):
        def up():
            quiet(as_user, "bottle", "up", f"{LAB}/demo.json")
            quiet(as_user, "docker", "exec", "demo-agent", "curl", "-sSf", "http://allowed.example/")
        ours.append(ms(up))
        stats = json.loads(quiet(as_user, "curl", "-s", "--unix-socket", ENGINE,
                                 "http://d/containers/demo-sidecar/stats?stream=0&one-shot=1"))
        memory.append(stats["memory_stats"]["usage"] / 1048576)
        quiet(as_user, "bottle", "down", "demo")
    report("up", "ms", ours)
    report("sidecar-memory", "MiB", memory)
    report("sidecar-image", "MiB", [os.path.getsize(f"{images}/sidecar.tar") / 1048576])


FIGURES = {
    "activate": figure_activate, "ping": figure_ping, "boot": figure_boot, "run": figure_run, "run-none": figure_run_none, "exec": figure_exec,
    "vm-memory": figure_vm_memory, "up": figure_up,
}

if __name__ == "__main__":
    wanted = [n for n in (sys.argv[1] if len(sys.argv) > 1 else "").split(",") if n] or list(FIGURES)
    unknown = [n for n in wanted if n not in FIGURES]
    if unknown:
        raise SystemExit(f"bench: no figure {', '.join(unknown)}; there are: {', '.join(FIGURES)}")
    prepare()
    for figure in wanted:
        FIGURES[figure]()
