"""To the next hop: every transport, real servers, and hops that misbehave (FAULTS 2.3)."""
import re
import smtplib

import pytest
from harness.message import check_same, essence, message
from harness.net import wait_for
from harness.postern import DONE, FAILED, USAGE
from harness.smtp_sink import CUT, HANG


@pytest.fixture
def box(pt, pop3):
    """A Postern with one account, and put(): mail at the provider."""
    pt.server = pop3()
    pt.account("contoso", pt.server.port)
    pt.put = pt.server.put
    return pt


def test_drop_into_a_named_folder(box):
    box.route("contoso.test", f"drop:{box.dir}/mydrop")
    box.put(message(to="ann@contoso.test, bob@contoso.test"))
    box.once()
    [dropped] = box.drop(box.dir / "mydrop")
    assert sorted(dropped.recipients) == ["ann@contoso.test", "bob@contoso.test"]
    assert [p.name for p in (box.dir / "mydrop").iterdir()] == [dropped.path.name]


def test_maildir(box):
    box.route("contoso.test", f"maildir:{box.dir}/mail/%d/%u")
    sent = message(to="ann@contoso.test, Bob@contoso.test", body=b"a\0b\rc\nd\r\n")
    box.put(sent)
    box.once()
    for user in ("ann", "bob"):
        [path] = [*(box.dir / "mail/contoso.test" / user / "new").iterdir()] or \
            [*(box.dir / "mail/contoso.test" / user.title() / "new").iterdir()]
        check_same(sent, path.read_bytes())
        assert not list(path.parent.parent.joinpath("tmp").iterdir())


def test_a_local_part_has_one_spelling_at_every_door(pt):
    """Edge 34: needless quotes make no other mailbox, by SMTP, from Pickup, in a policy's answer."""
    pt.route("contoso.test", f"maildir:{pt.dir}/mail/%d/%u")
    pickup = pt.state / "Pickup"
    pickup.mkdir(mode=0o700, parents=True)
    (pickup / "a.eml").write_bytes(b'X-Sender: max@nwtraders.test\r\nX-Receiver: "ann"@contoso.test\r\nX-Receiver: Ann@contoso.test\r\n'
                                   b"Subject: file\r\n\r\nx\r\n")
    pt.once()
    pt.start()
    with smtplib.SMTP("127.0.0.1", pt.port, timeout=20) as s:
        s.sendmail("max@nwtraders.test", ['"dup"@contoso.test', "dup@contoso.test", '"two words"@contoso.test'], message())
    boxes = pt.dir / "mail/contoso.test"
    wait_for(lambda: (boxes / "two words/new").is_dir(), 10, "the Maildirs")
    pt.terminate()
    assert {p.name: len(list((p / "new").iterdir())) for p in boxes.iterdir()} == {"ann": 1, "dup": 1, "two words": 1}
    quoted, plain = (pt.ask("policy", "test", a) for a in ('"dup"@contoso.test', "dup@contoso.test"))
    assert quoted["primary"] == plain["primary"] and quoted["accepted"]
    assert pt.ask("policy", "test", '"two words"@contoso.test')["accepted"]
    assert "no address" in pt.run("policy", "test", "two words@contoso.test").expect(USAGE).err


@pytest.mark.parametrize("local", ["../../../escape", "a/b", "..", ".", "x\\y"])
def test_maildir_never_leaves_its_folder(box, local):
    box.route("contoso.test", f"maildir:{box.dir}/mail/%d/%u")
    box.put(message(to=f'"{local}"@contoso.test'))
    box.once(status=(DONE, FAILED))
    outside = [p for p in box.dir.rglob("*") if p.is_file() and p.suffix not in (".BAD", ".BDP", ".BDR")
               and "new" in p.parts and (box.dir / "mail" / "contoso.test") not in p.parents]
    assert outside == []
    assert box.server.left() == []


