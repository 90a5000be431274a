# SPDX-License-Identifier: Apache-2.0
"""What bottle-init promises in proto/guest.h, shown in two boots of one container and one of a host that misbehaves."""
import hashlib
import os
import struct
import sys
import time
import traceback

import guest

WORK = sys.argv[1]
DISKS = [(WORK + "/top.img", True), (WORK + "/base.img", True), (WORK + "/scratch.img", False)]
LAYERS = [("LAYER", 0), ("LAYER", 1), ("SCRATCH", 2)]
count = failed = 0


def is_(name, got, want):
    global count, failed
    count += 1
    good = want(got) if callable(want) else got == want
    print("%s %d - %s" % ("ok" if good else "not ok", count, name), flush=True)
    if not good:
        failed += 1
        print("# got %r%s" % (got, "" if callable(want) else ", not %r" % (want,)))


def addr(a):
    return bytes(int(x) for x in a.split("."))


def sh(g, script, **more):
    return g.run("sh", "-c", script, **more)


NIC = [("NIC", 0), ("NIC_NAME", "eth0"), ("NIC_MAC", bytes.fromhex("02420a0a0a02")), ("NIC_ADDR", addr("10.10.10.2")),
       ("NIC_PREFIX", 32), ("NIC_GATEWAY", addr("10.99.0.1")), ("NIC_MTU", 1400),
       ("NEIGH_ADDR", addr("10.99.0.1")), ("NEIGH_MAC", bytes.fromhex("02aabbccddee"))]


def config(g):
    is_("HELLO tells the version", g.hello()["VERSION"], 1)
    print("# HELLO %.2f s after exec" % g.boot_s)
    now = time.monotonic()
    r = g.configure(("HOSTNAME", "box"), ("DOMAINNAME", "example.test"), *LAYERS, *NIC,
                    ("DNS", addr("10.99.0.1")), ("DNS", addr("10.99.0.2")), ("DNS_SEARCH", "a.test"), ("DNS_SEARCH", "b.test"),
                    ("DNS_OPTION", "ndots:2"), ("HOST", "10.10.10.2\tbox"), ("TMPFS", "/scratch:size=1m,exec"), ("TMPFS", "/t2"),
                    ("SHM_SIZE", 2 << 20), ("SYSCTL", "net.ipv4.ip_forward=1"), ("MODULE", "nft_redir"),
                    ("FILE_PATH", "/etc/conf.d/x"), ("FILE_MODE", 0o640), ("FILE_DATA", b"small\0file"),
                    ("FILE_PATH", "/escape/x"), ("FILE_DATA", b"caught"))
    is_("the configuration is accepted", r[0], "CONFIGURED")
    print("# configured in %.2f s" % (time.monotonic() - now), r[1])


def start_main(g):
    main = g.start("sh", "-c", "echo up; trap 'exit 7' TERM; while :; do sleep 0.1; done", main=1, pids_max=100)
    is_("a process started right behind the main one", g.run("cat", "/etc/layer")[1], "top\n")
    g.until(lambda: b"up\n" in g.streams[main]["STDOUT"], 30, "the main process")
    return main


