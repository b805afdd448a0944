"""Providers that break the rules, each with an account of its own, beside a good one, in
one run of the program: in clear, with STLS and with TLS (FAULTS 2.4, P01-P15; more of
them one by one in test_pop3_faults.py, test_troubles.py and test_logon.py). Each account
ends with its event, the good one has its mail, and when the servers behave again every
message is here exactly once."""
import collections
import re
import socket
import time
from dataclasses import dataclass, field
from typing import Callable

import pytest
from harness.message import message
from harness.pop3_server import CUT, HANG
from harness.postern import DONE, FAILED
from test_collect import account_row
from test_pop3_faults import MODES, account, bound, run_measured, serve

COUNT = 3


@dataclass
class Case:
    row: str  # of FAULTS 2.4
    arrange: Callable  # makes the server do it
    events: set  # one of these is told; empty: nothing is wrong
    settings: dict = field(default_factory=dict)
    lasts: bool = False  # it goes on for ever, and mail is kept: known by its content
    stays: tuple = ()  # what stays at the provider in the end: too large, as far as is known


def answer(**answers):
    return lambda server: server.answers.update({k.replace("_", " "): v for k, v in answers.items()})


def uids(*ids):
    """Unique-ids as they should not be; the listing follows what is still there."""
    def arrange(server):
        names = dict(zip(server.left(), ids))
        server.answers["UIDL"] = lambda s, _: b"+OK\r\n" + b"".join(
            b"%d %s\r\n" % (n, names.get(m.uidl, m.uidl.encode())) for n, m in s._box()) + b".\r\n"
    return arrange


def sizes(of):
    return answer(LIST=lambda s, _: s._listing("", lambda m: of(len(m.data))))


def half(session, _):
    session.send(b"+OK\r\nTo: ann@contoso.test\r\n\r\nhalf of it\r\n-ERR disk failure\r\n")
    return CUT


def updates_and_is_cut(session, arg):
    session.do_quit(arg)
    return CUT


def endless(start, piece):
    """Goes on until the other side has had enough."""
    def send(session, _):
        session.send(start)
        while True:
            session.send(piece * 1000)
    return send


