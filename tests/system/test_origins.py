"""What a listing changes of what is known (E14): an incomplete one nothing; forgotten is
only what two complete listings lacked, seven days apart."""
import sqlite3

import pytest
from harness.message import message
from harness.pop3_server import CUT
from harness.postern import DONE, FAILED
from test_collect import account_row
from test_pop3_faults import fill

DAY_MS = 24 * 3600 * 1000


def poll(pt):
    return account_row(pt.once(status=(DONE,)), "contoso")


def origins(pt):
    """{uidl: absent}"""
    with sqlite3.connect(pt.state / "postern.db") as db:
        return {u: g > 0 for u, g in db.execute("SELECT uidl, gone_listing FROM origin")}


def days_pass(pt, days):
    with sqlite3.connect(pt.state / "postern.db") as db:
        db.execute("UPDATE origin SET gone_ms = gone_ms - ? WHERE gone_ms > 0", (days * DAY_MS,))


def kept(pt, pop3, count=3):
    server = pop3()
    fill(server, count)
    pt.account("contoso", server.port, keep="forever")
    poll(pt)
    return server


def test_an_incomplete_listing_changes_nothing(pt, pop3):
    """One message has no usable unique-id: nobody knows what the listing lacks."""
    server = kept(pt, pop3)
    before, all_of_them = origins(pt), list(server.boxes["global"])
    nameless = message(subject="nameless", message_id="nameless")
    for uids in ([""], ["same", "same"], ["x" * 300]):
        server.boxes["global"] = []
        for uid in uids:
            server.put(nameless, uidl=uid)
        for _ in range(3):
            poll(pt)
            days_pass(pt, 8)
        assert {u: a for u, a in origins(pt).items() if u in before} == before, uids
    server.boxes["global"] = all_of_them
    assert poll(pt)["collected"] == 0 and server.last.retrieved == []


def test_a_listing_that_breaks_off_changes_nothing(pt, pop3):
    server = kept(pt, pop3)
    before = origins(pt)
    server.boxes["global"] = []
    for verb, part in (("LIST", b"+OK\r\n"), ("UIDL", b"+OK\r\n")):
        server.put(message(subject="one more", message_id=verb), uidl=verb)
        server.answers = {verb: lambda s, _, part=part: s.send(part) or CUT}
        pt.once(status=1)
        assert origins(pt) == before


def test_forgotten_after_seven_days_and_two_listings(pt, pop3):
    server = kept(pt, pop3)
    gone = server.boxes["global"].pop(0)
    poll(pt)
    assert origins(pt)[gone.uidl] and sum(origins(pt).values()) == 1
    days_pass(pt, 6)
    poll(pt)
    assert gone.uidl in origins(pt), "forgotten too early"
    days_pass(pt, 2)
    poll(pt)
    assert sorted(origins(pt)) == ["uid-00002", "uid-00003"]


def test_what_is_back_begins_anew(pt, pop3):
    """Absent for six days, back for one listing, absent again: six days are not seven."""
    server = kept(pt, pop3)
    gone = server.boxes["global"].pop(0)
    poll(pt)
    days_pass(pt, 8)
    server.boxes["global"].insert(0, gone)
    assert poll(pt)["collected"] == 0 and not origins(pt)[gone.uidl]
    server.boxes["global"].pop(0)
    poll(pt)
    poll(pt)
    assert origins(pt)[gone.uidl], "forgotten though it was absent for moments only"
    server.boxes["global"].insert(0, gone)
    assert poll(pt)["collected"] == 0 and len(pt.drop()) == 3


def settled(pt):
    with sqlite3.connect(pt.state / "postern.db") as db:
        return [n for n, in db.execute("SELECT settled FROM origin ORDER BY uidl")]


@pytest.mark.parametrize("reply", [b"-ERR some deleted messages not removed\r\n", b"what?\r\n", CUT], ids=["refused", "nonsense", "cut"])
def test_settled_is_what_quit_confirmed(pt, pop3, reply):
    server = pop3()
    fill(server, 2)
    server.answers = {"QUIT": reply, "DELE 2": b"-ERR no\r\n"}
    pt.account("contoso", server.port)
    pt.once(status=FAILED)
    assert settled(pt) == [0, 0]
    del server.answers["QUIT"]
    pt.once()
    assert settled(pt) == [1, 0], "the first was deleted, the second was refused"
    server.answers.clear()
    pt.once()
    assert settled(pt) == [1, 1] and server.left() == []
