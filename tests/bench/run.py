"""Measures Postern beside mpop and fetchmail and prints Markdown.

  POSTERN=build/release/src/cli/postern python3 tests/bench/run.py >tests/bench/RESULTS.md

Use a release build. Needs Dovecot, strace; mpop and fetchmail where they are
installed. Only what was measured is printed. --only collect,accept,memory,idle
and --repeat N narrow it. Where mail must stay in the queue the next hop is one
that accepts connections and never greets."""
import argparse
import os
import shutil
import socket
import subprocess
import threading
import time

from measure import (Group, Silent, fsync_us, log, machine, median, message_file, net, new_postern, run_to_end, spread,
                     strace, syncs, versions)

from harness.dovecot import PASSWORD, Dovecot  # isort: skip (measure says where it is)

LOADS = {"5,000 x 4 KB": (5000, 4096), "200 x 1 MB": (200, 1 << 20)}


class Box:
    """One mailbox that can be filled again in a moment."""

    def __init__(self, count, size):
        self.count, self.size = count, size
        self.server = Dovecot(["global"])
        self.files = [message_file(self.server.dir / f"m{i}", size, i) for i in range(count)]
        self.octets = sum(f.stat().st_size for f in self.files)
        self.server.start()

    def fill(self):
        self.server.empty("global")
        for f in self.files:
            self.server.put("global", None, link=f)
        with socket.create_connection(("127.0.0.1", self.server.port)) as s:  # let Dovecot index them
            f = s.makefile("rwb")
            for line in ("", "USER global", f"PASS {PASSWORD}", "UIDL", "QUIT"):
                if line:
                    f.write(line.encode() + b"\r\n")
                    f.flush()
                f.readline()
                if line == "UIDL":
                    while f.readline() not in (b".\r\n", b""):
                        pass

    def left(self):
        return len(self.server.messages("global"))

    def close(self):
        self.server.stop()


