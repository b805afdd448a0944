"""What nobody may have: refused on the wire, told, kept, and replayed."""
import re
import sqlite3

import pytest
from harness.message import check_same, message
from harness.net import wait_for
from harness.postern import BAD_CONFIG, DONE, FAILED

SHAPE_4032 = """EVENT ID: 4032
A recipient has been processed. Recipient information:
NDR Status Code: 504
Error Code: 00000000
SMTP Reply: 550 5.7.1 Unable to relay for bob@fabrikam.test
SMTP Name: bob@fabrikam.test
SMTP Host: gw.contoso.test
"""

SHAPE_4022 = re.compile(r"""EVENT ID: 4022
The SMTP session transcript was:
<G>: 220 gw\.contoso\.test Postern ESMTP MAIL Service ready at [^\n]+
<C>: EHLO [^\n]+
<S>: 250-gw\.contoso\.test Hello [^\n]+
(?:250[- ][^\n]+\n)+(?:<[CS]>: [^\n]+\n|250[- ][^\n]+\n)*<C>: RCPT TO:<bob@fabrikam\.test>
(?:<C>: [^\n]+\n)*(?:<S>: [^\n]+\n)*<S>: 550 5\.7\.1 Unable to relay for bob@fabrikam\.test
""")


@pytest.fixture
def refused(pt, pop3):
    """One message for ann (listed) and bob (not), collected at the default log level."""
    server = pop3()
    pt.sent = message(to="ann@contoso.test, bob@fabrikam.test", body=b"a\0b\rc\nd\r\n")
    server.put(pt.sent)
    pt.account("contoso", server.port, domains=["contoso.test", "fabrikam.test"])
    pt.report = pt.once(status=FAILED)
    assert server.left() == []
    return pt


def test_unlisted_domain_goes_to_badmail_with_its_reason(refused):
    assert [d.recipients for d in refused.drop()] == [["ann@contoso.test"]]
    assert (refused.report["refused"], refused.report["badmail"], refused.report["delivered"]) == (1, 1, 1)
    [bad] = refused.badmail()
    check_same(refused.sent, bad.data)
    assert "550 5.7.1 Unable to relay for bob@fabrikam.test" in bad.reason
    assert "relay-denied" in bad.reason or "relay-denied" in str(bad.record)
    [row] = refused.badmail_list()
    assert row["reason"] == "relay-denied" and row["id"] == bad.id and row["message_id"]
    assert set(row) >= {"id", "reason", "event", "sender", "recipients", "message_id", "size", "time"}
    assert "bob@fabrikam.test" in str(row["recipients"])


def test_events_4032_and_4022_to_the_letter(refused):
    assert SHAPE_4032 in refused.run("events", "--id", "4032").expect(DONE).out + "\n"
    text = refused.run("events", "--id", "4022").expect(DONE).out + "\n"
    assert SHAPE_4022.search(text), text
    assert "Good morning" not in text and "a\0b" not in text
    for number in (4032, 4022):
        for e in refused.events(number):
            assert set(e) >= {"time", "id", "level", "name", "text"} and e["id"] == number


def test_log_at_the_default_level_tells_it(pt, pop3):
    server = pop3()
    server.put(message(to="bob@fabrikam.test"))
    pt.account("contoso", server.port, domains=["contoso.test", "fabrikam.test"])
    err = pt.run("once").expect(FAILED).err
    assert re.search(r"^\S+ \S+ event=4032 ", err, re.M), err
    assert re.search(r"^  SMTP Reply: 550 5\.7\.1 Unable to relay for bob@fabrikam\.test$", err, re.M), err
    assert re.search(r"^\S+ \S+ event=4022 ", err, re.M) and re.search(r"^  <C>: RCPT TO:<bob@fabrikam\.test>$", err, re.M)
    assert [d.recipients for d in pt.drop()] == []


