"""Habits of real POP3 servers, played by a fake: what they lose, mix up or say in their own
way costs no message, and no more than a moment."""
import time

import pytest
from harness.message import message
from harness.pop3_server import CUT, Forgetful, Hasty, HeaderAlone, Utf8, stuffed
from harness.postern import DONE, FAILED
from test_collect import account_row
from test_pop3_faults import fill

FLIGHT = ["USER global", "PASS ***", "LIST", "UIDL"]


def poll(pt, status=(DONE,), timeout=60):
    return account_row(pt.once(status=status, timeout=timeout), "contoso")


def timed(pt):
    began = time.monotonic()
    row = poll(pt)
    return row, time.monotonic() - began


# The logon in one flight (41).

def test_a_flight_that_is_lost_behind_pass_costs_a_moment(pt, pop3):
    """Asked again in the same session; weeks pass before it is tried again."""
    server = pop3(session=Forgetful)
    fill(server, 2)
    pt.account("contoso", server.port)
    poll(pt)
    fill(server, 2)
    row, took = timed(pt)
    assert row["collected"] == 2 and server.left() == [] and took < 20
    assert server.last.commands[0] == "USER global", "the flight was not tried"
    for _ in range(3):
        fill(server, 1)
        assert poll(pt)["collected"] == 1
        assert server.last.verbs()[0] == "CAPA", "a good slow session armed it again"
    assert pt.events(4005) == [] and len(pt.drop()) == 7


def test_a_flight_is_only_slow(pt, pop3):
    """The answer to LIST takes long, but it comes: nothing is remembered against the server."""
    server = pop3()
    fill(server, 3)
    pt.account("contoso", server.port, keep="forever")
    poll(pt)
    server.answers["LIST"] = lambda _session, arg: None if arg else time.sleep(1.5)
    fill(server, 1)
    assert poll(pt)["collected"] == 1
    assert server.last.commands[:4] == FLIGHT
    fill(server, 1)
    assert poll(pt)["collected"] == 1
    assert server.last.commands[:4] == FLIGHT and len(pt.drop()) == 5


def test_pipelining_that_is_told_behind_the_logon_is_not_used_before_it(pt, pop3):
    server = pop3(caps=("UIDL", "TOP", "USER"))

    def capa(session, _):
        rows = [*server.caps, *(["PIPELINING"] if session.authorized else [])]
        return "".join(f"{r}\r\n" for r in ["+OK", *rows, "."]).encode()
    server.answers["CAPA"] = capa
    fill(server, 2)
    pt.account("contoso", server.port)
    poll(pt)
    assert server.last.pipelined, "not even behind the logon"
    fill(server, 1)
    assert poll(pt)["collected"] == 1
    assert server.last.verbs()[:3] == ["CAPA", "USER", "PASS"] and server.last.verbs().count("CAPA") == 2


@pytest.mark.parametrize("how", ["closes", "refuses", "answers oddly"])
def test_a_flight_that_fails_where_the_slow_way_works_is_not_tried_every_other_poll(pt, pop3, how):
    """A server that will not have commands before it has answered: it closes the connection,
    refuses the logon, or loses count."""
    server = pop3()

    def pass_(session, arg):
        if not (session.buffer or session.more()):
            return None
        return {"closes": CUT, "refuses": b"-ERR authentication failed\r\n", "answers oddly": b"what?\r\n"}[how]
    server.answers["PASS"] = pass_
    fill(server, 1)
    pt.account("contoso", server.port)
    failed = 0
    for _ in range(8):
        fill(server, 1)
        failed += account_row(pt.once(status=(DONE, FAILED)), "contoso")["error"] is not None
    assert failed <= 2 and server.left() == [] and len(pt.drop()) == 9
    assert server.last.verbs()[0] == "CAPA"


def test_what_is_remembered_of_a_server_is_not_believed_of_another(pt, pop3):
    old, new = pop3(session=Forgetful), pop3()
    pt.account("contoso", old.port)
    for _ in range(3):
        poll(pt)
    assert old.last.verbs()[0] == "CAPA"
    pt.account("contoso", new.port)
    poll(pt)
    poll(pt)
    assert new.last.commands == [*FLIGHT, "QUIT"]


# Answers that come too early (44).

