"""The words about accounts: taking a full mailbox as it is, showing one account, and
what `check --online` says of each thing that can be wrong."""
import contextlib
import json
import os
import pty
import re
import socket
import subprocess
import threading
import time

import pytest
from harness import net
from harness.message import message
from harness.postern import BAD_CONFIG, DONE, FAILED, LATER, USAGE
from harness.pop3_server import HANG

CANARY = "do-not-show-1f4c"


@pytest.fixture
def box(pt, pop3, sink):
    """One account whose password is a canary, and a next hop."""
    pt.server = pop3(users={"global": CANARY})
    pt.hop = sink()
    pt.account("contoso", pt.server.port, password=CANARY, keep="0s")
    pt.route("contoso.test", pt.hop.route)
    pt.conf["log"] = {"level": 1}
    return pt


def fill(server, n, **more):
    return [server.put(message(to="jane@contoso.test", message_id=f"{more.get('uidl', 'm')}{i}"), **{
        k: f"{v}{i}" for k, v in more.items()}) for i in range(n)]


# adopt

def test_a_full_mailbox_is_taken_as_it_is(box):
    old = fill(box.server, 7)
    said = box.run("accounts", "adopt", "contoso").expect(DONE)
    assert said.out == "contoso: 7 messages listed, 7 adopted, 0 known before\n"
    assert box.server.last.verbs().count("RETR") == 0 and box.server.last.updated
    [event] = box.events(9002)
    assert "accounts adopt" in event["text"] and "7 messages adopted" in event["text"]

    new = fill(box.server, 2, uidl="new")
    done = box.once()["accounts"][0]
    assert (done["listed"], done["collected"], done["deleted"]) == (9, 2, 2)
    assert box.server.left() == old, "what was adopted stays at the provider, also with keep: 0s"
    assert not set(new) & set(box.server.left())
    assert len(box.hop.wait(2)) == 2
    assert box.once()["accounts"][0]["collected"] == 0 and box.server.left() == old


def test_what_was_collected_stays_collected(box):
    box.conf["accounts"]["contoso"]["keep"] = "7d"
    fill(box.server, 3)
    box.once()
    fill(box.server, 2, uidl="late")
    said = box.ask("accounts", "adopt", "contoso")
    assert said == {"name": "contoso", "listed": 5, "adopted": 2, "known": 3, "unnamed": 0}
    assert box.ask("accounts", "adopt", "contoso")["adopted"] == 0
    box.conf["accounts"]["contoso"]["keep"] = "0s"
    box.once()
    assert [u for u in box.server.left() if not u.startswith("late")] == [], "collected ones go when they are due"
    assert len(box.server.left()) == 2
    assert len(box.hop.wait(3)) == 3


def test_beside_a_service(box):
    box.start()
    box.run("poll").expect(DONE)
    fill(box.server, 4)
    assert box.ask("accounts", "adopt", "contoso")["adopted"] == 4
    fill(box.server, 1, uidl="new")
    box.run("poll", "contoso").expect(DONE)
    box.hop.wait(1)
    assert len(box.server.left()) == 4
    [row] = box.ask("accounts")
    assert row["waiting"] == 4 and row["waiting_octets"] > 0 and row["last_success"]
    assert box.terminate() == 0


def test_not_into_a_poll(box):
    come, go = threading.Event(), threading.Event()

    def wait(*_):
        come.set()
        go.wait(30)
    box.server.answers["LIST"] = wait
    box.conf["accounts"]["contoso"]["every"] = "10s"
    box.start()
    assert come.wait(15)
    said = box.run("accounts", "adopt", "contoso", write=False).expect(LATER)
    assert "another poll of the same mailbox is under way here" in said.err
    go.set()
    box.wait_line(r"event=4001 ")


def test_more_than_one_batch(box):
    box.server.put(message(), uidl="first")
    box.server.boxes["global"] *= 10001
    for i, m in enumerate(box.server.boxes["global"]):
        box.server.boxes["global"][i] = type(m)(f"u{i:06}", m.data)
    assert box.ask("accounts", "adopt", "contoso")["adopted"] == 10001
    assert box.once()["accounts"][0]["collected"] == 0
    assert len(box.server.left()) == 10001


@pytest.mark.parametrize("what, words", [
    ("uidl", "no usable unique-id"), ("pass", "refused the logon"), ("gone", "refused")])