def test_policy_add_and_replay_deliver_it(refused):
    [bad] = refused.badmail()
    refused.conf["log"] = {"level": 1}  # 2010 is of level 1
    answer = refused.ask("policy", "test", "bob@fabrikam.test")
    assert answer["accepted"] is False and answer["reply"] == "550 5.7.1 Unable to relay for bob@fabrikam.test"
    early = refused.run("badmail", "replay", bad.id)
    assert early.status == FAILED and "fabrikam.test" in early.out + early.err
    refused.run("policy", "add", "fabrikam.test").expect(DONE)
    assert refused.ask("policy", "test", "bob@fabrikam.test")["accepted"] is True
    dry = refused.run("badmail", "replay", bad.id, "--dry-run").expect(DONE)
    assert "bob@fabrikam.test" in dry.out and refused.queue() == []
    said = refused.run("badmail", "replay", bad.id).expect(DONE).out
    assert "bob@fabrikam.test" in said and "ann@contoso.test" not in said
    assert len(refused.queue()) == 1
    assert refused.once()["delivered"] == 1
    drops = {d.recipients[0]: d for d in refused.drop()}
    assert set(drops) == {"ann@contoso.test", "bob@fabrikam.test"}
    check_same(refused.sent, drops["bob@fabrikam.test"].data)
    # Nothing is left to serve: a second replay does nothing.
    refused.run("badmail", "replay", bad.id)
    refused.once()
    assert len(refused.drop()) == 2
    assert 2010 in [e["id"] for e in refused.events()]


def test_replay_to_a_running_service(pt, pop3, sink):
    hop = sink()
    server = pop3()
    server.put(message(to="bob@fabrikam.test"))
    pt.route("fabrikam.test", hop.route)
    pt.account("contoso", server.port, domains=["contoso.test", "fabrikam.test"])
    pt.start()
    wait_for(pt.badmail, 20, "a Badmail")
    pt.run("policy", "add", "fabrikam.test").expect(DONE)
    pt.run("badmail", "replay", pt.badmail()[0].id).expect(DONE)
    assert hop.wait(1)[0].recipients == ["bob@fabrikam.test"]
    assert pt.terminate() == 0


def test_replay_to_another_address(refused):
    [bad] = refused.badmail()
    refused.run("badmail", "replay", bad.id, "--to", "cid@contoso.test").expect(DONE)
    refused.once()
    assert ["cid@contoso.test"] in [d.recipients for d in refused.drop()]


def test_badmail_show(refused):
    [bad] = refused.badmail()
    out = refused.run("badmail", "show", bad.id).expect(DONE).out
    assert "bob@fabrikam.test" in out and "550 5.7.1" in out
    assert refused.run("badmail", "show", "0000000000000").status == FAILED
    assert refused.run("badmail", "replay", "../../etc/passwd").status in (1, 2)


def test_explain_changes_nothing(pt, pop3):
    server = pop3()
    pt.account("contoso", server.port, domains=["contoso.test", "fabrikam.test"])
    pt.run("policy", "apply").expect(DONE)
    mail = pt.dir / "m.eml"
    mail.write_bytes(message(to="ann@contoso.test, bob@fabrikam.test, eve@nwtraders.test"))
    for said in (pt.ask("explain", mail, "--account", "contoso"),
                 pt.run("explain", "-", "--account", "contoso", "--json", input=mail.read_bytes()).expect(DONE).json()):
        assert [r["address"] for r in said["recipients"]] == ["ann@contoso.test"]
        assert [r["address"] for r in said["refused"]] == ["bob@fabrikam.test"]
        assert [c["address"] for c in said["candidates"]] == ["ann@contoso.test", "bob@fabrikam.test", "eve@nwtraders.test"]
        assert [bool(c["kept"]) for c in said["candidates"]][2] is False
        assert said["sender"] == "max@nwtraders.test" and said["account"] == "contoso" and said["source"]
    assert pt.queue() == [] and pt.drop() == [] and server.sessions == []


def test_badmail_that_cannot_be_written_is_said(pt, pop3):
    """edge 23. /proc takes no file from anybody, root included."""
    server = pop3()
    server.put(message(to="bob@fabrikam.test"))
    pt.account("contoso", server.port, domains=["contoso.test", "fabrikam.test"])
    pt.state.mkdir(0o700)
    (pt.state / "Badmail").symlink_to("/proc")
    said = pt.run("once").expect(FAILED)
    assert "Badmail could not be written 1 times" in said.err, said
    [event] = pt.events(5107)
    assert event["level"] == 0 and event["path"].endswith("/Badmail") and event["count"] == 1, event
    [row] = pt.queue()
    (pt.state / "Badmail").unlink()
    with sqlite3.connect(pt.state / "postern.db") as db:
        db.execute("UPDATE recipient SET next_ms = 0")  # a minute later
    assert pt.once(status=FAILED)["badmail"] == 1
    [bad] = pt.badmail()
    assert bad.id == row["id"]
    assert pt.queue() == []