@pytest.mark.parametrize("keep", [0, "forever"])
@pytest.mark.parametrize("count", [1, 7])
def test_an_answer_before_the_end_of_the_message(pt, pop3, keep, count):
    """Each message comes whole and once, and the server is not asked that way again."""
    server = pop3(session=Hasty)
    pt.account("contoso", server.port, keep=keep)
    poll(pt)
    fill(server, count)
    want = {m.data.split(b"\r\n\r\n", 1)[1] for m in server.boxes["global"]}
    rows = [poll(pt, status=(DONE, FAILED)) for _ in range(2)]
    assert sum(r["collected"] for r in rows) == count
    got = [d.data.split(b"\r\n\r\n", 1)[1] for d in pt.drop()]
    assert len(got) == count and set(got) == want
    assert len(server.left()) == (0 if keep == 0 else count) and pt.events(4012) == []
    fill(server, 3)
    before = len(server.sessions)
    assert poll(pt)["collected"] == 3 and len(pt.events(4020)) <= 1
    if count > 1:
        assert not any(s.pipelined and "RETR" in s.verbs() and s.verbs()[0] != "USER" for s in server.sessions[before:])


def test_what_came_with_strays_is_asked_for_by_itself(pt, pop3):
    """Three messages got mixed up with the one behind them, at servers that are gone. At the
    next one, of which nothing is remembered, nothing is asked behind them."""
    servers = [pop3(session=Hasty) for _ in range(4)]
    fill(servers[0], 3)
    box = servers[0].boxes["global"]
    want = {m.data.split(b"\r\n\r\n", 1)[1] for m in box}
    for server in servers:
        server.boxes["global"] = box
        if server is not servers[-1]:
            server.answers["RETR"] = lambda session, _: CUT if session.ledger is not session.server.sessions[0] else None
        pt.account("contoso", server.port)
        poll(pt, status=(DONE, FAILED))
    got = [d.data.split(b"\r\n\r\n", 1)[1] for d in pt.drop()]
    assert len(got) == 3 and set(got) == want and box == []


# Less than LIST says (43).

def bodies(pt):
    return sorted(d.data.split(b"\r\n\r\n", 1)[1] for d in pt.drop())


@pytest.mark.parametrize("caps", [("UIDL", "TOP", "USER", "PIPELINING"), ("UIDL", "TOP", "USER")], ids=["pipelined", "one at a time"])
def test_a_header_alone_after_top_is_asked_for_again(pt, pop3, caps):
    """A unique-id that was deleted is given to another message, so its header is looked at
    first; however wrong LIST was so far, a message is not believed to have no body."""
    server = pop3(session=HeaderAlone, caps=caps)
    fill(server, 3)
    server.answers["LIST"] = lambda session, _: b"".join(
        [b"+OK\r\n", *(b"%d 900\r\n" % n for n, _ in session._box()), b".\r\n"])
    pt.account("contoso", server.port)
    server.answers["QUIT"] = CUT
    poll(pt, status=(DONE, FAILED))
    del server.answers["QUIT"]
    old = [m.uidl for m in server.boxes["global"]]
    server.boxes["global"].clear()
    for i, uid in enumerate(old):
        server.put(message(subject=f"another {i}", message_id=f"another{i}", body=b"A body.\r\n" * (i + 1)), uidl=uid)
    poll(pt)
    assert server.left() == []
    assert bodies(pt)[:3] == [b"A body.\r\n" * (i + 1) for i in range(3)] and len(bodies(pt)) == 6


def test_what_list_is_off_by_is_learned(pt, pop3):
    """The first ones are asked for twice, those that follow are not; one that is shorter than
    that is."""
    server = pop3()
    server.answers["LIST"] = lambda session, _: b"".join(
        [b"+OK\r\n", *(b"%d %d\r\n" % (n, len(m.data) + 100) for n, m in session._box()), b".\r\n"])
    pt.account("contoso", server.port)
    fill(server, 3)
    assert poll(pt)["collected"] == 3 and len(server.last.retrieved) == 6
    fill(server, 3)
    assert poll(pt)["collected"] == 3 and len(server.last.retrieved) == 3
    cut = message(subject="cut", message_id="cut", body=b"line\r\n" * 40)
    once = iter([stuffed(cut[:-120])])
    server.put(cut)
    server.answers["RETR 1"] = lambda _session, _arg: next((b"+OK\r\n" + x for x in once), None)
    assert poll(pt)["collected"] == 1 and server.left() == []
    assert any(b == b"line\r\n" * 40 for b in bodies(pt)) and len(pt.drop()) == 7


