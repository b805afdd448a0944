"""Ports, short directories, waiting, processes that end with us."""
import contextlib
import ctypes
import itertools
import os
import random
import shutil
import signal
import socket
import tempfile
import time
from pathlib import Path

_worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:] or 0)
# Below the ephemeral range, a slice for each pytest worker, so that nobody
# takes a port between our looking and the daemon's binding it.
_ports = itertools.cycle(range(20000 + _worker % 6 * 2000, 22000 + _worker % 6 * 2000))
for _ in range(random.randrange(2000)):
    next(_ports)


def free_port(host="127.0.0.1"):
    for _ in range(2000):
        port = next(_ports)
        with socket.socket() as s:
            with contextlib.suppress(OSError):
                s.bind((host, port))
                return port
    raise RuntimeError("no free port")


_libc = ctypes.CDLL(None)


def end_with_us():
    """For preexec_fn: the child gets SIGTERM when the tests themselves are killed."""
    _libc.prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG


def short_dir(prefix="pt-"):
    """A new directory whose path leaves room for a socket's name (108 bytes)
    and which daemons that change their user may pass through."""
    d = Path(tempfile.mkdtemp(prefix=prefix, dir="/tmp"))
    d.chmod(0o711)
    return d


def remove(d):
    if not os.environ.get("POSTERN_KEEP"):
        shutil.rmtree(d, ignore_errors=True)


def wait_for(true, seconds=10.0, what="the condition"):
    """Polls for a fact of another process that cannot tell us itself."""
    end = time.monotonic() + seconds
    while True:
        got = true()
        if got:
            return got
        if time.monotonic() > end:
            raise AssertionError(f"{what}: not within {seconds} s")
        time.sleep(0.02)


def wait_banner(port, banner, seconds=15.0, proc=None):
    """Until something on the port greets with banner."""
    def greets():
        if proc is not None and proc.poll() is not None:
            raise AssertionError(f"ended with status {proc.returncode} before it listened")
        with contextlib.suppress(OSError):
            with socket.create_connection(("127.0.0.1", port), 2) as s:
                s.settimeout(5)
                return s.recv(200).startswith(banner)
        return False
    wait_for(greets, seconds, f"a greeting on port {port}")
