"""The sweep of failing calls: one call of one role fails, once or from then on, while eight
messages travel; then the same runs without faults, and everything must be where it belongs.

A point is written "SCENARIO ROLE KIND N ERROR once|good": the N-th call of this kind in this
role. Where calls of threads come in another order than when they were counted, another one
fails than was meant; the trace of failing.c tells which, and that site is what is reported."""
import collections
import concurrent.futures
import contextlib
import errno
import functools
import itertools
import multiprocessing
import os
import random
import re
import resource
import shutil
import signal
import smtplib
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "system"))
from harness import net  # noqa: E402
from harness.message import message  # noqa: E402
from harness.pop3_server import Pop3Server  # noqa: E402
from harness.postern import DONE, FAILED, Postern, program, read_drop, rows  # noqa: E402
from harness.smtp_sink import SmtpSink  # noqa: E402

ERRORS = {"open": ["EIO", "EMFILE"], "read": ["EIO"], "write": ["EIO", "ENOSPC"], "sync": ["EIO", "ENOSPC"],
          "rename": ["EIO", "ENOSPC"], "unlink": ["EIO"], "mkdir": ["EIO", "ENOSPC"], "mmap": ["ENOMEM"],
          "malloc": ["ENOMEM"]}
FOLDERS = ("drop", "maildir", "badmail", "held")  # where nothing may ever be twice
RUN_MOST = 30  # seconds for a run with faults
CPU_MOST = 4  # of a processor more than without faults, seconds
LINES_MOST = 300  # of the log more than without faults
BODY = b"0123456789abcdef" * 12_000 + b"\r\n"  # over BODY_BLOB_MAX: it goes to the spool

# Syncs whose failure needs no word, by a function of their call site and by file ("": any), and
# why. Another sync is never harmless: what it lost is seen at the next power cut only.
HARMLESS_SYNCS = {
    ("db_close", ""): "the log is written back at the end; where that fails it stays, and the next start reads it",
    ("settings", "state"): "SQLite's own of the directory; log_named does it again before anything counts, and tells",
    ("schema_migrate", "state"): "the same",
    ("steady_open", "postern.db-wal"): "the clock of the state alone was to be kept; it is written again at each pruning and at the end",
}


@dataclass(frozen=True)
class Point:
    scenario: str
    role: str
    kind: str
    n: int
    error: str
    span: str

    def __str__(self):
        return f"{self.scenario} {self.role} {self.kind} {self.n} {self.error} {self.span}"

    @classmethod
    def read(cls, text):
        scenario, role, kind, n, error, span = text.split()
        return cls(scenario, role, kind, int(n), error, span)

    def wish(self):
        return f"{self.role} {self.kind} {self.n} {getattr(errno, self.error)} {self.span}"


@dataclass
class Run:
    """What a run with or without faults left."""
    status: int = 0
    log: str = ""
    cpu: float = 0.0
    late: bool = False

    def events(self):
        return Counter(m[1] for m in re.finditer(r"^\S+ [WEC]\d event=(\d+)", self.log, re.M))


@dataclass
class Outcome:
    point: Point
    verdicts: list  # of "lost", "doubled", "astray", "stuck", "silent", "loops", "again", "harmless", "unreached"; none: well
    site: str = "-"
    why: str = ""


def shim():
    return Path(program()).resolve().parents[2] / "tests" / "crash" / "failing.so"


@functools.cache
def function_of(offset):
    # A return address is behind its call.
    said = subprocess.run(["addr2line", "-f", "-e", program(), hex(int(offset, 16) - 1)], capture_output=True, text=True)
    return re.sub(r"\.(part|constprop|isra|cold).*", "", said.stdout.split("\n")[0])


def site_of(frames):
    return "<".join(function_of(f) for f in frames.split(",")) if frames != "-" else "-"


def harmless_sync(site):
    functions, file = site.split(" ", 1)
    return any(f in functions.split("<") and file == (where or file) for f, where in HARMLESS_SYNCS)


def subject(data):
    """A notice goes by the subject of what it is about."""
    all_of_them = re.findall(rb"^Subject: ([^\r\n]*)", data, re.M) or [b"?"]
    notice = b"\r\nX-Postern-Notice:" in data
    return ("notice of " if notice else "") + all_of_them[-1 if notice else 0].decode("latin-1")


