"""Trouble that passes: a provider that is away, unwell, or has given enough for the moment.
What it leaves behind mends itself; nothing is stranded, and nobody is needed afterwards."""
import pytest
from harness.message import message
from harness.pop3_server import CUT
from harness.postern import DONE, FAILED, USAGE
from test_collect import account_row
from test_pop3_faults import fill

HOUR = 3600
DAY = 24 * HOUR


def poll(pt, status=(DONE,)):
    return account_row(pt.once(status=status), "contoso")


def asked(server, uid, sessions=0):
    """How often RETR asked for a message since so many sessions."""
    return sum(s.commands.count(f"RETR {server.left().index(uid) + 1}") for s in server.sessions[sessions:])


class Refuses:
    """A server that refuses RETR of some messages, by their unique-ids."""

    def __init__(self, server, words=b"-ERR internal error 17\r\n"):
        self.uids, self.words, self.asked = set(), words, []
        server.answers["RETR"] = self.retr

    def retr(self, session, arg):
        m = session.message(arg)
        if m and (m.uidl in self.uids or "*" in self.uids):
            self.asked.append(m.uidl)
            return self.words
        return None


# ---- 12: set aside by time and evidence ----

def test_a_message_is_set_aside_after_three_days_and_asked_for_once_a_day(pt, pop3, clock):
    server = pop3()
    fill(server, 3)
    refuses = Refuses(server)
    refuses.uids.add("uid-00002")
    pt.account("contoso", server.port)
    hours, tried = 0, []
    for _ in range(40):
        before = len(refuses.asked)
        poll(pt)
        if len(refuses.asked) > before:
            tried.append(hours)
        if pt.events(4012):
            break
        hours += 6
        clock(hours * HOUR)
    assert 72 <= hours < 90 and len(tried) > 10 and max(b - a for a, b in zip(tried, tried[1:])) == 6
    [event] = pt.events(4012)
    text = open(event["path"]).read()
    assert "uid-00002" in text and "internal error 17" in text and "secret" not in text
    assert server.left() == ["uid-00002"]
    # It is told, without an end that nobody knows.
    [row] = pt.ask("accounts")
    assert row["set_aside"] == 1 and row["asked_again"].endswith("Z")
    said = pt.run("accounts").out
    assert "contoso: 1 message is set aside; it is asked for again from" in said
    assert "1 message is set aside" in pt.run("status").expect(FAILED).out
    assert "1 message is set aside" in pt.run("once").expect(DONE).out
    seen = len(refuses.asked)
    clock((hours + 23) * HOUR)
    assert poll(pt)["set_aside"] == 1 and len(refuses.asked) == seen
    refuses.uids.clear()
    clock((hours + 25) * HOUR)
    assert poll(pt)["collected"] == 1 and server.left() == []
    assert len(pt.events(4012)) == 1 and pt.ask("accounts")[0]["set_aside"] == 0


@pytest.mark.parametrize("caps", [("UIDL", "TOP", "USER"), ("UIDL", "TOP", "USER", "PIPELINING")])
def test_a_provider_away_for_a_day_strands_nothing(pt, pop3, clock, caps):
    """Its mail store is away: every RETR is refused, at each of many polls."""
    server = pop3(caps=caps)
    fill(server, 5)
    refuses = Refuses(server, b"-ERR Unable to open mail store\r\n")
    refuses.uids.add("*")
    pt.account("contoso", server.port)
    for i in range(8):
        row = poll(pt, status=(FAILED,))
        assert "refused 5 messages in a row: -ERR Unable to open mail store" in row["error"]
        clock((i + 1) * 3 * HOUR)
    assert len(pt.events(4016)) == 8 and pt.events(4011) == pt.events(4012) == []
    assert len(refuses.asked) == 40, "each time, since it counts against none"
    refuses.uids.clear()
    assert poll(pt)["collected"] == 5 and server.left() == []


def test_a_quota_used_up_in_the_middle_counts_against_no_message(pt, pop3):
    """163.com: "Download exceed"; what was not to be had comes with the next polls."""
    server = pop3()
    fill(server, 25)
    given = {}

    def quota(session, _):
        given[session] = given.get(session, 0) + 1
        return b"-ERR Download exceed. msg=10\r\n" if given[session] > 10 else None
    server.answers["RETR"] = quota
    pt.account("contoso", server.port)
    assert [poll(pt)["collected"] for _ in range(3)] == [10, 10, 5]
    assert server.left() == [] and len(pt.drop()) == 25
    assert [e["messages"] for e in pt.events(4016)] == [15, 5] and pt.events(4011) == []


