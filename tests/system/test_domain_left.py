"""A domain that is taken out of the policies while mail for it is queued (Q12)."""
import os
import signal
import smtplib

import pytest
from harness import net
from harness.message import message


@pytest.fixture
def waiting(pt, pop3, sink):
    """One collected message and one of a client, both put off by the next hop."""
    hop, server = sink(), pop3()
    hop.answers["RCPT ann@fabrikam.test"] = "451 4.3.2 later"
    pt.policy("fabrikam", "fabrikam.test")
    pt.route("fabrikam.test", hop.route)
    pt.account("contoso", server.port, domains=["fabrikam.test"])
    pt.start()
    server.put(message(to="ann@fabrikam.test", subject="collected"))
    pt.run("poll").expect(0)
    with smtplib.SMTP("127.0.0.1", pt.port) as c:
        c.sendmail("max@nwtraders.test", ["ann@fabrikam.test"], message(subject="sent").decode("latin-1"))
    net.wait_for(lambda: [m["status"] for m in pt.queue()] == ["deferred", "deferred"])
    hop.answers.clear()
    pt.hop = hop
    return pt


def states(pt):
    return [(r["route"], r["status"], r["last_reply"]) for m in pt.queue() for r in m["recipients"]]


def test_its_mail_waits_and_goes_on_when_it_is_back(waiting):
    pt = waiting
    pt.run("policy", "remove", "fabrikam.test").expect(0)
    pt.run("queue", "retry").expect(0)
    net.wait_for(lambda: len(pt.events(5010)) == 2)
    wanted = ("no-policy", "deferred", "4.7.1 its domain has left the recipient policies")
    net.wait_for(lambda: states(pt) == [wanted, wanted])
    assert {e["recipient"] for e in pt.events(5010)} == {"ann@fabrikam.test"}
    attempts = [m["recipients"][0]["attempts"] for m in pt.queue()]
    pt.run("queue", "retry").expect(0)  # once more: it waits on, and is not said again
    net.wait_for(lambda: [m["recipients"][0]["attempts"] for m in pt.queue()] == [n + 1 for n in attempts])
    assert len(pt.events(5010)) == 2 and pt.hop.mails == []
    pt.run("policy", "add", "fabrikam.test").expect(0)
    pt.hop.wait(2)
    net.wait_for(lambda: pt.queue() == [])
    assert pt.terminate() == 0


def test_it_goes_on_after_a_start_too(waiting):
    pt = waiting
    pt.run("policy", "remove", "fabrikam.test").expect(0)
    pt.run("queue", "retry").expect(0)
    net.wait_for(lambda: [s[0] for s in states(pt)] == ["no-policy"] * 2)
    assert pt.terminate() == 0
    pt.run("policy", "add", "fabrikam.test").expect(0)
    pt.start()
    pt.hop.wait(2)
    assert pt.terminate() == 0


def test_mail_of_who_may_relay_does_not_wait(pt, sink):
    hop = sink()
    hop.answers["RCPT ann@fabrikam.test"] = "451 4.3.2 later"
    pt.route("fabrikam.test", hop.route)
    pt.policy("fabrikam", "fabrikam.test")
    pt.conf["smtp"]["relay_from"] = ["127.0.0.1"]
    pt.start()
    with smtplib.SMTP("127.0.0.1", pt.port) as c:
        c.sendmail("bob@contoso.test", ["ann@fabrikam.test"], message(subject="sent").decode("latin-1"))
    net.wait_for(lambda: [m["status"] for m in pt.queue()] == ["deferred"])
    hop.answers.clear()
    pt.run("policy", "remove", "fabrikam.test").expect(0)
    pt.run("queue", "retry").expect(0)
    hop.wait(1)
    assert pt.events(5010) == []


def test_a_member_elsewhere_of_a_list_of_ours_does_not_wait(pt, sink):
    hop = sink()
    hop.answers["RCPT bob@home.test"] = "451 4.3.2 later"
    pt.route("home.test", hop.route)
    pt.run("recipient", "add", "staff", "--primary", "staff@contoso.test", "--member", "bob@home.test").expect(0)
    pt.start()
    with smtplib.SMTP("127.0.0.1", pt.port) as c:
        c.sendmail("max@nwtraders.test", ["staff@contoso.test"], message(subject="sent").decode("latin-1"))
    net.wait_for(lambda: [m["status"] for m in pt.queue()] == ["deferred"])
    hop.answers.clear()
    pt.run("policy", "add", "other.test").expect(0)  # another version of the policies
    pt.run("queue", "retry").expect(0)
    hop.wait(1)
    assert pt.events(5010) == []


def test_a_reload_without_its_policy_file_says_so_at_once(waiting):
    """Who is about to be sent, too: nothing waits for its next attempt to be judged by the new policies."""
    pt = waiting
    (pt.dir / "policies" / "fabrikam.yaml").unlink()
    os.kill(pt.proc.pid, signal.SIGHUP)
    pt.wait_line(r"event=1002\b")
    pt.run("policy", "remove", "fabrikam.test")
    pt.run("queue", "retry").expect(0)
    net.wait_for(lambda: len(pt.events(5010)) == 2)
    assert pt.hop.mails == []