class House:
    """A Postern with every kind of delivery, prepared once, put back before each point."""

    def __init__(self):
        self.pt = Postern()
        self.hop, self.mailbox_hop = SmtpSink(), SmtpSink(lmtp=True)
        self.main, self.second = Pop3Server(), Pop3Server()
        pt = self.pt
        pt.policy("contoso", "contoso.test", "maildir.test", "smtp.test", "lmtp.test")
        pt.route("maildir.test", f"maildir:{pt.dir}/mail/%u").route("smtp.test", self.hop.route)
        pt.route("lmtp.test", self.mailbox_hop.route)
        self.hop.answers["RCPT refused@smtp.test"] = "550 5.1.1 no such user"
        self.base = None
        self.put_off = Counter()  # by recipient: how often a client was not answered 250 to its message

    def close(self):
        for thing in (self.pt, self.hop, self.mailbox_hop, self.main, self.second):
            thing.close()

    def people(self):
        members = ["ann@contoso.test", "bob@maildir.test", "cid@smtp.test", "dan@lmtp.test"]
        for m in members:
            self.pt.run("recipient", "add", m.split("@")[0], "--primary", m).expect(DONE)
        self.pt.run("recipient", "add", "crew", "--primary", "crew@contoso.test",
                    *[w for m in members for w in ("--member", m)]).expect(DONE)

    def prepare(self):
        """The state as a first run leaves it, kept beside."""
        self.empty()
        self.pt.write()
        self.people()
        self.clean_run()
        shutil.move(self.pt.state, self.pt.dir / "kept")

    def empty(self):
        for d in ("state", "mail"):
            shutil.rmtree(self.pt.dir / d, ignore_errors=True)
        (self.pt.dir / "trace").unlink(missing_ok=True)
        for server in (self.main, self.second):
            for box in server.boxes.values():
                box.clear()
        self.hop.mails.clear()
        self.mailbox_hop.mails.clear()

    def put_back(self):
        self.empty()
        if (self.pt.dir / "kept").exists():
            subprocess.run(["cp", "-a", self.pt.dir / "kept", self.pt.state], check=True)
        self.fill()

    def env(self, wish):
        under = f"{self.pt.state}:{self.pt.dir}/mail"
        env = {"LD_PRELOAD": str(shim()), "FAILING_UNDER": under, "FAILING_TRACE": str(self.pt.dir / "trace")}
        return {**os.environ, **env, **({"FAILING": wish} if wish else {})}

    def run_with(self, env):
        """`once` in this environment."""
        begin = resource.getrusage(resource.RUSAGE_CHILDREN)
        p = subprocess.Popen(self.pt.command("once"), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                             stderr=subprocess.PIPE, cwd=self.pt.dir, env=env, start_new_session=True)
        late = False
        try:
            _, err = p.communicate(timeout=RUN_MOST)
        except subprocess.TimeoutExpired:
            os.killpg(p.pid, signal.SIGKILL)
            _, err = p.communicate()
            late = True
        end = resource.getrusage(resource.RUSAGE_CHILDREN)
        return Run(p.returncode, err.decode(errors="replace"),
                   end.ru_utime + end.ru_stime - begin.ru_utime - begin.ru_stime, late)

    def clean_run(self):
        return self.pt.run("once", timeout=RUN_MOST, write=False)

    def waiting(self):
        """What is neither delivered nor held: in the queue, at the provider, in Pickup."""
        left = [("provider", u) for s in (self.main, self.second) for u in s.left()]
        left += [("pickup", p.name) for d in ("Pickup", "run/pickup") for p in (self.pt.state / d).glob("*")]
        said = self.pt.run("queue", "list", "--json", write=False)
        if said.status != DONE:
            return [*left, ("queue", said.err)]
        return left + [("queue", r["id"]) for r in rows(said.json()) if r["status"] != "held"]

    def settle(self):
        """The next run, and what an administrator does then. What still waits."""
        for k in range(4):
            said = self.clean_run()
            if said.status not in (DONE, FAILED):
                return [("once", f"status {said.status}: {said.err[-500:]}")]
            left = self.waiting()
            if not left:
                return []
            self.pt.run("queue", "retry", write=False)
        return left

    def everything(self):
        """Counter of (place, who, subject)."""
        pt, out = self.pt, Counter()
        for p in (pt.state / "Drop").glob("*.eml"):
            d = read_drop(p)
            out.update(("drop", r, subject(d.data)) for r in d.recipients)
        for p in (pt.dir / "mail").glob("*/new/*"):
            out[("maildir", p.parts[-3], subject(p.read_bytes()))] += 1
        for p in (pt.state / "Badmail").glob("*.BAD"):
            out[("badmail", "", subject(p.read_bytes()))] += 1
        for place, hop in (("smtp", self.hop), ("lmtp", self.mailbox_hop)):
            with hop.lock:
                out.update((place, r, subject(m.data)) for m in hop.mails for r in m.recipients)
        held = pt.run("unrouted", "list", "--json", write=False)
        if held.status == DONE:
            out.update(("held", "", r["subject"]) for r in rows(held.json()))
        return out

    # One point, and the measure of it.
    def count(self):
        """Runs without faults: what is right, and every call that can fail."""
        self.put_back()
        run = self.faulty(None)
        trace = (self.pt.dir / "trace").read_text(errors="replace").splitlines()
        everything = self.finish()
        self.put_back()
        again = self.faulty("none open 1 5 once")
        assert self.finish() == everything, "two runs without faults do not end alike"
        self.base = (run.status, run.events() | again.events(), everything, again.cpu,
                     max(r.log.count("\n") for r in (run, again)))
        return trace

    def finish(self):
        left = self.settle()
        assert not left, left
        return self.everything()

    def faulty(self, wish):
        return self.run_with(self.env(wish))

    def expected(self):
        """(what must be there, what may be there besides)"""
        return self.base[2], Counter()

    def try_point(self, point):
        self.put_back()
        run = self.faulty(point.wish())
        trace = self.pt.dir / "trace"
        lines = trace.read_text(errors="replace").splitlines() if trace.exists() else []
        if not lines:
            return Outcome(point, ["unreached"])
        _, _, _, frames, what = lines[0].split(" ", 4)
        site = f"{site_of(frames)} {Path(what).name}"
        told = self.told(run)
        # Only who said nothing has to show that it had no effect.
        whole = told or not self.waiting() and self.everything() == self.base[2] and not self.put_off
        return self.judge(point, site, run, told, whole, self.settle())

    def told(self, run):
        """An event more than without faults, words on stderr, or an end by a signal."""
        return run.events() - self.base[1] or re.search(r"^postern: (?!.*: warning: )", run.log, re.M) or run.status < 0

    def judge(self, point, site, run, told, whole, left):
        _, _, _, cpu, lines = self.base
        want, may = self.expected()
        got = self.everything()
        verdicts, why = [], []

        def find(verdict, reason):
            verdicts.append(verdict)
            why.append(f"{verdict}: {reason}")
        if left:
            find("stuck", left)
        waits = {what for _, what in left}
        missing, extra = want - got, got - want - may
        for key in (got - want) & may:
            find("again", key)
        for key in missing:
            elsewhere = [e for e in extra if e[2] == key[2] and e[0] in ("badmail", "held")]
            bare = key[2].startswith("notice of ") and [e for e in extra if e[1] == key[1] and e[2].startswith("notice of ")]
            if bare:  # the message could not be read any more: its notice names it by its id only
                continue
            if elsewhere:
                find("astray", f"{key} is in {elsewhere}")
            elif not waits:
                find("lost", key)
        for key in extra:
            if key[0] not in FOLDERS:
                find("again", key)
            elif key in want or key in may:
                find("doubled", key)
            elif not any(key[2] == m[2] for m in missing) and not key[2].startswith("notice of"):
                find("doubled", key)
        if run.late:
            find("loops", f"not done after {RUN_MOST} s")
        if run.cpu > cpu + CPU_MOST:
            find("loops", f"{run.cpu:.1f} s of processor time")
        if run.log.count("\n") > lines + LINES_MOST:
            find("loops", f"{run.log.count(chr(10))} lines of log")
        if not told:
            if not whole:
                find("silent", f"status {run.status}, and not everything was done: {run.log[-300:]}")
            elif point.kind == "sync" and not harmless_sync(site):
                find("silent", "a sync that failed, and nothing was said")
            else:
                verdicts.append("harmless")
        return Outcome(point, verdicts, site, "; ".join(why))