def test_a_message_without_a_body_is_believed_the_second_time(pt, pop3):
    server = pop3()
    server.put(message(subject="nothing", body=b""))
    server.answers["LIST"] = b"+OK\r\n1 30000\r\n.\r\n"
    pt.account("contoso", server.port)
    rows = [poll(pt) for _ in range(2)]
    assert [r["collected"] for r in rows] == [0, 1] and server.left() == []


# Raw UTF-8 in a header (42).

RAW = message(subject="Gr\u00fc\u00dfe", message_id="raw")


@pytest.mark.parametrize("word", ["UTF8", "UTF8 USER"])
def test_utf8_is_said_before_the_logon(pt, pop3, word):
    """In the slow logon and in the one flight, so that the message itself is what comes."""
    server = pop3(session=Utf8, caps=("UIDL", "TOP", "USER", "PIPELINING", word))
    server.put(RAW)
    pt.account("contoso", server.port)
    assert poll(pt)["collected"] == 1
    assert server.last.verbs()[:4] == ["CAPA", "UTF8", "USER", "PASS"]
    server.put(RAW.replace(b"<raw", b"<second"))
    assert poll(pt)["collected"] == 1
    assert server.last.commands[:5] == ["UTF8", *FLIGHT]
    assert server.left() == [] and [d.recipients for d in pt.drop()] == [["ann@contoso.test"]] * 2
    assert all("Gr\u00fc\u00dfe".encode() in d.data for d in pt.drop())


@pytest.mark.parametrize("body", [b"short\r\n", b"x" * 76 + b"\r\n" + b"line\r\n" * 20000], ids=["short", "long"])
def test_a_notice_in_place_of_a_message_is_recognised(pt, pop3, body):
    """UTF8 is offered and refused. What comes is not the message: nothing is delivered, nothing
    is deleted, the others come; and when the server has it, so does it."""
    server = pop3(session=Utf8, caps=("UIDL", "TOP", "USER", "PIPELINING", "UTF8"))
    server.answers["UTF8"] = b"-ERR not now\r\n"
    fill(server, 1)
    uid = server.put(RAW.replace(b"Good morning.\r\n", body))
    fill(server, 1)
    pt.account("contoso", server.port)
    assert poll(pt, status=(DONE, FAILED))["collected"] == 2
    assert server.left() == [uid] and len(pt.drop()) == 2
    [event] = pt.events(4011)
    assert "notice of its own" in event["text"] and uid in event["text"]
    server.answers.clear()
    assert poll(pt)["collected"] == 1 and server.left() == []
    assert any(d.data.endswith(body) for d in pt.drop())


def test_a_mail_with_message_global_inside_is_a_mail(pt, pop3):
    server = pop3()
    data = message(subject="fwd", headers=["Content-Type: multipart/mixed; boundary=x"],
                   body=b"--x\r\nContent-Type: message/global\r\n\r\n" + RAW + b"--x--\r\n")
    server.put(data)
    pt.account("contoso", server.port)
    assert poll(pt)["collected"] == 1 and server.left() == []


# Servers that wait for an acknowledgement (45).

@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_a_server_that_waits_for_an_acknowledgement_is_not_kept_waiting(pt, pop3, certs, tls):
    """It writes its answers in pieces, under Nagle's algorithm: each would cost 40 ms. So
    many pieces take many times less than that."""
    server = pop3(caps=("UIDL", "TOP", "USER"), nagle=True, **({"tls": "implicit", "cert": certs.good} if tls else {}))
    fill(server, 100)
    if tls:
        pt.account("contoso", 0, server=f"localhost:{server.port}", tls="implicit", tls_ca=str(certs.ca.pem))
    else:
        pt.account("contoso", server.port)

    def retr(session, arg):
        m = session.message(arg)
        session.send(b"+OK\r\n")
        session.send(m.data[:100])
        session.send(stuffed(m.data)[100:-3])
        return b".\r\n"
    server.answers["RETR"] = retr
    server.marks = []
    server.answers["LIST"] = lambda session, _: server.marks.append(time.monotonic())
    server.answers["DELE 1"] = lambda session, _: server.marks.append(time.monotonic())
    assert poll(pt)["collected"] == 100
    [began, ended] = server.marks
    assert ended - began < 100 * 0.04
