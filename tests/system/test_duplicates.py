"""E7, E10: one recipient gets one mail once, whoever collects it how often and in
whatever order; and what was here before does not go round in circles."""
import os
import random
import signal
import subprocess
import time

import pytest
from harness.message import check_same, fields, message
from harness.postern import DONE, FAILED

SEED = int(os.environ.get("POSTERN_SEED", str(random.randrange(1 << 30))))
HOP = "Received: from a by pop.isp.test; Mon, 5 Jan 2026 10:00:00 +0000"


def subjects(pt):
    """(recipient, subject, body) of everything delivered, sorted."""
    out = []
    for d in pt.drop():
        head, rest = fields(d.data)
        [subject] = [f.split(b":", 1)[1].strip().decode() for n, f in head if n == b"subject"]
        out += [(r, subject, rest.split(b"\r\n\r\n", 1)[-1].strip().decode()) for r in d.recipients]
    return sorted(out)


def killed_after(pt, seconds):
    p = subprocess.Popen(pt.command("once"), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                         stderr=subprocess.DEVNULL, cwd=pt.dir, start_new_session=True)
    try:
        p.wait(seconds)
    except subprocess.TimeoutExpired:
        os.killpg(p.pid, signal.SIGKILL)
        p.wait()


def stamps(data):
    return [f.split(b":", 1)[1].strip().decode() for n, f in fields(data)[0] if n == b"x-postern-loop"]


