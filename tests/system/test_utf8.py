"""Addresses that are not ASCII (RFC 6531; RECIPIENTS.md E5; FAULTS C10)."""
import email.message
import email.policy
import smtplib

import pytest
from harness.message import check_same, essence, message
from harness.net import wait_for
from harness.postern import DONE, FAILED

OLD = ("PIPELINING", "8BITMIME", "ENHANCEDSTATUSCODES", "SIZE 104857600")
NEW = (*OLD, "SMTPUTF8")
JOERG = "jörg@contoso.test"


def wire(text):
    """As the sink, which reads Latin-1, shows UTF-8."""
    return text.encode().decode("latin-1")


@pytest.fixture
def box(pt, pop3):
    pt.server = pop3()
    pt.account("contoso", pt.server.port)
    pt.put = pt.server.put
    return pt


def test_collected_for_a_utf8_local_part_to_drop(box):
    """It is a recipient like others; the wire form keeps its case and its bytes, and the queue finds it."""
    sent = message(to=f"Jörg <{JOERG}>, ann@contoso.test")
    box.put(sent)
    report = box.once()
    assert (report["delivered"], report["badmail"]) == (2, 0)
    [dropped] = box.drop()
    assert dropped.recipients == [wire(JOERG), "ann@contoso.test"]
    check_same(sent, dropped.data)
    assert box.server.left() == []


def test_explain_says_who_gets_it(box):
    path = box.dir / "m.eml"
    path.write_bytes(message(to=JOERG))
    told = box.ask("explain", path, "--account", "contoso")
    assert [r["address"] for r in told["recipients"]] == [JOERG] and told["refused"] == []
    assert [(c["address"], c["kept"]) for c in told["candidates"]] == [(JOERG, True)]


def test_latin_1_is_no_address(box):
    box.put(message(to="X").replace(b"To: X", b"To: j\xf6rg@contoso.test"))
    box.once()
    [dropped] = box.drop()
    assert dropped.recipients == ["postmaster@contoso.test"]


def test_maildir_of_a_utf8_local_part(box):
    box.route("contoso.test", f"maildir:{box.dir}/mail/%d/%u")
    sent = message(to=f"{JOERG}, {'ü' * 32}@contoso.test")
    box.put(sent)
    box.once()
    for user in ("jörg", "ü" * 32):
        [path] = (box.dir / "mail/contoso.test" / user / "new").iterdir()
        check_same(sent, path.read_bytes())


@pytest.mark.parametrize("lmtp", [False, True], ids=["smtp", "lmtp"])
def test_next_hop_that_offers_it(box, sink, lmtp):
    hop = sink(lmtp=lmtp, extensions=NEW)
    box.route("contoso.test", hop.route)
    sent = message(to=f"{JOERG}, ann@contoso.test")
    box.put(sent)
    assert box.once()["delivered"] == 2
    [got] = hop.mails
    assert got.recipients == [wire(JOERG), "ann@contoso.test"]
    assert "SMTPUTF8" in got.parameters.split() and "BODY=8BITMIME" in got.parameters.split()
    check_same(sent, got.data)


@pytest.mark.parametrize("lmtp", [False, True], ids=["smtp", "lmtp"])
def test_next_hop_that_does_not(box, sink, lmtp):
    """5.6.7 for that one recipient, in words; the others get it, and nothing is rewritten."""
    hop = sink(lmtp=lmtp, extensions=OLD)
    box.route("contoso.test", hop.route)
    sent = message(to=f"{JOERG}, ann@contoso.test")
    box.put(sent)
    report = box.once(status=FAILED)
    assert (report["delivered"], report["badmail"]) == (1, 1)
    [got] = [m for m in hop.mails if m.sender]
    assert got.recipients == ["ann@contoso.test"] and "SMTPUTF8" not in got.parameters
    assert not [c for c in hop.commands if not c.isascii()]
    [bad] = box.badmail()
    assert "553 5.6.7 the address is not ASCII, and the next hop does not offer SMTPUTF8" in bad.reason
    assert JOERG in bad.reason
    check_same(sent, bad.data)
    # The postmaster is told, in UTF-8 text and an ASCII envelope.
    [told] = [m for m in hop.mails if not m.sender]
    assert told.recipients == ["postmaster@contoso.test"] and JOERG.encode() in told.data


def test_collected_from_a_utf8_sender(box, sink):
    """Where it cannot be said, an ASCII recipient gets the mail with the null sender, which
    is what a bounce of collected mail would have to go to anyway (E9)."""
    old, new = sink(extensions=OLD), sink(extensions=NEW)
    box.policy("fabrikam", "fabrikam.test")
    box.route("contoso.test", old.route).route("fabrikam.test", new.route)
    sent = message(to="ann@contoso.test, bob@fabrikam.test", headers=[
        "Return-Path: <mäx@nwtraders.test>", "Received: from a by pop.isp.test; Mon, 5 Jan 2026 10:00:00 +0000"])
    box.put(sent)
    assert box.once()["delivered"] == 2
    assert [(m.sender, "SMTPUTF8" in m.parameters) for m in old.mails] == [("", False)]
    assert [(m.sender, "SMTPUTF8" in m.parameters) for m in new.mails] == [(wire("mäx@nwtraders.test"), True)]
    assert essence(old.mails[0].data) == essence(sent)


