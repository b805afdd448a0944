"""Providers that refuse, with each RESP-CODE and without; that are away for days and come back as others; that give
so much and no more. Nothing is lost, doubled, stranded or suspended for good, and nobody is needed afterwards."""
import pytest
from harness.message import message
from harness.postern import DONE, FAILED
from test_collect import account_row
from test_pop3_faults import fill

HOUR = 3600
DAY = 24 * HOUR

# RFC 2449, 3206, 8437 (of IMAP, but servers share their words), one that nobody knows, and none.
CODES = ["[IN-USE] ", "[LOGIN-DELAY] ", "[SYS/TEMP] ", "[SYS/PERM] ", "[AUTH] ", "[UTF8] ", "[UNAVAILABLE] ", "[X-OURS/OWN] ", ""]


def bodies(pt):
    """Which fill() makes different."""
    return [m.data.split(b"\r\n\r\n", 1)[1] for m in pt.drop()]


# ---- each verb, each code ----

@pytest.mark.parametrize("verb", ["GREETING", "CAPA", "USER", "PASS", "STAT", "LIST", "UIDL", "TOP", "RETR", "RETR 2",
                                  "DELE", "DELE 2", "QUIT"])
def test_each_verb_refused_with_each_code_strands_nothing(pt, pop3, clock, verb):
    """Three polls an hour apart are refused; when the server has come to itself, the next one a day later has it all."""
    servers = {}
    for i, code in enumerate(CODES):
        server = servers[code] = pop3()
        fill(server, 3)
        server.answers[verb] = f"-ERR {code}this is how it is\r\n".encode()
        pt.account(f"a{i}", server.port)
    for hour in range(3):
        clock(hour * HOUR)
        report = pt.once(status=(DONE, FAILED))
    said = " ".join(e["text"] for e in pt.events()) + " ".join(row["error"] or "" for row in report["accounts"])
    # What CAPA, TOP and STAT would say is had in other ways; the others are no second message when the rest is gone.
    assert verb in ("CAPA", "TOP", "STAT", "DELE 2") or said.count("this is how it is") >= len(CODES), said
    assert not pt.events(4019) and not pt.events(4012)
    for server in servers.values():
        del server.answers[verb]
    clock(DAY + 3 * HOUR)
    report = pt.once(status=(DONE,))
    assert [row["error"] for row in report["accounts"]] == [None] * len(CODES)
    assert [server.left() for server in servers.values()] == [[]] * len(CODES)
    got = bodies(pt)
    assert len(got) == 3 * len(CODES) == len(set(got))


def test_deletions_that_are_refused_are_said_and_tried_once_a_day(pt, pop3, clock):
    """All of them: it is the account's trouble. One: it is that message's."""
    server = pop3()
    fill(server, 4)
    server.answers["DELE"] = b"-ERR read-only maildrop\r\n"
    pt.account("contoso", server.port)
    for minute in range(0, 70, 10):
        clock(minute * 60)
        pt.once()
    assert sum(s.verbs().count("DELE") for s in server.sessions) == 20
    assert [e["messages"] for e in pt.events(4016)] == [4] * 5
    assert "the server refused 4 messages in a row: DELE: -ERR read-only maildrop" in pt.events(4016)[0]["text"]
    assert not pt.events(2005)
    server.answers["DELE"] = lambda s, n: b"-ERR not this one\r\n" if s.message(n).uidl == "uid-00003" else None
    clock(25 * HOUR)
    pt.once()
    assert server.left() == ["uid-00003"] and len(pt.events(4016)) == 5
    [event] = pt.events(2005)
    assert "uid-00003" in event["text"]
    pt.once()
    assert pt.ask("accounts", "show", "contoso")["memory"]["passed_over"][0]["why"] == "not deleted"
    assert "uid-00003: collected, and not deleted" in pt.run("accounts", "show", "contoso").out
    del server.answers["DELE"]
    pt.once()
    assert server.left() == ["uid-00003"]
    pt.run("accounts", "retry", "contoso", "uid-00003").expect(DONE)
    pt.once()
    assert server.left() == [] and len(pt.drop()) == 4
    assert pt.ask("accounts", "show", "contoso")["memory"]["passed_over"] == []


# ---- three days away ----

def away(server):
    """Nobody takes the connection further than this."""
    server.answers["GREETING"] = b"-ERR the service is closed for maintenance\r\n"


