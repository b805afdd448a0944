"""Many cuts of one recording, the negative controls, and the program started again."""
import random
import shutil
from collections import Counter
from dataclasses import dataclass, field
from fnmatch import fnmatch

from harness.pop3_server import Message
from harness.postern import DONE, FAILED

from . import disk, look
from .run import HOP, MAILDIR

def files_in(where):
    return lambda node: isinstance(node, disk.File) and node.path.startswith(where)


def directory(where):
    return lambda node: isinstance(node, disk.Dir) and fnmatch(node.path, where)


# What is never synced then. Each must be seen.
CONTROLS = {
    "spool files": files_in("state/spool/"),
    "spool directory": directory("state/spool"),
    "database log": files_in("state/postern.db-wal"),
    "database at a checkpoint": lambda node: node.path == "state/postern.db",
    "state directory": directory("state"),
    "Drop files": files_in("state/Drop/"),
    "Drop directory": directory("state/Drop"),
    "Maildir files": files_in("mail/"),
    "Maildir directory": directory("mail/*/new"),
    "Maildir's own name": directory("mail"),
    "Badmail files": files_in("state/Badmail/"),
    "Badmail directory": directory("state/Badmail"),
    "claims of Pickup": directory("state/run/pickup"),
}


@dataclass
class Count:
    states: int = 0
    restarts: int = 0
    faulty: int = 0
    distinct: set = field(default_factory=set)
    faults: Counter = field(default_factory=Counter)  # states with a fault of that kind
    first: list = field(default_factory=list)  # how to make it again

    def add(self, faults, how):
        self.faulty += bool(faults)
        for kind in {k for k, _ in faults}:
            self.faults[kind] += 1
        if faults and len(self.first) < 20:
            self.first.append((how, faults[:3]))


def spread(i, n):
    """0, 1, 2... to n numbers so that any part of them is spread over all."""
    step = 769 if n % 769 else 773
    return i * step % n


def state(trace, seed, i):
    """The i-th state: its cut, how it fell out, and what is there. First each moment before
    a sync ends, when all that no sync has covered is gone; then any moment, and chance."""
    chance = random.Random(f"{seed} {i}")
    if i < len(trace.edges):
        cut, how = trace.edges[spread(i, len(trace.edges))], disk.Choice(chance, "none", "none")
    else:
        cut, how = 1 + spread(i, trace.length), disk.Choice(chance)
    return cut, how, *disk.lookup(trace, cut, how)


def replay(run, trace, states, restart_each=0, until=None):
    """Looks at that many states; every restart_each-th is given to the program too. `until`
    are kinds of fault: it ends when one of them was seen."""
    count, eyes = Count(), look.Look(run, trace)
    try:
        for i in range(states):
            cut, how, files, dirs = state(trace, run.seed, i)
            faults = eyes.faults(cut, files)
            if restart_each and i % restart_each == 0:
                count.restarts += 1
                faults = faults + restart(run, trace, cut, files, dirs)
            count.states += 1
            count.distinct.add(hash((tuple(dirs), tuple(files.items()))))
            count.add(faults, f"seed {run.seed}, state {i}: cut {cut}, names {how.names}, data {how.data}")
            if until and until & set(count.faults):
                break
    finally:
        eyes.close()
    return count


# ---- the program itself ----

def make(run, files, dirs):
    top = run.pt.dir
    for d in ("state", "mail"):
        shutil.rmtree(top / d, ignore_errors=True)
    for d in dirs:
        (top / d).mkdir(mode=0o700, exist_ok=True)
    for path, entry in files.items():
        if not path.startswith(("state/", "mail/")):
            continue
        disk.store(top / path, entry)


def restart(run, trace, cut, files, dirs):
    """`postern once` on that disk, beside a provider and a hop as they were: then all mail
    is where it belongs, once."""
    make(run, files, dirs)
    deleted = {uidl for at, uidl in run.deleted if at < cut}
    box = [Message(m.uidl, m.data) for m in run.mails.values()
           if m.how == "pop3" and m.put < cut and m.uidl not in deleted]
    run.pop3.boxes["global"][:] = box
    run.hop.mails.clear()
    r = run.pt.run("once", "--json", write=False)
    if r.status not in (DONE, FAILED):
        return [("refuses", f"once: status {r.status}: {r.err[-300:]}")]
    return settled(run, cut)


def settled(run, cut):
    wrong = []
    got = Counter()
    for d in run.pt.drop():
        got.update((look.token_of(d.data), r) for r in d.recipients)
        m = run.mails.get(look.token_of(d.data))
        if m and not d.data.endswith(m.body):
            wrong.append(("torn", f"{d.path.name} is not whole"))
    for p in (run.pt.dir / "mail").glob("*/new/*"):
        data = p.read_bytes()
        m = run.mails.get(look.token_of(data))
        got[look.token_of(data), MAILDIR] += 1
        if not m or not data.endswith(m.body):
            wrong.append(("torn", f"{p.name} is not whole"))
    for b in run.pt.badmail():
        rows = [r["address"] for r in b.record["recipients"]] or [""]
        got.update((look.token_of(b.data), r) for r in rows)
    hop_before = Counter((token, r) for at, token, r in run.hops if at < cut)
    hop = hop_before + Counter((look.token_of(m.data), r) for m in run.hop.mails for r in m.recipients)
    for m in run.mails.values():
        # What came by SMTP and was not answered is sent again by its client.
        if m.promised >= cut and (m.how == "smtp" or m.put >= cut):
            continue
        for r in m.recipients or [""]:
            n = hop[m.token, r] if r == HOP else got[m.token, r]
            if n == 0:
                wrong.append(("lost", f"{m.token} ({m.how}) for {r or 'nobody'} did not arrive"))
            # The hop may have it once more where the cut fell between its 250 and our record.
            had = hop_before[m.token, r]
            if n > (had + 1 if had else 1):
                wrong.append(("doubled", f"{m.token} ({m.how}) for {r or 'nobody'} came {n} times"))
    if run.pop3.left():
        wrong.append(("stuck", f"left at the provider: {run.pop3.left()}"))
    left = [p.name for d in ("Pickup", "run/pickup") for p in (run.pt.state / d).glob("*")]
    if left:
        wrong.append(("stuck", f"left in Pickup: {left}"))
    return wrong


