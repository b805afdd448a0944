"""Measures the collector beside mpop, fetchmail and getmail6, in one run, and prints Markdown.

  POSTERN=build/release/src/cli/postern python3 tests/bench/collector.py >>tests/bench/RESULTS.md

BUILD made with `-Dbuildtype=release -Dtests=false`. Postern collects into its committed, synced queue
(`once --queue-only`), the others into a Maildir or to nobody. A long line is tests/bench/delay_proxy.c,
25 ms each way, compiled by this script; it accepts TCP at once, so every row lacks the round trip of the
handshake, equally. Only what was measured is printed; --only latency,loopback,many,memory,listing and
--repeat N narrow it; --only slow is fetchmail with many accounts over the long line."""
import argparse
import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

from measure import log, machine, median, message_file, net, new_postern, run_to_end, spread, versions

from harness.dovecot import PASSWORD, Dovecot  # isort: skip (measure says where it is)
from harness.line import Line  # isort: skip
from harness.pop3_server import Pop3Server  # isort: skip


class Boxes:
    """Mailboxes of one Dovecot that are filled with other mail each time."""

    def __init__(self, users, count, size):
        self.users, self.count, self.size, self.round = users, count, size, 0
        self.server = Dovecot(users)
        self.server.start()

    def fill(self):
        self.round += 1
        for k, user in enumerate(self.users):
            self.server.empty(user)
            for i in range(self.count):
                number = (self.round * len(self.users) + k) * self.count + i
                f = message_file(self.server.dir / f"m{k}-{i}", self.size, number)
                self.server.put(user, None, link=f)
                f.unlink()
        if self.count:  # Dovecot makes its index once
            subprocess.run(["/usr/bin/python3", "-c", "import poplib,sys\nfor u in sys.argv[2:]:\n p=poplib.POP3("
                            f"'127.0.0.1',int(sys.argv[1])); p.user(u); p.pass_('{PASSWORD}'); p.uidl(); p.quit()",
                            str(self.server.port), *self.users], check=True)

    def empty(self):
        for user in self.users:
            self.server.empty(user)

    def left(self):
        return sum(len(self.server.messages(u)) for u in self.users)

    def close(self):
        self.server.stop()


class OurOwn:
    """Postern with a new state for each run; `known`: which has polled the mailboxes once before."""

    def __init__(self, users, port, known):
        self.users, self.port, self.known, self.pt = users, port, known, None

    def run(self):
        return run_to_end(self.pt.command("once", "--queue-only"), cwd=self.pt.dir, stdout=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL)

    def fresh(self):
        if self.pt:
            self.pt.close()
        self.pt = new_postern()
        for u in self.users:
            self.pt.account(u, self.port, user=u, max_per_session=100000, max_size="200M")
        self.pt.write()

    def close(self):
        if self.pt:
            self.pt.close()


class Peer:
    def __init__(self, users, port):
        self.users, self.port = users, port
        self.dir = net.short_dir("peer-")
        for sub in ("cur", "new", "tmp"):
            (self.dir / "Maildir" / sub).mkdir(parents=True)
        self.rc = self.dir / "rc"
        self.rc.write_text(self.configuration())
        self.rc.chmod(0o600)

    def run(self):
        kw = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "timeout": 2400}
        got = run_to_end(self.command(), env={**os.environ, "FETCHMAILHOME": str(self.dir), "HOME": str(self.dir)}, **kw)
        for f in (self.dir / "Maildir" / "new").iterdir():
            f.unlink()
        return got

    def close(self):
        net.remove(self.dir)


class Mpop(Peer):
    name = "mpop, pipelined, into a Maildir"

    def configuration(self):
        head = ("defaults\ntls off\nauth user\nkeep off\nonly_new off\nreceived_header off\npipelining on\n"
                f"uidls_file {self.dir}/uidls\ndelivery maildir {self.dir}/Maildir\n")
        return head + "".join(f"account {u}\nhost 127.0.0.1\nport {self.port}\nuser {u}\npassword {PASSWORD}\n"
                              for u in self.users)

    def command(self):
        return ["mpop", "-C", self.rc, "-Q", *self.users]