REFUSED = b"-ERR no\r\n"
KEPT = {"settings": {"keep": "forever"}, "lasts": True}
CASES = {
    # What it calls its messages.
    "uid-71": Case("P02", uids(b"a" * 71, b"b" * 71, b"c" * 71), set(), **KEPT),
    "uid-128": Case("P02", uids(b"a" * 128, b"b" * 128, b"c" * 128), set(), **KEPT),
    "uid-1000": Case("P02", uids(b"a" * 1000, b"b", b"c"), {4008}, **KEPT),
    "uid-eight-bits": Case("P02", uids(b"\xff\xfe\x80", b"\xc3\xa4", b"b"), {4008}, **KEPT),
    "uid-escapes": Case("P02", uids(b"\x1b[2J", b"\x07\x08", b"b"), {4008}, **KEPT),
    "uid-paths": Case("P02", uids(b"/../../x", b"%s%n", b"../run/relay.sock"), set(), **KEPT),
    "uid-twins": Case("P02", uids(b"same", b"same", b"same"), {4008}, **KEPT),
    "uid-million": Case("P02", uids(b"a" * 1_000_000, b"b", b"c"), {4005, 4008}, **KEPT),
    "uid-endless": Case("P02", answer(UIDL=endless(b"+OK\r\n1 ", b"u" * 100)), {4005}),
    # How many and how large.
    "stat-lies": Case("P04", answer(STAT=b"+OK 5 99999\r\n"), set()),
    "sizes-zero": Case("P04", sizes(lambda n: 0), set()),
    "sizes-off-by-one": Case("P04", sizes(lambda n: n - 1), set()),
    "sizes-two-to-32": Case("P04", sizes(lambda n: 2 ** 32), {4010}, {"oversize": "skip"}),
    "list-endless": Case("P04", answer(LIST=endless(b"+OK\r\n", b"1 1\r\n")), {4005}),
    "list-shorter": Case("P04", answer(LIST=b"+OK\r\n1 200\r\n2 200\r\n.\r\n"), {4005}),
    "uidl-shorter": Case("P04", answer(UIDL=b"+OK\r\n1 uid-00001\r\n.\r\n"), {4005}),
    "list-refused": Case("P04", answer(LIST=REFUSED), {4005}),
    # Messages that do not come.
    "retr-refused": Case("P14", answer(RETR_2=b"-ERR no such message\r\n"), {4011}),
    "retr-broken-off": Case("P06", answer(RETR_2=half), {4013}),
    "retr-empty": Case("P06", answer(RETR_2=b"+OK\r\n.\r\n"), {4011}),
    "retr-endless": Case("P06", answer(RETR_2=endless(b"+OK\r\nTo: ann@contoso.test\r\n\r\n", b"x" * 998 + b"\r\n")),
                         {4010}, {"max_size": "3M"}, stays=("uid-00002",)),
    # Deletions that do not happen.
    "dele-refused": Case("P07", answer(DELE=REFUSED), {4016}),
    "quit-refused": Case("P07", answer(QUIT=REFUSED), {4015}),
    "quit-cut": Case("P07", answer(QUIT=CUT), {4015}),
    "quit-cut-behind": Case("P07", answer(QUIT=updates_and_is_cut), {4015}),
    # Refusals and their reasons.
    "in-use": Case("P08", answer(PASS=b"-ERR [IN-USE] locked\r\n"), {4004}),
    "login-delay": Case("P08", answer(PASS=b"-ERR [LOGIN-DELAY] wait\r\n"), {4004}),
    "sys-temp": Case("P08", answer(PASS=b"-ERR [SYS/TEMP] later\r\n"), {4002}),
    "sys-perm": Case("P08", answer(PASS=b"-ERR [SYS/PERM] never\r\n"), {4003}),
    "auth": Case("P08", answer(PASS=b"-ERR [AUTH] wrong\r\n"), {4003}),
    # What it says first.
    "greeting-escapes": Case("P09", answer(GREETING=b"-ERR \x1b[2J\x1b]0;owned\x07\r\n"), {4002}),
    "greeting-bait": Case("P11", answer(GREETING=b"+OK <@>\r\n"), set()),
    "greeting-endless": Case("P09", answer(GREETING=endless(b"+OK ", b"x" * 100)), {4002}),
    "greeting-two-lines": Case("P09", answer(GREETING=b"+OK\r\n+OK again\r\n"), {4005}),
    "capa-endless": Case("P10", answer(CAPA=endless(b"+OK\r\n", b"X-WORD\r\n")), {4005}),
    "capa-refused": Case("P10", answer(CAPA=REFUSED), set()),
}


def fill(name, server):
    for i in range(COUNT):
        server.put(message(subject=f"{name}/{i}", message_id=f"{name}.{i}", body=f"{name} {i}\r\n".encode() * 20))


def here(pt):
    """{account: {number: how often}}"""
    got = collections.defaultdict(collections.Counter)
    for data in [d.data for d in pt.drop()] + [b.data for b in pt.badmail()]:
        for name in re.findall(rb"^Subject: (.*)/(\d)\r$", data, re.M)[:1]:
            got[name[0].decode()][name[1].decode()] += 1
    return got


def told(pt):
    """{account: {event: text}} of warnings and errors."""
    events = collections.defaultdict(dict)
    for e in pt.events():
        assert not any(ord(c) < 32 and c not in "\n\t" or c == "\x7f" for c in e["text"]), e
        if e["severity"] in "WE" and e.get("account"):
            events[e["account"]][e["id"]] = e["text"]
    return events


@pytest.mark.limit(240)
@pytest.mark.parametrize("tls", MODES)
def test_all_at_once(pt, pop3, certs, tls):
    pt.conf["log"] = {"level": 1}
    servers = {name: serve(pop3, certs, tls) for name in [*CASES, "good"]}
    for name, server in servers.items():
        fill(name, server)
        account(pt, server, certs, tls, name, **(CASES[name].settings if name in CASES else {}))
    for name, case in CASES.items():
        case.arrange(servers[name])
    status, megabytes = run_measured(pt, "once")
    assert status == FAILED and megabytes < 4 * bound(), "the sum of many polls at once"
    first, events = here(pt), told(pt)
    assert servers["good"].left() == [] and len(first["good"]) == COUNT and not events["good"]
    wrong = []
    for name, case in CASES.items():
        said, left = set(events[name]), servers[name].left()
        if bool(case.events) != bool(said) or case.events and not case.events & said:
            wrong.append((name, case.row, events[name]))
        assert len(first[name]) + len(left) >= COUNT, f"{name}: deleted there and not here"
        if case.lasts:
            assert len(left) == COUNT and len(first[name]) == COUNT, (name, first[name], events[name])
    assert not wrong

    for name, case in CASES.items():
        if not case.lasts:
            servers[name].answers.clear()
    before = {name: len(s.sessions) for name, s in servers.items()}
    pt.once(*servers, status=(DONE, FAILED))  # by name: also where the logon was refused
    got = here(pt)
    for name, server in servers.items():
        case = CASES.get(name)
        assert got[name] == {"0": 1, "1": 1, "2": 1}, (name, got[name])
        if not case or not case.lasts:
            assert server.left() == list(case.stays if case else ()), name
        if case and case.row == "P07":
            assert all(not s.retrieved for s in server.sessions[before[name]:]), name
    if tls != "none":
        assert all(t for s in servers.values() for ledger in s.sessions for _, t in ledger.logins), "a password in clear"


