"""Collected mail that fails at the next hop: the postmaster is told, nobody outside is
(RECIPIENTS.md E9, SPEC promise 4), and the mail itself is in Badmail."""
import email
import email.policy
import smtplib
import sqlite3
import time

import pytest
from harness.message import check_same, message
from harness.net import wait_for
from harness.postern import DONE, FAILED

PLAIN = ("PIPELINING", "8BITMIME", "ENHANCEDSTATUSCODES", "SIZE 104857600")
NO_BOB = "550 5.1.1 no such user"


@pytest.fixture
def box(pt, pop3, sink):
    """contoso.test is delivered by LMTP to a hop that knows no bob; what is for fabrikam.test,
    and so what is for our postmaster, goes to Drop."""
    pt.server = pop3()
    pt.account("contoso", pt.server.port)
    pt.put = pt.server.put
    pt.hop = sink(lmtp=True)
    pt.hop.answers["RCPT bob@contoso.test"] = NO_BOB
    pt.route("contoso.test", pt.hop.route)
    pt.policy("fabrikam", "fabrikam.test")
    pt.conf["server"]["postmaster"] = "admin@fabrikam.test"
    return pt


def notices(mails):
    """Those among the mails of a sink, or the files of Drop, that are notices."""
    return [m for m in mails if b"\r\nX-Postern-Notice: " in m.data]


def read(mail):
    """The words of a notice and the header that is attached."""
    assert mail.sender in ("", None)
    m = email.message_from_bytes(mail.data, policy=email.policy.default)
    assert m["Auto-Submitted"] == "auto-replied" and m["Message-ID"].endswith("@gw.contoso.test>")
    assert m.get_content_type() == "multipart/mixed"
    words, header = m.get_payload()
    assert words.get_content_type() == "text/plain" and header.get_content_type() == "text/rfc822-headers"
    return words.get_content().replace("\r", ""), header.get_payload(decode=True)


def badmail_of(box, sent):
    """The item with this message."""
    subject = [line for line in sent.split(b"\r\n") if line.startswith(b"Subject: ")][0]
    [bad] = [b for b in box.badmail() if subject in b.data and b"X-Postern-Notice" not in b.data]
    check_same(sent, bad.data)
    return bad


def test_one_of_two_recipients_is_refused(box):
    sent = message(to="ann@contoso.test, bob@contoso.test", subject="seldom seen", body=b"the secret of the body\r\n")
    box.put(sent)
    box.conf["log"] = {"level": 1}
    report = box.once(status=FAILED)
    # The report tells of mail that came, not of what was written about it.
    assert (report["delivered"], report["refused"], report["badmail"]) == (1, 1, 1)
    [ann] = [m for m in box.hop.mails if m.sender]
    assert ann.recipients == ["ann@contoso.test"]
    [told] = notices(box.hop.mails)
    assert told.recipients == ["postmaster@contoso.test"] and box.drop() == []
    bad = badmail_of(box, sent)
    words, header = read(told)
    assert "mailbox contoso" in words and "  bob@contoso.test\n" in words
    assert f"127.0.0.1:{box.hop.port} said:\n    {NO_BOB}\n" in words
    assert f"postern trace {bad.id}\n" in words and f"postern badmail replay {bad.id}\n" in words
    assert "ann@contoso.test" not in words
    assert b"Subject: seldom seen\r\n" in header and b"the secret of the body" not in told.data
    [event] = box.events(3012)
    assert "Non-delivery report for bob@contoso.test suppressed: collected mail" in event["text"]
    assert "postmaster@contoso.test is told" in event["text"]
    [copy] = box.events(3013)
    assert copy["address"] == "postmaster@contoso.test"
    box.run("trace", copy["notice"]).expect(DONE)
    # What it advises works: the reason is mended, the mail is sent again.
    del box.hop.answers["RCPT bob@contoso.test"]
    box.run("badmail", "replay", bad.id).expect(DONE)
    box.once()
    assert [m.recipients for m in box.hop.mails if m.sender][-1] == ["bob@contoso.test"]
    assert len(notices(box.hop.mails)) == 1 and box.queue() == []