def test_smtp_hop(box, sink):
    hop = sink()
    box.route("contoso.test", hop.route)
    sent = message(to="ann@contoso.test, bob@contoso.test", headers=[
        "Return-Path: <real@nwtraders.test>", "Received: from a by pop.isp.test; Mon, 5 Jan 2026 10:00:00 +0000"],
                   body=b".\r\n..\r\n")
    box.put(sent)
    report = box.once()
    [mail] = hop.mails
    assert mail.sender == "real@nwtraders.test" and sorted(mail.recipients) == ["ann@contoso.test", "bob@contoso.test"]
    assert report["delivered"] == 2
    check_same(sent, mail.data)


def test_many_messages_share_connections(box, sink):
    hop = sink()
    box.route("contoso.test", hop.route)
    for i in range(100):
        box.put(message(subject=f"number {i}"))
    box.once()
    assert len(hop.mails) == 100 and hop.sessions <= 10


def test_lmtp_settles_each_recipient(box, sink):
    """RFC 2033: one reply for each recipient after the dot."""
    hop = sink(lmtp=True)
    hop.answers = {"EOD bob@contoso.test": "550 5.1.1 no such user", "EOD cid@contoso.test": ["451 4.2.2 full"]}
    box.route("contoso.test", hop.route)
    box.put(message(to="ann@contoso.test, bob@contoso.test, cid@contoso.test"))
    report = box.once(status=FAILED)
    assert (report["delivered"], report["deferred"]) == (1, 1)
    assert [m.recipients for m in hop.mails if m.sender] == [["ann@contoso.test"]]
    [bad] = box.badmail()
    assert "550 5.1.1 no such user" in bad.reason
    box.run("queue", "retry").expect(DONE)
    box.once(status=(DONE, FAILED))
    assert [m.recipients for m in hop.mails if m.sender] == [["ann@contoso.test"], ["cid@contoso.test"]]


def test_refused_recipient_goes_to_badmail_and_the_others_are_served(box, sink):
    hop = sink()
    hop.answers["RCPT bob@contoso.test"] = "550 5.1.1 no such user"
    box.route("contoso.test", hop.route)
    sent = message(to="ann@contoso.test, bob@contoso.test")
    box.put(sent)
    report = box.once(status=FAILED)
    assert hop.mails[0].recipients == ["ann@contoso.test"] and report["badmail"] == 1
    [bad] = box.badmail()
    check_same(sent, bad.data)
    assert "bob@contoso.test" in str(bad.record) and "550 5.1.1" in bad.reason
    [event] = [e for e in box.events(4032) if "bob@contoso.test" in e["text"]]
    assert "NDR Status Code: 511" in event["text"] and "SMTP Reply: 550 5.1.1 no such user" in event["text"]
    assert [e["id"] for e in box.events(4117)] == [4117]
    # Promise 4: collected mail never causes a report to the outside, only to the postmaster.
    assert [m.recipients for m in hop.mails if not m.sender] == [["postmaster@contoso.test"]]


def test_deferred_recipient_stays_and_is_delivered_later(box, sink):
    hop = sink()
    hop.answers["RCPT ann@contoso.test"] = ["450 4.2.1 try later"]
    box.route("contoso.test", hop.route)
    box.put(message())
    report = box.once()
    assert report["deferred"] == 1 and hop.mails == [] and box.server.left() == []
    [row] = box.queue()
    [recipient] = row["recipients"]
    assert recipient["address"] == "ann@contoso.test" and "450 4.2.1" in recipient["last_reply"]
    assert recipient["attempts"] == 1 and row["account"] == "contoso"
    assert box.once()["delivered"] == 0 and hop.mails == []  # not due yet: 15 minutes
    box.run("queue", "retry", row["id"]).expect(DONE)
    assert box.once()["delivered"] == 1 and len(hop.mails) == 1
    assert box.queue() == []


def test_nobody_listens_at_the_hop(box, sink, closing):
    from harness import net
    port = net.free_port()
    box.route("contoso.test", f"smtp:127.0.0.1:{port}")
    box.put(message())
    assert box.once()["deferred"] == 1
    assert 3010 in [e["id"] for e in box.events()]
    assert len(box.queue()) == 1 and box.server.left() == []