def test_a_domain_that_is_not_ascii_goes_out_as_a_labels(box, sink):
    hop = sink(extensions=OLD)
    box.policy("books", "xn--bcher-kva.test")
    box.route("xn--bcher-kva.test", hop.route)
    box.put(message(to="ann@BÜCHER.test, bob@bücher.test, ann@xn--bcher-kva.test"))
    assert box.once()["delivered"] == 2
    [got] = hop.mails
    assert got.recipients == ["ann@xn--bcher-kva.test", "bob@xn--bcher-kva.test"]


def eai(to, sender="mäx@nwtraders.test"):
    m = email.message.EmailMessage(policy=email.policy.SMTPUTF8)
    m["From"], m["To"], m["Subject"], m["Message-ID"] = sender, to, "grüße", "<ü@nwtraders.test>"
    m.set_content("Guten Morgen.\n")
    return m


@pytest.fixture
def relay(pt, sink):
    pt.inside = sink(extensions=NEW)
    pt.route("contoso.test", pt.inside.route)
    pt.policy("books", "xn--bcher-kva.test")
    return pt


def test_smtplib_submits_it(relay):
    relay.start()
    with smtplib.SMTP("127.0.0.1", relay.port) as c:
        assert c.ehlo("client.test")[0] == 250 and c.has_extn("smtputf8")
        assert c.send_message(eai(JOERG)) == {}
        assert c.docmd("NOOP")[0] == 250
    [got] = relay.inside.wait(1)
    assert got.sender == wire("mäx@nwtraders.test") and got.recipients == [wire(JOERG)]
    assert "SMTPUTF8" in got.parameters.split()
    received = got.data.split(b"\r\n", 1)[0].decode()
    assert " with UTF8SMTP id " in received and f" for <{JOERG}>; " in received
    assert "Subject: grüße\r\n".encode() in got.data


def test_an_ascii_envelope_that_came_with_it_goes_on_with_it(relay):
    relay.start()
    with smtplib.SMTP("127.0.0.1", relay.port) as c:
        c.ehlo("client.test")
        for options in (["SMTPUTF8"], []):
            c.sendmail("max@nwtraders.test", ["ann@contoso.test"], message(subject=f"with {options}"), options)
    one, two = relay.inside.wait(2)
    asked = {m.data.split(b"Subject: with ")[1][:3]: "SMTPUTF8" in m.parameters for m in (one, two)}
    assert asked == {b"['S": True, b"[]\r": False}
    assert b" with ESMTP id " in one.data + two.data and b" with UTF8SMTP id " in one.data + two.data


def test_without_it_or_without_ehlo_no_address_is_but_ascii(relay):
    relay.start()

    def say(c, line):
        code, text = c.docmd(line)
        return f"{code} {text.decode()}"

    no = "553 5.6.7 Address is not ASCII, and SMTPUTF8 was not asked for"
    with smtplib.SMTP("127.0.0.1", relay.port) as c:
        c.command_encoding = "utf-8"
        code, text = c.helo("client.test")
        assert code == 250 and b"SMTPUTF8" not in text
        assert say(c, "MAIL FROM:<max@nwtraders.test> SMTPUTF8").startswith("555 5.5.4 ")
        code, text = c.ehlo("client.test")
        assert b"SMTPUTF8" in text.split(b"\n")
        assert say(c, "MAIL FROM:<mäx@nwtraders.test>") == no
        assert say(c, "MAIL FROM:<max@nwtraders.test> SMTPUTF8=1").startswith("501 5.5.4 ")
        assert say(c, "MAIL FROM:<max@nwtraders.test>").startswith("250 ")
        assert say(c, f"RCPT TO:<{JOERG}>") == no
        assert say(c, "RCPT TO:<ann@bücher.test>") == no
        assert say(c, "RSET").startswith("250 ")
        c.command_encoding = "latin-1"
        assert say(c, f"MAIL FROM:<{JOERG}> SMTPUTF8").startswith("500 5.5.2 ")
        c.command_encoding = "utf-8"
        assert say(c, f"VRFY {JOERG} SMTPUTF8").startswith("252 ")
        assert say(c, f"MAIL FROM:<{JOERG}> SMTPUTF8") == f"250 2.1.0 {JOERG}....Sender OK"
        assert say(c, "RCPT TO:<jörg@nwtraders.test>") == "550 5.7.1 Unable to relay for jörg@nwtraders.test"
        assert say(c, "RCPT TO:<jörg@bücher.test>") == "250 2.1.5 jörg@bücher.test"


def test_a_real_server_takes_it(relay, postfix_server):
    postfix = postfix_server()
    relay.route("contoso.test", f"smtp:127.0.0.1:{postfix.port}")
    relay.start()
    with smtplib.SMTP("127.0.0.1", relay.port) as c:
        c.send_message(eai(JOERG))
    wait_for(postfix.delivered, 20, "the mail in Postfix")
    [got] = postfix.delivered()
    assert f"Delivered-To: {JOERG}".encode() in got and b" with UTF8SMTP id " in got


def test_a_client_whose_mail_cannot_go_on(pt, sink):
    """Not collected: the sender who is not ASCII has asked for it, so nothing is sent in another name."""
    pt.inside = sink(extensions=OLD)
    pt.route("contoso.test", pt.inside.route)
    pt.start()
    with smtplib.SMTP("127.0.0.1", pt.port) as c:
        c.send_message(eai("ann@contoso.test"))
    pt.wait_line(r"event=4117\b")
    assert pt.inside.mails == []
    [bad] = pt.badmail()
    assert "553 5.6.7 the sender is not ASCII, and the next hop does not offer SMTPUTF8" in bad.reason
    assert pt.run("queue", "list").expect(DONE)
