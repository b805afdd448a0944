"""Q11: the clock jumps, at a start, in a run, for one message. Nothing young is thrown away,
nothing waits for ever, and when it is right again everything goes on."""
import re
import smtplib

import pytest
from harness.message import message
from harness.net import wait_for
from harness.postern import DONE, FAILED

DAY = 86400
YEAR = 365 * DAY


@pytest.fixture
def held_mail(pt, pop3, sink):
    """One message in Badmail, one that is put off, one that was delivered."""
    hop, server = sink(), pop3()
    hop.answers["RCPT later@contoso.test"] = "451 4.2.1 later"
    pt.route("contoso.test", hop.route)
    pt.account("contoso", server.port, domains=["contoso.test", "else.test"])
    server.put(message(to="eve@else.test", subject="bad"), uidl="bad")
    server.put(message(to="later@contoso.test", subject="later"), uidl="later")
    server.put(message(to="ann@contoso.test", subject="good"), uidl="good")
    pt.once(status=FAILED)
    (pt.state / "evidence").mkdir(mode=0o700)
    (pt.state / "evidence" / "contoso-0123456789abcdef.txt").write_text("what was said\n")
    return hop, server


def still_there(pt):
    assert [b.record["uidl"] for b in pt.badmail()] == ["bad"]
    assert len(list((pt.state / "evidence").iterdir())) == 1
    assert pt.run("trace", "contoso/good").expect(DONE)
    assert [q["uidl"] for q in pt.queue()] == ["later"]


@pytest.mark.parametrize("jump", [60 * DAY, 10 * YEAR, -10 * YEAR])
def test_a_jump_at_a_start_throws_nothing_away(pt, clock, held_mail, jump):
    hop, server = held_mail
    clock(jump)
    pt.once()
    still_there(pt)
    [jumped] = pt.events(6008)
    assert abs(jumped["seconds"] - jump) < 100
    # A message that comes under that clock is like any other.
    server.put(message(to="bob@contoso.test", subject="meanwhile"), uidl="meanwhile")
    pt.once()
    clock(0)
    pt.once()
    still_there(pt)
    assert len(pt.events(6008)) == 2, "once for each jump"
    # What was tried under that clock is tried again by the schedule, not in ten years.
    del hop.answers["RCPT later@contoso.test"]
    clock(5 * 3600)
    pt.once()
    assert pt.queue() == [] and [m.recipients for m in hop.mails if b"Subject: later" in m.data]
    assert server.left() == []


def test_the_days_between_two_runs_count(pt, clock, held_mail):
    """`once` from cron: Badmail and evidence are bounded there, too."""
    pt.conf["badmail"] = {"keep": "2d"}
    clock(60 * DAY)  # counts for one
    pt.once()
    still_there(pt)
    clock(60.5 * DAY)
    pt.once()
    still_there(pt)
    clock(61.6 * DAY)
    pt.once()
    assert pt.badmail() == [] and not list((pt.state / "evidence").iterdir())
    assert len(pt.events(5104)) == 1 and len(pt.events(5109)) == 1


def poke(pt):
    """The relay has something to do, so it looks at the clock."""
    with smtplib.SMTP("127.0.0.1", pt.port, timeout=20) as client:
        client.sendmail("dan@contoso.test", ["dan@contoso.test"], message(to="dan@contoso.test"))


def test_a_clock_that_jumps_in_a_run(pt, clock, held_mail):
    hop, _ = held_mail
    pt.conf["delivery"]["retry"] = ["1s"]
    pt.start()
    for offset, seconds in [(10 * YEAR, "3153"), (0, "-3153")]:
        pt.wait_line(r"event=5002\b", start=len(pt.lines))
        clock(offset)
        poke(pt)
        pt.wait_line(rf"event=6008\b.*jumped by {seconds}")
    # Its next try was set under the clock that was ahead, or just before; either way:
    del hop.answers["RCPT later@contoso.test"]
    wait_for(lambda: any(b"Subject: later" in m.data for m in hop.mails), what="the message that waits")
    assert pt.terminate() == DONE
    assert len(re.findall(r"event=6008\b", pt.log())) == 2
    assert [b.record["uidl"] for b in pt.badmail()] == ["bad"] and pt.queue() == []


def test_a_message_from_the_future_expires_by_its_attempts(pt, clock, pop3, sink):
    hop, server = sink(), pop3()
    hop.answers["RCPT later@contoso.test"] = "451 4.2.1 later"
    pt.route("contoso.test", hop.route)
    pt.conf["delivery"].update(retry=["1s"], expire="3s")
    pt.account("contoso", server.port)
    server.put(message(to="later@contoso.test"))
    clock(10 * YEAR)
    pt.once()
    assert len(pt.queue()) == 1
    clock(0)
    pt.start()
    pt.wait_line(r"event=5004\b", 30)
    pt.wait_line(r"event=4117\b")
    assert pt.terminate() == DONE
    assert len(pt.badmail()) == 1


def test_mail_is_kept_at_the_provider_as_long_as_was_said(pt, clock, pop3):
    """keep: 7d is seven days that passed, not a clock that says so."""
    server = pop3()
    pt.account("contoso", server.port, keep="36h")
    server.put(message(to="ann@contoso.test"), uidl="one")
    pt.once()
    clock(60 * DAY)
    pt.once()
    assert len(server.left()) == 1
    clock(0)
    pt.once()
    assert len(server.left()) == 1
    clock(DAY)
    pt.once()
    assert server.left() == []


def test_a_copy_names_the_day_when_its_first_came(pt, clock, pop3):
    """Its id goes on from those of a clock that was ahead."""
    first, second = pop3(), pop3()
    pt.conf["log"] = {"level": 1}
    pt.account("here", first.port)
    first.put(message(to="ann@contoso.test", subject="of the future"))
    clock(10 * YEAR)
    pt.once()
    clock(0)
    first.put(message(to="ann@contoso.test", subject="of today"))
    pt.once()
    pt.account("there", second.port)
    second.put(message(to="ann@contoso.test", subject="of today"))
    pt.once()
    [copy] = pt.events(4041)
    assert copy["via"] == "here" and copy["when"][:19] <= copy["time"][:19]


def test_a_half_received_file_goes_at_the_next_start(pt, pop3):
    """Edge 30: five kills left 185 MB for a day and a half."""
    server = pop3()
    pt.account("contoso", server.port)
    server.put(message(to="ann@contoso.test", body=b"0123456789abcde\r\n" * 20000))
    for _ in range(3):
        pt.run("once", env={"POSTERN_CRASH": "store: spool files synced"})
    assert len(list((pt.state / "spool").iterdir())) >= 1
    pt.once()
    assert list((pt.state / "spool").iterdir()) == [] and len(pt.drop()) == 1