class Collect(House):
    """`once`: two mailboxes, every kind of delivery."""

    def __init__(self):
        super().__init__()
        self.pt.account("first", self.main.port, domains=["contoso.test", "maildir.test", "smtp.test", "lmtp.test"])
        self.pt.account("second", self.second.port, unrouted="hold",
                        domains=["contoso.test", "maildir.test", "smtp.test", "lmtp.test"])

    def fill(self):
        put = self.main.put
        put(message("ann@contoso.test", subject="drop", body=BODY))
        put(message("bob@maildir.test", subject="maildir"))
        put(message("cid@smtp.test", subject="smtp", body=BODY))
        put(message("dan@lmtp.test", subject="lmtp"))
        put(message("refused@smtp.test", subject="badmail"))
        self.second.put(message("info@else.test", subject="held"))
        put(message("crew@contoso.test", subject="list"))
        self.second.put(message("crew@contoso.test", subject="list"))


class First(Collect):
    """The same where there is no state yet."""

    def prepare(self):
        self.empty()
        self.pt.write()

    def fill(self):
        super().fill()
        for box in (self.main.boxes["global"], self.second.boxes["global"]):
            box[:] = [m for m in box if b"crew@" not in m.data]
        self.main.put(message("ann@contoso.test, bob@maildir.test", subject="list"))
        self.second.put(message("ann@contoso.test, bob@maildir.test", subject="list"))


