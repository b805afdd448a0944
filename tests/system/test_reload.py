"""A reload disturbs nobody who is connected (Q12)."""
import os
import re
import signal
import smtplib
import socket
import subprocess
import threading
import time

import pytest
from harness import net
from harness.message import message


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
    assert "1002" in reload(pt)
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


@pytest.mark.parametrize("change", ["listen", "hostname"])
def test_what_takes_another_start_waits_for_no_idle_client(pt, change):
    pt.start()
    relay = relay_of(pt)
    idle = client(pt.port)
    other = net.free_port()
    if change == "listen":
        pt.conf["smtp"]["listen"].append(f"127.0.0.1:{other}")
    else:
        pt.conf["server"]["hostname"] = "other.contoso.test"
    pt.write()
    began = time.monotonic()
    assert "1002" in reload(pt)
    assert time.monotonic() - began < 4.5  # it was 5 s of lingering, and the rest
    assert relay_of(pt) != relay
    assert idle.recv(512).startswith(b"421 4.3.2")
    if change == "listen":
        client(other).close()
    else:
        with socket.create_connection(("127.0.0.1", pt.port), 10) as s:
            assert s.recv(512).startswith(b"220 other.contoso.test ")
    idle.close()
    assert pt.terminate() == 0