def test_what_cannot_be_adopted(box, what, words):
    fill(box.server, 3)
    if what == "uidl":
        box.server.caps = ()
        box.server.answers["UIDL"] = b"-ERR no\r\n"
    elif what == "pass":
        box.server.answers["PASS"] = b"-ERR [AUTH] no\r\n"
    else:
        box.conf["accounts"]["contoso"]["server"] = f"127.0.0.1:{net.free_port()}"
    said = box.run("accounts", "adopt", "contoso").expect(FAILED)
    assert words in said.err and "hint: " in said.err or what == "uidl" and words in said.err
    assert said.out == "" and box.events(9002) == []
    box.run("accounts", "adopt", "nobody").expect(USAGE)


# show

def test_show_tells_the_sessions_and_no_secret(box):
    fill(box.server, 2)
    secret = b"BODY-CANARY-77"
    box.server.put(message(to="jane@contoso.test").replace(b"\r\n\r\n", b"\r\n\r\n" + secret + b"\r\n", 1))
    box.once()
    said = box.run("accounts", "show", "contoso", "--session").expect(DONE)
    for words in ("USER global", "PASS ***", "RETR 1", "DELE 1", "QUIT", "+OK"):
        assert words in said.out, words
    assert len(re.findall(r"^event \d{4} ", said.out, re.M)) == 3 and "127.0.0.1:" in said.out
    shown = box.ask("accounts", "show", "contoso", "--session")
    assert shown["sessions"][0]["ok"] is True and "RETR 1" in shown["sessions"][0]["text"]
    assert shown["ok"] is True and shown["collected"] == 3 and shown["result"] == "ok"
    assert len(shown["events"]) == 3 and shown["tls"] == "none" and shown["auth"] == "auto"
    for text in (said.out, json.dumps(shown)):
        assert CANARY not in text and secret.decode() not in text
    assert "sessions" not in box.ask("accounts", "show", "contoso")


def test_show_before_anything_happened(box):
    said = box.run("accounts", "show", "contoso").expect(DONE)
    assert re.search(r"last poll +never", said.out)
    box.run("accounts", "show", "nobody").expect(USAGE)


def test_show_tells_troubles(box):
    fill(box.server, 2)
    box.server.answers["RETR 1"] = b"-ERR broken\x1b[31m\r\n"
    for _ in range(2):
        box.once(status=(DONE, FAILED))
    shown = box.ask("accounts", "show", "contoso")
    [trouble] = shown["memory"]["messages"]
    assert trouble.pop("asked_again").endswith("Z")
    assert trouble == {"uidl": "uid-00001", "attempts": 2, "set_aside": False}
    said = box.run("accounts", "show", "contoso", "--session").expect(DONE)
    assert "uid-00001: 2 attempts" in said.out and "\x1b" not in said.out

    box.server.answers["PASS"] = b"-ERR [AUTH] no\r\n"
    for _ in range(5):
        box.once(status=FAILED)
    shown = box.ask("accounts", "show", "contoso")
    assert shown["memory"]["suspended"] and shown["memory"]["refused_logons"] == 5 and shown["ok"] is False
    assert "Suspended: the logon was refused 5 times (4019)" in box.run("accounts", "show", "contoso").out


def test_many_accounts_are_listed_quickly(box):
    box.once()
    entry = box.conf["accounts"]["contoso"]
    for i in range(3000):
        box.conf["accounts"][f"a{i}"] = dict(entry, user=f"u{i}")
    rows = box.ask("accounts")
    assert len(rows) == 3001 and rows[0]["result"] == "ok" and rows[1]["last_poll"] is None


# check --online

def online(pt, status, name="contoso"):
    said = pt.run("check", "--online").expect(status).out
    answer = json.loads(pt.run("check", "--online", "--json").expect(status).out)
    [account] = [a for a in answer["accounts"] if a["name"] == name]
    assert account["ok"] is (status == DONE)
    # A new certificate loses its first day between the two.
    said, text = (re.sub(r"\(\d+ days\)", "(N days)", words) for words in (said, account["text"]))
    assert text in said and (not account["hint"] or f"hint: {account['hint']}" in said)
    return account


def certified(pt, pop3, certs, cert, tls="implicit", **more):
    server = pop3(tls="stls" if tls == "starttls" else tls, cert=getattr(certs, cert))
    pt.account("contoso", 0, **{"server": f"localhost:{server.port}", "tls": tls, "tls_ca": str(certs.ca.pem), **more})
    return server


@pytest.mark.parametrize("tls", ["implicit", "starttls"])
def test_online_good(pt, pop3, certs, tls):
    server = certified(pt, pop3, certs, "good", tls)
    fill(server, 3)
    said = online(pt, DONE)
    assert "logged on by USER and PASS, 3 messages wait there" in said["text"]
    assert re.search(r"TLSv1\.[23], certificate of good until \d{4}-\d\d-\d\d \((29|30) days\)", said["text"])
    assert said["tls"].startswith("TLSv1") and said["mechanism"] == "USER and PASS" and said["waiting"] == 3
    assert said["certificate_issuer"] == "Test CA" and said["warnings"] == []
    assert len(server.left()) == 3