def show_config(g):
    checks = [
        ("host name", "hostname; cat /etc/hostname", "box\nbox\n"),
        ("domain name", "cat /proc/sys/kernel/domainname", "example.test\n"),
        ("hosts", "cat /etc/hosts", "127.0.0.1\tlocalhost\n10.10.10.2\tbox\n"),
        ("resolv.conf over a link that led nowhere", "cat /etc/resolv.conf",
         "nameserver 10.99.0.1\nnameserver 10.99.0.2\nsearch a.test b.test\noptions ndots:2\n"),
        ("address and MTU", "ip addr show eth0", lambda s: "10.10.10.2/32" in s and "mtu 1400" in s and "02:42:0a:0a:0a:02" in s
         and "UP" in s and "inet6" not in s),
        ("a gateway outside the prefix", "ip route", lambda s: "default via 10.99.0.1 dev eth0" in s),
        ("a permanent neighbour", "arp -n -a", lambda s: "02:aa:bb:cc:dd:ee" in s.lower() and "PERM" in s),
        ("both layers", "cat /etc/layer /etc/plain", "top\nplain\n"),
        ("a small file with its mode", "stat -c %a:%s /etc/conf.d/x", "640:10\n"),
        ("a file through a hostile link stays in the root", "cat /modules/x", "caught"),
        ("tmpfs with options", "grep ' /scratch ' /proc/mounts", lambda s: "size=1024k" in s and "noexec" not in s),
        ("tmpfs defaults", "grep ' /t2 ' /proc/mounts", lambda s: "nosuid,nodev,noexec" in s),
        ("size of /dev/shm", "grep ' /dev/shm ' /proc/mounts", lambda s: "size=2048k" in s),
        ("a sysctl", "cat /proc/sys/net/ipv4/ip_forward", "1\n"),
        ("a module with what it needs", "grep -c -E '^(nft_redir|nf_nat|nf_tables) ' /proc/modules", "3\n"),
        ("IPv6 is off", "cat /proc/sys/net/ipv6/conf/all/disable_ipv6 /proc/sys/net/ipv6/conf/eth0/disable_ipv6", "1\n1\n"),
        ("/proc/sys is read-only", "echo 1 >/proc/sys/kernel/panic || echo no", lambda s: s == "no\n"),
        ("the cgroup is the container's", "cat /proc/self/cgroup; cat /sys/fs/cgroup/pids.max", "0::/\n100\n"),
        ("kcore is masked", "wc -c </proc/kcore", "0\n"),
        ("PID 1 is the main process", "tr '\\0' ' ' </proc/1/cmdline", lambda s: s.startswith("sh -c echo up")),
        ("bottle-init cannot be seen", "ps -o args | grep -c '[b]ottle-init'", "0\n"),
        ("nothing of the initramfs is there", "ls -d /init /modules/order 2>/dev/null | wc -l", "0\n"),
        ("nor its mounts", "awk '{print $2}' /proc/mounts | grep -c -E '^(/run|/root)'", "0\n"),
        ("no descriptor is left over", "ls /proc/self/fd | wc -l", "4\n"),
        ("devices", "echo x >/dev/null && head -c 3 /dev/zero | wc -c && readlink /dev/ptmx", "3\npts/ptmx\n"),
    ]
    for name, script, want in checks:
        _, out, err = sh(g, script)
        is_(name, out, want)
        if err and "no\n" not in out:
            print("#", err.strip())
    drift = abs(int(sh(g, "cat /proc/uptime >/dev/null; stat -c %Y /t2; touch /t2/x; stat -c %Y /t2/x")[1].split()[1]) - time.time())
    is_("the clock", drift, lambda d: d < 10)


def show_codes(g):
    is_("exit 0, output, error output", sh(g, "echo out; echo err >&2"), (0, "out\n", "err\n"))
    is_("exit 3", sh(g, "exit 3")[0], 3)
    is_("a signal", sh(g, "kill -9 $$")[0], 137)
    is_("not in PATH", g.run("nosuch"), (127, "", 'exec: "nosuch": executable file not found in $PATH'))
    is_("no such path", g.run("/no/such"), (127, "", 'exec: "/no/such": stat /no/such: no such file or directory'))
    is_("not executable", g.run("/etc/plain"), (126, "", 'exec: "/etc/plain": permission denied'))
    is_("a directory", g.run("/etc"), (126, "", 'exec: "/etc": is a directory'))
    is_("no format", g.run("/bin/noexec"), (126, "", "exec /bin/noexec: exec format error"))
    is_("no such user", g.run("id", user="ghost"),
        (126, "", "unable to find user ghost: no matching entries in passwd file"))
    is_("HOST_SIGNAL", signalled(g), 128 + 15)
    is_("many quick processes", [sh(g, "exit %d" % i)[0] for i in range(10)], list(range(10)))
    is_("orphans that hold the output are not waited for", sh(g, "sleep 60 & echo now", timeout=10), (0, "now\n", ""))


def signalled(g):
    n = g.start("sleep", "100")
    g.until(lambda: "STARTED" in g.streams[n]["events"], 20)
    g.send("SIGNAL", n, guest.tlv(("SIGNAL", 15)))
    return g.wait(n)["events"]["EXIT"]["CODE"]


def show_users(g):
    is_("user by name with its groups", g.run("id", user="user")[1],
        "uid=1000(user) gid=1000(user) groups=1000(user),2000(extra)\n")
    is_("user and group by number", g.run("id", user="1234:44")[1], "uid=1234 gid=44(video) groups=44(video)\n")
    is_("added groups", g.run("id", user="1234:44", group_add=["extra", "77"])[1],
        "uid=1234 gid=44(video) groups=44(video),77,2000(extra)\n")
    is_("HOME comes from passwd", sh(g, "echo $HOME", user="user")[1], "/home/user\n")
    caps = "grep -E '^Cap(Inh|Prm|Eff|Bnd)|^NoNew' /proc/self/status | awk '{print $2}'"
    full = "%016x" % guest.DOCKER_CAPS
    none = "0" * 16
    is_("root's capabilities", sh(g, caps)[1].split(), [none, full, full, full, "0"])
    is_("a user's capabilities, no_new_privs", sh(g, caps, user="user", no_new_privs=1)[1].split(), [none, none, none, full, "1"])
    is_("working directory is made", g.run("pwd", cwd="/made/for/it")[1], "/made/for/it\n")
    is_("limits", sh(g, "ulimit -n; ulimit -Hn; ulimit -c", rlimit=["nofile=1024:2048", "core=0"])[1], "1024\n2048\n0\n")
    is_("oom_score_adj", sh(g, "cat /proc/self/oom_score_adj", oom_adj=1500)[1], "500\n")
    is_("oom_score_adj is not bottle-init's", sh(g, "cat /proc/self/oom_score_adj")[1], "0\n")
    is_("its user may open /dev/stdout again", sh(g, "echo again >/dev/stdout", user="user")[1], "again\n")
    is_("no input is an empty one", g.run("cat")[:2], (0, ""))