MISBEHAVIOUR = {
    "greets with 421": {"GREETING": ["421 4.3.2 busy"]}, "greets with 554": {"GREETING": ["554 no service"]},
    "greets with nonsense": {"GREETING": ["hello"]}, "cuts at once": {"GREETING": [CUT]},
    "cuts at EHLO": {"EHLO": [CUT]}, "cuts at MAIL": {"MAIL": [CUT]}, "cuts at RCPT": {"RCPT": [CUT]},
    "cuts at DATA": {"DATA": [CUT]}, "cuts after the dot": {"EOD": [CUT]}, "421 after the dot": {"EOD": ["421 4.3.2 bye"]},
    "451 after the dot": {"EOD": ["451 4.3.0 later"]}, "421 to MAIL": {"MAIL": ["421 4.3.2 bye"]},
    "354 to RCPT": {"RCPT": ["354 what"]}, "250 to DATA": {"DATA": ["250 ok"]}, "220 to EHLO": {"EHLO": ["220 again"]},
    "reply without a text": {"EOD": ["451"]}, "reply of nonsense": {"EOD": ["abc"]}, "reply of two digits": {"MAIL": ["25"]},
    "endless reply": {"EHLO": ["250-x\r\n" * 300_000 + "250 x"]}, "endless line": {"MAIL": ["250 " + "y" * 1_000_000]},
    "control bytes": {"RCPT": ["450 4.2.0 \x1b[2J\0\x07 later"]}, "one reply too many": {"MAIL": ["250 ok\r\n250 ok"]},
}


@pytest.mark.parametrize("name", MISBEHAVIOUR)
def test_hop_misbehaves_once(box, sink, name):
    """Nothing is lost, nothing bounces; at the next attempt it is delivered, byte for byte."""
    hop = sink()
    hop.answers = {k: list(v) for k, v in MISBEHAVIOUR[name].items()}
    box.route("contoso.test", hop.route)
    sent = message()
    box.put(sent)
    box.once(status=(DONE, FAILED))
    assert box.server.left() == [] and box.badmail() == []
    hop.answers.clear()
    if not hop.mails:
        [row] = box.queue()
        box.run("queue", "retry", row["id"]).expect(DONE)
        box.once()
    assert [essence(m.data) for m in hop.mails] == [essence(sent)] and box.queue() == []
    for e in box.events():
        assert not any(ord(c) < 32 and c not in "\n\t" for c in e["text"]), e


def test_hop_hangs(box, sink):
    """A dead destination delays only its own mail."""
    dead, good = sink(), sink()
    dead.answers["EOD"] = HANG
    box.policy("fabrikam", "fabrikam.test")
    box.route("contoso.test", dead.route).route("fabrikam.test", good.route)
    box.put(message(to="ann@contoso.test"))
    box.put(message(to="bob@fabrikam.test"))
    box.start()
    assert good.wait(1, 20)[0].recipients == ["bob@fabrikam.test"]
    dead.close()  # ends the hang
    wait_for(lambda: [r for row in box.queue() for r in row["recipients"] if r["attempts"]], 20, "an attempt on record")
    assert box.terminate() == 0


def test_hop_without_8bitmime(box, sink):
    """C10: eight-bit mail is converted or waits; bit 8 is never stripped, and it never bounces."""
    hop = sink(extensions=["PIPELINING"])
    box.route("contoso.test", hop.route)
    sent = message(body="grün\r\n".encode())
    box.put(sent)
    box.once()
    assert box.badmail() == []
    assert [essence(m.data) for m in hop.mails] == [essence(sent)] or (hop.mails == [] and len(box.queue()) == 1)