@pytest.mark.limit(120)
def test_copies_over_three_accounts_with_kills(pt, pop3):
    """P15: copies of three list mails, some with an envelope header and some without, some
    refolded, over three accounts in any order, in several runs, some of them killed."""
    print(f"POSTERN_SEED={SEED}")
    chance = random.Random(SEED)
    people = [f"u{i}@contoso.test" for i in range(4)]
    boxes = [pop3() for _ in range(3)]
    pt.conf["log"] = {"level": 1}
    for i, box in enumerate(boxes):
        pt.account(f"isp{i}", box.port)
    copies, want = [], set()
    for k in range(3):
        # The same Message-ID for all three: only the content tells them apart.
        plain = dict(to=", ".join(people), subject=f"list {k}", message_id="same", body=b"Text %d.\r\n" % k)
        folded = message(**plain).replace(b"Subject: list", b"Subject: list\r\n", 1)
        assert b"list\r\n " in folded
        for r in people:
            want.add((r, f"list {k}", f"Text {k}."))
            copies.append(message(**plain, headers=[f"X-Envelope-To: {r}", HOP]))
        copies += [message(**plain), folded, message(**plain, headers=[HOP, "X-Spam: no"])]
    chance.shuffle(copies)
    for data in copies[:len(copies) // 2]:
        chance.choice(boxes).put(data)
    pt.write()
    for _ in range(3):
        killed_after(pt, chance.uniform(0.01, 0.4))
    for data in copies[len(copies) // 2:]:
        chance.choice(boxes).put(data)
    killed_after(pt, chance.uniform(0.01, 0.4))
    pt.once(timeout=60)
    got = subjects(pt)
    folded = {(r, s.replace("\r\n", ""), b) for r, s, b in got}
    assert folded == want and len(got) == len(want), f"POSTERN_SEED={SEED}"
    assert [b.left() for b in boxes] == [[], [], []] and pt.queue() == []


def test_the_second_copy_is_told_and_deleted(pt, pop3):
    first, second = pop3(), pop3()
    pt.conf["log"] = {"level": 1}
    pt.account("here", first.port)
    first.put(message(to="ann@contoso.test, bob@contoso.test"))
    pt.once()
    pt.account("there", second.port)
    second.put(message(to="ann@contoso.test", headers=["X-Envelope-To: ann@contoso.test", HOP]), uidl="second")
    second.put(message(to="ann@contoso.test, bob@contoso.test, cid@contoso.test"), uidl="third")
    report = pt.once()
    assert (report["delivered"], report["refused"], report["badmail"]) == (1, 0, 0)
    assert sorted(r for d in pt.drop() for r in d.recipients) == [f"{w}@contoso.test" for w in ("ann", "bob", "cid")]
    assert second.left() == [] and len(second.last.deleted) == 2
    events = pt.events(4041)
    assert [(e["recipient"], e["via"], e["account"]) for e in events] == [
        ("ann@contoso.test", "here", "there"), ("ann@contoso.test", "here", "there"), ("bob@contoso.test", "here", "there")]
    # What is known of the copy: its recipient's state, the first copy's id, the event.
    trace = pt.ask("trace", "there/second")
    assert trace["queue_id"] == events[0]["trace"]
    [has] = [s["text"] for s in trace["steps"] if "has it already" in s["text"]]
    assert events[0]["first"] in has
    assert any(s["event"] == 4041 and "suppressed" in s["text"] for s in trace["steps"])
    shown = pt.ask("queue", "show", trace["queue_id"])
    assert shown["status"] == "duplicate" and [r["status"] for r in shown["recipients"]] == ["duplicate"]
    assert len(pt.run("queue", "list", "--json", "--status", "duplicate").expect(DONE).json()) > 0


def test_equal_message_ids_are_not_enough(pt, pop3):
    """P15's other half: a sender may give two mails one Message-ID, a list adds footers."""
    server = pop3()
    for body in (b"One.\r\n", b"Two.\r\n", b"One.\r\n-- \r\nfooter of a list\r\n"):
        server.put(message(body=body, message_id="same"))
    server.put(message(body=b"One.\r\n", message_id="same", subject="another"))
    pt.account("contoso", server.port).once()
    assert [b for _, _, b in subjects(pt)] == ["One.", "One.", "One.\r\n-- \r\nfooter of a list", "Two."]


def test_without_date_and_message_id_the_first_server_tells(pt, pop3):
    """Two alarms of a machine may be equal and are two mails: somebody received each. With a Date they are told by that."""
    alarm = b"From: ups@nwtraders.test\r\nTo: ann@contoso.test\r\nSubject: power failed\r\n\r\nPower failed.\r\n"
    first, second = (b"Received: from ups by mx.isp.test id %d; Mon, 05 Jan 2026 10:00:00 +0000\r\n" % i + alarm for i in (1, 2))
    dated = alarm.replace(b"\r\n\r\n", b"\r\nDate: Mon, 05 Jan 2026 10:00:00 +0000\r\n\r\n")
    server = pop3()
    for data in (first, first, b"Received: from mx.isp.test by pop.isp.test; Mon, 05 Jan 2026 10:00:01 +0000\r\n" + first, second,
                 dated, dated, alarm, alarm):
        server.put(data)
    pt.account("contoso", server.port).once()
    assert len(pt.drop()) == 4 and server.left() == []


def test_large_messages_are_copies_too(pt, pop3):
    """Bodies beside the database: the copy's spool file goes, the first one stays."""
    body = b"0123456789abcdef\r\n" * 40000
    server = pop3()
    for tail in (b"a\r\n", b"a\r\n", b"b\r\n"):
        server.put(message(body=body + tail))
    pt.account("contoso", server.port).once()
    assert sorted(d.data[-3:] for d in pt.drop()) == [b"a\r\n", b"b\r\n"]
    assert list((pt.state / "spool").iterdir()) == [] and server.left() == []


def test_dedup_false_delivers_every_copy(pt, pop3):
    """It neither suppresses nor enters: the other account still delivers its first one."""
    every, once = pop3(), pop3()
    pt.account("every", every.port, dedup=False)
    for _ in range(3):
        every.put(message())
    pt.once()
    assert len(pt.drop()) == 3
    pt.account("once", once.port)
    for _ in range(3):
        once.put(message())
    pt.once("once")
    assert len(pt.drop()) == 4
    every.put(message())
    pt.once("every")
    assert len(pt.drop()) == 5


def test_stamp_finds_what_comes_back(pt, pop3):
    """E10 (b): delivered, and put back at the provider changed by a footer: Badmail, for
    the recipient it was stamped for; the other one goes on. Unchanged it is a copy."""
    server = pop3()
    pt.conf["log"] = {"level": 1}
    server.put(message())
    pt.account("contoso", server.port).once()
    [first] = pt.drop()
    [stamp] = stamps(first.data)
    assert first.data.startswith(b"Received: ") and "contoso" not in stamp and "ann" not in stamp
    check_same(message(), first.data)

    changed = first.data + b"-- \r\nfooter\r\n"
    server.put(changed.replace(b"To: ann@contoso.test", b"To: ann@contoso.test, bob@contoso.test"), uidl="back")
    report = pt.once(status=FAILED)
    assert (report["delivered"], report["badmail"]) == (1, 1)
    [event] = pt.events(4042)
    assert (event["uidl"], event["recipient"]) == ("back", "ann@contoso.test")
    [bad] = pt.badmail()
    assert bad.record["reason"] == "loop" and [r["address"] for r in bad.record["recipients"]] == ["ann@contoso.test"]
    assert sorted(r for d in pt.drop() for r in d.recipients) == ["ann@contoso.test", "bob@contoso.test"]
    assert server.left() == []

    server.put(first.data)
    report = pt.once()
    assert (report["refused"], report["badmail"]) == (0, 0)
    assert [e["recipient"] for e in pt.events(4041)] == ["ann@contoso.test"] and len(pt.events(4042)) == 1
    assert len(pt.drop()) == 2 and server.left() == []


def test_stamps_of_others_are_ignored(pt, pop3):
    """Forged, foreign and broken ones, and a good one of another recipient or message."""
    server = pop3()
    server.put(message(subject="first"))
    pt.account("contoso", server.port).once()
    [first] = pt.drop()
    [stamp] = stamps(first.data)
    gw, mb, mac = [part.split("=")[1] for part in stamp.split("; ")]
    forged = [f"gw={gw}; mb={mb}; mac={'0' * 32}", f"gw={'0' * 16}; mb={mb}; mac={mac}", f"gw={gw}; mb={mb}; mac=",
              f"gw={gw}; mac={mac}", f"gw={gw}; mb={mb}; mac={mac}0", "", "x" * 5000, stamp]
    server.put(message(subject="second", headers=[f"X-Postern-Loop: {f}" for f in forged]))
    server.put(message(subject="first", to="bob@contoso.test", headers=[f"X-Postern-Loop: {stamp}"]))
    pt.once()
    assert [(r, s) for r, s, _ in subjects(pt)] == [("ann@contoso.test", "first"), ("ann@contoso.test", "second"),
                                                   ("bob@contoso.test", "first")]
    assert pt.events(4042) == []
    # They stay in the message: it is delivered as it came.
    assert any(s == "x" * 5000 for d in pt.drop() for s in stamps(d.data))


@pytest.mark.parametrize("n, lines", [(2, 2), (16, 16), (17, 0)])
def test_one_stamp_for_each_recipient_in_no_order(pt, pop3, n, lines):
    server = pop3()
    server.put(message(to=", ".join(f"u{i}@contoso.test" for i in range(n))))
    pt.account("contoso", server.port).once()
    data = {d.data for d in pt.drop()}
    assert len(data) == 1
    macs = [s.split("mac=")[1] for s in stamps(data.pop())]
    assert len(macs) == lines and macs == sorted(macs) and len(set(macs)) == lines


def test_our_own_message_id_comes_back_once(pt, pop3):
    """E10 (f): a mail that we sent out and that the catch-all gets is a mail like others."""
    server = pop3()
    own = message().replace(b"hello@nwtraders.test", b"0650000000000@gw.contoso.test")
    server.put(own)
    pt.account("contoso", server.port).once()
    server.put(own)
    pt.once()
    assert len(pt.drop()) == 1 and server.left() == [] and pt.badmail() == []


def test_too_many_hops_go_to_badmail(pt, pop3):
    """E10 (a)."""
    server = pop3()
    hops = [f"Received: from h{i} by h{i + 1}; Mon, 5 Jan 2026 10:00:00 +0000" for i in range(60)]
    server.put(message(headers=hops))
    pt.account("contoso", server.port).once(status=FAILED)
    [bad] = pt.badmail()
    assert bad.record["reason"] == "hop-count" and len(pt.events(4098)) == 1 and pt.drop() == []
    # It is no copy that others would be measured by.
    server.put(message())
    pt.once(status=(DONE, FAILED))
    assert len(pt.drop()) == 1


def test_delivered_to_of_the_provider_is_renamed(pt, pop3):
    """E10 (c): the next hop would take it for its own."""
    server = pop3()
    server.put(message(headers=["Delivered-To: ann@contoso.test"]))
    pt.account("contoso", server.port).once()
    [d] = pt.drop()
    names = [n for n, _ in fields(d.data)[0]]
    assert b"delivered-to" not in names and b"x-postern-orig-delivered-to" in names


def test_a_replay_is_never_a_copy(pt, pop3):
    """Badmail is replayed although the recipient has the mail by now."""
    server = pop3()
    hops = [f"Received: from h{i} by h{i + 1}; Mon, 5 Jan 2026 10:00:00 +0000" for i in range(60)]
    server.put(message())
    server.put(message(headers=hops))
    pt.account("contoso", server.port).once(status=FAILED)
    [bad] = pt.badmail()
    pt.run("badmail", "replay", bad.id).expect(DONE)
    pt.once()
    assert len(pt.drop()) == 2


def test_a_copy_of_what_went_to_badmail_is_delivered(pt, pop3, sink):
    """Suppressed copies are gone from the provider, so only what is here, or was
    delivered, may suppress one. Bob's was: his copy stays one."""
    hop, server = sink(lmtp=True), pop3()
    hop.answers["RCPT ann@contoso.test"] = "550 5.7.1 not today"
    pt.route("contoso.test", hop.route)
    sent = message(to="ann@contoso.test, bob@contoso.test")
    server.put(sent)
    pt.account("contoso", server.port).once(status=FAILED)
    assert len(pt.badmail()) == 1
    del hop.answers["RCPT ann@contoso.test"]
    server.put(sent, uidl="again")
    pt.once()
    got = [m.recipients for m in hop.mails if m.sender]
    assert got == [["bob@contoso.test"], ["ann@contoso.test"]] and server.left() == []
    assert len(pt.badmail()) == 1
    # And now she has it.
    server.put(sent, uidl="third")
    pt.once()
    assert len([m for m in hop.mails if m.sender]) == 2 and server.left() == []
