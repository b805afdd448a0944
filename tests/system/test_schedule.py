"""Many accounts: windows, what a provider's refusal means for the next poll, one
session per mailbox, and nobody in another's way."""
import collections
import contextlib
import re
import socket
import threading
import time
from datetime import datetime, timezone

import pytest
from harness.message import message
from harness.postern import DONE, FAILED

NEVER_GREETS = 300


def local_time(monkeypatch, hour, minute, second):
    """Makes the programs' local time what it should be now."""
    now = time.gmtime()
    ahead = hour * 3600 + minute * 60 + second - (now.tm_hour * 3600 + now.tm_min * 60 + now.tm_sec)
    sign, ahead = ("-", ahead) if ahead >= 0 else ("+", -ahead)
    monkeypatch.setenv("TZ", f"HERE{sign}{ahead // 3600:02}:{ahead // 60 % 60:02}:{ahead % 60:02}")


def seconds_ahead(row):
    """How far ahead an account's next poll is, from its last one."""
    times = [datetime.fromisoformat(row[k].replace("Z", "+00:00")) for k in ("last_poll", "next_poll")]
    return (times[1] - times[0]).total_seconds()


class Doorman:
    """Counts who is at a server at the same time, and lets nobody see the list before
    `open` is set."""

    def __init__(self, server):
        self.now, self.most = collections.Counter(), collections.Counter()
        self.lock = threading.Lock()
        self.open, self.came = threading.Event(), threading.Event()
        server.answers["USER"] = lambda s, user: self.count(user, 1)
        server.answers["PASS"] = lambda s, word: None if word == "secret" else self.count(s.user, -1)
        server.answers["QUIT"] = lambda s, _: self.count(s.user, -1)
        server.answers["LIST"] = self.wait

    def count(self, user, n):
        with self.lock:
            self.now[user] += n
            self.most[user] = max(self.most[user], self.now[user])

    def wait(self, *_):
        self.came.set()
        self.open.wait(30)


@pytest.fixture
def many(pt, pop3, sink):
    """Several accounts at one server."""
    pt.server = pop3(users={"ann": "secret", "bob": "secret"})
    pt.hop = sink()
    pt.route("contoso.test", pt.hop.route)
    pt.conf["log"] = {"level": 2}
    return pt


def add(pt, name, user=None, **more):
    pt.account(name, pt.server.port, user=user or name, **{"every": "1h", **more})


def account(pt, name):
    return next(row for row in pt.ask("accounts") if row["name"] == name)


def logons(pt, user):
    return sum(login[0] == user for s in list(pt.server.sessions) for login in s.logins)


def test_outside_its_window_an_account_is_polled_only_when_asked(many, monkeypatch):
    local_time(monkeypatch, 12, 0, 0)
    add(many, "ann", window="20:00-21:00")
    add(many, "bob")
    many.server.put(message(), user="ann")
    many.start()
    many.wait_line(r"event=4001 .*account=bob\b")
    row = account(many, "ann")
    assert row["last_poll"] is None
    opens = datetime.fromisoformat(row["next_poll"].replace("Z", "+00:00"))
    assert 7.9 * 3600 < (opens - datetime.now(timezone.utc)).total_seconds() <= 8 * 3600
    many.run("poll", "ann").expect(DONE)
    many.hop.wait(1)
    row = account(many, "ann")
    assert row["result"] == "ok" and 7.9 * 3600 < seconds_ahead(row) <= 8 * 3600
    assert many.terminate() == 0
    assert [e["id"] for e in many.events(4000) if e["account"] == "ann"] == [4000]  # that one


def test_once_collects_outside_the_window(many, monkeypatch):
    local_time(monkeypatch, 12, 0, 0)
    add(many, "ann", window="Mon-Sun 20:00-21:00")
    many.server.put(message(), user="ann")
    many.once("ann")
    many.hop.wait(1)


def test_it_is_polled_when_the_window_opens(many, monkeypatch):
    local_time(monkeypatch, 6, 59, 55)
    add(many, "ann", window="07:00-08:00", every="10s")
    begin = time.monotonic()
    many.start()
    many.wait_line(r"event=4001 .*account=ann\b", 20)
    assert time.monotonic() - begin > 2


def test_a_window_that_is_none_is_refused(many):
    add(many, "ann", window="Mon-Fri 07:00-25:00")
    said = many.run("check")
    assert said.status == 78
    assert "accounts.ann.window: expected hours such as 07:00-20:00" in said.out + said.err