@pytest.mark.parametrize("chunking", [False, True])
def test_bare_line_ends_never_leave_by_data(box, sink, chunking):
    """C09: no next hop shall find an end of message where there is none."""
    hop = sink(extensions=["PIPELINING", "8BITMIME"] + (["CHUNKING", "BINARYMIME"] if chunking else []))
    box.route("contoso.test", hop.route)
    box.conf["log"] = {"level": 1}  # 4044 is of level 1
    sent = message(body=b"one\n.\ntwo\r.\rthree\n.\r\nMAIL FROM:<smug@x>\r\n")
    box.put(sent)
    box.once()
    [mail] = hop.mails
    assert [c for c in hop.commands if "smug" in c] == []
    if "BINARYMIME" in mail.parameters:
        assert essence(mail.data) == essence(sent)
    else:
        assert b"\n" not in mail.data.replace(b"\r\n", b"") and b"\r" not in mail.data.replace(b"\r\n", b"")
        assert essence(mail.data).replace(b"\r\n", b"\n") == essence(sent).replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        assert 4044 in [e["id"] for e in box.events()]


@pytest.mark.parametrize("how", ["socket", "port"])
def test_dovecot_lmtp(box, dovecot, how):
    server = dovecot(["ann", "bob"], lmtp=True)
    server.start()
    box.route("contoso.test", f"lmtp:{server.lmtp_socket}" if how == "socket" else f"lmtp:127.0.0.1:{server.lmtp_port}")
    sent = message(to="ann@contoso.test, bob@contoso.test, nobody@contoso.test", body=b".dot\r\nlast\r\n")
    box.put(sent)
    report = box.once(status=FAILED)
    assert (report["delivered"], report["badmail"]) == (2, 1)
    for user in ("ann", "bob"):
        [path] = server.messages(user)
        data = path.read_bytes().replace(b"\r\n", b"\n")
        assert data.endswith(sent.replace(b"\r\n", b"\n"))
    assert "nobody@contoso.test" in str(box.badmail()[0].record)


def test_postfix_as_next_hop(box, postfix_server):
    server = postfix_server()
    box.route("contoso.test", f"smtp:127.0.0.1:{server.port}")
    for i in range(20):
        box.put(message(subject=f"number {i}", body="grün\r\n.\r\n..\r\n".encode() + b"x" * 5000 + b"\r\n"))
    report = box.once()
    assert report["delivered"] == 20
    wait_for(lambda: len(server.delivered()) == 20, 20, "20 mails in Postfix's maildir")
    assert all("grün\n.\n..\n".encode() in d for d in server.delivered())


def test_one_transaction_a_connection_is_done_on_several(box, sink):
    """Edge 47: 503 to the second MAIL costs a connection, not a quarter of an hour."""
    hop = sink(lmtp=True)
    hop.once = True
    box.route("contoso.test", hop.route)
    for i in range(12):
        box.put(message(subject=f"number {i}"))
    report = box.once()
    assert (report["delivered"], report["deferred"]) == (12, 0)
    assert sorted(re.search(rb"^Subject: (.*?)\r", m.data, re.M)[1] for m in hop.mails) == \
        sorted(b"number %d" % i for i in range(12))


def test_a_limit_of_messages_a_connection_is_no_failed_attempt(box, sink):
    """The same said by 421: what was not begun goes at once on another connection."""
    hop = sink()
    hop.answers["MAIL"] = ["250 ok", "250 ok", "421 4.7.0 enough for one connection"] * 5
    box.conf["delivery"] = {"connections_per_host": 1}
    box.route("contoso.test", hop.route)
    for i in range(7):
        box.put(message(subject=f"number {i}"))
    report = box.once()
    assert (report["delivered"], report["deferred"]) == (7, 0) and len(hop.mails) == 7


@pytest.mark.parametrize("reply", ["501 5.5.4 syntax", "555 5.5.4 unknown parameter", "504 5.5.4 BODY not implemented"])
def test_body_announced_and_refused_is_left_out(box, sink, reply):
    """Edge 47: 8BITMIME stands in EHLO, and BODY=8BITMIME is refused."""
    hop = sink()
    hop.refuse = ("BODY=", reply)
    box.route("contoso.test", hop.route)
    mails = [message(subject=f"number {i}", body="gr\u00fcn\r\n".encode()) for i in range(6)]
    for m in mails:
        box.put(m)
    report = box.once()
    assert (report["delivered"], report["deferred"], report["badmail"]) == (6, 0, 0)
    assert sorted(essence(m.data) for m in hop.mails) == sorted(map(essence, mails))
    assert not any("BODY=" in m.parameters for m in hop.mails)


