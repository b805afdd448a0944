"""A reload disturbs nobody who is connected (Q12)."""
import errno
import json
import os
import re
import signal
import smtplib
import socket
import subprocess
import threading
import time

import pytest
from harness import heap, net
from harness.message import message
from harness.postern import DONE


def relay_of(pt):
    """The process of the relay."""
    found = subprocess.run(["ps", "-o", "pid=,comm=", "--ppid", str(pt.proc.pid)], capture_output=True, text=True)
    return int(re.search(r"(\d+) relay", found.stdout)[1])


def reload(pt):
    before = len(pt.log().splitlines())
    os.kill(pt.proc.pid, signal.SIGHUP)
    return pt.wait_line(r"event=100[23]\b", start=before)


def client(port):
    s = socket.create_connection(("127.0.0.1", port), 10)
    s.settimeout(20)
    assert s.recv(512).startswith(b"220 ")
    return s


def say(s, line):
    s.sendall(line + b"\r\n")
    return s.recv(2048)


class Caller:
    """Somebody who connects all the time; how long the greeting took at most."""

    def __init__(self, port):
        self.port, self.most, self.calls, self.end = port, 0.0, 0, threading.Event()
        self.thread = threading.Thread(target=self._call, daemon=True)
        self.thread.start()

    def _call(self):
        while not self.end.is_set():
            began = time.monotonic()
            client(self.port).close()
            self.most, self.calls = max(self.most, time.monotonic() - began), self.calls + 1

    def done(self):
        self.end.set()
        self.thread.join()
        return self.most


def test_open_sessions_go_on_and_new_ones_are_greeted_at_once(pt, pop3, sink):
    server, old, new = pop3(), sink(), sink()
    pt.account("contoso", server.port)
    pt.route("contoso.test", old.route)
    pt.start()
    relay = relay_of(pt)
    idle, busy = client(pt.port), client(pt.port)
    for line in (b"EHLO c", b"MAIL FROM:<max@nwtraders.test>", b"RCPT TO:<ann@contoso.test>"):
        assert say(busy, line).startswith(b"250")
    assert say(busy, b"DATA").startswith(b"354")
    busy.sendall(b"Subject: half")
    caller = Caller(pt.port)
    net.wait_for(lambda: caller.calls > 2)
    pt.route("contoso.test", new.route)
    pt.policy("fabrikam", "fabrikam.test")
    pt.write()
    assert "Configuration version 2 loaded (1 changes)." in reload(pt)
    seen = caller.calls
    net.wait_for(lambda: caller.calls > seen + 2)
    assert caller.done() < 2
    assert relay_of(pt) == relay
    assert say(idle, b"NOOP").startswith(b"250") and say(idle, b"EHLO c").startswith(b"250")
    assert say(idle, b"MAIL FROM:<max@nwtraders.test>").startswith(b"250")
    assert say(idle, b"RCPT TO:<ann@fabrikam.test>").startswith(b"250")  # the new policy
    assert say(busy, b"\r\n\r\n.").startswith(b"250 2.6.0")
    new.wait(1)  # by the new route, though it was said under the old one
    assert old.mails == []
    server.put(message(to="ann@contoso.test", subject="collected"))
    pt.run("poll").expect(0)
    new.wait(2)
    assert pt.terminate() == 0


def test_limits_and_schedule_are_taken_over(pt):
    pt.start()
    stays = client(pt.port)
    pt.conf["smtp"]["limits"] = {"connections": 1, "connections_per_client": 1}
    pt.conf["smtp"]["relay_from"] = ["127.0.0.1"]
    pt.route("else.test", f"drop:{pt.dir}/else")
    pt.write()
    assert "1002" in reload(pt)
    with socket.create_connection(("127.0.0.1", pt.port), 10) as s:
        assert s.recv(512).startswith(b"421 4.3.2")
    stays.close()
    with smtplib.SMTP("127.0.0.1", pt.port) as c:
        c.ehlo()
        c.mail("ann@contoso.test")
        assert c.rcpt("eve@else.test")[0] == 250
    for _ in range(5):  # nothing is left behind by any of them
        assert "1002" in reload(pt)
    assert pt.terminate() == 0