def collect_into_queue(box, trace=None):
    """`once --queue-only`: from start to end of the process, nothing delivered."""
    box.fill()
    pt = new_postern()
    pt.account("box", box.server.port, max_per_session=100000, max_size="200M")
    pt.write()
    seconds, cpu, peak, status = run_to_end([*(strace(trace) if trace else []), *pt.command("once", "--queue-only")],
                                            cwd=pt.dir, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    queued, left = len(pt.queue()), box.left()
    pt.close()
    assert status == 0 and queued == box.count and left == 0, (status, queued, left)
    return seconds, cpu, peak


def collect_into_drop(box):
    box.fill()
    pt = new_postern()
    pt.account("box", box.server.port, max_per_session=100000, max_size="200M")
    pt.write()
    seconds, cpu, peak, status = run_to_end(pt.command("once"), cwd=pt.dir, stdout=subprocess.DEVNULL,
                                            stderr=subprocess.DEVNULL)
    dropped = len(list((pt.state / "Drop").glob("*.eml")))
    pt.close()
    assert status == 0 and dropped == box.count and box.left() == 0, (status, dropped)
    return seconds, cpu, peak


def mpop(box):
    box.fill()
    d = net.short_dir("mpop-")
    for sub in ("cur", "new", "tmp"):
        (d / "Maildir" / sub).mkdir(parents=True)
    rc = d / "rc"
    rc.write_text("defaults\ntls off\nauth user\nkeep off\nonly_new off\nreceived_header off\npipelining on\n"
                  f"uidls_file {d}/uidls\ndelivery maildir {d}/Maildir\naccount a\nhost 127.0.0.1\n"
                  f"port {box.server.port}\nuser global\npassword {PASSWORD}\n")
    rc.chmod(0o600)
    seconds, cpu, peak, _ = run_to_end(["mpop", "-C", rc, "-Q", "a"], stdout=subprocess.DEVNULL)
    got = len(list((d / "Maildir" / "new").iterdir()))
    net.remove(d)
    assert got == box.count, f"mpop got {got}"
    return seconds, cpu, peak


def fetchmail(box):
    box.fill()
    d = net.short_dir("fm-")
    rc = d / "rc"
    rc.write_text("set no bouncemail\nset no syslog\n"
                  f'poll "box" via 127.0.0.1 protocol pop3 port {box.server.port} auth password no dns\n'
                  f'  user "global" password "{PASSWORD}" is "root" here mda "/bin/cat" sslproto ""\n'
                  "  fetchall no keep no rewrite fetchlimit 0 batchlimit 0 expunge 0\n")
    rc.chmod(0o600)
    env = {**os.environ, "FETCHMAILHOME": str(d)}
    seconds, cpu, peak, _ = run_to_end(["fetchmail", "-f", rc, "--nodetach", "--nosyslog", "-s", "-i", d / "ids",
                                        "--pidfile", d / "pid"], env=env, stdout=subprocess.DEVNULL)
    left = box.left()
    net.remove(d)
    assert left == 0, f"fetchmail left {left}"
    return seconds, cpu, peak


def bench_collect(repeat):
    print("## Collecting from one Dovecot mailbox on loopback\n")
    print("| load | collector | seconds | messages/s | MB/s | CPU s per 1,000 | peak MB | syncs per message |")
    print("|---|---|---|---|---|---|---|---|")
    rows = [("Postern, into the committed queue", collect_into_queue, repeat),
            ("Postern `once`, into Drop files", collect_into_drop, repeat)]
    if shutil.which("mpop"):
        rows.append(("mpop, pipelined, into a Maildir", mpop, repeat))
    if shutil.which("fetchmail"):
        rows.append(("fetchmail, each to `cat` (nothing kept)", fetchmail, 1))
    for load, (count, size) in LOADS.items():
        box = Box(count, size)
        for name, how, times in rows:
            runs = [how(box) for _ in range(times)]
            per_message = "–"
            if how is collect_into_queue and strace("x"):
                trace = box.server.dir / "strace"
                how(box, trace)
                per_message = f"{syncs(trace) / count:.4f}"
            seconds = [r[0] for r in runs]
            log(load, name, runs)
            print(f"| {load} | {name} | {spread(seconds, '{:.2f}')} | {spread([count / s for s in seconds])} | "
                  f"{spread([box.octets / s / 1e6 for s in seconds])} | "
                  f"{spread([r[1] / count * 1000 for r in runs], '{:.3f}')} | {max(r[2] for r in runs):.0f} | {per_message} |",
                  flush=True)
        box.close()
    print()


def talk(port, messages, one_by_one):
    """Sends over one connection; (seconds, latencies)."""
    s = socket.create_connection(("127.0.0.1", port), 60)
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    f = s.makefile("rb")

    def reply():
        while True:
            line = f.readline()
            assert line[:1] == b"2", line
            if line[3:4] != b"-":
                return line
    reply()
    s.sendall(b"EHLO bench.test\r\n")
    reply()
    parts = [b"MAIL FROM:<max@nwtraders.test>\r\nRCPT TO:<ann@contoso.test>\r\nBDAT %d LAST\r\n%s" % (len(m), m)
             for m in messages]
    begin = time.monotonic()
    latencies = []
    if one_by_one:
        for part in parts:
            t = time.monotonic()
            s.sendall(part)
            for _ in range(3):
                reply()
            latencies.append(time.monotonic() - t)
    else:
        threading.Thread(target=s.sendall, args=(b"".join(parts),), daemon=True).start()
        for _ in range(3 * len(parts)):
            reply()
    seconds = time.monotonic() - begin
    s.sendall(b"QUIT\r\n")
    s.close()
    return seconds, latencies


def accept_once(count, one_by_one, trace=None):
    hop = Silent()
    pt = new_postern(hop.route)
    d = net.short_dir()
    messages = [message_file(d / "m", 4096, i).read_bytes() for i in range(count)]
    pt.write()
    if trace:
        pt.prefix = strace(trace)
    pt.start()
    before = syncs(trace) if trace else 0
    seconds, latencies = talk(pt.port, messages, one_by_one)
    after = syncs(trace) if trace else 0
    pt.kill()
    pt.prefix = []
    queued = len(pt.queue())
    assert queued == count, f"{queued} of {count} after kill -9"
    hop.close()
    pt.close()
    net.remove(d)
    return seconds, latencies, after - before


def bench_accept(repeat):
    print("## Accepting over one TCP connection, 4 KB each, every 250 durable\n")
    print("| how | messages/s | syncs per message | median wait of one message, ms |")
    print("|---|---|---|---|")
    for name, count, one_by_one in (("1,000 pipelined", 1000, False), ("200, each after the last one's 250", 200, True)):
        runs = [accept_once(count, one_by_one) for _ in range(repeat)]
        per_message = "–"
        if strace("x"):
            d = net.short_dir()
            per_message = f"{accept_once(count, one_by_one, d / 'strace')[2] / count:.3f}"
            net.remove(d)
        waits = [t * 1000 for r in runs for t in r[1]]
        print(f"| {name} | {spread([count / r[0] for r in runs])} | {per_message} | "
              f"{f'{median(waits):.2f}' if waits else '–'} |", flush=True)
    d = net.short_dir()
    print(f"\nOne fdatasync of 4 KB here: {fsync_us(d) / 1000:.2f} ms (median of 200).\n")
    net.remove(d)


def memory_case(users, size, service):
    server = Dovecot([f"u{i}" for i in range(users)])
    file = message_file(server.dir / "m", size, 1)
    for u in server.users:
        server.put(u, None, link=file)
    server.start()
    pt = new_postern()
    for u in server.users:
        pt.account(u, server.port, type="user", user=u, recipient=f"{u}@contoso.test", max_size="200M")
    pt.conf["smtp"]["limits"] = {"message": "200M"}
    pt.write()
    group = Group(pt.command("run" if service else "once"), cwd=pt.dir, stdout=subprocess.DEVNULL,
                  stderr=open(pt.dir / "log", "wb"))
    end = time.monotonic() + 240
    while time.monotonic() < end and group.p.poll() is None:
        done = len(list((pt.state / "Drop").glob("*.eml"))) if (pt.state / "Drop").exists() else 0
        if service and done == users:
            break
        time.sleep(0.1)
    group.look()
    seconds = time.monotonic() - group.begin
    group.kill()
    dropped = len(list((pt.state / "Drop").glob("*.eml")))
    text = (pt.dir / "log").read_text(errors="replace")[-2000:]
    pt.close()
    server.stop()
    assert dropped == users, f"{dropped} of {users}: {text}"
    return seconds, group.peak_mb(), sorted((round(mb, 1) for mb, _ in group.peak.values()), reverse=True)


def bench_memory(_):
    print("## Memory: the largest resident set of any one process\n")
    print("| load | how | seconds | MB, largest process | MB, each process |")
    print("|---|---|---|---|---|")
    for name, users, size in (("one message of 100 MB", 1, 100 << 20), ("64 accounts, 20 MB each, at once", 64, 20 << 20)):
        for service in (False, True):
            seconds, peak, each = memory_case(users, size, service)
            print(f"| {name} | `{'run' if service else 'once'}` | {seconds:.1f} | {peak:.0f} | "
                  f"{', '.join(str(e) for e in each)} |", flush=True)
    print()


def bench_idle(_):
    server = Dovecot(["global"])
    server.start()
    pt = new_postern()
    pt.account("box", server.port)
    pt.write()
    runs = [run_to_end(pt.command("once"), cwd=pt.dir, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            for _ in range(12)][1:]
    print("## `once` on an empty mailbox\n")
    print(f"CPU {spread([r[1] * 1000 for r in runs], '{:.1f}')} ms, wall {spread([r[0] * 1000 for r in runs], '{:.1f}')} ms, "
          f"{len(runs)} runs.\n", flush=True)
    pt.close()
    server.stop()


BENCHES = {"collect": bench_collect, "accept": bench_accept, "memory": bench_memory, "idle": bench_idle}


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("--only", default=",".join(BENCHES))
    a.add_argument("--repeat", type=int, default=3)
    a = a.parse_args()
    print("# Measured\n")
    print(f"{time.strftime('%Y-%m-%d')}, {machine()}. Medians of {a.repeat} runs, range in brackets.")
    print("; ".join(versions()) + ".")
    print("Command: `POSTERN=BUILD/src/cli/postern python3 tests/bench/run.py`, BUILD made with `-Dbuildtype=release`. "
          "Postern collects in one session (max_per_session raised), as the others do.\n", flush=True)
    for name in a.only.split(","):
        log(name)
        BENCHES[name](a.repeat)


if __name__ == "__main__":
    main()