def show_tty(g):
    n = g.start("sh", "-c", "tty; stty size; read x; stty size; echo got $x; ls -l $(tty) | awk '{print $3}'", tty=1, stdin=1, rows=20,
                cols=90, user="user")
    s = g.streams[n]
    g.until(lambda: b"20 90\r\n" in s["STDOUT"], 20, "the terminal's size")
    g.send("RESIZE", n, guest.tlv(("ROWS", 40), ("COLS", 132)))
    g.write(n, b"line\n")
    g.wait(n)
    out = s["STDOUT"].decode().replace("\r", "").split("\n")
    is_("terminal: name, size, echo, new size, owner", out, lambda o: o[0].startswith("/dev/pts/") and o[1:] ==
        ["20 90", "line", "40 132", "got line", "user", ""])
    is_("terminal: no error output", s["STDERR"], b"")
    n = g.start("cat", tty=1, stdin=1)
    g.write(n, b"\x03")
    is_("terminal: ^C is a signal", g.wait(n)["events"]["EXIT"]["CODE"], 130)


def show_streams(g):
    n = g.start("cat", stdin=1)
    g.write(n, b"hello")
    g.eof(n)
    is_("input and its end", g.wait(n)["STDOUT"], b"hello")
    data = os.urandom(5 << 20)
    n = g.start("cat", stdin=1)
    begin = time.monotonic()
    g.write(n, data)
    g.eof(n)
    out = g.wait(n, 60)["STDOUT"]
    print("# 5 MB through cat in %.2f s" % (time.monotonic() - begin))
    is_("5 MB through cat, intact", hashlib.sha256(out).hexdigest(), hashlib.sha256(data).hexdigest())
    n = g.start("true", stdin=1)
    g.write(n, b"x" * (1 << 20))
    is_("input to a process that does not read", g.wait(n)["events"]["EXIT"]["CODE"], 0)

    blocked = g.start("yes")
    g.stall.add(blocked)
    s = g.streams[blocked]
    g.until(lambda: len(s["STDOUT"]) >= guest.WINDOW, 30, "a full window")
    is_("a stalled stream does not stall another", [sh(g, "head -c 600000 /dev/zero | wc -c")[1] for _ in range(3)], ["600000\n"] * 3)
    n = g.start("sh", "-c", "head -c 1000000 /dev/zero")
    is_("nor a large one", len(g.wait(n)["STDOUT"]), 1000000)
    is_("no more than the window came", len(s["STDOUT"]), guest.WINDOW)
    g.stall.discard(blocked)
    g.send("WINDOW", blocked, guest.tlv(("CREDIT", s["owed"])))
    g.until(lambda: len(s["STDOUT"]) > 4 * guest.WINDOW, 30, "more after credit")
    g.send("SIGNAL", blocked, guest.tlv(("SIGNAL", 9)))
    is_("it goes on with credit, and ends", g.wait(blocked)["events"]["EXIT"]["CODE"], 137)

    n = g.start("sh", "-c", "head -c 700000 /dev/zero; exit 5")
    g.stall.add(n)
    g.until(lambda: g.streams[n]["owed"] >= guest.WINDOW, 30, "a window")
    is_("the exit waits for the output", "EXIT" in g.streams[n]["events"], False)
    g.stall.discard(n)
    g.send("WINDOW", n, guest.tlv(("CREDIT", g.streams[n]["owed"])))
    is_("all output, then the exit", (g.wait(n)["events"]["EXIT"]["CODE"], len(g.streams[n]["STDOUT"])), (5, 700000))


def show_oom(g):
    begin = time.monotonic()
    s = g.wait(g.start("awk", 'BEGIN { s = sprintf("%10000000s", "x"); for (;;) a[i++] = s i }', oom_adj=2000), 60)
    print("# out of memory after %.1f s" % (time.monotonic() - begin))
    is_("out of memory: the process is killed, and said so", s["events"].get("EXIT"), {"CODE": 137, "OOM": 1})
    n = g.start("sleep", "100")
    g.until(lambda: "STARTED" in g.streams[n]["events"], 20)
    g.send("SIGNAL", n, guest.tlv(("SIGNAL", 9)))
    is_("a plain KILL is not", g.wait(n)["events"]["EXIT"], {"CODE": 137, "OOM": 0})
    begin = time.monotonic()
    for _ in range(10):
        g.run("true")
    print("# %.0f ms a start of true" % ((time.monotonic() - begin) * 100))