def test_online_warns(pt, pop3, certs):
    soon = certs._issue("soon", "DNS:localhost", certs.ca, days=3)
    server = pop3(tls="implicit", cert=soon, caps=("USER", "LOGIN-DELAY 900"))
    pt.account("contoso", 0, server=f"localhost:{server.port}", tls="implicit", tls_ca=str(certs.ca.pem), every="5m")
    words = "\n".join(online(pt, DONE)["warnings"])
    assert re.search(r"certificate of localhost expires in [23] days", words)
    for part in ("no PIPELINING", "no UIDL", "no TOP", "15m between two logons"):
        assert part in words, part


@pytest.mark.parametrize("tls", ["implicit", "starttls"])
@pytest.mark.parametrize("cert, words, hint", [
    ("strange", "issued by Unknown CA", "its issuer is not in "),
    ("wrong_name", "the certificate is for another.test, not for localhost", "by a name that the certificate has"),
    ("expired", "has expired on 20", "the provider has to renew it")])
def test_online_certificates(pt, pop3, certs, tls, cert, words, hint):
    server = certified(pt, pop3, certs, cert, tls)
    said = online(pt, FAILED)
    assert words in said["text"] and hint in said["hint"] and said["event"] == 8004
    assert all(s.logins == [] for s in server.sessions)


def test_online_issuer_unknown_to_the_system(pt, pop3, certs):
    certified(pt, pop3, certs, "good")
    del pt.conf["accounts"]["contoso"]["tls_ca"]
    assert "set tls_ca to a file" in online(pt, FAILED)["hint"]


def test_online_pin(pt, pop3, certs):
    certified(pt, pop3, certs, "good", tls_pin="sha256//" + "A" * 43 + "=")
    del pt.conf["accounts"]["contoso"]["tls_ca"]
    said = online(pt, FAILED)
    found = re.search(r"sha256//[A-Za-z0-9+/]{43}=", said["text"])[0]
    assert said["hint"].endswith("set tls_pin to " + found) and said["event"] == 8005
    pt.conf["accounts"]["contoso"]["tls_pin"] = found
    assert online(pt, DONE)["text"].endswith("pinned")


def test_online_no_stls(pt, pop3, certs):
    server = pop3()
    pt.account("contoso", 0, server=f"localhost:{server.port}", tls="starttls", tls_ca=str(certs.ca.pem))
    said = online(pt, FAILED)
    assert "does not offer STLS" in said["text"] and "Try tls: implicit with port 995" in said["hint"]


@pytest.mark.parametrize("reply, words, hint, event", [
    ("[AUTH] nice try \x1b[2J", "the server refused the logon: -ERR [AUTH] nice try", "check user and password", 4003),
    ("[SYS/PERM] disabled", "-ERR [SYS/PERM] disabled", "switched off for the mailbox", 4003),
    ("[IN-USE] locked", "the mailbox is in use: -ERR [IN-USE]", "another client is in the mailbox", 4004),
    ("[LOGIN-DELAY] wait", "-ERR [LOGIN-DELAY] wait", "set every to more", 4004)])
def test_online_logon_refused(pt, pop3, reply, words, hint, event):
    server = pop3()
    server.answers["PASS"] = f"-ERR {reply}\r\n".encode()
    pt.account("contoso", server.port)
    said = pt.run("check", "--online").expect(FAILED).out
    assert "\x1b" not in said and words in said and hint in said
    [account] = json.loads(pt.run("check", "--online", "--json").out)["accounts"]
    assert account["event"] == event and hint in account["hint"]


def test_online_not_reached(pt):
    pt.account("closed", net.free_port())
    pt.account("unnamed", 0, server="no-such-host.invalid:995", tls="implicit", user="u")
    said = pt.run("check", "--online").expect(FAILED).out
    assert re.search(r"closed: .*refused.*\n    hint: nobody listens there", said)
    assert re.search(r"unnamed: .*no-such-host\.invalid.*\n    hint: (check the name in server|no name server answers)", said)