class Pickup(House):
    """`once` over files in Pickup."""

    def fill(self):
        folder = self.pt.state / "Pickup"
        folder.mkdir(mode=0o700, exist_ok=True)

        def put(name, to, what=b"X-Sender: max@nwtraders.test\r\nX-Receiver: %s\r\n", **kw):
            (folder / name).write_bytes(what.replace(b"%s", to.encode()) + message(to, subject=name, **kw))
        put("drop", "ann@contoso.test", body=BODY)
        put("maildir", "bob@maildir.test")
        put("smtp", "cid@smtp.test", body=BODY)
        put("lmtp", "dan@lmtp.test")
        put("badmail", "refused@smtp.test")
        put("list", "crew@contoso.test")
        put("plain", "ann@contoso.test", what=b"")
        (folder / "no-message").write_bytes(b"\0\1\2")


class Service(House):
    """The service: four messages are collected, four come by SMTP."""
    PATIENCE = 5.0  # seconds for all of it, with faults

    def __init__(self):
        super().__init__()
        self.pt.account("first", self.main.port, every="10s",
                        domains=["contoso.test", "maildir.test", "smtp.test", "lmtp.test"])
        self.accepted, self.doubt = set(), set()

    def fill(self):
        put = self.main.put
        put(message("ann@contoso.test", subject="got drop", body=BODY))
        put(message("bob@maildir.test", subject="got maildir"))
        put(message("crew@contoso.test", subject="got list"))
        put(message("refused@smtp.test", subject="got badmail"))

    SENT = {"ann@contoso.test": BODY, "bob@maildir.test": b"x\r\n", "cid@smtp.test": BODY, "dan@lmtp.test": b"y\r\n"}

    def send(self, end):
        """As a client that tries again where it was put off, never where it does not know."""
        todo = list(self.SENT)
        while todo and time.monotonic() < end:
            to, at_end = todo[0], False
            try:
                with smtplib.SMTP("127.0.0.1", self.pt.port, timeout=1.5) as c:
                    c.ehlo()
                    if c.mail("max@nwtraders.test")[0] == 250 and c.rcpt(to)[0] == 250:
                        at_end = True
                        code = c.data(message(to, subject=f"sent {to}", body=self.SENT[to]))[0]
                        at_end = False
                        if code == 250:
                            self.accepted.add(todo.pop(0))
                            continue
                        self.put_off[to] += 1
            except (OSError, smtplib.SMTPException) as e:
                if at_end and not isinstance(e, smtplib.SMTPDataError):
                    self.doubt.add(todo.pop(0))
            time.sleep(0.05)

    def faulty(self, wish):
        self.accepted, self.doubt, self.put_off = set(), set(), Counter()
        begin = resource.getrusage(resource.RUSAGE_CHILDREN)
        with open(self.pt.dir / "log", "w+b") as log:
            p = subprocess.Popen(self.pt.command("run"), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=log,
                                 cwd=self.pt.dir, env=self.env(wish), start_new_session=True)
            end = time.monotonic() + (self.PATIENCE if wish and self.base else RUN_MOST)
            self.send(end)
            while time.monotonic() < end and p.poll() is None and not self.all_there():
                time.sleep(0.05)
            late = False
            with contextlib.suppress(ProcessLookupError):
                p.terminate()
            try:
                p.wait(RUN_MOST)
            except subprocess.TimeoutExpired:
                late = True
            with contextlib.suppress(ProcessLookupError):
                os.killpg(p.pid, signal.SIGKILL)
            p.wait()
            log.seek(0)
            text = log.read().decode(errors="replace")
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        return Run(p.returncode, text, used.ru_utime + used.ru_stime - begin.ru_utime - begin.ru_stime, late)

    def all_there(self):
        """What a run without faults leaves. Asks no command: that would cost what is measured."""
        if self.main.left() or len(list((self.pt.state / "Badmail").glob("*.BDR"))) < 1:
            return False
        drops = len(list((self.pt.state / "Drop").glob("*.eml")))
        maildirs = len(list((self.pt.dir / "mail").glob("*/new/*")))
        return (drops, maildirs, len(self.hop.mails), len(self.mailbox_hop.mails)) >= (4, 3, 2, 2) and \
            maildirs >= 3 and len(self.hop.mails) >= 2 and len(self.mailbox_hop.mails) >= 2

    def expected(self):
        """What the client was not told to be taken need not be there; what it sent again may be
        there once more, where a commit failed and its log was whole even so."""
        want, may = Counter(self.base[2]), Counter()
        for to in self.SENT:
            for key in [k for k in want if k[2] == f"sent {to}"]:
                may[key] += self.put_off[to] + (to in self.doubt)
                if to not in self.accepted:
                    del want[key]
        return want, may