def test_what_is_refused_while_others_come_is_the_messages_own_trouble(pt, pop3):
    """Several at the end of the list are nobody's at first; what comes behind them tells."""
    server = pop3()
    fill(server, 3)
    refuses = Refuses(server)
    refuses.uids.update(["uid-00002", "uid-00003"])
    pt.account("contoso", server.port)
    poll(pt)
    assert [e["messages"] for e in pt.events(4016)] == [2] and pt.events(4011) == []
    fill(server, 1)
    poll(pt)
    assert len(pt.events(4011)) == 2
    # From then on they are asked for last, and refuse nothing to those that come.
    fill(server, 1)
    assert poll(pt)["collected"] == 1 and len(pt.events(4016)) == 1 and len(pt.events(4011)) == 4
    fill(server, 1)
    assert poll(pt)["collected"] == 1 and len(pt.events(4011)) == 4, "a pause"
    assert server.left() == ["uid-00002", "uid-00003"]


def test_one_retr_answered_oddly_keeps_no_other_away(pt, pop3):
    server = pop3()
    fill(server, 3)
    server.answers["RETR"] = lambda s, n: b"what a mess\r\n" if s.message(n).uidl == "uid-00001" else None
    pt.account("contoso", server.port)
    for _ in range(3):
        poll(pt, status=(DONE, FAILED))
    assert server.left() == ["uid-00001"] and len(pt.drop()) == 2


def test_what_is_no_longer_there_is_not_told_as_set_aside(pt, pop3):
    server = pop3()
    fill(server, 2)
    refuses = Refuses(server)
    refuses.uids.add("uid-00001")
    pt.account("contoso", server.port)
    assert poll(pt)["waiting"] == 1
    server.boxes["global"].clear()
    assert poll(pt)["waiting"] == 0
    assert pt.ask("accounts", "show", "contoso")["memory"]["messages"] == []


# ---- 32: what streamed past max_size ----

def test_what_streamed_past_max_size_is_asked_for_again(pt, pop3, clock):
    """LIST says that it fits: it is asked for once a day, and at once where LIST says
    something else."""
    server = pop3()
    uid = server.put(message(subject="big", body=b"x" * 70 + b"\r\n" * 1 + (b"y" * 70 + b"\r\n") * 3000))
    real, said = server.boxes["global"][0].data, [500]
    server.answers["LIST"] = lambda *_: b"+OK\r\n1 %d\r\n.\r\n" % said[0] if server.left() else None
    pt.account("contoso", server.port, max_size="100K", oversize="skip")
    poll(pt)
    sessions = len(server.sessions)
    poll(pt)
    assert server.left() == [uid] and server.sessions[sessions].retrieved == []
    clock(25 * HOUR)
    poll(pt)
    assert server.sessions[sessions + 1].retrieved == [uid]
    assert [e["action"] for e in pt.events(4010)] == ["stopped", "skip"], "told once"
    # The server sent nonsense then; another size in LIST shows that it is not now.
    server.boxes["global"][0].data = real[:400]
    said[0] = 400
    assert poll(pt)["collected"] == 1 and server.left() == []


# ---- 14 and 22 ----

@pytest.mark.parametrize("odd", [b"what?\r\n", CUT])
def test_one_dele_answered_oddly_keeps_no_other_from_being_deleted(pt, pop3, odd):
    server = pop3()
    fill(server, 3)
    server.answers["DELE"] = lambda s, n: odd if s.message(n).uidl == "uid-00002" else None
    pt.account("contoso", server.port)
    for _ in range(3):
        poll(pt, status=(DONE, FAILED))
    assert server.left() == ["uid-00002"] and len(pt.drop()) == 3
    [event] = pt.events(2005)
    assert "uid-00002" in event["text"]
    assert poll(pt)["error"] is None


