"""A provider that breaks the protocol, lies, or goes away: a clear event, and
nothing lost, nothing twice (the rows "Bad input"; FAULTS 2.4)."""
import itertools
import ssl
import subprocess
import warnings
from pathlib import Path

import pytest
from harness.message import message
from harness.pop3_server import CUT
from harness.postern import DONE, FAILED, program
from test_collect import account_row


SERIAL = itertools.count()


def fill(server, count):
    """Messages that differ from all others, whatever they are put beside."""
    for i in range(count):
        server.put(message(subject=f"number {len(server.boxes['global'])} {i} of {server.port}", message_id=f"m{i}",
                           body=b"Good morning %d.\r\n" % next(SERIAL)))


def numbers(pt):
    return [e["id"] for e in pt.events()]


def settle(pt, server, count):
    """The server behaves again: after one more poll everything is here once."""
    server.answers.clear()
    server.cut_at = None
    pt.once()
    assert server.left() == []
    assert len(pt.drop()) == count, "lost or doubled"


def test_wrong_password(pt, pop3):
    server = pop3()
    fill(server, 1)
    pt.account("contoso", server.port, password="wrong")
    pt.once(status=FAILED)
    [event] = pt.events(4003)
    assert event["account"] == "contoso" and "[AUTH] wrong password" in event["text"]
    assert "secret" not in event["text"] and "wrong\n" not in event["text"]
    assert len(server.left()) == 1 and pt.drop() == []


def test_nobody_listens(pt, closing):
    from harness import net
    pt.account("contoso", net.free_port())
    pt.once(status=FAILED)
    [event] = pt.events(4002)
    assert "refused" in event["text"].lower()


@pytest.mark.parametrize("cert, word", [
    ("strange", "issuer"), ("wrong_name", "mismatch"), ("expired", "expired")])
@pytest.mark.parametrize("tls", ["implicit", "stls"])
def test_certificate_that_proves_nothing(pt, pop3, certs, tls, cert, word):
    server = pop3(tls=tls, cert=getattr(certs, cert))
    fill(server, 1)
    pt.account("contoso", 0, server=f"localhost:{server.port}",
               tls="starttls" if tls == "stls" else tls, tls_ca=str(certs.ca.pem))
    pt.once(status=FAILED)
    [event] = pt.events(8004)
    assert word in event["text"].lower(), event
    assert "tls_ca" in pt.run("events", "explain", "8004").expect(DONE).out
    assert all(s.logins == [] for s in server.sessions), "a password was sent"
    assert pt.drop() == [] and len(server.left()) == 1


@pytest.mark.parametrize("how", ["missing", "refused", "dropped"])
def test_stls_not_there(pt, pop3, certs, how):
    server = pop3(tls="stls" if how != "missing" else "none", cert=certs.good)
    if how != "missing":
        server.answers["STLS"] = b"-ERR not today\r\n" if how == "refused" else CUT
    fill(server, 1)
    pt.account("contoso", 0, server=f"localhost:{server.port}", tls="starttls", tls_ca=str(certs.ca.pem))
    pt.once(status=FAILED)
    assert {8003, 8002, 4002, 4005} & set(numbers(pt))
    if how == "missing":
        assert 8003 in numbers(pt)
    assert all(s.logins == [] for s in server.sessions), "a password was sent in clear"


def test_stls_with_injected_replies(pt, pop3, certs):
    """CVE-2020-15953: what follows the +OK to STLS in clear is never believed."""
    server = pop3(tls="stls", cert=certs.good)

    def inject(session, _):
        session.send(b"+OK begin\r\n+OK injected\r\n+OK injected\r\n")
        session.start_tls()
        return b""
    server.answers["STLS"] = inject
    fill(server, 1)
    pt.account("contoso", 0, server=f"localhost:{server.port}", tls="starttls", tls_ca=str(certs.ca.pem))
    pt.once(status=FAILED)
    assert all(s.logins == [] for s in server.sessions) and pt.drop() == []