SCENARIOS = {"collect": Collect, "first": First, "pickup": Pickup, "service": Service}


def points_of(scenario, trace):
    """Every point of a scenario, from the calls that were counted. Of the many calls of
    malloc, the first and the last from each call site."""
    seen = collections.defaultdict(list)
    for line in trace:
        role, kind, n, frames, _ = line.split(" ", 4)
        seen[(role, kind)].append((int(n), frames))
    for (role, kind), calls in sorted(seen.items()):
        if kind == "malloc":
            by_site = collections.defaultdict(list)
            for n, frames in calls:
                by_site[frames].append(n)
            for numbers in by_site.values():
                for n, span in {(numbers[0], "once"), (numbers[-1], "once"), (numbers[0], "good")}:
                    yield Point(scenario, role, kind, n, "ENOMEM", span)
            continue
        for (n, _), error, span in itertools.product(calls, ERRORS[kind], ("once", "good")):
            yield Point(scenario, role, kind, n, error, span)


# In a worker: its own servers and directories, one house per scenario.
_houses = {}


def house(scenario, base=None):
    if scenario not in _houses:
        h = SCENARIOS[scenario]()
        h.prepare()
        h.base = base
        _houses[scenario] = h
    return _houses[scenario]


def count_scenario(scenario):
    h = house(scenario)
    trace = h.count()
    return scenario, list(points_of(scenario, trace)), h.base


def try_one(point, base):
    try:
        return house(point.scenario, base).try_point(point)
    except Exception as e:  # a point that breaks the harness is one to be looked at
        return Outcome(point, ["stuck"], why=f"{type(e).__name__}: {e}")


def close_houses():
    while _houses:
        _houses.popitem()[1].close()


def _begin():
    net.end_with_us()
    multiprocessing.util.Finalize(None, close_houses, exitpriority=10)


@dataclass
class Report:
    outcomes: list = field(default_factory=list)
    all_points: int = 0

    def add(self, outcome):
        self.outcomes.append(outcome)

    def by(self, verdict):
        return [o for o in self.outcomes if verdict in o.verdicts]

    def figures(self):
        reached = [o for o in self.outcomes if "unreached" not in o.verdicts]
        words = [f"{len(reached)} points"]
        words += [f"{len(self.by(v))} {v}" for v in ("lost", "doubled", "astray", "stuck", "silent", "loops", "again",
                                                      "harmless", "unreached")]
        return ", ".join(words)

    def bad(self):
        return [o for o in self.outcomes if set(o.verdicts) & {"lost", "doubled", "astray", "stuck", "silent", "loops"}]


def sweep(scenarios=SCENARIOS, only=None, most=None, seconds=None, seed=0, workers=2, say=lambda outcome: None,
          chosen=lambda point: True):
    """Runs the points (`only`, or all of the scenarios, or of these at most so many, by
    chance, within so many seconds)."""
    report = Report()
    context = multiprocessing.get_context("fork")
    with concurrent.futures.ProcessPoolExecutor(workers, context, _begin) as pool:
        names = {p.scenario for p in only} if only else list(scenarios)
        counted = {s: (points, base) for s, points, base in pool.map(count_scenario, names)}
        points = only or [p for pts, _ in counted.values() for p in pts if chosen(p)]
        report.all_points = len(points)
        if not only:
            random.Random(seed).shuffle(points)
        points = points[:most]
        end = time.monotonic() + seconds if seconds else None
        pending, left = set(), iter(points)
        while True:
            for point in itertools.islice(left, workers * 2 - len(pending)):
                if end and time.monotonic() > end:
                    break
                pending.add(pool.submit(try_one, point, counted[point.scenario][1]))
            if not pending:
                break
            done, pending = concurrent.futures.wait(pending, return_when=concurrent.futures.FIRST_COMPLETED)
            for f in done:
                report.add(f.result())
                say(report.outcomes[-1])
    return report