class Fetchmail(Peer):
    name = "fetchmail, each to `cat` (nothing kept)"

    def configuration(self):
        return "set no bouncemail\nset no syslog\n" + "".join(
            f'poll "{u}" via 127.0.0.1 protocol pop3 port {self.port} auth password no dns\n'
            f'  user "{u}" password "{PASSWORD}" is "root" here mda "/bin/cat" sslproto ""\n'
            "  fetchall no keep no rewrite fetchlimit 0 batchlimit 0 expunge 0\n" for u in self.users)

    def command(self):
        return ["fetchmail", "-f", self.rc, "--nodetach", "--nosyslog", "-s", "-i", self.dir / "ids",
                "--pidfile", self.dir / "pid"]


class Getmail(Peer):
    name = "getmail6, into a Maildir"

    def configuration(self):
        [user] = self.users
        owner = ""
        if os.geteuid() == 0:  # it does not deliver as root
            owner = "user = nobody\n"
            for d in (self.dir, self.dir / "Maildir", *(self.dir / "Maildir").iterdir()):
                shutil.chown(d, "nobody")
        return (f"[retriever]\ntype = SimplePOP3Retriever\nserver = 127.0.0.1\nport = {self.port}\nusername = {user}\n"
                f"password = {PASSWORD}\n[destination]\ntype = Maildir\npath = {self.dir}/Maildir/\n{owner}"
                "[options]\ndelete = true\nread_all = true\nverbose = 0\ndelivered_to = false\nreceived = false\n")

    def command(self):
        return ["getmail", f"--getmaildir={self.dir}", "--rcfile=rc"]


def peers(*classes):
    program = {Mpop: "mpop", Fetchmail: "fetchmail", Getmail: "getmail"}
    return [c for c in classes if shutil.which(program[c])]


def compare(title, boxes, port, others, repeat):
    """A table: all collectors in turn, `repeat` times, and how much longer they take than Postern."""
    rows = [("Postern, usual poll", OurOwn(boxes.users, port, True), repeat),
            ("Postern, first poll ever", OurOwn(boxes.users, port, False), repeat)]
    rows += [(c.name, c(boxes.users, port), repeat if c is Mpop else 1) for c in others]
    runs = {name: [] for name, _, _ in rows}
    for k in range(repeat):
        for name, who, times in rows:
            if k >= times:
                continue
            if isinstance(who, OurOwn):
                who.fresh()
                boxes.empty()
                if who.known:
                    who.run()
            boxes.fill()
            got = who.run()
            assert boxes.left() == 0, f"{name} left {boxes.left()} messages"
            runs[name].append(got)
            log(title, name, got)
    n = max(1, boxes.count * len(boxes.users))
    base = median([r[0] for r in runs[rows[0][0]]])
    for name, who, _ in rows:
        seconds, cpu = [r[0] for r in runs[name]], [r[1] for r in runs[name]]
        print(f"| {title} | {name} | {spread(seconds, '{:.3f}')} | {median(seconds) / base:.2f} | "
              f"{spread([c / n * 1000 for c in cpu], '{:.3f}')} | {max(r[2] for r in runs[name]):.0f} |", flush=True)
        who.close()


HEAD = "| load | collector | seconds | times Postern's | CPU s per 1,000 | peak MB |\n|---|---|---|---|---|---|"


def bench_latency(repeat):
    print(f"## Over a line of {2 * DELAY_MS} ms round trip\n\n{HEAD}")
    for title, count, size, others in (("500 x 4 KB", 500, 4096, peers(Mpop, Fetchmail, Getmail)),
                                       ("an empty mailbox", 0, 0, peers(Mpop, Fetchmail, Getmail)),
                                       ("200 x 1 MB", 200, 1 << 20, peers(Mpop))):
        boxes = Boxes(["global"], count, size)
        line = Line(boxes.server.port)
        compare(title, boxes, line.port, others, repeat)
        line.close()
        boxes.close()
    print()


def bench_slow(_):
    """What needs a quarter of an hour, so only when it is asked for."""
    print(f"## Many accounts over a long line, with fetchmail\n\n{HEAD}")
    boxes = Boxes([f"u{i}" for i in range(100)], 50, 4096)
    line = Line(boxes.server.port)
    compare("100 mailboxes x 50 x 4 KB, 50 ms", boxes, line.port, peers(Fetchmail), 1)
    line.close()
    boxes.close()
    print()


