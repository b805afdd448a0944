"""A full disk: said clearly, nothing lost, and it goes on by itself afterwards."""
import os
import smtplib
import subprocess

import pytest
from harness.message import message
from harness.net import wait_for
from harness.postern import DONE, FAILED


@pytest.fixture
def small_disk(pt, closing):
    """The state directory on a file system of 6 MB; grow() makes room."""
    if os.geteuid() != 0:
        pytest.skip("a small file system can only be mounted by root")
    pt.state.mkdir(mode=0o700)
    mount = ["mount", "-t", "tmpfs", "-o", "size=6m,mode=0700", "tmpfs", str(pt.state)]
    if subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip("mounting is not allowed here")
    pt.grow = lambda: subprocess.run(["mount", "-o", "remount,size=200m", str(pt.state)], check=True)
    yield pt
    if pt.proc and pt.proc.poll() is None:
        pt.kill()
    subprocess.run(["umount", "-l", str(pt.state)], check=True)


def told(pt):
    """Something at level 0 was said about the disk or the submission."""
    return {6004, 4024} & {e["id"] for e in pt.events()}


def test_collecting_onto_a_full_disk(small_disk, pop3):
    pt = small_disk
    pt.route("contoso.test", f"drop:{pt.dir}/drop")
    server = pop3()
    for i in range(60):
        server.put(message(subject=f"number {i}", body=b"0123456789abcdef" * 20_000 + b"\r\n"))
    (pt.state / "filler").write_bytes(bytes(4 << 20))
    pt.account("contoso", server.port)
    result = pt.run("once")
    assert result.status in (FAILED, 75), result
    here = len(pt.drop(pt.dir / "drop")) + len(pt.badmail())
    pt.grow()
    assert here + len(pt.queue()) + len(server.left()) >= 60, "deleted at the provider and not here"
    assert told(pt)
    for row in pt.queue():
        pt.run("queue", "retry", row["id"])
    pt.once()
    dropped = pt.drop(pt.dir / "drop")
    subjects = {d.data.split(b"Subject: ")[1].split(b"\r\n")[0] for d in dropped}
    assert len(dropped) == len(subjects) == 60 and server.left() == []


def test_relay_on_a_full_disk(small_disk, sink):
    """Q03: 4xx for what cannot be kept; 250 again when there is room."""
    pt = small_disk
    hop = sink()
    hop.answers["MAIL"] = "451 4.3.0 later"  # everything stays in our queue
    pt.route("contoso.test", hop.route)
    pt.start()
    body = b"0123456789abcdef" * 20_000 + b"\r\n"
    accepted, refused = [], []
    with smtplib.SMTP("127.0.0.1", pt.port) as c:
        for i in range(60):
            try:
                c.sendmail("max@nwtraders.test", ["ann@contoso.test"], message(subject=f"n{i}", body=body))
                accepted.append(f"n{i}")
            except smtplib.SMTPResponseException as e:
                refused.append(e.smtp_code)
                c.rset()
            except smtplib.SMTPRecipientsRefused as e:
                refused.append(next(iter(e.recipients.values()))[0])
                c.rset()
    assert refused and all(400 <= code < 500 for code in refused), refused
    pt.grow()
    hop.answers.clear()

    def takes_again():
        try:
            with smtplib.SMTP("127.0.0.1", pt.port) as c:
                c.sendmail("max@nwtraders.test", ["ann@contoso.test"], message(subject="after", body=body))
            return True
        except smtplib.SMTPException:
            return False
    wait_for(takes_again, 30, "acceptance after room was made")
    pt.run("queue", "retry", "--domain", "contoso.test").expect(DONE)
    hop.wait(len(accepted) + 1, 30)
    got = [m.data.split(b"Subject: ")[1].split(b"\r\n")[0].decode() for m in hop.mails]
    assert sorted(got) == sorted([*accepted, "after"])


def test_files_that_may_not_grow(pt, pop3):
    """The same without root: no file may pass 300 KB."""
    server = pop3()
    for i in range(3):
        server.put(message(subject=f"large {i}", body=b"x" * 900_000 + b"\r\n"))
    pt.account("contoso", server.port)
    pt.write()
    pt.prefix = ["prlimit", "--fsize=300000", "--"]
    result = pt.run("once")
    pt.prefix = []
    assert result.status != DONE
    assert len(server.left()) + len(pt.drop()) + len(pt.queue()) >= 3
    pt.once(status=(DONE, FAILED))
    for row in pt.queue():
        pt.run("queue", "retry", row["id"])
    pt.once()
    assert len(pt.drop()) == 3 and server.left() == []
