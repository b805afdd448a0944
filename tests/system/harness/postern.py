"""Postern as an administrator has it: a configuration file, a state directory,
commands, and the service in the foreground."""
import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from . import net

DONE, FAILED, USAGE, LATER, BAD_CONFIG = 0, 1, 2, 75, 78  # SPEC section 2


def program():
    """The binary under test: $POSTERN, which contrib/test sets."""
    return os.environ.get("POSTERN")


def yaml(value, depth=0):
    """Dicts, lists and scalars as YAML in block style."""
    pad = "  " * depth
    if isinstance(value, dict) and value:
        return "".join(f"\n{pad}{k if re.fullmatch('[A-Za-z_][-.A-Za-z_0-9]*', k) else json.dumps(k)}: {yaml(v, depth + 1)}"
                       for k, v in value.items())
    if isinstance(value, list) and value and not isinstance(value[0], (str, int)):
        return "".join(f"\n{pad}- {json.dumps(v)}" for v in value)
    return json.dumps(value, ensure_ascii=False)


@dataclass
class Result:
    words: tuple
    status: int
    out: str
    err: str

    def expect(self, *statuses):
        assert self.status in statuses, \
            f"postern {' '.join(self.words)}: status {self.status}, not {statuses}\n{self.out}\n{self.err}"
        return self

    def json(self):
        return json.loads(self.out)

    def lines(self):
        return [json.loads(line) for line in self.out.splitlines()]


@dataclass
class Dropped:
    path: Path
    sender: str
    recipients: list
    data: bytes


@dataclass
class Bad:
    id: str
    data: bytes
    record: dict
    reason: str


def read_drop(path):
    """A Drop file: X-Sender, X-Receiver lines, then the message."""
    data = path.read_bytes()
    sender, recipients = None, []
    while m := re.match(rb"X-(Sender|Receiver): *([^\r\n]*)\r?\n", data):
        address = m[2].decode("latin-1").strip("<>")
        if m[1] == b"Sender":
            sender = address
        else:
            recipients.append(address)
        data = data[m.end():]
    return Dropped(path, sender, recipients, data)