def test_retr_refused_for_one_message(pt, pop3):
    server = pop3()
    fill(server, 5)
    server.answers["RETR 3"] = b"-ERR [SYS/TEMP] not now\r\n"
    pt.account("contoso", server.port)
    report = pt.once(status=(DONE, FAILED))
    assert account_row(report, "contoso")["collected"] == 4 and account_row(report, "contoso")["failed"] == 1
    [event] = pt.events(4011)
    assert "not now" in event["text"]
    assert server.left() == ["uid-00003"]
    settle(pt, server, 5)


def test_uidl_refused(pt, pop3):
    server = pop3()
    fill(server, 2)
    server.answers["UIDL"] = b"-ERR no\r\n"
    pt.account("contoso", server.port)
    pt.once(status=FAILED)
    assert {4005, 4008} & set(numbers(pt))
    assert len(server.left()) == 2
    settle(pt, server, 2)


def test_dele_refused(pt, pop3):
    server = pop3()
    fill(server, 3)
    server.answers["DELE 2"] = b"-ERR no\r\n"
    pt.account("contoso", server.port)
    pt.once(status=(DONE, FAILED))
    assert server.left() == ["uid-00002"] and len(pt.drop()) == 3
    settle(pt, server, 3)


@pytest.mark.parametrize("reply", [b"-ERR some deleted messages not removed\r\n", CUT], ids=["refused", "cut"])
@pytest.mark.parametrize("updated", [False, True])
def test_quit_unconfirmed(pt, pop3, reply, updated):
    """Deleted is only what QUIT confirmed; nothing is fetched a second time."""
    server = pop3()
    fill(server, 4)

    def quit_(session, arg):
        if updated:
            session.do_quit(arg)
        return reply
    server.answers["QUIT"] = quit_
    pt.account("contoso", server.port)
    pt.once(status=(DONE, FAILED))
    assert 4015 in numbers(pt)
    assert len(pt.drop()) == 4
    before = len(server.sessions)
    settle(pt, server, 4)
    assert all(s.retrieved == [] for s in server.sessions[before:]), "fetched what was here already"


LIES = {
    "LIST": {
        "hole": b"+OK\r\n1 100\r\n3 100\r\n.\r\n",
        "zero": b"+OK\r\n0 100\r\n1 100\r\n2 100\r\n3 100\r\n.\r\n",
        "negative number": b"+OK\r\n-1 100\r\n2 100\r\n3 100\r\n.\r\n",
        "negative size": b"+OK\r\n1 -5\r\n2 100\r\n3 100\r\n.\r\n",
        "huge number": b"+OK\r\n1 100\r\n2147483648 100\r\n18446744073709551617 100\r\n.\r\n",
        "huge size": b"+OK\r\n1 99999999999999999999999\r\n2 100\r\n3 100\r\n.\r\n",
        "duplicates": b"+OK\r\n1 100\r\n1 100\r\n2 100\r\n3 100\r\n.\r\n",
        "far too many": b"+OK\r\n" + b"1 1\r\n" * 500_000 + b".\r\n",
        "words": b"+OK\r\none hundred\r\n%s%n \x1b[2J\r\n\r\n.\r\n",
        "no end": b"+OK\r\n1 100\r\n",
        "one endless line": b"+OK\r\n" + b"1" * 1_000_000 + b"\r\n.\r\n",
        "nul": b"+OK\r\n1 1\0 00\r\n2 100\r\n3 100\r\n.\r\n",
    },
    "UIDL": {
        "hole": b"+OK\r\n1 uid-00001\r\n3 uid-00003\r\n.\r\n",
        "zero": b"+OK\r\n0 x\r\n1 uid-00001\r\n2 uid-00002\r\n3 uid-00003\r\n.\r\n",
        "negative": b"+OK\r\n-1 x\r\n2 uid-00002\r\n3 uid-00003\r\n.\r\n",
        "huge": b"+OK\r\n1 uid-00001\r\n4294967297 x\r\n2 uid-00002\r\n.\r\n",
        "duplicate number": b"+OK\r\n1 uid-00001\r\n1 uid-00002\r\n2 uid-00002\r\n3 uid-00003\r\n.\r\n",
        "duplicate id": b"+OK\r\n1 same\r\n2 same\r\n3 same\r\n.\r\n",
        "long id": b"+OK\r\n1 " + b"u" * 5000 + b"\r\n2 uid-00002\r\n3 uid-00003\r\n.\r\n",
        "empty id": b"+OK\r\n1 \r\n2\r\n3 uid-00003\r\n.\r\n",
        "path as id": b"+OK\r\n1 ../../../x\r\n2 %s%n\r\n3 \x1b[2J\r\n.\r\n",
        "no end": b"+OK\r\n1 uid-00001\r\n",
    },
    "STAT": {
        "negative": b"+OK -1 -1\r\n", "huge": b"+OK 99999999999999999999 1\r\n", "words": b"+OK many\r\n",
        "wrong": b"+OK 5 1\r\n", "refused": b"-ERR no\r\n",
    },
    "CAPA": {
        "endless": b"+OK\r\n" + b"X-CAP\r\n" * 200_000 + b".\r\n",
        "long line": b"+OK\r\n" + b"X" * 1_000_000 + b"\r\n.\r\n",
        "no end": b"+OK\r\nUIDL\r\n",
    },
    "GREETING": {
        "error": b"-ERR \x1b]0;owned\x07 busy\r\n", "nonsense": b"HTTP/1.1 200 OK\r\n\r\n", "empty line": b"\r\n",
        "megabyte": b"+OK " + b"x" * 1_000_000 + b"\r\n",
        "with an answer nobody asked for": b"+OK 2 messages\r\n+OK\r\n1 120\r\n.\r\n",
    },
    "RETR 2": {
        "empty": b"+OK\r\n.\r\n",
        "injected replies": b"+OK\r\nTo: ann@contoso.test\r\n\r\nx\n.\n+OK\r\nTo: x@y\r\n\r\n.\r\n",
        "nonsense": b"what?\r\n", "megabyte of status": b"+OK " + b"z" * 1_000_000 + b"\r\n",
    },
    "USER": {"refused": b"-ERR [IN-USE] busy\r\n", "nonsense": b"\0\0\0\r\n"},
}