def test_smtp_hop_and_a_domain_without_a_postmaster_of_its_own(box, sink):
    """It is the postmaster who failed: ours is told, by another route."""
    hop = sink(extensions=(*PLAIN, "DSN"))
    hop.answers = {"RCPT Postmaster@contoso.test": "550 5.1.1 nobody here", "RCPT bob@contoso.test": NO_BOB}
    box.route("contoso.test", hop.route)
    box.put(message(to="ann@contoso.test, Postmaster@contoso.test, bob@contoso.test"))
    box.once(status=FAILED)
    assert [m.recipients for m in hop.mails] == [["ann@contoso.test"]]
    [told] = notices(box.drop())
    assert told.recipients == ["admin@fabrikam.test"]
    words, _ = read(told)
    assert words.count(NO_BOB) == 1 and "    550 5.1.1 nobody here\n" in words
    # E9: where DSN is offered, no next hop is to report on its own either.
    said = [c for c in hop.commands if c.startswith("RCPT")]
    assert len(said) == 3 and all(c.endswith("> NOTIFY=NEVER") for c in said)


def test_each_postmaster_is_told_of_his_own(box, sink):
    hop = sink()
    hop.answers = {"RCPT": "550 5.7.1 go away", "RCPT postmaster@fabrikam.test": "250 2.1.5 ok"}
    box.route("fabrikam.test", hop.route)
    box.put(message(to="bob@contoso.test, cid@fabrikam.test, dan@fabrikam.test"))
    box.once(status=FAILED)
    [one], [two] = notices(box.hop.mails), notices(hop.mails)
    assert one.recipients == ["postmaster@contoso.test"] and two.recipients == ["postmaster@fabrikam.test"]
    assert "bob@" in read(one)[0] and "fabrikam" not in read(one)[0]
    assert "cid@" in read(two)[0] and "dan@" in read(two)[0] and "bob@" not in read(two)[0]


def test_a_notice_that_fails_goes_to_badmail_only(box):
    """The postmaster is refused too: nothing is written about a notice."""
    box.hop.answers["RCPT postmaster@contoso.test"] = "550 5.1.1 no postmaster either"
    sent = message(to="bob@contoso.test")
    box.put(sent)
    report = box.once(status=FAILED)
    assert box.hop.mails == [] and box.drop() == [] and box.queue() == []
    badmail_of(box, sent)
    [notice] = notices(box.badmail())
    assert "no postmaster either" in notice.reason and len(box.badmail()) == 2
    assert report["badmail"] == 1 and len(box.events(3012)) == 1
    box.once()
    assert len(box.badmail()) == 2 and box.hop.mails == []


def test_one_that_comes_back_is_not_told_of(box):
    """A notice that went out and into the mailbox again, and fails again."""
    box.put(message(to="bob@contoso.test", headers=["X-Postern-Notice: gw.contoso.test"]))
    box.once(status=FAILED)
    assert box.hop.mails == [] and box.drop() == [] and len(box.badmail()) == 1


def test_what_the_relay_refused_is_not_told_of(box):
    """E11: relay-denied stays Badmail with its events."""
    box.conf["accounts"]["contoso"]["domains"] = ["contoso.test", "nwtraders.test"]
    box.put(message(to="ann@contoso.test, eve@nwtraders.test"))
    box.once(status=FAILED)
    assert len(box.hop.mails) == 1 and notices(box.hop.mails) == [] and box.drop() == []
    assert box.events(3012) == [] and len(box.badmail()) == 1


def test_mail_that_was_not_collected_is_not_told_of(box):
    box.start()
    with smtplib.SMTP("127.0.0.1", box.port) as c:
        c.sendmail("max@nwtraders.test", ["bob@contoso.test"], message(to="bob@contoso.test"))
    box.wait_line(r"event=4117\b")
    assert box.hop.mails == [] and box.drop() == []