@pytest.mark.parametrize("caps", [("UIDL", "TOP", "USER"), ("UIDL", "TOP", "USER", "PIPELINING")])
def test_empty_rows_and_a_refused_list_of_nothing_are_passed_over(pt, pop3, caps):
    server = pop3(caps=caps)
    fill(server, 2)
    server.answers["LIST"] = b"+OK\r\n\r\n1 500\r\n2 500\r\n.\r\n"
    server.answers["UIDL"] = b"+OK\r\n1 uid-00001\r\n \r\n2 uid-00002\r\n\r\n.\r\n"
    pt.account("contoso", server.port)
    assert poll(pt)["collected"] == 2 and server.left() == []
    server.answers.update(LIST=b"-ERR no messages\r\n", UIDL=b"-ERR no messages\r\n")
    for _ in range(2):
        assert poll(pt)["error"] is None
    # Where STAT says that there are some, it is a failure.
    server.answers["STAT"] = b"+OK 3 900\r\n"
    assert "-ERR no messages" in poll(pt, status=(FAILED,))["error"]


# ---- accounts retry ----

def test_retry_asks_at_once_for_one_message_or_for_all(pt, pop3):
    server = pop3()
    fill(server, 4)
    refuses = Refuses(server)
    refuses.uids.update(["uid-00001", "uid-00003"])
    pt.account("contoso", server.port)
    for _ in range(3):
        poll(pt)
    seen = len(refuses.asked)
    poll(pt)
    assert len(refuses.asked) == seen, "a pause"
    pt.run("accounts", "retry", "contoso", "uid-00003").expect(DONE)
    poll(pt)
    assert refuses.asked[seen:] == ["uid-00003"]
    poll(pt)
    assert len(refuses.asked) == seen + 1, "asked for once"
    refuses.uids.clear()
    assert "with all that waits there" in pt.run("accounts", "retry", "contoso").expect(DONE).out
    assert poll(pt)["collected"] == 2 and server.left() == []


def test_retry_of_what_is_not_known_says_so(pt, pop3):
    server = pop3()
    pt.account("contoso", server.port)
    said = pt.run("accounts", "retry", "contoso", "nothing").expect(FAILED)
    assert "no message nothing of account contoso waits or is set aside" in said.err
    assert "there is no account fabrikam" in pt.run("accounts", "retry", "fabrikam").expect(USAGE).err
    pt.run("accounts", "retry").expect(USAGE)


def test_retry_tries_a_suspended_logon_at_the_next_poll(pt, pop3):
    server = pop3()
    fill(server, 1)
    server.answers["PASS"] = b"-ERR [AUTH] wrong password\r\n"
    pt.account("contoso", server.port)
    for _ in range(6):
        poll(pt, status=(FAILED,))
    sessions = len(server.sessions)
    assert len(pt.events(4019)) == 1
    poll(pt, status=(FAILED,))
    assert len(server.sessions) == sessions
    del server.answers["PASS"]
    pt.run("accounts", "retry", "contoso").expect(DONE)
    assert poll(pt)["collected"] == 1 and server.left() == []


# ---- 19: deletions that are confirmed and not done ----

def verbs(server, verb, sessions=0):
    return sum(s.verbs().count(verb) for s in server.sessions[sessions:])


@pytest.mark.parametrize("top", [True, False], ids=["TOP", "no TOP"])
def test_a_provider_that_confirms_deletions_and_keeps_the_mail_is_told_once(pt, pop3, clock, top):
    server = pop3()
    fill(server, 4)
    if not top:
        server.answers["CAPA"], server.answers["TOP"] = b"+OK\r\nUIDL\r\nPIPELINING\r\n.\r\n", b"-ERR what?\r\n"
    server.answers["DELE"] = b"+OK\r\n"
    pt.account("contoso", server.port)
    for _ in range(8):
        poll(pt)
    [event] = pt.events(4014)
    assert event["messages"] == 4
    assert verbs(server, "RETR") == (4 if top else 12)
    assert "keeps since" in pt.run("accounts", "show", "contoso").expect(DONE).out
    # Mail that comes is collected as ever, and the rest is left alone.
    server.put(message(subject="new"))
    sessions = len(server.sessions)
    assert poll(pt)["collected"] == 1
    assert verbs(server, "DELE", sessions) == 1 and verbs(server, "TOP", sessions) == 0
    # Once a day it is tried again; and when it works, that is over.
    clock(25 * HOUR)
    sessions = len(server.sessions)
    assert poll(pt)["collected"] == 0 and verbs(server, "DELE", sessions) == 5
    assert len(server.left()) == 5 and len(pt.events(4014)) == 1
    del server.answers["DELE"]
    clock(50 * HOUR)
    poll(pt)
    assert server.left() == []
    poll(pt)
    assert "keeps since" not in pt.run("accounts", "show", "contoso").expect(DONE).out
    assert len(pt.drop()) == 5