@pytest.mark.limit(120)
def test_online_wrong_port(pt, pop3, certs):
    clear, tls = pop3(), pop3(tls="implicit", cert=certs.good)
    pt.account("clear", 0, server=f"localhost:{clear.port}", tls="implicit", tls_ca=str(certs.ca.pem))
    pt.account("dark", tls.port, user="other")
    said = pt.run("check", "--online").expect(FAILED).out
    assert re.search(r"clear: .*\n    hint: this port speaks without TLS: set tls: starttls, or port 995\?", said)
    assert re.search(r"dark: .*\n    hint: this port speaks TLS from the first byte", said)


@pytest.mark.limit(120)
def test_online_silence(pt, pop3):
    server = pop3()
    server.answers["GREETING"] = HANG
    pt.account("contoso", server.port)
    said = pt.run("check", "--online").expect(FAILED).out
    assert "no greeting" in said and "hint: the server took the connection and fell silent" in said


def test_online_greets_every_route(pt, sink):
    good = sink()
    lmtp = sink(lmtp=True)
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as rude:
        def refuse():
            with contextlib.suppress(OSError):
                while True:
                    peer, _ = rude.accept()
                    peer.sendall(b"554 go \x1b[1m away\r\n")
                    peer.close()
        threading.Thread(target=refuse, daemon=True).start()
        (pt.dir / "file").write_text("")
        pt.route("a.test", good.route).route("b.test", lmtp.route)
        pt.route("c.test", f"smtp:127.0.0.1:{net.free_port()}")
        pt.route("d.test", f"smtp:127.0.0.1:{rude.getsockname()[1]}")
        pt.route("e.test", f"maildir:{pt.dir}/mail/%d/%u").route("f.test", "drop")
        pt.route("g.test", f"drop:{pt.dir}/file")
        said = pt.run("check", "--online").expect(FAILED).out
        routes = {r["domain"]: r for r in json.loads(pt.run("check", "--online", "--json").out)["routes"]}
    assert [d for d in routes if not routes[d]["ok"]] == ["c.test", "d.test", "g.test"]
    assert routes["a.test"]["text"].startswith("220") or "ESMTP" in routes["a.test"]["text"], routes["a.test"]
    assert "refused" in routes["c.test"]["text"] and "go" in routes["d.test"]["text"]
    assert f"{pt.dir}" in routes["e.test"]["text"] and "can be written to" in routes["e.test"]["text"]
    assert "\x1b" not in said and said.count(" -> ") == 7 and said.count(": error: ") == 3
    assert good.mails == [] and lmtp.mails == []
    assert any(str(c).startswith("EHLO") for c in good.commands), good.commands
    assert any(str(c).startswith("LHLO") for c in lmtp.commands), lmtp.commands


def test_check_json_stays_what_it_was(pt):
    assert pt.ask("check") == []
    assert pt.ask("check", "--online") == {"faults": [], "accounts": [], "routes": []}
    pt.account("contoso", 1, type="nonsense")
    said = pt.run("check", "--online", "--json").expect(BAD_CONFIG).json()
    assert said["faults"] and said["accounts"] == [] == said["routes"]


# poll on a terminal

def test_poll_draws_lines_that_do_not_mix(box, pop3):
    other = pop3(users={"global": "secret"})
    box.account("second", other.port)
    box.start()
    for name in ("contoso", "second"):  # polled at the start, while there is nothing yet
        box.wait_line(rf"event=4001 .*account={name}\b")
    for server in (box.server, other):
        fill(server, 5, uidl=f"{server.port}-")
        server.answers["RETR"] = lambda *_: time.sleep(0.3)
    ours, theirs = pty.openpty()
    p = subprocess.Popen(box.command("poll"), stdout=theirs, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL)
    os.close(theirs)
    seen = b""
    with contextlib.suppress(OSError):
        while got := os.read(ours, 65536):
            seen += got
    os.close(ours)
    assert p.wait(30) == 0, (p.stderr.read(), seen)
    screen = render(seen.decode())
    assert sorted(line.split(":")[0] for line in screen) == ["contoso", "second"], screen
    assert all(re.search(r": 5 of 5 collected, \d+ octets: ok$", line) for line in screen), screen


def render(text):
    """The lines a terminal shows at the end, for the few sequences we use."""
    lines, row = [""], 0
    for part in re.findall(r"\x1b\[\d*[A-Z]|[\r\n]|[^\x1b\r\n]+", text):
        if up := re.fullmatch(r"\x1b\[(\d+)A", part):
            row -= int(up[1])
            assert row >= 0
        elif part == "\x1b[J":
            del lines[row + 1:]
            lines[row] = ""
        elif part == "\n":
            row += 1
            lines += [""] * (row + 1 - len(lines))
        elif part != "\r":
            assert "\x1b" not in part and len(part) < 200
            lines[row] += part
    return [line for line in lines if line]
