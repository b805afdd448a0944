"""kill -9 of every process at random moments, again and again: nothing lost,
nothing doubled. POSTERN_KILLS says how often (200 is the project's own bar),
POSTERN_SEED repeats a run."""
import os
import random
import signal
import subprocess
import time

import pytest
from harness.corpus import Mailbox
from harness.message import message
from harness.postern import DONE, FAILED

KILLS = int(os.environ.get("POSTERN_KILLS", "12"))
SEED = int(os.environ.get("POSTERN_SEED", str(random.randrange(1 << 30))))


def killed_after(pt, words, seconds):
    """Starts the command, kills its whole process group; False when it was done before."""
    p = subprocess.Popen(pt.command(*words), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                         stderr=subprocess.DEVNULL, cwd=pt.dir, start_new_session=True)
    try:
        p.wait(seconds)
        return False
    except subprocess.TimeoutExpired:
        os.killpg(p.pid, signal.SIGKILL)
        p.wait()
        return True


@pytest.mark.limit(180 + KILLS * 12)
def test_once_killed_over_the_corpus(new_postern, dovecot, corpus):
    print(f"POSTERN_SEED={SEED}")
    chance = random.Random(SEED)
    box = Mailbox(dovecot, corpus)
    whole = new_postern()
    box.set_up(whole)
    begin = time.monotonic()
    whole.once(status=(DONE, FAILED), timeout=120)
    length = time.monotonic() - begin
    want = box.count(whole)
    kills = 0
    while kills < KILLS:
        box.fill()
        pt = new_postern()
        box.set_up(pt)
        pt.write()
        for _ in range(8):
            kills += killed_after(pt, ["once"], chance.uniform(0.005, length))
        pt.once(status=(DONE, FAILED), timeout=120)
        assert box.count(pt) == want, f"POSTERN_SEED={SEED} after {kills} kills"
        assert pt.queue() == []
        pt.close()


@pytest.mark.limit(120 + KILLS * 10)
def test_service_killed_while_mail_comes_and_goes(pt, pop3, sink):
    """The service with an account and a next hop; the hop may see a copy again
    only where the kill fell between its 250 and our record of it."""
    print(f"POSTERN_SEED={SEED}")
    chance = random.Random(SEED)
    hop = sink()
    server = pop3()
    pt.route("contoso.test", hop.route).account("contoso", server.port, every="10s")
    pt.conf["delivery"]["connections_per_host"] = 1
    sent = []
    for k in range(KILLS):
        for i in range(40):
            name = f"k{k}i{i}"
            sent.append(name)
            server.put(message(subject=name, message_id=name), uidl=name)
        pt.start()
        time.sleep(chance.uniform(0, 0.4))
        pt.kill()
    pt.once(status=(DONE, FAILED))
    ids = [row["id"] for row in pt.queue()]
    if ids:
        pt.run("queue", "retry").expect(DONE)
        pt.once(status=(DONE, FAILED))
    got = [m.data.split(b"Subject: ")[1].split(b"\r\n")[0].decode() for m in hop.mails]
    assert set(got) == set(sent), f"POSTERN_SEED={SEED}: lost {sorted(set(sent) - set(got))[:10]}"
    again = len(got) - len(set(got))
    # In doubt is what the hop had answered and no commit held: the window of the one connection
    # (four transactions), and another window answered while the commit before was synced.
    # Measured: 1.3 to 1.6 a kill; 40 were put before each.
    assert again <= KILLS * 2 * 4, f"POSTERN_SEED={SEED}: {again} again"
    assert server.left() == [] and pt.queue() == []


def test_drop_is_never_doubled_by_kills(pt, pop3):
    """Drop names derive from the queue id: a repeated attempt is the same file."""
    chance = random.Random(SEED)
    server = pop3()
    pt.account("contoso", server.port)
    pt.write()
    total = 0
    for k in range(KILLS):
        for i in range(30):
            server.put(message(subject=f"k{k}i{i}"))
            total += 1
        killed_after(pt, ["once"], chance.uniform(0.005, 0.15))
    pt.once()
    subjects = [d.data.split(b"Subject: ")[1].split(b"\r\n")[0] for d in pt.drop()]
    assert len(subjects) == len(set(subjects)) == total, f"POSTERN_SEED={SEED}"


# Around the ledger: what is in a transaction and what is not. #2: when others are through.
POINTS = ["store: origin written", "store: ledger written", "store: before commit",
          "store: after commit, before answers", "store: body removed, before unlink",
          "fetch: before DELE", "fetch: before QUIT", "fetch: QUIT confirmed"]


@pytest.mark.limit(240)
def test_killed_around_the_ledger(new_postern, pop3):
    """Copies of three mails, one of them large, in three mailboxes: killed at each of these
    points, then left alone. Each recipient has each mail once, nothing waits."""
    people = [f"u{i}@contoso.test" for i in range(3)]
    hop = "Received: from a by pop.isp.test; Mon, 5 Jan 2026 10:00:00 +0000"
    for point in [f"{p}#{k}" for p in POINTS for k in (1, 2)]:
        pt, boxes = new_postern(), [pop3() for _ in range(3)]
        for i, box in enumerate(boxes):
            pt.account(f"isp{i}", box.port)
            for k in range(3):
                mail = dict(to=", ".join(people), subject=f"list {k}", message_id="same",
                            body=b"Text %d.\r\n" % k * (30000 if k == 2 else 1))
                box.put(message(**mail))
                box.put(message(**mail, headers=[f"X-Envelope-To: {people[i]}", hop]))
        killed = pt.run("once", env={"POSTERN_CRASH": point})
        # Some are passed once only when all went into one commit.
        assert killed.status == -signal.SIGKILL or point.endswith("#2"), f"{point} is never passed"
        pt.once()
        got = sorted((r, d.data.split(b"Subject: ")[1].split(b"\r\n")[0].decode())
                     for d in pt.drop() for r in d.recipients)
        assert got == sorted((r, f"list {k}") for r in people for k in range(3)), point
        assert [b.left() for b in boxes] == [[], [], []] and pt.queue() == [], point
        # What lies in the spool was never committed: the sweep takes it when it is old.
        assert all(pt.run("trace", f.name).status == FAILED for f in (pt.state / "spool").iterdir()), point