def greeting(port):
    with socket.create_connection(("127.0.0.1", port), 10) as s:
        return s.recv(512)


def put(pt, name, data):
    (pt.state / "Pickup" / name).write_bytes(data)


def answers(server, address):
    """A DNS server that knows one address, for every name."""
    while True:
        question, who = server.recvfrom(512)
        name = question[12:question.index(b"\0", 12) + 5]
        rr = b"\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4" + socket.inet_aton(address) if name[-4:-2] == b"\0\1" else b""
        server.sendto(question[:2] + b"\x81\x80\0\1" + (b"\0\1" if rr else b"\0\0") + b"\0\0\0\0" + name + rr, who)


def refuses(port):
    with socket.socket() as s:
        return s.connect_ex(("127.0.0.1", port)) == errno.ECONNREFUSED


@pytest.fixture
def kept(pt):
    """The service, and a client that is idle: it and its relay are still there at the end."""
    pt.start()
    relay, idle = relay_of(pt), client(pt.port)
    yield pt
    assert relay_of(pt) == relay
    assert say(idle, b"NOOP").startswith(b"250")
    idle.close()
    assert pt.terminate() == 0


def test_addresses_to_listen_on_come_and_go(kept):
    first, second = kept.port, net.free_port()
    for listen, there, gone in (([first, second], [first, second], []), ([second], [second], [first]), ([], [], [second]),
                                ([first], [first], [])):
        kept.conf["smtp"]["listen"] = [f"127.0.0.1:{p}" for p in listen]
        kept.write()
        assert "1002" in reload(kept)
        assert all(greeting(p).startswith(b"220 ") for p in there) and all(refuses(p) for p in gone)


def test_another_name_and_postmaster(kept):
    kept.conf["server"].update(hostname="other.contoso.test", postmaster="eve@contoso.test")
    kept.write()
    assert "1002" in reload(kept)
    assert greeting(kept.port).startswith(b"220 other.contoso.test ")
    with smtplib.SMTP("127.0.0.1", kept.port) as c:
        c.sendmail("max@nwtraders.test", ["postmaster"], message())
    put(kept, "a.eml", b"From: ann@contoso.test\r\nTo: eve@contoso.test\r\nSubject: x\r\n\r\nbody\r\n")
    net.wait_for(lambda: len(kept.drop()) == 2)
    assert all(b"by other.contoso.test" in m.data for m in kept.drop())
    assert all(m.recipients == ["eve@contoso.test"] for m in kept.drop())


def test_another_largest_message(kept):
    kept.conf["smtp"]["limits"] = {"message": "100K"}
    kept.write()
    assert "1002" in reload(kept)
    large = b"From: ann@contoso.test\r\nTo: eve@contoso.test\r\n\r\n" + b"x" * 70 + b"\r\n" + (b"y" * 70 + b"\r\n") * 2000
    put(kept, "large.eml", large)
    kept.wait_line(r"event=5102\b")
    with smtplib.SMTP("127.0.0.1", kept.port) as c:
        c.ehlo()
        assert c.esmtp_features["size"] == "102400"
    kept.conf["smtp"]["limits"] = {"message": "1M"}
    kept.write()
    assert "1002" in reload(kept)
    net.wait_for(lambda: len(kept.drop()) == 1, 20)  # at the next look


def test_badmail_off_and_on_again(kept):
    kept.conf["badmail"] = {"enabled": False}
    kept.write()
    assert "1002" in reload(kept)
    put(kept, "bad.eml", b"no header at all")
    assert "badmail.enabled is false" in kept.wait_line(r"event=5102\b")
    del kept.conf["badmail"]
    kept.write()
    assert "1002" in reload(kept)
    put(kept, "other.eml", b"no header at all")
    kept.wait_line(r"event=4164\b")


