"""A stored body that is lost or altered is never delivered: it is said, what is left of it is
in Badmail, and where the provider still has the message it is collected again."""
import sqlite3

import pytest
from harness.message import message
from harness.postern import DONE, FAILED


def spool_gone(pt):
    [path] = (pt.state / "spool").iterdir()
    path.unlink()


def spool_altered(pt):
    [path] = (pt.state / "spool").iterdir()
    data = bytearray(path.read_bytes())
    data[-5] ^= 1
    path.write_bytes(data)


def row_altered(pt):
    with sqlite3.connect(pt.state / "postern.db") as db:
        db.execute("UPDATE body SET bytes = CAST(substr(bytes, 1, length(bytes) - 5) || 'y' ||"
                   " substr(bytes, -4) AS BLOB)")


@pytest.mark.parametrize("harm, size", [(spool_gone, 200_000), (spool_altered, 200_000), (row_altered, 2000)])
def test_a_damaged_body_is_collected_again(pt, pop3, sink, harm, size):
    server, hop = pop3(), sink()
    server.put(message(subject="one", body=b"x" * size + b"\r\n"))
    hop.answers["MAIL"] = "451 4.3.0 later"
    pt.route("contoso.test", hop.route)
    pt.account("contoso", server.port, keep="forever")
    pt.once(status=(DONE, FAILED))
    [row] = pt.queue()
    harm(pt)
    hop.answers.clear()
    pt.run("queue", "retry", row["id"])
    pt.once(status=(DONE, FAILED))
    pt.once(status=(DONE, FAILED))
    [event] = pt.events(5009)
    assert event["id"] == 5009 and "collects it again" in event["disp"], event
    bodies = [m.data for m in hop.mails if b"x" * 100 in m.data]
    assert len(bodies) == 1 and bodies[0].endswith(b"x" * size + b"\r\n"), [m.data[:300] for m in hop.mails]
    told = [m.data for m in hop.mails if b"the stored body is damaged" in m.data]
    assert len(told) == 1 and len(hop.mails) == 2
    [bad] = pt.badmail_list()
    assert bad["reason"] == "general"
    assert pt.queue() == [] and len(server.left()) == 1


def test_a_damaged_body_that_is_nowhere_else_is_said(pt, pop3, sink):
    server, hop = pop3(), sink()
    server.put(message(subject="one", body=b"x" * 2000 + b"\r\n"))
    hop.answers["MAIL"] = "451 4.3.0 later"
    pt.route("contoso.test", hop.route)
    pt.account("contoso", server.port)
    pt.once(status=(DONE, FAILED))
    assert server.left() == []
    [row] = pt.queue()
    row_altered(pt)
    hop.answers.clear()
    pt.run("queue", "retry", row["id"])
    pt.once(status=(DONE, FAILED))
    [event] = pt.events(5009)
    assert event["disp"] == "what is left of it goes to Badmail"
    assert not any(b"x" * 100 in m.data for m in hop.mails) and len(hop.mails) == 1
    assert len(pt.badmail()) == 1 and pt.queue() == []
