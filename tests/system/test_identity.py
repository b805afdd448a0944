"""Which message a unique-id stands for (edge 6): the print kept with the origin decides,
however old the mail is; no history, and no Message-ID by itself."""
import sqlite3

import pytest
from harness.message import message
from harness.postern import DONE, FAILED
from test_collect import account_row
from test_pop3_faults import fill, numbers

CAPS = [("UIDL", "TOP", "USER", "PIPELINING"), ("UIDL", "USER", "PIPELINING"), ("UIDL", "USER")]


def poll(pt, status=(DONE,)):
    return account_row(pt.once(status=status), "contoso")


def grow_old(pt):
    """Longer ago than any history and any ledger."""
    with sqlite3.connect(pt.state / "postern.db") as db:
        for table in ("attempt", "recipient", "body", "message", "ledger"):
            db.execute(f"DELETE FROM {table}")


def sizes(server, add):
    server.answers["LIST"] = lambda session, _: b"".join(
        [b"+OK\r\n", *(b"%d %d\r\n" % (n, len(m.data) + add) for n, m in session._box()), b".\r\n"])


@pytest.mark.parametrize("count", [3, 40])
@pytest.mark.parametrize("keep", ["forever", "30d"])
def test_kept_mail_older_than_the_history_comes_once(pt, pop3, keep, count):
    """LIST counts otherwise now; the messages are the same."""
    server = pop3()
    fill(server, count)
    pt.account("contoso", server.port, keep=keep)
    assert poll(pt)["collected"] == count
    grow_old(pt)
    sizes(server, 7)
    poll(pt)
    assert len(pt.drop()) == count and len(server.left()) == count
    poll(pt)
    assert len(pt.drop()) == count and server.last.retrieved == [], "asked for again and again"


def test_a_server_that_counted_wrong_before(pt, pop3):
    """Many sizes change at once, none to what was said before: the header decides alone."""
    server = pop3()
    fill(server, 30)
    sizes(server, 100)
    pt.account("contoso", server.port, keep="forever")
    poll(pt)
    grow_old(pt)
    sizes(server, 0)
    poll(pt)
    assert len(pt.drop()) == 30


def test_marks_of_an_mbox_server_make_no_other_message(pt, pop3):
    server = pop3()
    fill(server, 3)
    pt.account("contoso", server.port, keep="forever")
    poll(pt)
    grow_old(pt)
    for m in server.boxes["global"]:
        m.data = b"Status: RO\r\nX-UIDL: " + m.uidl.encode() + b"\r\n" + m.data
    poll(pt)
    assert len(pt.drop()) == 3
    poll(pt)
    assert len(pt.drop()) == 3 and server.last.retrieved == []


@pytest.mark.parametrize("caps", CAPS)
def test_undeleted_mail_older_than_the_history_is_deleted_again(pt, pop3, caps):
    """A backup of the mailbox was restored; unique-ids and messages are what they were."""
    server = pop3(caps=caps)
    fill(server, 30)
    before = list(server.boxes["global"])
    pt.account("contoso", server.port)
    poll(pt)
    grow_old(pt)
    server.boxes["global"] = before
    assert poll(pt)["collected"] == 0
    assert len(pt.drop()) == 30 and server.left() == []


@pytest.mark.parametrize("caps", CAPS)
@pytest.mark.parametrize("old", [False, True])
def test_a_unique_id_used_again_under_the_same_message_id(pt, pop3, caps, old):
    server = pop3(caps=caps)
    server.put(message(message_id="same", subject="first"), uidl="1")
    pt.account("contoso", server.port)
    poll(pt)
    if old:
        grow_old(pt)
    server.put(message(message_id="same", subject="other"), uidl="1")
    assert poll(pt)["collected"] == 1
    server.put(message(message_id="same", subject="other", body=b"longer than it was\r\n"), uidl="1")
    assert poll(pt)["collected"] == 1
    assert len(pt.drop()) == 3 and server.left() == []


def test_a_unique_id_of_a_kept_message_used_again_under_the_same_message_id(pt, pop3):
    server = pop3()
    server.put(message(message_id="same"), uidl="1")
    pt.account("contoso", server.port, keep="forever")
    poll(pt)
    server.boxes["global"][0].data = message(message_id="same", body=b"longer than it was\r\n")
    assert poll(pt)["collected"] == 1
    assert poll(pt)["collected"] == 0 and server.last.retrieved == []
    assert len(pt.drop()) == 2 and len(server.left()) == 1


def test_a_deletion_owed_is_proven_before_it_is_made(pt, pop3):
    """QUIT was carried out though its answer never came, and the number that is this
    server's unique-id belongs to another message of the same size now."""
    server = pop3()

    def quit_(session, arg):
        from harness.pop3_server import CUT
        session.do_quit(arg)
        return CUT
    server.put(message(message_id="first", subject="alarm 1"), uidl="1")
    server.put(message(message_id="stays", subject="alarm 3"), uidl="2")
    server.answers = {"QUIT": quit_, "DELE 2": b"-ERR not now\r\n"}
    pt.account("contoso", server.port)
    poll(pt, status=(FAILED,))
    server.answers.clear()
    assert server.left() == ["2"]
    server.put(message(message_id="later", subject="alarm 2"), uidl="1")
    assert poll(pt)["collected"] == 1
    assert len(pt.drop()) == 3 and server.left() == []
    assert server.last.retrieved == ["1"], "what is the same is deleted without RETR"


def forget_prints(pt, value=0):
    with sqlite3.connect(pt.state / "postern.db") as db:
        db.execute("UPDATE origin SET print = ?", (value,))


def test_origins_without_a_print(pt, pop3):
    """An old state: what came back is collected rather than deleted unseen; kept mail stays."""
    server = pop3()
    fill(server, 2)
    before = list(server.boxes["global"])
    pt.account("contoso", server.port)
    poll(pt)
    forget_prints(pt)
    grow_old(pt)
    server.boxes["global"] = before[:1]
    assert poll(pt)["collected"] == 1
    assert len(pt.drop()) == 3 and server.left() == []


def test_many_origins_without_a_print_wait_for_a_word(pt, pop3):
    server = pop3()
    fill(server, 30)
    before = list(server.boxes["global"])
    pt.account("contoso", server.port)
    poll(pt)
    forget_prints(pt)
    server.boxes["global"] = before
    poll(pt, status=(FAILED,))
    assert 4009 in numbers(pt) and len(pt.drop()) == 30 and len(server.left()) == 30
    pt.run("accounts", "adopt", "contoso").expect(DONE)
    fill(server, 1)
    assert poll(pt)["collected"] == 1 and len(server.left()) == 30


def test_kept_origins_without_a_print_stay_what_they_are(pt, pop3):
    server = pop3()
    fill(server, 30)
    pt.account("contoso", server.port, keep="forever")
    poll(pt)
    forget_prints(pt)
    grow_old(pt)
    sizes(server, 7)
    assert poll(pt)["collected"] == 0 and server.last.retrieved == [] and len(pt.drop()) == 30