MODES = {"none": "none", "starttls": "stls", "implicit": "implicit"}


def account(pt, server, certs, tls, name="contoso", **more):
    """The account of that server, over that kind of connection."""
    extra = {} if tls == "none" else {"tls": tls, "tls_ca": str(certs.ca.pem)}
    return pt.account(name, 0, server=f"localhost:{server.port}", **extra, **more)


def serve(pop3, certs, tls, **more):
    return pop3(tls=MODES[tls], cert=None if tls == "none" else certs.good, **more)


def run_measured(pt, *words):
    """The exit status of a command and the most memory it had, in MB."""
    pt.write()
    # Started by a small process: the kernel counts what the starter had as well.
    starter = ("import os,sys; p=os.posix_spawnp(sys.argv[1], sys.argv[1:], os.environ); _,s,u=os.wait4(p,0);"
               "print(os.waitstatus_to_exitcode(s), u.ru_maxrss)")
    out = subprocess.run(["/usr/bin/python3", "-IS", "-c", starter, *pt.command(*words)], stdin=subprocess.DEVNULL,
                         stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=pt.dir, check=True).stdout
    status, kilobytes = out.split()[-2:]
    return int(status), int(kilobytes) / 1024


def bound():
    """Megabytes; the sanitizers keep what is freed and a shadow of everything."""
    return 1000 if b"__asan_init" in Path(program()).read_bytes() else 64