@pytest.mark.limit(120)
def test_silence_before_the_password(pt, pop3, certs, closing):
    """P08, P09, P10: no greeting, no TLS handshake at once or behind STLS: each has its
    time, 15 or 30 seconds, and costs the others none."""
    mute, stall, good = pop3(), pop3(tls="stls", cert=certs.good), pop3()
    mute.answers["GREETING"] = HANG
    stall.answers["STLS"] = lambda s, _: s.send(b"+OK begin\r\n") or HANG
    silent = closing(socket.create_server(("127.0.0.1", 0)))
    pt.account("mute", mute.port)
    account(pt, stall, certs, "starttls", "stall")
    pt.account("silent", 0, server=f"localhost:{silent.getsockname()[1]}", tls="implicit", tls_ca=str(certs.ca.pem))
    fill("good", good)
    pt.account("good", good.port)
    began = time.monotonic()
    report = pt.once(status=FAILED, timeout=90)
    assert 29 < time.monotonic() - began < 50
    assert account_row(report, "good")["collected"] == COUNT
    events = told(pt)
    for name in ("mute", "stall", "silent"):
        assert {4002, 8002} & set(events[name]) and "timed out" in str(events[name]), (name, events[name])
    assert all(s.logins == [] for s in [*mute.sessions, *stall.sessions])


@pytest.mark.parametrize("tls", ["starttls", "implicit"])
@pytest.mark.parametrize("name", ["nul_name", "only_common_name", "only_address"])
def test_certificates_for_somebody_else(pt, pop3, certs, tls, name):
    """P10: localhost NUL .evil.test; localhost as the common name beside another
    alternative name; an address where a name was asked for."""
    server = pop3(tls=MODES[tls], cert=certs.odd(name))
    fill("x", server)
    account(pt, server, certs, tls)
    pt.once(status=FAILED)
    [event] = pt.events(8004)
    assert "mismatch" in event["text"].lower()
    assert all(s.logins == [] for s in server.sessions) and len(server.left()) == COUNT


@pytest.mark.parametrize("tls", ["starttls", "implicit"])
def test_certificate_for_an_address(pt, pop3, certs, tls):
    server = pop3(tls=MODES[tls], cert=certs.odd("only_address"))
    fill("x", server)
    pt.account("contoso", server.port, tls=tls, tls_ca=str(certs.ca.pem))
    pt.once()
    assert server.left() == [] and len(pt.drop()) == COUNT


@pytest.mark.limit(180)
def test_listing_of_a_million(pt, pop3):
    """P13: 10^6 messages and 56 MB of unique-ids: one session, within memory."""
    server = pop3()
    n = 1_000_000
    fill("x", server)
    server.answers["LIST"] = b"+OK\r\n" + b"".join(b"%d 500\r\n" % i for i in range(1, n + 1)) + b".\r\n"
    server.answers["UIDL"] = b"+OK\r\n" + b"".join(b"%d u%047d\r\n" % (i, i) for i in range(1, n + 1)) + b".\r\n"
    server.answers["RETR"] = REFUSED
    pt.account("contoso", server.port, max_per_session=2)
    status, megabytes = run_measured(pt, "once")
    assert status in (DONE, FAILED) and megabytes < 4 * bound()
    assert pt.events(4016) and server.last.verbs().count("RETR") == 2
    assert len(server.left()) == COUNT and pt.drop() == []