def test_expired_mail_is_told_of(box):
    box.conf["delivery"].update({"expire": "2s", "retry": ["1s"]})
    box.hop.answers["RCPT bob@contoso.test"] = "451 4.2.2 the mailbox is full"
    sent = message(to="bob@contoso.test")
    box.put(sent)
    assert box.once()["deferred"] == 1 and notices(box.hop.mails) == []

    def given_up():
        box.once(status=(DONE, FAILED))
        return box.badmail()

    wait_for(given_up, 30, "the message to expire")
    box.once()
    [told] = notices(box.hop.mails)
    words, _ = read(told)
    assert "was tried for 0 h 0 min and is given up" in words and "451 4.2.2 the mailbox is full" in words
    badmail_of(box, sent)


def test_without_badmail_it_says_where_the_mail_is(box):
    box.conf["badmail"] = {"enabled": False}
    box.put(message(to="bob@contoso.test"))
    box.once(status=(DONE, FAILED))
    [row] = box.queue()
    words, _ = read(notices(box.hop.mails)[0])
    assert f"postern queue show {row['id']}\n" in words and "postern badmail" not in words
    box.once(status=(DONE, FAILED))
    assert len(notices(box.hop.mails)) == 1


@pytest.mark.parametrize("where", ["submit", "mail", "notice counted", "before", "after", "badmail"])
def test_killed_between(box, where):
    """At no point is the notice lost, nor told twice."""
    points = {"submit": "store: before commit", "mail": "store: before commit#2", "notice counted": "store: notice counted",
              "before": "store: before commit#3", "after": "store: after commit, before answers#2",
              "badmail": "store: after commit, before answers#3"}
    sent = message(to="ann@contoso.test, bob@contoso.test")
    box.put(sent)
    assert box.run("once", env={"POSTERN_CRASH": points[where]}).status < 0, "it was not killed"
    box.once(status=(DONE, FAILED))
    [told] = notices(box.hop.mails)
    assert told.recipients == ["postmaster@contoso.test"] and "  bob@contoso.test\n" in read(told)[0]
    badmail_of(box, sent)
    assert box.queue() == [] and box.server.left() == []
    box.once()
    assert len(notices(box.hop.mails)) == 1


def test_many_failures_are_counted(box):
    """Twenty within an hour, then one that says how many more."""
    for i in range(24):
        box.put(message(to="bob@contoso.test", subject=f"number {i}"))
    box.once(status=FAILED)
    assert len(notices(box.hop.mails)) == 20 and len(box.badmail()) == 24
    assert len([e for e in box.events(3012) if "has had enough notices" in e["text"]]) == 4
    box.once()
    assert len(box.hop.mails) == 20  # not yet
    db = sqlite3.connect(box.state / "postern.db")
    with db:
        assert db.execute("UPDATE notice SET began_ms = began_ms - 3600000").rowcount == 1
    db.close()
    box.once()
    assert len(box.hop.mails) == 21
    digest = email.message_from_bytes(box.hop.mails[-1].data, policy=email.policy.default)
    assert box.hop.mails[-1].sender == "" and digest["Auto-Submitted"] == "auto-replied"
    assert "\n4 more failures of collected mail" in digest.get_content().replace("\r", "")
    box.once()
    assert len(box.hop.mails) == 21


def test_service_tells_of_the_rest_by_itself(box):
    for i in range(21):
        box.put(message(to="bob@contoso.test", subject=f"number {i}"))
    box.once(status=FAILED)
    db = sqlite3.connect(box.state / "postern.db")
    with db:
        db.execute("UPDATE notice SET began_ms = ?", [int(time.time() * 1000) - 3600000])
    db.close()
    box.start()
    mails = box.hop.wait(21)
    assert b"\r\n1 more failures of collected mail" in mails[-1].data
