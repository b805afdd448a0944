"""Ports, short directories, waiting, processes that end with us."""
import contextlib
import ctypes
import fcntl
import os
import random
import shutil
import signal
import socket
import tempfile
import time
from pathlib import Path

# Below the ephemeral range. A port is ours while its file is locked, so neither two
# workers nor two runs on one machine meet on one; the locks end with the process.
_FIRST, _LAST = 15000, 32000
_locks = {}


def _reserve(port):
    folder = Path(tempfile.gettempdir()) / f"postern-ports-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    fd = os.open(folder / str(port), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(fd)
        return False
    _locks[port] = fd
    return True


def free_port(host="127.0.0.1"):
    for _ in range(2000):
        port = random.randrange(_FIRST, _LAST)
        if port in _locks or not _reserve(port):
            continue
        with socket.socket() as s:
            with contextlib.suppress(OSError):
                s.bind((host, port))
                return port
    raise RuntimeError("no free port")


def may_listen(host, port):
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with contextlib.suppress(OSError):
            s.bind((host, port))
            return True
    return False


def wait_free(address, seconds=10.0):
    """Until a killed process has let go of HOST:PORT: the kernel closes its files one by one
    after its parent was told."""
    host, _, port = address.rpartition(":")
    wait_for(lambda: may_listen(host.strip("[]"), int(port)), seconds, f"{address} free again")


_libc = ctypes.CDLL(None)


def end_with_us():
    """For preexec_fn: the child gets SIGTERM when the tests themselves are killed."""
    _libc.prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG


def short_dir(prefix="pt-", where="/tmp"):
    """A new directory whose path leaves room for a socket's name (108 bytes)
    and which daemons that change their user may pass through."""
    d = Path(tempfile.mkdtemp(prefix=prefix, dir=where))
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
