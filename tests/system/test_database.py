"""The database in trouble: locked, damaged, missing, its files taken away. Nothing that was
answered is lost, and everybody is told what is wrong."""
import os
import signal
import smtplib
import sqlite3
from pathlib import Path

import pytest
from harness.message import message
from harness.net import wait_for
from harness.postern import DONE, FAILED, LATER

WORDS = [("queue", "list"), ("check",), ("once",), ("trace", "<a@b.test>"), ("accounts",), ("policy", "list")]


def submit(port, subject):
    """The reply's code for one message."""
    try:
        with smtplib.SMTP("127.0.0.1", port, timeout=30) as c:
            c.sendmail("max@nwtraders.test", ["ann@contoso.test"], message(subject=subject))
            return 250
    except smtplib.SMTPResponseException as e:
        return e.smtp_code
    except smtplib.SMTPRecipientsRefused as e:
        return next(iter(e.recipients.values()))[0]
    except (OSError, smtplib.SMTPServerDisconnected):
        return 0  # the relay is starting again


def subjects(pt):
    rows = [d.data.split(b"Subject: ")[1].split(b"\r\n")[0].decode() for d in pt.drop(pt.dir / "drop")]
    assert len(rows) == len(set(rows)), rows
    return set(rows)


@pytest.fixture
def used(pt, pop3):
    """A state that was in use: one message was collected and delivered."""
    pt.route("contoso.test", f"drop:{pt.dir}/drop")
    pt.server = pop3()
    pt.server.put(message(subject="first"))
    pt.account("contoso", pt.server.port)
    pt.once()
    assert subjects(pt) == {"first"}
    return pt


def everybody_says(pt, *words):
    """No word takes what cannot be read for empty."""
    for command in WORDS:
        result = pt.run(*command)
        assert result.status == FAILED, result
        assert any(w in result.out + result.err for w in words), result


def check_nothing_was_touched(pt):
    assert pt.badmail() == [] and subjects(pt) == {"first"}


def test_a_lost_database_is_never_begun_anew(used):
    """Edges 2 and 38: neither missing nor empty means that there was none."""
    used.server.put(message(subject="second"))
    db = used.state / "postern.db"
    kept = db.read_bytes()
    db.unlink()
    everybody_says(used, "missing")
    db.write_bytes(b"")
    everybody_says(used, "empty")
    assert used.run("run").expect(FAILED).err.count("empty") > 0
    assert len(used.server.left()) == 1
    check_nothing_was_touched(used)
    db.write_bytes(kept)
    used.once()
    assert subjects(used) == {"first", "second"} and used.server.left() == []


def test_who_may_not_read_the_state_is_told_so(used):
    """SPEC section 2: that error and exit 1, never an empty answer."""
    if os.geteuid() != 0:
        pytest.skip("only root can become somebody else")
    used.dir.chmod(0o755)
    used.file.chmod(0o644)
    somebody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    used.prefix = somebody
    for command in (("queue", "list"), ("accounts",), ("policy", "list"), ("trace", "<a@b.test>")):
        result = used.run(*command, write=False)
        if "setpriv" in result.err or "error while loading" in result.err or result.status == 127:
            pytest.skip("another user cannot run the program here")
        assert result.status == FAILED and "Permission denied" in result.err, result


def role(pt, name):
    """The process that bears it."""
    for pid in Path(f"/proc/{pt.proc.pid}/task/{pt.proc.pid}/children").read_text().split():
        if Path(f"/proc/{pid}/comm").read_text().strip() == name:
            return int(pid)
    raise AssertionError(f"there is no {name}")


def damage(pt):
    """Every page but the first holds nonsense."""
    db = pt.state / "postern.db"
    octets = bytearray(db.read_bytes())
    octets[4096:] = b"\x5a" * (len(octets) - 4096)
    db.write_bytes(octets)


def test_a_damaged_database_is_told_by_everybody(used):
    damage(used)
    used.server.put(message(subject="second"))
    everybody_says(used, "damaged")
    assert len(used.server.left()) == 1
    check_nothing_was_touched(used)


def test_a_service_ends_with_the_reason_when_its_database_stays_damaged(used):
    """Edge 38: a few tries, each with its words, then the end; not a loop."""
    used.start()
    damage(used)
    os.kill(role(used, "relay"), signal.SIGKILL)
    wait_for(lambda: used.proc.poll() is not None, 60, "the end of the service")
    assert used.proc.wait() == 1
    used.wait_line("END OF LOG")
    assert used.log().count("event=1005") == 6, used.log()
    assert "damaged" in used.log() and "the service ends" in used.log()


@pytest.mark.parametrize("taken", ["postern.db-wal", "postern.db-shm"])
def test_the_log_taken_away_under_the_service(used, taken):
    """Edge 7: all that was answered is there after a kill."""
    used.start()
    accepted = {n for n in ("a", "b") if submit(used.port, n) == 250}
    (used.state / taken).unlink()
    assert submit(used.port, "c") != 250
    used.wait_line(r"event=9015\b")

    def takes_again():
        return submit(used.port, "d") == 250

    wait_for(takes_again, 30, "the relay's next start")
    accepted.add("d")
    used.kill()
    used.once()
    assert accepted | {"first"} <= subjects(used)


def test_a_poll_without_the_database_decides_nothing(used):
    """Edge 2: it fails under its event; nothing goes to Badmail, nothing is deleted."""
    used.start()
    used.server.put(message(subject="second", to="nobody@nowhere.test"))
    db, aside = used.state / "postern.db", used.dir / "aside"
    db.rename(aside)
    result = used.run("poll", write=False)
    aside.rename(db)
    assert result.status == FAILED and "missing" in result.out + result.err, result
    used.wait_line(r"event=9005\b")
    assert len(used.server.left()) == 1
    check_nothing_was_touched(used)


def test_a_lock_is_waited_for(used):
    """Edge 11: no double, no end of the relay; the event says who is to blame."""
    used.start()
    db = sqlite3.connect(used.state / "postern.db", isolation_level=None)
    db.execute("BEGIN IMMEDIATE")
    assert submit(used.port, "second") == 451
    line = used.wait_line(r"event=9005\b")
    assert "database is locked" in line
    db.execute("ROLLBACK")
    db.close()
    wait_for(lambda: submit(used.port, "third") == 250, 20, "mail after the lock")
    wait_for(lambda: "third" in subjects(used), 20, "delivery after the lock")
    assert "event=1005" not in used.log()
    assert used.terminate() == 0


def test_once_waits_for_a_lock_and_then_says_so(used):
    db = sqlite3.connect(used.state / "postern.db", isolation_level=None)
    db.execute("BEGIN IMMEDIATE")
    result = used.run("once").expect(FAILED, LATER)
    assert "database is locked" in result.err
    db.execute("ROLLBACK")
    db.close()
    used.run("once").expect(DONE)