@pytest.mark.parametrize("keep", [None, "forever"])
@pytest.mark.parametrize("ids", ["the same", "others"])
def test_three_days_away_and_back_as_another(pt, pop3, clock, keep, ids):
    """It comes back by halves, under another banner, without what it had told it could, with or without its unique-ids."""
    server = pop3(caps=("UIDL", "TOP", "USER", "PIPELINING", "RESP-CODES"))
    fill(server, 6)
    pt.account("contoso", server.port, **({"keep": keep} if keep else {}))
    assert account_row(pt.once(), "contoso")["collected"] == 6
    fill(server, 4)
    away(server)
    for hour in range(1, 72, 4):
        clock(hour * HOUR)
        pt.once(status=(FAILED,))
    [row] = pt.ask("accounts")
    assert "closed for maintenance" in row["result"] and row["suspended_until"] is None
    assert not pt.events(4019)
    # Half back: it greets, but its store is not there yet.
    server.answers["GREETING"] = b"+OK another server altogether <1.2@new>\r\n"
    server.caps = ("UIDL", "USER")
    server.answers["TOP"] = b"-ERR what?\r\n"
    server.answers["RETR"] = b"-ERR [SYS/TEMP] the store is not there yet\r\n"
    if ids == "others":
        for m in server.boxes["global"]:
            m.uidl = "new" + m.uidl
    for hour in (73, 75, 77):
        clock(hour * HOUR)
        pt.once(status=(DONE, FAILED))
    assert not pt.events(4012)
    del server.answers["RETR"]
    clock(100 * HOUR)
    row = account_row(pt.once(), "contoso")
    assert row["error"] is None
    got = bodies(pt)
    assert len(got) == len(set(got)) == 10
    assert len(server.left()) == (10 if keep else 0)
    sessions = len(server.sessions)
    clock(101 * HOUR)
    assert account_row(pt.once(), "contoso")["collected"] == 0
    assert server.sessions[sessions].retrieved == []


def test_a_listing_without_unique_ids_for_a_day_collects_nothing_twice(pt, pop3, clock):
    server = pop3()
    fill(server, 5)
    pt.account("contoso", server.port, keep="forever")
    pt.once()
    server.answers["UIDL"] = b"-ERR unknown command\r\n"
    server.caps = ("TOP", "USER")
    for hour in (6, 12, 18):
        clock(hour * HOUR)
        pt.once(status=(DONE, FAILED))
    del server.answers["UIDL"]
    server.caps = ("UIDL", "TOP", "USER")
    clock(DAY)
    assert account_row(pt.once(), "contoso")["error"] is None
    assert len(pt.drop()) == 5 and len(server.left()) == 5


# ---- quotas ----

class Quota:
    """So many octets or messages, then only refusals until the next window begins."""

    def __init__(self, server, words, octets=None, messages=None):
        self.server, self.words, self.octets, self.messages = server, words, octets, messages
        self.given, self.count, self.refused = 0, 0, 0
        server.answers["RETR"] = self.retr

    def window(self):
        self.given = self.count = 0

    def retr(self, session, arg):
        size = len(session.message(arg).data)
        if self.octets is not None and self.given + size > self.octets or \
                self.messages is not None and self.count >= self.messages:
            self.refused += 1
            return b"-ERR " + self.words + b"\r\n"
        self.given, self.count = self.given + size, self.count + 1
        return None


@pytest.mark.parametrize("caps", [("UIDL", "TOP", "USER"), ("UIDL", "TOP", "USER", "PIPELINING")], ids=["one by one", "pipelined"])
@pytest.mark.parametrize("words", [b"Download exceed. size=1M", b"[SYS/TEMP] daily download limit reached", b"bandwidth limit exceeded"])
def test_a_quota_of_octets_a_day_counts_against_no_message(pt, pop3, clock, caps, words):
    server = pop3(caps=caps)
    for i in range(12):
        server.put(message(subject=f"n{i}", message_id=f"q{i}", body=b"%d\r\n" % i + (b"x" * 70 + b"\r\n") * (1000 if i % 3 else 10)))
    quota = Quota(server, words, octets=300_000)
    pt.account("contoso", server.port)
    for day in range(4):
        quota.window()
        for part in range(3):
            clock(day * DAY + part * 6 * HOUR)
            pt.once(status=(DONE, FAILED))
    assert server.left() == []
    got = bodies(pt)
    assert len(got) == len(set(got)) == 12
    assert not pt.events(4012) and not pt.events(4019)
    [row] = pt.ask("accounts")
    assert row["set_aside"] == 0 and row["suspended_until"] is None


def test_a_quota_of_messages_a_minute_takes_its_minutes(pt, pop3, clock):
    """What is refused within the minute comes with the next polls, without a day's pause."""
    server = pop3()
    fill(server, 20)
    quota = Quota(server, b"too many messages a minute, slow down", messages=6)
    pt.account("contoso", server.port)
    taken = []
    for minute in range(0, 40, 5):
        quota.window()
        clock(minute * 60)
        taken.append(account_row(pt.once(status=(DONE, FAILED)), "contoso")["collected"])
    assert server.left() == [] and taken[:4] == [6, 6, 6, 2], taken
    assert not pt.events(4011) and not pt.events(4012)
