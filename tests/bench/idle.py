#!/usr/bin/python3
"""What many accounts cost that have nothing to do: POSTERN=... idle.py [ACCOUNTS].

Prints how long `check` takes, the memory of each process of `run` once all accounts have
been polled, the processor time of the half minute after, and how long `once` takes for
200 empty mailboxes whose server is 50 ms away. Nothing is asserted."""
import argparse
import collections
import contextlib
import re
import selectors
import socket
import subprocess
import threading
import time
from pathlib import Path

from measure import TICK, Group, log, machine, run_to_end, spread
from harness.postern import Postern

QUIET = 30  # seconds
FAR = 0.05  # there and back


class Empty:
    """POP3 servers on one thread: every mailbox is empty, every password right. What is
    sent arrives `delay` seconds later, also the greeting."""

    def __init__(self, delay=0):
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.port = self.listener.getsockname()[1]
        self.delay = delay
        self.quits = 0
        self.late = collections.deque()  # (when, socket, what, last)
        self.all = selectors.DefaultSelector()
        self.listener.setblocking(False)
        self.all.register(self.listener, selectors.EVENT_READ)
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            wait = max(0, self.late[0][0] - time.monotonic()) if self.late else None
            for key, _ in self.all.select(wait):
                if key.fileobj is self.listener:
                    sock, _ = self.listener.accept()
                    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    self.all.register(sock, selectors.EVENT_READ)
                    self.send(sock, b"+OK ready\r\n")
                else:
                    self.answer(key.fileobj)
            while self.late and self.late[0][0] <= time.monotonic():
                _, sock, what, last = self.late.popleft()
                with contextlib.suppress(OSError):
                    sock.sendall(what)
                if last:
                    sock.close()

    def send(self, sock, what, last=False):
        self.late.append((time.monotonic() + self.delay, sock, what, last))

    def answer(self, sock):
        try:
            got = sock.recv(4096)
        except OSError:
            got = b""
        last = not got or b"QUIT" in got
        if last:
            self.all.unregister(sock)
        self.send(sock, b"".join(self.reply(line) for line in got.splitlines()), last)

    def reply(self, line):
        verb = line[:4].upper()
        self.quits += verb == b"QUIT"
        if verb == b"CAPA":
            return b"+OK\r\nUIDL\r\nPIPELINING\r\nUSER\r\n.\r\n"
        return b"+OK\r\n.\r\n" if verb in (b"LIST", b"UIDL") else b"+OK 0 0\r\n"


def configuration(pt, accounts, port):
    pt.write()
    secret = pt.dir / "secret"
    secret.write_text("secret\n")
    secret.chmod(0o600)
    with pt.file.open("a") as f:
        f.write("accounts:\n")
        for i in range(accounts):
            f.write(f"  mailbox-{i:05}:\n    type: user\n    recipient: person{i:05}@contoso.test\n"
                    f"    server: 127.0.0.1:{port}\n    tls: none\n    user: person{i:05}@contoso.test\n"
                    f"    password: {{ file: {secret} }}\n    every: 1h\n    window: Mon-Sun 00:00-24:00\n")


def memory(pid):
    """(MB of its own and its share of what it shares, MB resident, threads)"""
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    threads = re.search(r"Threads:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())[1]
    return [int(re.search(rf"^{word}:\s+(\d+)", rollup, re.M)[1]) / 1024 for word in ("Pss", "Rss")] + [threads]


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("accounts", type=int, nargs="?", default=10000)
    a = a.parse_args()
    server, pt = Empty(), Postern()
    configuration(pt, a.accounts, server.port)
    print(f"{machine()}. {a.accounts} accounts, each polled once an hour, {pt.file.stat().st_size / 1e6:.1f} MB of YAML.")
    seconds, cpu, mb, status = run_to_end(pt.command("check"), cwd=pt.dir)
    print(f"check: status {status}, {seconds:.2f} s, {cpu:.2f} s CPU, {mb:.0f} MB")
    group = Group(pt.command("run"), cwd=pt.dir, stderr=open(pt.dir / "log", "wb"))
    begin, told = time.monotonic(), 0
    while server.quits < a.accounts and group.p.poll() is None and time.monotonic() - begin < 600:
        time.sleep(1)
        if server.quits // 2000 > told:
            told = server.quits // 2000
            log(server.quits, "polled")
    print(f"all polled after {time.monotonic() - begin:.0f} s, {group.cpu():.1f} s CPU")
    time.sleep(15)  # workers that have no work go
    before, ticks = group.cpu(), 1 / TICK
    time.sleep(QUIET)
    used = group.cpu() - before
    print(f"idle: {used:.2f} s CPU in {QUIET} s (the clock's tick is {ticks:.2f} s), {server.quits - a.accounts} polls")
    for pid, _ in sorted(group.pids()):
        pss, rss, threads = memory(pid)
        print(f"  process {pid}: {pss:.1f} MB proportional, {rss:.1f} MB resident, {threads} threads")
    group.kill()
    pt.close()

    far = Empty(FAR)
    pt = Postern()
    configuration(pt, 200, far.port)
    times = [run_to_end(pt.command("once"), cwd=pt.dir, stdout=subprocess.DEVNULL) for _ in range(5)]
    print(f"once, 200 empty mailboxes, {FAR * 1000:.0f} ms away: {spread([t[0] for t in times], '{:.2f}')} s, "
          f"{spread([t[1] for t in times], '{:.2f}')} s CPU, status {times[0][3]}")
    pt.close()


if __name__ == "__main__":
    main()