def bench_loopback(repeat):
    print(f"## On loopback\n\n{HEAD}")
    for title, count, size, others in (("5,000 x 4 KB", 5000, 4096, peers(Mpop, Fetchmail)),
                                       ("200 x 1 MB", 200, 1 << 20, peers(Mpop, Fetchmail, Getmail))):
        boxes = Boxes(["global"], count, size)
        compare(title, boxes, boxes.server.port, others, repeat)
        boxes.close()
    print()


def bench_many(repeat):
    print(f"## Many accounts of one server\n\n{HEAD}")
    boxes = Boxes([f"u{i}" for i in range(200)], 0, 0)
    line = Line(boxes.server.port)
    compare("200 empty mailboxes, 50 ms", boxes, line.port, [], repeat)
    line.close()
    boxes.close()
    boxes = Boxes([f"u{i}" for i in range(100)], 50, 4096)
    compare("100 mailboxes x 50 x 4 KB, loopback", boxes, boxes.server.port, peers(Mpop, Fetchmail), repeat)
    line = Line(boxes.server.port)
    # fetchmail would need a quarter of an hour here.
    compare("100 mailboxes x 50 x 4 KB, 50 ms", boxes, line.port, peers(Mpop), min(repeat, 3))
    line.close()
    boxes.close()
    print()


def peak_of(accounts, size):
    """Megabytes of the largest process with so many sessions at once, one message in each."""
    boxes = Boxes([f"u{i}" for i in range(accounts)], 1, size)
    boxes.fill()
    line = Line(boxes.server.port)  # so that it lasts, and can be looked at
    ours = OurOwn(boxes.users, line.port, False)
    ours.fresh()
    got = ours.run()
    ours.close()
    line.close()
    boxes.close()
    return got[2]


def bench_memory(_):
    print("## Memory of sessions\n\nThe largest resident set of `once --queue-only`, each session with a message of 20 MB.\n")
    one, many = peak_of(1, 20 << 20), peak_of(64, 20 << 20)
    print(f"| sessions | MB |\n|---|---|\n| 1 | {one:.1f} |\n| 64 | {many:.1f} |\n"
          f"| for each 10 more | {(many - one) / 63 * 10:.1f} |\n", flush=True)


def bench_listing(_):
    print("## A listing of 1,000,000 messages\n\nAll of them adopted first; then a poll that finds nothing new.\n\n"
          "| octets of a unique-id | seconds | CPU s | MB |\n|---|---|---|---|")
    n = 1_000_000
    for length in (20, 60):
        server = Pop3Server()
        server.answers["LIST"] = b"+OK\r\n" + b"".join(b"%d 5000\r\n" % i for i in range(1, n + 1)) + b".\r\n"
        server.answers["UIDL"] = b"+OK\r\n" + b"".join(b"%d %0*d\r\n" % (i, length, i) for i in range(1, n + 1)) + b".\r\n"
        pt = new_postern()
        pt.account("box", server.port, keep="forever")
        pt.write()
        assert run_to_end(pt.command("accounts", "adopt", "box"), cwd=pt.dir, stdout=subprocess.DEVNULL)[3] == 0
        seconds, cpu, peak, status = run_to_end(pt.command("once", "--queue-only"), cwd=pt.dir, stdout=subprocess.DEVNULL)
        assert status == 0
        print(f"| {length} | {seconds:.1f} | {cpu:.1f} | {peak:.0f} |", flush=True)
        pt.close()
        server.close()
    print()


def main():
    benches = {"latency": bench_latency, "loopback": bench_loopback, "many": bench_many, "memory": bench_memory,
               "listing": bench_listing}
    every = {**benches, "slow": bench_slow}
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("--only", default=",".join(benches))
    p.add_argument("--repeat", type=int, default=5)
    args = p.parse_args()
    print(f"# The collector beside its peers\n\n{time.strftime('%Y-%m-%d')}, {machine()}. Medians of {args.repeat} runs "
          f"(fetchmail and getmail6: one), range in brackets.\n{'; '.join(versions())}.\n"
          "Command: `POSTERN=BUILD/src/cli/postern python3 tests/bench/collector.py`, BUILD made with "
          "`-Dbuildtype=release -Dtests=false`.\n")
    for name in args.only.split(","):
        every[name](args.repeat)


if __name__ == "__main__":
    main()
