"""What the benchmarks share: processes with their CPU time, peak memory and sync
calls, message files, a next hop that never greets, medians, Markdown."""
import contextlib
import os
import random
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "system"))
from harness import net  # noqa: E402,F401
from harness.postern import Postern  # noqa: E402

TICK = os.sysconf("SC_CLK_TCK")


def log(*words):
    print(time.strftime("%H:%M:%S"), *words, file=sys.stderr, flush=True)


def message_file(path, size, number):
    """A message of about `size` octets with CRLF, the same for the same number."""
    chance = random.Random(number)
    head = (f"Return-Path: <max@nwtraders.test>\r\nReceived: from mx.nwtraders.test by pop.isp.test; "
            f"Mon, 5 Jan 2026 10:00:00 +0000\r\nFrom: Max <max@nwtraders.test>\r\nTo: u{number % 50}@contoso.test\r\n"
            f"Subject: number {number}\r\nMessage-ID: <{number}.{size}@nwtraders.test>\r\n"
            "Date: Mon, 5 Jan 2026 10:00:00 +0000\r\n\r\n").encode()
    line = bytes(chance.choices(b"abcdefghijklmnopqrstuvwxyz ABCDEFGHIJ0123456789", k=74)) + b"\r\n"
    path.write_bytes(head + line * ((size - len(head)) // len(line)))
    return path


class Silent:
    """A next hop that accepts connections and says nothing: mail stays in the queue."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.route = f"smtp:127.0.0.1:{self.listener.getsockname()[1]}"

    def close(self):
        self.listener.close()


class Group:
    """A command and all its processes (one session): CPU, peak memory, and its
    standard error line by line."""

    def __init__(self, command, **kw):
        self.begin = time.monotonic()
        self.p = subprocess.Popen([str(c) for c in command], stdin=subprocess.DEVNULL, start_new_session=True, **kw)
        self.peak = {}
        self.cpu_of = {}
        self.stop = threading.Event()
        self.sampler = threading.Thread(target=self._sample, daemon=True)
        self.sampler.start()

    def pids(self):
        """The processes of the session, without looking at more than we must."""
        for entry in os.scandir("/proc"):
            if entry.name.isdigit():
                with contextlib.suppress(OSError):
                    words = Path(entry.path, "stat").read_text().rsplit(")", 1)[1].split()
                    if int(words[3]) == self.p.pid:
                        yield int(entry.name), words

    def look(self):
        for pid, words in self.pids():
            self.cpu_of[pid] = (int(words[11]) + int(words[12])) / TICK
            with contextlib.suppress(OSError, TypeError):
                hwm = re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
                name = Path(f"/proc/{pid}/comm").read_text().strip()
                self.peak[pid] = (int(hwm[1]) / 1024, name)

    def _sample(self):
        while not self.stop.wait(0.05):
            self.look()

    def cpu(self):
        """CPU seconds, user and system, of all processes up to now."""
        self.look()
        return sum(self.cpu_of.values())

    def peak_mb(self):
        return max((mb for mb, name in self.peak.values() if name != "strace"), default=0)

    def kill(self):
        self.stop.set()
        self.sampler.join()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.p.pid, signal.SIGKILL)
        self.p.wait()


def run_to_end(command, timeout=300, **kw):
    """(seconds, CPU seconds, peak MB, status) of a command and what it waited for."""
    group = Group(command, **kw)
    timer = threading.Timer(timeout, group.p.kill)
    timer.start()
    _, status, usage = os.wait4(group.p.pid, 0)
    seconds = time.monotonic() - group.begin
    timer.cancel()
    group.stop.set()
    group.p.returncode = os.waitstatus_to_exitcode(status)
    return seconds, usage.ru_utime + usage.ru_stime, group.peak_mb(), group.p.returncode


def strace(out):
    """Put before a command: each sync call becomes a line of the file `out`."""
    if not shutil.which("strace"):
        return None
    return ["strace", "-f", "--seccomp-bpf", "-qq", "-o", str(out), "-e",
            "trace=fsync,fdatasync,sync,syncfs,sync_file_range,msync"]


def syncs(out):
    return sum(bool(re.match(r"\d+ +(fsync|fdatasync|sync|syncfs|sync_file_range|msync)\(", line))
               for line in open(out, errors="replace"))


def median(values):
    return statistics.median(values)


def spread(values, form="{:.0f}"):
    if len(values) == 1:
        return form.format(values[0])
    return f"{form.format(median(values))} ({form.format(min(values))}–{form.format(max(values))})"


def new_postern(route=None):
    pt = Postern()
    if route:
        pt.route("contoso.test", route)
    return pt


def machine():
    cpu = next((line.split(":", 1)[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), "?")
    disk = subprocess.run(["findmnt", "-n", "-o", "FSTYPE", "-T", "/tmp"], capture_output=True, text=True).stdout.strip()
    if disk == "ext4" and not os.path.isdir("/proc/fs/jbd2"):
        disk += " without a journal"
    return f"{os.cpu_count()} x {cpu}, Linux {os.uname().release}, /tmp on {disk}"


def versions():
    def first(*words):
        with contextlib.suppress(OSError):
            out = subprocess.run(words, capture_output=True, text=True).stdout
            return out.splitlines()[0].strip() if out else "?"
        return "not installed"
    return [first(os.environ["POSTERN"], "--version"), "Dovecot " + first("/usr/sbin/dovecot", "--version"),
            first("mpop", "--version"), first("fetchmail", "--version")]


def fsync_us(directory):
    """What one fdatasync of 4 KB costs here, in microseconds (median of 200)."""
    path = Path(directory) / "sync"
    times = []
    with open(path, "wb") as f:
        for _ in range(200):
            f.write(bytes(4096))
            f.flush()
            begin = time.monotonic()
            os.fdatasync(f.fileno())
            times.append((time.monotonic() - begin) * 1e6)
    path.unlink()
    return median(times)
