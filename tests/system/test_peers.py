"""The peers themselves: a fixture that lies by mistake would prove anything."""
import poplib
import smtplib
import ssl

import pytest
from harness import dovecot as dovecot_module
from harness import net, smtp_sink
from harness.message import check_same, essence, message


def test_dovecot_gives_what_was_put(dovecot, certs):
    d = dovecot(["global", "ann"], certs=certs, lmtp=True)
    d.put("global", b"To: x\n\n.a\nlast")
    d.start()
    assert list(dovecot_module.contents(d.port, "global").values()) == [b"To: x\r\n\r\n.a\r\nlast\r\n"]
    known = ssl.create_default_context(cafile=certs.ca.pem)
    p = poplib.POP3_SSL("localhost", d.tls_port, context=known)
    p.user("global")
    p.pass_("secret")
    assert p.stat()[0] == 1
    p.quit()
    with smtplib.LMTP("127.0.0.1", d.lmtp_port) as s:
        assert s.sendmail("a@b.test", "ann@contoso.test", message()) == {}
    assert len(d.messages("ann")) == 1


@pytest.mark.parametrize("name, words", [
    ("wrong_name", "mismatch"), ("expired", "expired"), ("strange", "unable to get local issuer")])
def test_bad_certificates_are_bad(pop3, certs, name, words):
    server = pop3(tls="implicit", cert=getattr(certs, name))
    with pytest.raises(ssl.SSLError, match=words):
        poplib.POP3_SSL("localhost", server.port, context=ssl.create_default_context(cafile=certs.ca.pem))


def test_pop3_server_keeps_its_ledger(pop3):
    server = pop3()
    server.put(b"a: b\r\n\r\n.\r\n")
    server.put(b"c: d\r\n\r\n")
    assert list(dovecot_module.contents(server.port, "global").values()) == [b"a: b\r\n\r\n.\r\n", b"c: d\r\n\r\n"]
    p = dovecot_module.Pop3(server.port, "global")
    p.say("DELE 1")
    p.quit()
    assert server.left() == ["uid-00002"]
    assert server.last.deleted == ["uid-00001"] and server.last.updated
    server.cut_at = 20
    with pytest.raises(AssertionError):
        dovecot_module.contents(server.port, "global")
    assert server.last.sent == 20


def test_sink_keeps_its_ledger(sink):
    s = sink()
    s.answers = {"RCPT b@x": "550 5.1.1 no", "EOD": [None, smtp_sink.CUT]}
    with smtplib.SMTP("127.0.0.1", s.port) as c:
        assert list(c.sendmail("a@x", ["b@x", "c@x"], b".a\r\n")) == ["b@x"]
        assert s.wait(1)[0].recipients == ["c@x"] and s.mails[0].data == b".a\r\n"
    lmtp = sink(lmtp=True)
    lmtp.answers = {"EOD c@x": "452 4.2.2 full"}
    with smtplib.LMTP("127.0.0.1", lmtp.port) as c:
        with pytest.raises(smtplib.SMTPDataError):
            c.sendmail("a@x", ["c@x"], b"x\r\n")
        c.sendmail("a@x", ["b@x"], b"x\r\n")
    assert [m.recipients for m in lmtp.wait(1)] == [["b@x"]]


def test_postfix_takes_its_domain(postfix_server):
    p = postfix_server()
    with smtplib.SMTP("127.0.0.1", p.port) as c:
        c.sendmail("a@x.test", "ann@contoso.test", message())
        with pytest.raises(smtplib.SMTPRecipientsRefused):
            c.sendmail("a@x.test", "ann@elsewhere.test", message())
    net.wait_for(p.delivered, what="a delivery")


def test_e15_comparison_sees_changes():
    original = message(headers=["Return-Path: <a@b>", "Delivered-To: x@y", "X-Envelope-To: q@y"])
    fine = original.replace(b"Return-Path", b"X-Postern-Orig-Return-Path").replace(
        b"Delivered-To", b"X-Postern-Orig-Delivered-To").replace(b"X-Envelope-To: q@y\r\n", b"")
    check_same(original, b"Received: from a by b with POP3 (Postern) id 1;\r\n x\r\nX-Postern-A: b\r\n" + fine)
    for worse in (fine.replace(b"X-Postern-Orig-Return-Path: <a@b>\r\n", b""), fine.replace(b"hello", b"hallo"),
                  fine + b"\r\n", fine.replace(b"Date:", b"Date: "), b"Bcc: z@y\r\n" + fine):
        with pytest.raises(AssertionError):
            check_same(original, worse)
    assert essence(b"x\r\n") == b"x\r\n"