@pytest.mark.parametrize("tls", MODES)
@pytest.mark.parametrize("verb, lie", [(v, n) for v in LIES for n in LIES[v]])
def test_lies(pt, pop3, certs, verb, lie, tls):
    """Whatever it answers: the program lives within its memory, the other account is
    polled, and what may not be believed stays at the provider until the server says
    the truth."""
    server, good = serve(pop3, certs, tls), pop3(users={"other": "secret"})
    fill(server, 3)
    good.put(message(subject="from the good one", message_id="good"))
    reply = LIES[verb][lie]
    server.answers[verb] = (lambda s, _: s.send(reply) or CUT) if lie == "no end" else reply
    pt.conf["log"] = {"level": 1}  # 4004, mailbox in use, is of level 1
    account(pt, server, certs, tls)
    pt.account("good", good.port, user="other")
    status, megabytes = run_measured(pt, "once")
    assert status in (DONE, FAILED) and megabytes < bound()
    assert good.left() == [], "the good account was not polled"
    drops = [d for d in pt.drop() if b"good one" not in d.data]
    assert len(drops) + len(pt.badmail()) + len(server.left()) >= 3, "deleted at the provider and not here"
    if len(server.left()) == 3 and not drops:
        assert [e for e in pt.events() if e["severity"] in "WE" and e.get("account") == "contoso"], "not a word"
    for e in pt.events():
        assert not any(ord(c) < 32 and c not in "\n\t" or c == "\x7f" for c in e["text"]), e
    # "-ERR" to STAT or a different id is no reason to collect twice, but where the
    # server itself renamed a message there is nothing to know it by.
    server.answers.clear()
    pt.once(status=(DONE, FAILED))
    drops = [d for d in pt.drop() if b"good one" not in d.data]
    assert len(drops) >= 3 and server.left() == []
    if verb != "UIDL" and not verb.startswith("RETR"):
        assert len(drops) == 3, "lost or doubled"