class Postern:
    def __init__(self, prefix=(), where="/tmp"):
        self.dir = net.short_dir(where=where)
        self.state = self.dir / "state"
        self.file = self.dir / "postern.yaml"
        self.port = net.free_port()
        self.prefix = list(prefix)
        self.proc = None
        self.lines = []
        self.news = threading.Condition()
        (self.dir / "policies").mkdir()
        self.conf = {
            "server": {"hostname": "gw.contoso.test", "state": str(self.state),
                       "postmaster": "postmaster@contoso.test"},
            "policies": ["policies/*.yaml"],
            "accounts": {},
            "smtp": {"listen": [f"127.0.0.1:{self.port}"]},
            "delivery": {},
        }
        self.policy("contoso", "contoso.test")

    # Configuration.
    def policy(self, name, *domains, **more):
        doc = {"name": name, "priority": 10,
               "domains": {d: {"authoritative": True, "unknown": "accept"} for d in domains}}
        doc.update(more)
        (self.dir / "policies" / f"{name}.yaml").write_text(yaml(doc) + "\n")

    def account(self, name, port, **more):
        secret = self.dir / f"secret-{name}"
        secret.write_text(more.pop("password", "secret") + "\n")
        secret.chmod(0o600)
        entry = {"type": "global", "server": f"127.0.0.1:{port}", "tls": "none", "user": "global",
                 "password": {"file": str(secret)}}
        entry.update(more)
        self.conf["accounts"][name] = entry
        return self

    def route(self, domain, to, **more):
        self.conf["delivery"].setdefault("routes", {})[domain] = {"to": to, **more}
        return self

    def write(self):
        conf = {k: v for k, v in self.conf.items() if v}
        self.file.write_text(yaml(conf).lstrip("\n") + "\n")

    # Commands.
    def command(self, *words):
        return [*self.prefix, program(), "-c", str(self.file), *map(str, words)]

    def run(self, *words, timeout=60, write=True, input=None, env=None):
        if write:
            self.write()
        p = subprocess.Popen(self.command(*words), stdin=subprocess.PIPE if input else subprocess.DEVNULL,
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=self.dir,
                             env={**os.environ, **(env or {})}, start_new_session=True)
        try:
            out, err = p.communicate(input, timeout)
        except subprocess.TimeoutExpired:
            os.killpg(p.pid, signal.SIGKILL)
            out, err = p.communicate()
            raise AssertionError(f"postern {' '.join(map(str, words))}: not done after {timeout} s\n"
                                 f"{out[-2000:].decode(errors='replace')}\n{err[-4000:].decode(errors='replace')}") from None
        assert b"AddressSanitizer" not in err and b"runtime error:" not in err, err.decode(errors="replace")
        return Result(tuple(map(str, words)), p.returncode, out.decode(errors="replace"), err.decode(errors="replace"))

    def once(self, *accounts, status=(DONE,), timeout=60, env=None):
        """Runs `once --json`; its object."""
        statuses = (status,) if isinstance(status, int) else status
        return self.run("once", "--json", *accounts, timeout=timeout, env=env).expect(*statuses).json()

    def ask(self, *words):
        """What a command prints with --json."""
        return self.run(*words, "--json").expect(DONE).json()

    def events(self, number=None):
        words = ["events", "--json", *(["--id", number] if number else [])]
        return self.run(*words).expect(DONE).lines()

    def queue(self):
        return rows(self.ask("queue", "list"))

    def badmail_list(self):
        return rows(self.ask("badmail", "list"))

    # Folders.
    def drop(self, d=None):
        d = Path(d) if d else self.state / "Drop"
        return [read_drop(p) for p in sorted(d.glob("*.eml"))] if d.exists() else []

    def badmail(self):
        d = self.state / "Badmail"
        return [Bad(p.stem, p.read_bytes(), json.loads(p.with_suffix(".BDP").read_text()),
                    p.with_suffix(".BDR").read_text()) for p in sorted(d.glob("*.BAD"))]

    # The service.
    def start(self, ready=20.0, write=True):
        """`postern run`; returns when it said that it is ready."""
        if write:
            self.write()
        self.lines = []
        notify = self.dir / "notify"
        with contextlib.suppress(FileNotFoundError):
            notify.unlink()
        self.notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.notify.bind(str(notify))
        self.proc = subprocess.Popen(self.command("run"), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                     stderr=subprocess.PIPE, cwd=self.dir, start_new_session=True,
                                     preexec_fn=net.end_with_us,
                                     env={**os.environ, "NOTIFY_SOCKET": str(notify)})
        self.reader = threading.Thread(target=self._read_log, args=(self.proc,), daemon=True)
        self.reader.start()
        threading.Thread(target=self._read_notify, args=(self.notify,), daemon=True).start()
        self.wait_line(r"^READY=1|event=1000\b", ready)
        return self

    def _news(self, line):
        with self.news:
            self.lines.append(line)
            self.news.notify_all()

    def _read_log(self, proc):
        for line in proc.stderr:
            self._news(line.decode(errors="replace").rstrip("\n"))
        self._news("END OF LOG")

    def _read_notify(self, sock):
        with contextlib.suppress(OSError):
            while True:
                for line in sock.recv(4096).decode(errors="replace").splitlines():
                    self._news(line)

    def log(self):
        with self.news:
            return "\n".join(self.lines)

    def wait_line(self, pattern, seconds=15.0, start=0):
        """The first log line that matches; fails when the service ends instead."""
        end = time.monotonic() + seconds
        with self.news:
            while True:
                for line in self.lines[start:]:
                    if re.search(pattern, line):
                        return line
                ended = "END OF LOG" in self.lines
                if ended or not self.news.wait(max(0, end - time.monotonic())) and time.monotonic() > end:
                    text = "\n".join(self.lines[-60:])
                    raise AssertionError(f"no {pattern!r} in the log{' (it ended)' if ended else ''}:\n{text}")

    def kill(self):
        """kill -9 of every process of the service at once; when this returns another may start."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.proc.pid, signal.SIGKILL)
        self.proc.wait()
        self.reader.join(10)
        for address in self.conf["smtp"].get("listen", []):
            net.wait_free(address)

    def terminate(self, seconds=20.0):
        """SIGTERM; the exit status."""
        self.proc.terminate()
        try:
            return self.proc.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"SIGTERM: not gone after {seconds} s\n{self.log()[-4000:]}") from None

    def close(self):
        if self.proc and self.proc.poll() is None:
            self.kill()
        if getattr(self, "notify", None):
            self.notify.close()
        keep_log = "AddressSanitizer" in self.log() or "runtime error:" in self.log()
        if keep_log:
            print(self.log())
        net.remove(self.dir)
        assert not keep_log, "a sanitizer spoke up, see the log above"


def rows(answer):
    """A list as it is, or the one list in an object."""
    if isinstance(answer, dict):
        lists = [v for v in answer.values() if isinstance(v, list)]
        assert len(lists) == 1, answer
        return lists[0]
    return answer


def tool(name):
    return shutil.which(name)
