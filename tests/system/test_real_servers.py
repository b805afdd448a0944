"""The POP3 servers that Debian has, for real: what they hand out comes octet for octet and once.
tests/bench/servers.py has 201 messages for each of them; these are a sample."""
import time

import pytest
from harness import debian
from harness.line import Line
from harness.message import check_same
from harness.postern import DONE, FAILED
from test_collect import account_row

COUNT = 24


@pytest.fixture(params=debian.SERVERS)
def server(request, closing):
    why = debian.why_not(request.param)
    if why:
        pytest.skip(why)
    return closing(debian.filled(request.param, debian.varied(COUNT)))


def account(pt, server, port=None, **more):
    pt.account("contoso", port or server.port, user=server.login("global"), **more)


def poll(pt, **more):
    return account_row(pt.once(**more), "contoso")


def check_all_here_once(pt, want):
    drops = pt.drop()
    assert len(drops) == len(want), "lost or doubled"
    for d in drops:
        check_same(debian.plain(want[debian.message_id(d.data)]), debian.plain(d.data))


def test_collect_and_delete(pt, server):
    want = debian.handed_out(server)
    assert len(want) == COUNT
    account(pt, server)
    assert poll(pt)["collected"] == COUNT
    check_all_here_once(pt, want)
    assert debian.left(server) == 0
    row = poll(pt)
    assert row["collected"] == 0 and row["error"] is None


def test_keep_over_a_long_line(pt, server, closing):
    """Each poll goes well and takes no longer than its round trips, whatever the server does with
    a logon in one flight; nothing comes twice."""
    want = debian.handed_out(server)
    line = closing(Line(server.port))
    account(pt, server, line.port, keep="forever")
    assert poll(pt)["collected"] == COUNT
    for _ in range(2):
        began = time.monotonic()
        row = poll(pt)
        assert row["collected"] == 0 and row["error"] is None
        assert time.monotonic() - began < 20
    [one] = [m for m in debian.varied(COUNT + 1) if b"<v%d@" % COUNT in m]
    server.put("global", one)
    assert poll(pt)["collected"] == 1
    want.update(debian.handed_out(server))
    check_all_here_once(pt, want)
    assert debian.left(server) == COUNT + 1


def test_killed(pt, server):
    """In the middle, before DELE, and behind QUIT. What the next poll owes is deleted without a
    second copy, though some servers give only the header where TOP was asked first."""
    want = debian.handed_out(server)
    account(pt, server)
    for where in ("fetch: message in hand#9", "fetch: before DELE", "fetch: before QUIT", "fetch: QUIT confirmed"):
        assert pt.run("once", env={"POSTERN_CRASH": where}).status < 0, where
    for _ in range(2):
        poll(pt, status=(DONE, FAILED))
    check_all_here_once(pt, want)
    assert debian.left(server) == 0