def show_stats(g):
    g.send("STATS")
    s = g.wait_control("STATS")[1]
    is_("stats", s, lambda s: set(guest.STATS) <= set(s) and 100 << 20 < s["MEM_TOTAL"] < 256 << 20 and s["MEM_USED"] > 0 and
        s["CPU_COUNT"] == 1 and s["PIDS"] >= 1 and s["READ_BYTES"] > 0)
    print("#", s)
    g.send("SYNC")
    is_("sync", g.wait_control("SYNCED")[0], "SYNCED")


def first_boot():
    g = guest.Guest(DISKS, nics=1)
    try:
        config(g)
        main = start_main(g)
        is_("main process has started", g.streams[main]["events"]["STARTED"]["PID"], lambda p: p > 1)
        for part in (show_config, show_codes, show_users, show_tty, show_streams, show_oom, show_stats):
            part(g)
        is_("a fork bomb meets pids.max", sh(g, "for i in $(sh -c 'i=0; while [ $i -lt 150 ]; do i=$((i+1)); echo $i; done'); do "
            "sleep 3 & done", timeout=60)[2], lambda s: "can't fork" in s or "temporarily" in s)
        is_("a file for the next boot", sh(g, "echo kept >/var/lib/file")[0], 0)
        other = g.start("sleep", "100")
        g.until(lambda: "STARTED" in g.streams[other]["events"], 20)
        g.send("SIGNAL", main, guest.tlv(("SIGNAL", 15)))
        is_("the main process' own exit code", g.wait(main)["events"]["EXIT"]["CODE"], 7)
        is_("the VM powers off after it", g.wait_end(), 0)
        is_("the rest was killed", g.streams[other]["events"].get("EXIT", {}).get("CODE"), 137)
    finally:
        g.close()


def second_boot():
    g = guest.Guest(DISKS, nics=0)
    try:
        g.hello()
        is_("second boot: configured, read-only", g.configure(*LAYERS, ("HOSTNAME", "again"), ("ROOT_RO", 1))[0], "CONFIGURED")
        is_("a process before the main one", sh(g, "cat /var/lib/file"), (0, "kept\n", ""))
        is_("read-only root", sh(g, "touch /x; echo $?; touch /dev/shm/x; echo $?")[1], "1\n0\n")
        is_("privileged: /proc/sys is writable", sh(g, "echo 1 >/proc/sys/kernel/panic; echo $?", caps=(1 << 41) - 1)[1],
            lambda s: s in ("0\n", "1\n"))
        n = g.start("sh", "-c", "trap 'echo bye; exit 9' TERM; echo up; while :; do sleep 0.1; done", main=1, init=1)
        g.until(lambda: b"up" in g.streams[n]["STDOUT"], 20)
        is_("main process is not PID 1 with --init", g.run("sh", "-c", "tr '\\0' ' ' </proc/1/cmdline")[1], lambda s: "trap" not in s)
        g.send("SHUTDOWN")
        is_("HOST_SHUTDOWN ends the VM", g.wait_end(), 0)
        is_("the main process had its TERM", (g.streams[n]["STDOUT"], g.streams[n]["events"]["EXIT"]["CODE"]), (b"up\nbye\n", 9))
    finally:
        g.close()


def bad_hosts():
    for name, bytes_ in (("an unknown frame", struct.pack("<IHHI", 0, 99, 0, 0)),
                         ("a start before the configuration", guest.frame("START", 1, guest.tlv(("ARG", "true"))))):
        g = guest.Guest(DISKS[:1])
        try:
            g.hello()
            g.socket.sendall(bytes_)
            is_("%s ends the VM" % name, g.wait_end(), 0)
        finally:
            g.close()
    g = guest.Guest(DISKS[:1])
    try:
        g.hello()
        r = g.configure(("LAYER", 0), ("SCRATCH", 9))
        is_("a configuration that cannot be met", (r[0], r[1].get("TEXT", "")), ("FAILED", "the VM has no disk with the serial disk9"))
        g.socket.close()
        is_("a host that leaves ends the VM", g.process.wait(20), 0)
    finally:
        g.close()


def main():
    global count, failed
    for part in (first_boot, second_boot, bad_hosts):
        if len(sys.argv) > 2 and part.__name__ not in sys.argv[2:]:
            continue
        try:
            part()
        except (Exception,):
            is_(part.__name__, traceback.format_exc(), "")
    print("1..%d" % count)
    sys.exit(1 if failed else 0)


main()