@pytest.mark.parametrize(("reply", "caps", "every", "event", "ahead"), [
    (b"-ERR [IN-USE] another session\r\n", [], "1h", 4004, 60),
    (b"-ERR [IN-USE] another session\r\n", [], "10s", 4004, 10),
    (b"-ERR [LOGIN-DELAY] too soon\r\n", [], "10s", 4004, 300),
    (b"-ERR [LOGIN-DELAY] too soon\r\n", ["LOGIN-DELAY 900"], "10s", 4004, 900),
    (b"-ERR [SYS/TEMP] the disk is ill\r\n", [], "1h", 4002, 60),
    (b"-ERR [AUTH] no\r\n", [], "10m", 4003, 600),
    (b"-ERR no\r\n", [], "10m", 4003, 600),
])
def test_a_refusal_decides_when_the_next_poll_comes(many, reply, caps, every, event, ahead):
    many.server.answers["PASS"] = lambda s, _: s.ledger.logins.append((s.user, False)) or reply
    many.server.caps = [*many.server.caps, *caps]
    add(many, "ann", every=every)
    many.start()
    many.run("poll", "ann")  # waits for the poll at the start, or is the second
    many.terminate()
    tried = logons(many, "ann")
    assert tried in (1, 2)
    refused = many.events(event)
    assert len(refused) == tried and reply.split(b"]")[-1].decode().strip(" \r\n-") in refused[0]["text"]
    assert ahead - 1 <= seconds_ahead(account(many, "ann")) <= ahead * 2 ** (tried - 1) + 1


def test_the_delay_between_logons_is_kept_by_good_polls_too(many):
    many.server.caps = [*many.server.caps, "LOGIN-DELAY 900 USER"]
    add(many, "ann", every="10s")
    many.start()
    many.wait_line(r"event=4001 .*account=ann\b")
    many.terminate()
    assert 890 < seconds_ahead(account(many, "ann")) <= 901


def test_a_refused_logon_is_not_repeated_for_ever(many):
    """Less and less often; after five times only after a quarter of an hour and more, or
    when the password is another one."""
    add(many, "ann", every="1m", password="wrong")
    add(many, "bob", every="10s")
    many.start()
    many.wait_line(r"event=4003\b")
    waits = []
    while len(waits) < 5:
        waits.append(round(seconds_ahead(account(many, "ann")) / 60))
        if len(waits) < 5:
            many.run("poll", "ann").expect(FAILED)
    assert waits == [1, 2, 4, 8, 15]
    assert logons(many, "ann") == len(many.events(4003)) == 5
    assert len(many.events(4019)) == 1
    # It is not tried while the other account goes on.
    many.wait_line(r"event=4001 .*account=bob\b", 20, start=len(many.lines))
    assert logons(many, "ann") == 5
    (many.dir / "secret-ann").write_text("secret\n")
    many.run("poll", "ann").expect(DONE)
    assert round(seconds_ahead(account(many, "ann")) / 60) == 1


def test_two_accounts_of_one_mailbox_are_never_there_together(many):
    """The second waits for the first, also when that one is refused."""
    door = Doorman(many.server)
    add(many, "first", user="ann")
    add(many, "second", user="ann")
    add(many, "third", user="ann", password="wrong")
    add(many, "bob")
    many.start()
    assert door.came.wait(10)
    many.wait_line(r"event=4000 .*account=bob\b")  # who has a mailbox of his own
    door.open.set()
    for name, event in (("first", 4001), ("second", 4001), ("third", 4003), ("bob", 4001)):
        many.wait_line(rf"event={event} .*account={name}\b")
    assert door.most["ann"] == 1 and logons(many, "ann") == 3


def test_once_collects_a_mailbox_of_two_names_twice(many):
    door = Doorman(many.server)
    door.open.set()
    add(many, "first", user="ann")
    add(many, "second", user="ann")
    many.server.put(message(), user="ann")
    many.once()
    assert door.most["ann"] == 1 and len(many.server.sessions) == 2
    many.hop.wait(1)


def test_check_online_does_not_push_into_a_poll(many):
    door = Doorman(many.server)
    add(many, "ann")
    door.open.set()
    many.run("check", "--online").expect(DONE)  # there is no state yet
    sessions = len(many.server.sessions)
    door.open.clear()
    door.came.clear()
    many.start()
    assert door.came.wait(10)
    said = many.run("check", "--online", write=False).expect(FAILED)
    assert "another poll of the same mailbox is under way here" in said.out
    assert len(many.server.sessions) == sessions + 1 and door.most["ann"] == 1
    door.open.set()
    many.wait_line(r"event=4001 .*account=ann\b")
    many.run("check", "--online", write=False).expect(DONE)


def test_a_provider_that_never_greets_does_not_hold_up_the_others(many):
    with contextlib.closing(socket.create_server(("127.0.0.1", 0), backlog=512)) as silent:
        port = silent.getsockname()[1]
        for i in range(NEVER_GREETS):
            many.account(f"silent{i}", port, user=f"silent{i}", every="1h")
        add(many, "ann", every="10s")
        many.server.put(message(), user="ann")
        many.start()
        many.hop.wait(1, 20)
        many.wait_line(r"event=4001 .*account=ann\b")
        seen = len(many.lines)
        many.run("poll", "ann").expect(DONE)
        many.wait_line(r"event=4001 .*account=ann\b", 20, start=seen + 1)  # and on time
        assert not re.search(r"account=silent\d+.*event=4002|event=4002.*account=silent", many.log())
        assert many.terminate() == 0