@pytest.mark.limit(240)
@pytest.mark.parametrize("tls", MODES)
def test_cut_at_every_place(new_postern, pop3, certs, tls):
    """The connection is cut after n octets, for n over a whole session; then the
    server behaves. Nothing lost, nothing doubled, whatever n. Every single n is in
    tests/unit/fetch/session_test.c."""
    pt, server = new_postern(), serve(pop3, certs, tls)
    fill(server, 3)
    account(pt, server, certs, tls).once()
    length, total = server.last.sent, 3
    for cut in range(0, length + 1, max(1, length // 30)):
        fill(server, 3)
        total += 3
        server.cut_at = cut
        pt.once(status=(DONE, FAILED))
        server.cut_at = None
        pt.once()
        assert server.left() == [], f"cut at {cut}"
        assert len(pt.drop()) == total, f"cut at {cut}: lost or doubled"


@pytest.mark.parametrize("tls", MODES)
@pytest.mark.parametrize("point", ["fetch: before DELE", "fetch: before QUIT", "fetch: QUIT confirmed"])
def test_killed_between_250_and_the_end(pt, pop3, certs, point, tls):
    """What was committed is deleted by the next session without RETR."""
    server = serve(pop3, certs, tls)
    fill(server, 3)
    account(pt, server, certs, tls)
    assert pt.run("once", env={"POSTERN_CRASH": point}).status < 0, "it was not killed"
    assert server.sessions[0].retrieved and len(server.left()) in (0, 3)
    before, left = len(server.sessions), server.left()
    pt.once()
    assert all(s.retrieved == [] for s in server.sessions[before:])
    assert server.last.deleted == left and server.left() == [] and len(pt.drop()) == 3


@pytest.mark.parametrize("tls", ["starttls", "implicit"])
def test_tls_cut_in_a_message(pt, pop3, certs, tls):
    """P10: the end of the connection without close_notify is no end of a message."""
    server = serve(pop3, certs, tls)
    fill(server, 2)

    def half(session, arg):
        session.send(b"+OK\r\nTo: ann@contoso.test\r\n\r\nhalf\r\n")
        session.sock.unwrap = None
        return CUT
    server.answers["RETR 2"] = half
    account(pt, server, certs, tls)
    pt.once(status=FAILED)
    assert 4013 in numbers(pt) and len(pt.drop()) == 1
    settle(pt, server, 2)


@pytest.mark.parametrize("tls", ["starttls", "implicit"])
def test_old_tls_is_refused(pt, pop3, certs, tls):
    server = serve(pop3, certs, tls)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        server.context.minimum_version = ssl.TLSVersion.TLSv1
        server.context.maximum_version = ssl.TLSVersion.TLSv1_1
    server.context.set_ciphers("ALL:@SECLEVEL=0")
    fill(server, 1)
    account(pt, server, certs, tls)
    pt.once(status=FAILED)
    assert 8002 in numbers(pt) and all(s.logins == [] for s in server.sessions)


@pytest.mark.parametrize("tls", ["starttls", "implicit"])
def test_greeting_in_clear_where_tls_belongs(pt, pop3, certs, tls):
    """P10: a fake +OK, and everything after it, in clear: no secret is said."""
    server = pop3()
    fill(server, 1)
    account(pt, server, certs, tls)
    pt.once(status=FAILED)
    assert {8002, 8003, 4002} & set(numbers(pt))
    assert all(s.logins == [] and "USER" not in s.verbs() for s in server.sessions)


@pytest.mark.parametrize("code, event", [
    ("[IN-USE]", 4004), ("[LOGIN-DELAY]", 4004), ("[SYS/TEMP]", 4002), ("[SYS/PERM]", 4003), ("[AUTH]", 4003)])
def test_codes_of_a_refusal(pt, pop3, code, event):
    """P08, RFC 2449 and 3206."""
    server = pop3()
    fill(server, 1)
    server.answers["PASS"] = f"-ERR {code} no\r\n".encode()
    pt.conf["log"] = {"level": 1}
    pt.account("contoso", server.port)
    pt.once(status=FAILED)
    assert event in numbers(pt) and sum("PASS" in s.verbs() for s in server.sessions) == 1
    settle(pt, server, 1)


def test_listing_of_a_hundred_thousand(pt, pop3):
    """P13: within memory, and adopting them is one step."""
    server = pop3()
    fill(server, 1)
    n = 100_000
    server.answers["LIST"] = b"+OK\r\n" + b"".join(b"%d 500\r\n" % i for i in range(1, n + 1)) + b".\r\n"
    server.answers["UIDL"] = b"+OK\r\n" + b"".join(b"%d u-%015d\r\n" % (i, i) for i in range(1, n + 1)) + b".\r\n"
    pt.account("contoso", server.port, keep="forever")
    assert pt.run("accounts", "adopt", "contoso").status == DONE
    status, megabytes = run_measured(pt, "once")
    assert status == DONE and megabytes < bound()
    assert server.last.retrieved == [] and pt.drop() == []


def test_message_deleted_by_somebody_else(pt, pop3):
    """P14: gone between LIST and RETR is no fault of the others."""
    server = pop3()
    fill(server, 3)
    server.answers["RETR 2"] = b"-ERR no such message\r\n"
    pt.account("contoso", server.port)
    pt.once(status=(DONE, FAILED))
    del server.boxes["global"][0]
    settle(pt, server, 2)


def test_cut_inside_a_message_says_so(pt, pop3):
    server = pop3()
    fill(server, 1)
    server.answers["RETR"] = lambda s, _: s.send(b"+OK\r\nTo: ann@contoso.test\r\n\r\nhalf a mess") or CUT
    pt.account("contoso", server.port)
    pt.once(status=FAILED)
    assert 4013 in numbers(pt) and pt.drop() == [] and len(server.left()) == 1
    settle(pt, server, 1)


def test_message_over_max_size_is_left(pt, pop3):
    server = pop3()
    server.put(message(body=b"x" * 200_000 + b"\r\n"))
    server.put(message(subject="small"))
    pt.account("contoso", server.port, max_size="100K", oversize="skip")
    pt.once(status=(DONE, FAILED))
    assert server.left() == ["uid-00001"] and len(pt.drop()) == 1
    assert 4010 in numbers(pt)


@pytest.mark.limit(120)
def test_server_that_never_answers_does_not_hold_the_others(pt, pop3):
    slow, quick = pop3(), pop3()
    slow.piece = 1
    fill(quick, 2)

    def late(session, _):
        slow.stopping.wait(5)
        return CUT
    slow.answers["CAPA"] = late
    pt.account("slow", slow.port).account("quick", quick.port)
    report = pt.once(status=FAILED, timeout=100)
    assert account_row(report, "quick")["collected"] == 2


def test_three_thousand_messages(pt, pop3):
    server = pop3()
    for i in range(3000):
        server.put(message(subject=f"number {i}"))
    pt.account("contoso", server.port, max_per_session=5000)
    report = pt.once()
    assert account_row(report, "contoso")["collected"] == 3000 and len(pt.drop()) == 3000
