"""A disk filled to its floor, to nothing, and emptied again: what is here is delivered, once,
and mail is taken again, without a restart."""
import contextlib
import os
import re
import smtplib
import subprocess
from collections import Counter

import pytest
from harness.message import message
from harness.net import wait_for
from harness.postern import DONE, FAILED, LATER

MB = 1 << 20


def mount_tmpfs(at, _image):
    return ["mount", "-t", "tmpfs", "-o", "size=24m,mode=0700", "tmpfs", str(at)]


def mount_ext4(at, image):
    with open(image, "wb") as f:
        f.truncate(40 * MB)
    subprocess.run(["mkfs.ext4", "-q", "-F", "-m", "0", str(image)], check=True, capture_output=True)
    return ["mount", "-o", "loop", str(image), str(at)]


@pytest.fixture(params=[mount_tmpfs, mount_ext4], ids=["tmpfs", "ext4"])
def small_disk(pt, request):
    """The state directory on a small file system; fill() leaves nothing of it, empty()
    gives that back."""
    if os.geteuid() != 0:
        pytest.skip("a small file system can only be mounted by root")
    pt.state.mkdir(mode=0o700)
    try:
        mount = request.param(pt.state, pt.dir / "image")
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("mkfs.ext4 does not work here")
    if subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip("mounting is not allowed here")
    pt.state.chmod(0o700)
    filler = pt.state / "filler"

    def fill():
        with open(filler, "ab", buffering=0) as f:
            for size in (MB, 4096, 1):
                with contextlib.suppress(OSError):
                    while True:
                        f.write(bytes(size))
                        if size == MB:
                            os.fsync(f.fileno())
        st = os.statvfs(pt.state)
        assert st.f_bavail * st.f_frsize < 64 * 1024
    pt.fill, pt.empty = fill, filler.unlink
    yield pt
    if pt.proc and pt.proc.poll() is None:
        pt.kill()
    subprocess.run(["umount", "-l", str(pt.state)], check=True)


def send(pt, subjects, body=b"Good morning.\r\n"):
    """How many were taken, up to the first that was put off."""
    with smtplib.SMTP("127.0.0.1", pt.port) as c:
        for i, subject in enumerate(subjects):
            try:
                c.sendmail("max@nwtraders.test", ["ann@contoso.test"], message(subject=subject, body=body))
            except smtplib.SMTPException as e:
                code = getattr(e, "smtp_code", 0) or next(iter(getattr(e, "recipients", {"": [0]}).values()))[0]
                assert 400 <= code < 500, e
                return i
    return len(subjects)


def takes(pt, subject):
    with contextlib.suppress(OSError, smtplib.SMTPException):
        return send(pt, [subject]) == 1
    return False


def subjects(hop):
    return Counter(m.data.split(b"Subject: ")[1].split(b"\r\n")[0].decode() for m in hop.mails)


def said(pt, event):
    return len(re.findall(rf"event={event}\b", pt.log()))


def queue_up(pt, hop, names, **more):
    """In the queue, since the next hop wants them later; then it wants them now."""
    hop.answers["MAIL"] = "451 4.3.0 later"
    n = send(pt, names, **more)
    wait_for(lambda: said(pt, 5002) >= min(n, 50), 30, "the first attempts")
    hop.answers.clear()
    return n


def retry(pt):
    pt.run("queue", "retry", "--domain", "contoso.test").expect(DONE)


def test_a_disk_filled_to_nothing_and_emptied_again(small_disk, sink):
    """Edges 17 and 35."""
    pt, hop = small_disk, sink()
    pt.route("contoso.test", hop.route)
    pt.start()
    names = [f"n{i}" for i in range(80)]
    assert queue_up(pt, hop, names) == 80
    pt.fill()
    wait_for(lambda: said(pt, 6004), 40, "6004")
    retry(pt)
    hop.wait(80, 30)
    wait_for(lambda: not pt.queue(), 20, "all to be settled")
    assert send(pt, ["too early"]) == 0
    pt.empty()
    wait_for(lambda: takes(pt, "after"), 30, "acceptance after room was made")
    hop.wait(81)
    assert subjects(hop) == Counter([*names, "after"])
    # Mail is taken with the first group that finds room; the event comes with the next tick.
    wait_for(lambda: said(pt, 6005), 10, "6005")
    assert said(pt, 6004) == said(pt, 6005) == 1
    assert pt.terminate() == DONE and said(pt, 1001)


def test_sigterm_while_the_disk_is_full(small_disk, sink):
    """Edge 35: what was sent is recorded before the end; the next start sends none of it again."""
    pt, hop = small_disk, sink()
    pt.route("contoso.test", hop.route)
    pt.start()
    names = [f"n{i}" for i in range(80)]
    assert queue_up(pt, hop, names) == 80
    pt.fill()
    retry(pt)
    hop.wait(5, 30)
    assert pt.terminate() == DONE and said(pt, 1001)
    pt.empty()
    pt.start()
    retry(pt)
    hop.wait(80, 30)
    wait_for(lambda: not pt.queue(), 20, "all to be settled")
    assert subjects(hop) == Counter(names)


def test_a_disk_filled_to_its_floor_by_the_queue(small_disk, sink):
    """Edge 16: when the queue is delivered, there is room for mail again."""
    pt, hop = small_disk, sink()
    pt.route("contoso.test", hop.route)
    pt.start()
    names = [f"n{i}" for i in range(500)]
    n = queue_up(pt, hop, names, body=b"0123456789abcdef" * 3500 + b"\r\n")
    assert 50 < n < 500
    retry(pt)
    hop.wait(n, 60)
    wait_for(lambda: takes(pt, "after"), 30, "acceptance without a hand's turn")
    hop.wait(n + 1)
    assert subjects(hop) == Counter([*names[:n], "after"])


def test_collecting_onto_a_disk_without_room(small_disk, pop3):
    """Edge 18: the collector does not die of it, and collects by itself when there is room."""
    pt = small_disk
    pt.route("contoso.test", f"drop:{pt.dir}/drop")
    server = pop3()
    for i in range(10):
        server.put(message(subject=f"number {i}"))
    pt.account("contoso", server.port, every="10s")
    pt.start()
    wait_for(lambda: len(pt.drop(pt.dir / "drop")) == 10, 30, "the first ten")
    pt.fill()
    for i in range(10, 20):
        server.put(message(subject=f"number {i}"))
    wait_for(lambda: said(pt, 6004), 40, "6004")
    assert "signal" not in pt.log(), pt.log()
    pt.empty()
    wait_for(lambda: len(pt.drop(pt.dir / "drop")) == 20, 60, "the other ten")
    assert said(pt, 1005) == 0, pt.log()
    assert pt.terminate() == DONE


def test_once_on_a_disk_without_room(small_disk, pop3):
    pt = small_disk
    pt.route("contoso.test", f"drop:{pt.dir}/drop")
    server = pop3()
    for i in range(5):
        server.put(message(subject=f"number {i}"))
    pt.account("contoso", server.port)
    pt.run("check")
    pt.once()
    assert len(pt.drop(pt.dir / "drop")) == 5
    for i in range(5, 10):
        server.put(message(subject=f"number {i}"))
    pt.fill()
    result = pt.run("once")
    assert result.status in (FAILED, LATER), result
    assert "full" in result.err + result.out, result
    pt.empty()
    pt.once()
    for row in pt.queue():
        pt.run("queue", "retry", row["id"])
    pt.once()
    assert len(pt.drop(pt.dir / "drop")) == 10 and server.left() == []