def test_another_log(kept):
    """Another file, as text and as JSON; what the relay says goes there from then on."""
    first, second = kept.dir / "first.log", kept.dir / "second.log"
    for path, form in ((first, "text"), (second, "json")):
        kept.conf["log"] = {"to": str(path), "format": form}
        kept.write()
        os.kill(kept.proc.pid, signal.SIGHUP)
        net.wait_for(lambda: path.exists() and "1002" in path.read_text())
        with smtplib.SMTP("127.0.0.1", kept.port) as c:
            c.ehlo()
            c.mail("max@nwtraders.test")
            assert c.rcpt("eve@stranger.test")[0] == 550
        net.wait_for(lambda: "4032" in path.read_text())
    assert "event=4032" in first.read_text() and first.read_text().count("4032") == 1
    assert all(json.loads(line) for line in second.read_text().splitlines())


def test_other_dns_servers_are_asked_from_then_on(pt, sink):
    """The question that the old one never answers goes on by itself; nothing ends."""
    silent, knows = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
    for s in (silent, knows):
        s.bind(("127.0.0.1", 0))
    threading.Thread(target=answers, args=(knows, "127.0.0.1"), daemon=True).start()
    hop = sink()
    pt.conf["dns"] = {"servers": [f"127.0.0.1:{silent.getsockname()[1]}"], "timeout": "3s"}
    pt.conf["delivery"]["retry"] = ["1s"]
    pt.route("contoso.test", hop.route.replace("127.0.0.1", "mail.contoso.example"))
    pt.start()
    relay = relay_of(pt)
    with smtplib.SMTP("127.0.0.1", pt.port) as c:
        c.sendmail("max@nwtraders.test", ["ann@contoso.test"], message())
    silent.settimeout(20)
    silent.recv(512)  # it is asked
    pt.conf["dns"]["servers"] = [f"127.0.0.1:{knows.getsockname()[1]}"]
    pt.write()
    assert "1002" in reload(pt)
    with smtplib.SMTP("127.0.0.1", pt.port) as c:
        c.sendmail("max@nwtraders.test", ["bob@contoso.test"], message())
    hop.wait(2, 60)
    assert relay_of(pt) == relay and pt.terminate() == 0
    silent.close()


def test_another_user_takes_a_restart(kept):
    kept.conf["server"]["user"] = "nobody" if os.geteuid() == 0 else "root"
    kept.write()
    assert "server.user is another user now; that takes a restart" in reload(kept)


def test_a_relay_that_does_not_take_it_begins_again_and_waits_for_no_idle_client(pt):
    pt.start()
    relay = relay_of(pt)
    idle = client(pt.port)
    (pt.state / "run/relay.ctl").unlink()  # nobody can ask it
    began = time.monotonic()
    assert "1002" in reload(pt)
    assert time.monotonic() - began < 4.5  # it was 5 s of lingering, and the rest
    assert "relay.ctl" in pt.wait_line(r"event=1005\b")
    assert relay_of(pt) != relay
    assert idle.recv(512).startswith(b"421 4.3.2")
    assert greeting(pt.port).startswith(b"220 ")
    idle.close()
    assert pt.terminate() == 0


def test_recipients_added_while_others_are_read_are_known_when_the_command_ends(kept):
    """The directory is read beside the loop: whoever asks meanwhile waits for the next reading, not for that one."""
    kept.policy("contoso", "contoso.test", domains={"contoso.test": {"authoritative": True, "unknown": "reject"}})
    kept.write()
    assert "1002" in reload(kept)
    heap.recipients(kept, 5000)
    refused = []

    def add(k):
        for i in range(6):
            name = f"new{k}x{i}"
            kept.run("recipient", "add", name, "--primary", f"{name}@contoso.test", write=False).expect(DONE)
            with smtplib.SMTP("127.0.0.1", kept.port) as c:
                c.ehlo()
                c.mail("max@nwtraders.test")
                if c.rcpt(f"{name}@contoso.test")[0] != 250:
                    refused.append(name)
                if c.rcpt("nobody@contoso.test")[0] != 550:
                    refused.append("taken: nobody")

    adders = [threading.Thread(target=add, args=(k,)) for k in range(4)]
    for t in adders:
        t.start()
    for t in adders:
        t.join()
    assert refused == []