def test_a_deletion_that_came_undone_once_is_made_up_for_without_a_word(pt, pop3):
    server = pop3()
    fill(server, 2)
    server.answers["DELE"] = b"+OK\r\n"
    pt.account("contoso", server.port)
    poll(pt)
    del server.answers["DELE"]
    poll(pt)
    poll(pt)
    assert server.left() == [] and verbs(server, "RETR") == 2 and not pt.events(4014)


@pytest.mark.parametrize("same_size", [False, True], ids=["another size", "the same size"])
def test_a_unique_id_given_to_another_message_is_collected_where_mail_is_kept(pt, pop3, clock, same_size):
    """By its size at once, by its header within a day; never deleted unseen."""
    server = pop3()
    fill(server, 2)
    server.answers["DELE"] = b"+OK\r\n"
    pt.account("contoso", server.port)
    for _ in range(4):
        poll(pt)
    old = server.boxes["global"][0]
    size = len(old.data)
    old.data = old.data.replace(b"Message-ID: <", b"Message-ID: <X", 1)
    if same_size:
        old.data = old.data.replace(b"Subject: ", b"Subject:", 1)
    assert (len(old.data) == size) == same_size
    got = poll(pt)["collected"]
    assert got == (0 if same_size else 1)
    clock(25 * HOUR)
    assert got + poll(pt)["collected"] == 1
    assert len(pt.drop()) == 3


# ---- 13, 46: a logon that is refused ----

def test_a_right_password_that_is_refused_for_some_minutes_needs_nobody(pt, pop3, clock):
    """One logon after 15 minutes, then after 30, then after an hour."""
    server = pop3()
    fill(server, 1)
    server.answers["PASS"] = b"-ERR [AUTH] wrong user name or password\r\n"
    pt.account("contoso", server.port)
    for _ in range(5):
        pt.once(status=(FAILED,))
    [event] = pt.events(4019)
    assert event["next"].endswith("Z") and verbs(server, "PASS") == 5
    tried = []
    for minute in range(0, 105, 3):
        clock(minute * 60)
        before = verbs(server, "PASS")
        pt.once(status=(FAILED,))
        if verbs(server, "PASS") > before:
            tried.append(minute)
    assert len(tried) == 2 and 15 <= tried[0] <= 18 and 30 <= tried[1] - tried[0] <= 33, tried
    [row] = pt.ask("accounts")
    assert row["suspended_until"].endswith("Z")
    del server.answers["PASS"]
    clock(180 * 60)
    assert poll(pt)["collected"] == 1
    assert pt.ask("accounts")[0]["suspended_until"] is None and len(pt.events(4019)) == 1


@pytest.mark.parametrize("words", [
    "message is damaged", "[IN-USE] somebody is here", "[LOGIN-DELAY] too soon", "[SYS/TEMP] not now", "[SYS/PERM] closed",
    "[SYS/TEMP/DISK] no room", "[UNAVAILABLE] later", "[XYZ] what nobody knows", "mailbox is corrupt", "internal error",
    "temporarily unable to check your password", "too many logins, try again later", "maildrop already locked"])
def test_a_refusal_that_is_not_about_the_password_suspends_nothing(pt, pop3, words):
    server = pop3()
    fill(server, 1)
    server.answers["PASS"] = f"-ERR {words}\r\n".encode()
    pt.account("contoso", server.port)
    for _ in range(7):
        pt.once(status=(FAILED,))
    assert verbs(server, "PASS") == 7 and not pt.events(4019)
    assert words in pt.ask("accounts")[0]["result"]
    del server.answers["PASS"]
    assert poll(pt)["collected"] == 1


@pytest.mark.parametrize("words", ["[AUTH] no", "invalid password", "authentication failed", "-", "unknown user"])
def test_a_refusal_of_the_password_suspends(pt, pop3, words):
    server = pop3()
    server.answers["PASS"] = f"-ERR {words}\r\n".encode()
    pt.account("contoso", server.port)
    for _ in range(7):
        pt.once(status=(FAILED,))
    assert verbs(server, "PASS") == 5 and len(pt.events(4019)) == 1