def test_a_sender_that_is_refused_is_not_taken_for_body(box, sink):
    hop = sink()
    hop.answers["MAIL"] = "501 5.1.7 bad sender"
    box.route("contoso.test", hop.route)
    box.put(message(body="gr\u00fcn\r\n".encode()))
    report = box.once(status=FAILED)
    assert report["badmail"] == 1 and hop.mails == []
    assert len([c for c in hop.commands if c.startswith("MAIL FROM:<max@")]) == 2


def test_who_loses_count_is_not_pipelined_past_the_dot_again(box, sink):
    """Edge 47: what follows a dot went into the message before it; that happens once."""
    hop = sink()
    hop.swallow = True  # as Net::Server::Mail: the end is looked for at the end of what came
    box.conf["delivery"] = {"connections_per_host": 1, "retry": ["1s"]}
    box.route("contoso.test", hop.route)
    for i in range(8):
        box.put(message(subject=f"number {i}"))
    box.start()
    assert len(hop.wait(8, 30)) == 8
    box.terminate()
    assert hop.swallowed == 1


@pytest.mark.parametrize("extensions", [("PIPELINING", "8BITMIME"), ("PIPELINING", "8BITMIME", "CHUNKING")])
def test_a_nul_goes_out_as_it_is_and_is_told(box, sink, extensions):
    """E15: towards hops without BINARYMIME, with 4044."""
    hop = sink(extensions=extensions)
    box.route("contoso.test", hop.route)
    box.conf["log"] = {"level": 1}
    sent = message(body=b"a\0b\r\n")
    box.put(sent)
    assert box.once()["delivered"] == 1
    assert essence(hop.mails[0].data) == essence(sent)
    [said] = [e for e in box.events() if e["id"] == 4044]
    assert "NUL" in said["found"] and "bare" not in said["found"]


GREETINGS = {"pop3": ("+OK Welcome to MailServer POP3 Server", "a POP3 server"), "imap": ("* OK IMAP4rev1 ready", "an IMAP server"),
             "ssh": ("SSH-2.0-OpenSSH_9.2", "an SSH server"), "busy": ("554 5.7.1 go away", "554 5.7.1 go away")}


@pytest.mark.parametrize("kind", GREETINGS)
def test_what_stands_at_the_other_end_is_said(box, sink, kind):
    """Edge 26: in the queue, in the event, in check --online."""
    greeting, words = GREETINGS[kind]
    hop = sink()
    hop.answers["GREETING"] = greeting
    box.route("contoso.test", hop.route)
    box.put(message())
    box.once(status=(DONE, FAILED))
    [mail] = box.queue()
    [said] = [e for e in box.events() if e["id"] == 3010]
    for told in (mail["recipients"][0]["last_reply"], said["err"], box.run("check", "--online").out):
        assert greeting in told and words in told


def test_trace_tells_the_story(box, sink):
    hop = sink()
    hop.answers["RCPT ann@contoso.test"] = ["450 4.2.1 try later"]
    box.route("contoso.test", hop.route)
    box.put(message(subject="story"))
    box.once()
    queue_id = box.queue()[0]["id"]
    box.run("queue", "retry", queue_id).expect(DONE)
    box.once()
    for key in (queue_id, "<story@nwtraders.test>", "contoso/uid-00001"):
        story = box.ask("trace", key)
        assert story["queue_id"] == queue_id and story["account"] == "contoso" and story["uidl"] == "uid-00001"
        assert story["message_id"].strip("<>") == "story@nwtraders.test"
        said = str(story["steps"])
        assert "450 4.2.1 try later" in said and "250 2.0.0 stored" in said
        assert all({"time", "text"} <= set(s) for s in story["steps"])
