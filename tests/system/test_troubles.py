"""Messages and mailboxes that give trouble: too large, never to be had, renumbered,
cut by the server. What is here stays here once, what is not stays at the provider."""
import signal
import threading

import pytest
from harness.message import message
from harness.pop3_server import HANG
from harness.postern import DONE, FAILED
from test_collect import account_row
from test_pop3_faults import fill, numbers

# The process dies of a fault of its own with the first message in its hand.
FAULT = {"POSTERN_CRASH": "fetch: message in hand", "POSTERN_CRASH_SIGNAL": str(int(signal.SIGABRT))}


def poll(pt, status=(DONE,)):
    return account_row(pt.once(status=status), "contoso")


def big(server, octets, name="big", **more):
    """A message whose body has so many octets."""
    line = b"x" * 70 + b"\r\n"
    return server.put(message(subject=name, message_id=name, body=line * (octets // len(line))), **more)


def test_notice_of_a_large_message(pt, pop3):
    """The recipients get its header and a note, once; the message stays; with a
    larger max_size it comes whole."""
    server = pop3()
    fill(server, 2)
    uid = big(server, 300_000, "large one")
    pt.account("contoso", server.port, max_size="100K")
    assert poll(pt)["collected"] == 2
    drops = pt.drop()
    [notice] = [d for d in drops if b"X-Postern-Oversize" in d.data]
    assert len(drops) == 3 and b"Subject: large one" in notice.data
    assert b"max_size of the account contoso" in notice.data and b"x" * 70 not in notice.data
    assert notice.data.count(b"Content-Type") == 1
    [event] = pt.events(4010)
    assert event["action"] == "header-only" and uid in event["text"]
    assert server.left() == [uid] and server.last.retrieved.count(uid) == 0
    poll(pt)
    assert len(pt.drop()) == 3 and len(pt.events(4010)) == 1 and server.left() == [uid]
    pt.account("contoso", server.port, max_size="10M")
    assert poll(pt)["collected"] == 1
    assert len(pt.drop()) == 4 and server.left() == []


def test_notice_without_top_is_none(pt, pop3):
    server = pop3(caps=("UIDL", "USER", "PIPELINING"))
    uid = big(server, 300_000)
    pt.account("contoso", server.port, max_size="100K")
    poll(pt)
    [event] = pt.events(4010)
    assert event["action"] == "skip" and pt.drop() == [] and server.left() == [uid]


@pytest.mark.parametrize("pipelining", [True, False])
def test_larger_than_list_says(pt, pop3, pipelining):
    """max_size holds while the message streams; the others come all the same."""
    server = pop3(caps=("UIDL", "TOP", "USER", *(["PIPELINING"] if pipelining else [])))
    fill(server, 2)
    uid = big(server, 3_000_000)
    fill(server, 2)
    server.answers["LIST"] = lambda _session, _arg: b"".join(
        [b"+OK\r\n", *(b"%d 500\r\n" % n for n in range(1, len(server.left()) + 1)), b".\r\n"])
    pt.account("contoso", server.port, max_size="1M", oversize="skip")
    poll(pt)
    assert server.left() == [uid] and len(pt.drop()) == 4
    assert [e["action"] for e in pt.events(4010)] == ["stopped", "skip"]
    before = len(server.sessions)
    poll(pt)
    assert all(s.retrieved == [] for s in server.sessions[before:]), "asked for again"


def test_a_message_that_always_breaks_the_session_keeps_none_away(pt, pop3):
    """The connection ends inside the same message each time; those behind it come."""
    server = pop3()
    fill(server, 3)
    data = server.boxes["global"][1].data
    wire = data[:len(data) - 4]

    def half(session, arg):
        m = session.message(arg)
        if m and m.uidl == "uid-00002":
            session.send(b"+OK\r\n" + wire)
            from harness.pop3_server import CUT
            return CUT
        return None
    server.answers["RETR"] = half
    pt.account("contoso", server.port)
    for _ in range(3):
        poll(pt, status=(DONE, FAILED))
    assert 4013 in numbers(pt) and pt.events(4012) == []
    assert server.left() == ["uid-00002"] and len(pt.drop()) == 2


def test_a_cut_message_is_asked_for_again(pt, pop3):
    """P06: a server that hands out far less than LIST says. The same twice is believed."""
    server = pop3()
    uid = big(server, 200_000, "whole")
    data = server.boxes["global"][0].data
    server.boxes["global"][0].wire = data[:80_000].rsplit(b"\r\n", 1)[0] + b"\r\n.\r\n"
    pt.account("contoso", server.port)
    assert poll(pt)["collected"] == 0 and server.left() == [uid] and pt.drop() == []
    [event] = pt.events(4011)
    assert "octets of LIST came" in event["text"]
    server.boxes["global"][0].wire = None
    assert poll(pt)["collected"] == 1
    [drop] = pt.drop()
    assert len(drop.data) >= 200_000


def test_storm_of_new_unique_ids(pt, pop3):
    """P03, E18 (10): the whole mailbox gets new unique-ids. Nothing is delivered,
    one 4009; when they come back, it goes on by itself."""
    server = pop3()
    fill(server, 60)
    pt.account("contoso", server.port, keep="forever")
    poll(pt)
    assert len(pt.drop()) == 60
    box = server.boxes["global"]
    old = [m.uidl for m in box]
    for m in box:
        m.uidl = "new-" + m.uidl
    fill(server, 1)
    before = len(server.sessions)
    poll(pt, status=(FAILED,))
    poll(pt, status=(FAILED,))
    assert len(pt.drop()) == 60 and all(s.retrieved == [] for s in server.sessions[before:])
    [event] = pt.events(4009)
    assert "100 % of 61 UIDLs are unknown" in event["text"] and "accounts adopt" in pt.run(
        "events", "explain", "4009").expect(DONE).out
    for m, uid in zip(box, old):
        m.uidl = uid
    assert poll(pt)["collected"] == 1
    assert len(pt.drop()) == 61


def test_restored_backup(pt, pop3):
    """What was deleted comes back under other names: the same."""
    server = pop3()
    fill(server, 40)
    box = server.boxes["global"]
    copies = list(box)
    pt.account("contoso", server.port)
    poll(pt)
    assert server.left() == []
    box.extend(copies)
    for m in box:
        m.uidl = "restored-" + m.uidl
    poll(pt, status=(FAILED,))
    assert len(pt.drop()) == 40 and len(server.left()) == 40 and len(pt.events(4009)) == 1


def test_many_new_messages_are_no_storm(pt, pop3):
    server = pop3()
    fill(server, 30)
    pt.account("contoso", server.port)
    poll(pt)
    for i in range(50):
        server.put(message(subject=f"later {i}", message_id=f"later{i}"))
    assert poll(pt)["collected"] == 50
    assert pt.events(4009) == []


def test_reused_unique_id_of_a_kept_message(pt, pop3):
    """P02: the server gives a kept message's unique-id to another one."""
    server = pop3()
    fill(server, 2)
    pt.account("contoso", server.port, keep="forever")
    poll(pt)
    server.boxes["global"][0].data = message(subject="quite another", message_id="other", body=b"z\r\n" * 99)
    poll(pt)
    assert len(pt.drop()) == 3
    poll(pt)
    assert len(pt.drop()) == 3
    assert server.last.retrieved == []


def test_a_message_that_ends_the_collector_is_set_aside(pt, pop3):
    """FAULTS Q14: three processes died of a fault with it in their hand; the others come."""
    server = pop3()
    fill(server, 3)
    pt.account("contoso", server.port)
    for _ in range(3):
        server.boxes["global"].sort(key=lambda m: m.uidl)
        r = pt.run("once", env=FAULT)
        assert r.status == -signal.SIGABRT
    assert poll(pt)["collected"] == 2
    [event] = pt.events(4012)
    assert "uid-00001" in event["text"]
    assert server.left() == ["uid-00001"] and len(pt.drop()) == 2
    poll(pt)
    assert len(pt.events(4012)) == 1 and server.last.retrieved == []


def test_once_ended_by_somebody_blames_no_message(pt, pop3):
    """Edge 15: a timeout that ends it again and again at the same slow message."""
    server = pop3()
    fill(server, 2)
    pt.account("contoso", server.port)
    for _ in range(4):
        assert pt.run("once", env={"POSTERN_CRASH": "fetch: message in hand"}).status == -signal.SIGKILL
    assert poll(pt)["collected"] == 2 and pt.events(4012) == []


def test_three_kills_of_the_service_in_a_message_blame_none(pt, pop3):
    """Edge 15: all its processes at once, as by a power cut."""
    server = pop3()
    fill(server, 2)
    inside = threading.Event()

    def half(session, arg):
        session.send(b"+OK\r\nTo: ann@contoso.test\r\n\r\nhalf a mess")
        inside.set()
        return HANG
    pt.account("contoso", server.port)
    server.answers["RETR"] = half
    for _ in range(3):
        inside.clear()
        pt.start()
        assert inside.wait(20)
        pt.kill()
    server.answers.clear()
    assert poll(pt)["collected"] == 2 and pt.events(4012) == [] and server.left() == []


@pytest.mark.parametrize("sig", [signal.SIGKILL, signal.SIGABRT])
def test_a_collector_that_ends_alone_three_times_blames_the_message(pt, pop3, monkeypatch, sig):
    """super lives on, and starts it again."""
    server = pop3()
    fill(server, 1)
    pt.account("contoso", server.port)
    monkeypatch.setenv("POSTERN_CRASH", "fetch: message in hand")
    monkeypatch.setenv("POSTERN_CRASH_SIGNAL", str(int(sig)))
    pt.start()
    pt.wait_line("event=4012", 30)
    assert pt.log().count("event=1005") == 3 and len(server.left()) == 1
    pt.terminate()


def test_one_crash_is_forgiven(pt, pop3):
    server = pop3()
    fill(server, 2)
    pt.account("contoso", server.port)
    assert pt.run("once", env={**FAULT, "POSTERN_CRASH": "fetch: message in hand#2"}).status < 0
    poll(pt)
    assert len(pt.drop()) == 2 and server.left() == [] and pt.events(4012) == []


LOGON = ["USER global", "PASS ***", "LIST", "UIDL"]


def test_second_poll_asks_nothing_it_knows(pt, pop3):
    """One flight in; QUIT goes with the last command. Each poll is a process of its own."""
    server = pop3()
    fill(server, 2)
    pt.account("contoso", server.port)
    poll(pt)
    assert server.last.verbs() == ["CAPA", "USER", "PASS", "LIST", "UIDL", "RETR", "RETR", "DELE", "DELE", "QUIT"]
    fill(server, 1)
    poll(pt)
    assert server.last.commands == [*LOGON, "RETR 1", "DELE 1", "QUIT"]
    assert server.last.pipelined and len(pt.drop()) == 3
    poll(pt)
    assert server.last.commands == [*LOGON, "QUIT"] and server.last.updated


@pytest.mark.parametrize("tls", ["starttls", "implicit"])
def test_one_flight_over_tls(pt, pop3, certs, tls):
    server = pop3(tls="stls" if tls == "starttls" else tls, cert=certs.good)
    pt.account("contoso", 0, server=f"localhost:{server.port}", tls=tls, tls_ca=str(certs.ca.pem))
    poll(pt)
    fill(server, 1)
    poll(pt)
    begin = ["STLS"] if tls == "starttls" else []
    assert server.last.commands == [*begin, *LOGON, "RETR 1", "DELE 1", "QUIT"]
    assert all(logged_in_tls for s in server.sessions for _, logged_in_tls in s.logins)


def test_no_flight_after_a_change_or_a_refusal(pt, pop3):
    """Strays behind a refused PASS look like an attack."""
    server = pop3()
    pt.account("contoso", server.port)
    poll(pt)
    server.users["global"] = "other"
    poll(pt, status=(FAILED,))  # the server changed the password: it cannot be known
    poll(pt, status=(FAILED,))
    assert "LIST" not in server.last.verbs() and server.last.verbs()[0] == "CAPA"
    pt.account("contoso", server.port, password="other")
    poll(pt)
    assert server.last.verbs()[0] == "CAPA"
    poll(pt)
    assert server.last.commands == [*LOGON, "QUIT"]
    server.users["global"] = "third"
    pt.account("contoso", server.port, password="third")
    poll(pt)
    assert server.last.verbs()[0] == "CAPA", "a new password was tried in one flight"


def test_no_flight_without_pipelining(pt, pop3):
    server = pop3(caps=("UIDL", "TOP", "USER"))
    fill(server, 2)
    pt.account("contoso", server.port)
    poll(pt)
    poll(pt)
    assert all(not s.pipelined for s in server.sessions) and server.last.verbs()[0] == "CAPA"


def test_out_of_step_is_remembered_by_the_next_process(pt, pop3):
    server = pop3()
    fill(server, 5)
    server.answers["RETR 3"] = b"what?\r\n"
    pt.account("contoso", server.port)
    poll(pt, status=(FAILED,))
    server.answers.clear()
    assert poll(pt)["known"] + len(pt.drop()) >= 5
    assert not server.last.pipelined and server.left() == [] and len(pt.drop()) == 5
    fill(server, 1)
    poll(pt)
    assert not server.last.pipelined and "UIDL 1" in server.last.commands


def test_numbers_that_move_are_seen(pt, pop3):
    """P05: after RETR the number belongs to another message; nothing is kept of it."""
    server = pop3()
    fill(server, 2)
    server.answers["RETR 2"] = b"what?\r\n"
    pt.account("contoso", server.port)
    poll(pt, status=(FAILED,))
    server.answers = {"UIDL 2": b"+OK 2 somebody-else\r\n"}
    fill(server, 1)
    poll(pt, status=(FAILED,))
    assert any("another one now" in e["text"] for e in pt.events(4005))
    server.answers.clear()
    poll(pt)
    assert server.left() == [] and len(pt.drop()) == 3


def test_kept_mail_is_left_in_three_flights(pt, pop3):
    """Nothing will be deleted: QUIT goes with the last RETR."""
    server = pop3()
    fill(server, 3)
    pt.account("contoso", server.port, keep="forever")
    poll(pt)
    fill(server, 1)
    poll(pt)
    assert server.last.commands == [*LOGON, "RETR 4", "QUIT"]
    assert len(pt.drop()) == 4 and len(server.left()) == 4


def test_a_refused_password_is_not_hammered_by_many_processes(pt, pop3):
    """4019 outlives the process: nothing more is sent, until somebody asks for the
    account by its name, or the password is another one."""
    server = pop3()
    pt.account("contoso", server.port, password="wrong")
    for _ in range(8):
        poll(pt, status=(FAILED,))
    tries = [s for s in server.sessions if s.logins]
    assert len(tries) == 5 and len(pt.events(4019)) == 1
    assert "suspended after" in poll(pt, status=(FAILED,))["error"]
    pt.once("contoso", status=FAILED)
    assert sum(bool(s.logins) for s in server.sessions) == 6
    pt.account("contoso", server.port)
    assert poll(pt)["error"] is None
