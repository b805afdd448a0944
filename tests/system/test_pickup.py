"""The Pickup folder (SPEC section 6; RECIPIENTS.md E16; FAULTS F01 to F04, H06)."""
import os
import re
import smtplib
import socket
import sqlite3
import subprocess
import threading
import time
from collections import Counter
from pathlib import Path

import pytest
from harness.message import message
from harness.net import wait_for
from harness.postern import DONE, FAILED, read_drop, tool

X = b"X-Sender: max@nwtraders.test\r\nX-Receiver: ann@contoso.test\r\n"
TRACE = re.compile(rb"Received: from gw\.contoso\.test by gw\.contoso\.test with local \(Postern\) id (\w{13})"
                   rb"(?: for <[^>]*>)?; [^\r\n]*\r\n")


def folder(pt):
    d = pt.state / "Pickup"
    d.mkdir(mode=0o700, parents=True, exist_ok=True)
    return d


def put(pt, name, data):
    """As careful software does it: written elsewhere, then renamed."""
    d = folder(pt)
    new = pt.dir / "being written"
    new.write_bytes(data)
    return new.rename(d / name)


def lying(pt):
    return sorted(p.name for p in folder(pt).iterdir())


def claimed(pt):
    d = pt.state / "run" / "pickup"
    return sorted(p.name for p in d.iterdir()) if d.exists() else []


def claims(pt):
    """What the database remembers of files: nothing, once they are gone."""
    with sqlite3.connect(f"file:{pt.state}/postern.db?mode=ro", uri=True) as db:
        return db.execute("SELECT count(*) FROM origin JOIN account ON account.id = origin.account"
                          " WHERE account.name = ':pickup'").fetchone()[0]


def untraced(data):
    m = TRACE.match(data)
    assert m, data[:300]
    return data[m.end():]


def subject(d):
    return re.search(rb"^Subject: ([^\r\n]*)", d.data, re.M)[1].decode()


def test_files_of_all_kinds(pt):
    pt.conf["log"] = {"level": 1}
    body = b"Subject: y\r\n\r\none\r\n..\r\n.two\r\n"
    put(pt, "a crlf", X + body)
    put(pt, "b lf", (X + body).replace(b"\r\n", b"\n"))
    put(pt, "c dot", (X + body).replace(b"\r\n", b"\n") + b".\n")
    put(pt, "d dots", X + body + b".\r\n.\r\n")
    put(pt, "e null", X.replace(b"max@nwtraders.test", b"<>") + b"x-receiver:<Bob@Contoso.test>\r\n" + body)
    put(pt, "f bare", X + body + b"a\nb\rc\0d\r\n" + b"l" * 5000)
    answer = pt.once()
    assert answer["delivered"] == 7 and lying(pt) == [] == claimed(pt)
    a, b, c, d, e, f = pt.drop()
    assert {x.sender for x in (a, b, c, d, f)} == {"max@nwtraders.test"} and e.sender == ""
    assert e.recipients == ["ann@contoso.test", "Bob@Contoso.test"]
    assert a.recipients == b.recipients == ["ann@contoso.test"]
    assert untraced(a.data) == untraced(b.data) == untraced(c.data) == untraced(e.data) == body
    assert untraced(d.data) == body + b".\r\n"
    assert untraced(f.data) == body + b"a\nb\rc\0d\r\n" + b"l" * 5000
    told = {x["file"]: x["id"] for x in pt.events(5101)}
    names = {p.path.stem for p in (a, b, c, d, e, f)}
    assert set(told) == {"a crlf", "b lf", "c dot", "d dots", "e null", "f bare"}, told
    assert TRACE.match(a.data)[1].decode() in names and claims(pt) == 0
    trace = pt.run("trace", a.path.stem).expect(DONE).out
    assert "Pickup a crlf" in trace, trace


def test_the_header_is_the_envelope(pt, sink):
    """Recipients outside are welcome: who may put a file of ours there may send mail."""
    outside = sink()
    pt.route("nwtraders.test", outside.route)
    put(pt, "mail.txt", b"From: Ann <ann@contoso.test>\nTo: Max <max@nwtraders.test>, us: bob@contoso.test;\n"
        b"Bcc: eve@nwtraders.test,\n zed@contoso.test\nSubject: y\n\nhello\n")
    pt.once()
    [mail] = outside.wait(1)
    [drop] = pt.drop()
    assert mail.sender == drop.sender == "ann@contoso.test"
    assert sorted(mail.recipients) == ["eve@nwtraders.test", "max@nwtraders.test"]
    assert drop.recipients == ["bob@contoso.test", "zed@contoso.test"]
    for data in (mail.data, drop.data):
        head = untraced(data)
        assert b"eve" not in data and b"zed" not in data
        assert head.startswith(b"Message-ID: <" + drop.path.stem.encode() + b"@gw.contoso.test>\r\nDate: ")
        assert head.endswith(b"\r\nFrom: Ann <ann@contoso.test>\r\nTo: Max <max@nwtraders.test>, us: bob@contoso.test;\r\n"
                             b"Subject: y\r\n\r\nhello\r\n")


def test_a_bare_cr_in_the_envelope_names_nobody_else(pt):
    put(pt, "cr.eml", b"X-Sender: max@nwtraders.test\rX-Receiver: bob@contoso.test\r\n"
        b"X-Receiver: ann@contoso.test\rX-Receiver: eve@contoso.test\r\nSubject: cr\r\n\r\nx\r\n")
    put(pt, "header.eml", b"From: max@nwtraders.test\rSender: eve@contoso.test\r\nTo: ann@contoso.test\rBcc: eve@contoso.test\r\n"
        b"Subject: header\r\n\r\nx\r\n")
    pt.once()
    assert [(d.sender, d.recipients) for d in pt.drop()] == [("max@nwtraders.test", ["ann@contoso.test"])] * 2


def test_what_is_no_message_goes_to_badmail(pt):
    bad = {"nobody": b"From: ann@contoso.test\nSubject: x\n\n.\n", "words": b"Just words.\n", "empty": b"",
           "half": X + b"X-Receiver: a b c\r\n\r\n", "long": b"To: " + b"x" * (2 << 20), "nul": b"\0" * 100}
    for name, data in bad.items():
        put(pt, name, data)
    put(pt, "good", X + message())
    assert pt.once(status=FAILED)["badmail"] == len(bad)
    assert len(pt.drop()) == 1 and lying(pt) == [] == claimed(pt) and claims(pt) == 0
    items = {b.record["path"].rsplit("/", 1)[1]: b for b in pt.badmail()}
    assert {name: b.data for name, b in items.items()} == bad
    events = {e["file"]: e for e in pt.events(4164)}
    assert set(events) == set(bad)
    for name, b in items.items():
        assert b.record["reason"] == "bad-pickup" and b.record["event"] == 4164
        assert b.record["path"] == str(pt.state / "Pickup" / name)
        assert "could not be parsed to get the originator and recipients" in b.reason
        assert events[name]["badmail"] == b.id
    assert events["nobody"]["err"] == "it has no recipients"


def test_badmail_off_leaves_the_file(pt):
    pt.conf["badmail"] = {"enabled": False}
    put(pt, "words", b"Just words.\n")
    pt.once()
    assert lying(pt) == ["words"] and claimed(pt) == [] and pt.badmail() == []
    [event] = pt.events(5102)
    assert event["file"] == "words" and "badmail.enabled" in event["err"]


def test_too_many_hops(pt):
    put(pt, "loop", X + b"Received: from a by b; now\r\n" * 51 + message())
    assert pt.once(status=FAILED)["badmail"] == 1
    [b] = pt.badmail()
    assert b.record["reason"] == "hop-count" and [r["address"] for r in b.record["recipients"]] == ["ann@contoso.test"]
    assert lying(pt) == [] == claimed(pt)


def test_x_lines_below_the_block_are_content(pt):
    """H06: nobody lengthens the envelope from inside a message."""
    inside = b"X-Receiver: eve@contoso.test\r\n"
    put(pt, "a", X + b"Subject: y\r\n" + inside + b"\r\n" + inside)
    pt.once()
    [first] = pt.drop()
    first.path.rename(folder(pt) / "b")
    pt.once()
    [again] = pt.drop()
    assert first.recipients == again.recipients == ["ann@contoso.test"] and again.data == first.data
    assert untraced(again.data) == b"Subject: y\r\n" + inside + b"\r\n" + inside


def test_large_files(pt):
    pt.conf["smtp"]["limits"] = {"message": "2M"}
    lines = b"".join(b"%07d\n" % i for i in range(200_000))  # 1.6 MB, and more with CRLF
    put(pt, "large", (X + b"\r\n").replace(b"\r\n", b"\n") + lines + b".\n")
    put(pt, "small", X + message())
    put(pt, "too large", X + b"\r\n" + b"x" * (2 << 20))
    pt.once()
    assert lying(pt) == ["too large"]
    a, b = sorted(pt.drop(), key=lambda d: len(d.data))
    assert untraced(a.data) == message()
    assert untraced(b.data) == b"\r\n" + lines.replace(b"\n", b"\r\n")
    assert list((pt.state / "spool").iterdir()) == []
    [event] = pt.events(5102)
    assert event["file"] == "too large" and "smtp.limits.message" in event["err"]


def test_recipients_by_the_thousand(pt):
    many = b"".join(b"X-Receiver: u%d@contoso.test\r\n" % i for i in range(10_000))
    put(pt, "many", b"X-Sender: max@nwtraders.test\r\n" + many + b"\r\nx")
    put(pt, "more", b"X-Sender: max@nwtraders.test\r\n" + many + b"X-Receiver: one@contoso.test\r\n\r\nx")
    pt.once(status=FAILED)
    [d] = pt.drop()
    assert d.recipients == [f"u{i}@contoso.test" for i in range(10_000)]
    assert len(pt.badmail()) == 1


def test_what_may_not_be_taken_stays(pt):
    """F01: each is told of once, and everything else goes on."""
    d = folder(pt)
    target = pt.dir / "elsewhere"
    target.write_bytes(X + message(subject="linked"))
    (d / "link").symlink_to(target)
    os.link(target, d / "hard")
    (d / "directory").mkdir()
    os.mkfifo(d / "fifo")
    s = socket.socket(socket.AF_UNIX)
    s.bind(str(d / "socket"))
    put(pt, "read-only", X + message(subject="read-only")).chmod(0o400)
    put(pt, ".unfinished", X + message(subject="unfinished"))
    want = {"link", "hard", "directory", "fifo", "socket", "read-only"}
    if os.geteuid() == 0:
        os.chown(put(pt, "foreign", X + message(subject="foreign")), 12345, 12345)
        want.add("foreign")
    odd = [b"-rf", b"..x", b"new\nline", b"\xff\xfe", b"n" * 255, b"%s%n"]
    for i, name in enumerate(odd):
        (pt.dir / "new").write_bytes(X + message(subject=f"odd {i}"))
        os.rename(pt.dir / "new", os.fsencode(d) + b"/" + name)
    pt.start()
    # A name that begins with a dot is another's unfinished file.
    good = [f"odd {i}" for i, name in enumerate(odd) if not name.startswith(b".")]
    wait_for(lambda: len(pt.drop()) == len(good), 20, "the good ones")
    put(pt, "last", X + message(subject="last"))
    wait_for(lambda: len(pt.drop()) == len(good) + 1, 20, "the last one")  # looks went on meanwhile
    assert sorted(map(subject, pt.drop())) == sorted([*good, "last"])
    told = Counter(e["file"] for e in pt.events(5102))
    assert told == dict.fromkeys(want, 1), told
    assert set(lying(pt)) == want | {".unfinished", "..x"}
    # Mended, it goes.
    (d / "read-only").chmod(0o600)
    wait_for(lambda: "read-only" in map(subject, pt.drop()), 20, "the mended one")
    assert pt.terminate() == DONE
    assert target.read_bytes() == X + message(subject="linked")


def test_as_a_user_of_its_own(new_postern):
    """What a service without root's rights cannot read, and what it can."""
    if os.geteuid() != 0 or not tool("setpriv"):
        pytest.skip("only root, with setpriv, can be somebody else")
    pt = new_postern(prefix=["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"])
    put(pt, "root's", X + message(subject="root")).chmod(0o644)
    put(pt, "secret", X + message(subject="secret")).chmod(0o600)
    os.chown(put(pt, "own", X + message(subject="own")), 65534, 65534)
    pt.write()
    for d in (pt.dir, pt.state, folder(pt)):
        os.chown(d, 65534, 65534)
    pt.once()
    assert sorted(map(subject, pt.drop())) == ["own", "root"] and lying(pt) == ["secret"]
    [event] = pt.events(5102)
    assert event["file"] == "secret" and "Permission denied" in event["err"]
    # A folder that it may not enter stops nothing else.
    os.chown(folder(pt), 0, 0)
    pt.start()
    with smtplib.SMTP("127.0.0.1", pt.port) as c:
        c.sendmail("max@nwtraders.test", ["ann@contoso.test"], message(subject="by SMTP"))
    wait_for(lambda: len(pt.drop()) == 3, 15, "other mail")
    os.chown(folder(pt), 65534, 65534)
    (folder(pt) / "secret").chmod(0o644)
    wait_for(lambda: len(pt.drop()) == 4, 15, "the file")
    assert "Permission denied" in [e for e in pt.events(5102) if e["file"] == str(folder(pt))][0]["err"]
    assert pt.terminate() == DONE


def test_the_folder_is_moved_away(pt):
    pt.start()
    folder(pt).rename(pt.dir / "moved")
    wait_for(lambda: any(e["path"] == str(folder(pt)) for e in pt.events(5105)), 15, "a folder made anew")
    for i in range(2):  # by the clock, and then by the kernel's word
        put(pt, "a", X + message(subject=f"a{i}"))
        wait_for(lambda i=i: len(pt.drop()) == i + 1, 15, "the file")
    assert pt.terminate() == DONE


def test_replay_from_badmail(pt):
    put(pt, "nobody", b"From: max@nwtraders.test\nSubject: replayed\n\nx\n")
    pt.once(status=FAILED)
    [bad] = pt.badmail_list()
    pt.run("badmail", "replay", bad["id"], "--to", "ann@contoso.test").expect(DONE)
    pt.once()
    [d] = pt.drop()
    assert d.recipients == ["ann@contoso.test"] and subject(d) == "replayed"


def test_a_folder_that_anybody_writes_to(pt):
    folder(pt).chmod(0o777)
    put(pt, "a", X + message())
    pt.once()
    assert lying(pt) == ["a"] and pt.drop() == []
    [event] = pt.events(5102)
    assert "anybody may write" in event["err"]
    folder(pt).chmod(0o770)
    pt.once()
    assert lying(pt) == [] and len(pt.drop()) == 1


def test_files_that_grow_are_not_taken_early(pt):
    """One writer keeps the file open and pauses for long, one comes back for each line."""
    pt.start()
    lines = [b"line %d\r\n" % i for i in range(4)]
    ends = {}

    def keeps_open():
        with open(folder(pt) / "open", "wb", buffering=0) as f:
            f.write(X + b"Subject: open\r\n\r\n")
            time.sleep(2.5)  # longer than a file must be quiet that nobody has open
            f.write(lines[0])
            ends["open"] = time.time()

    def comes_back():
        (folder(pt) / "again").write_bytes(X + b"Subject: again\r\n\r\n")
        for line in lines:
            time.sleep(0.8)
            with open(folder(pt) / "again", "ab") as f:
                f.write(line)
        ends["again"] = time.time()

    writers = [threading.Thread(target=w) for w in (keeps_open, comes_back)]
    for w in writers:
        w.start()
    for w in writers:
        w.join()
    drops = wait_for(lambda: len(pt.drop()) == 2 and pt.drop(), 15, "both files")
    got = {subject(d): d for d in drops}
    assert untraced(got["open"].data).endswith(b"\r\n\r\n" + lines[0])
    assert untraced(got["again"].data).endswith(b"\r\n\r\n" + b"".join(lines))
    for name, d in got.items():
        assert d.path.stat().st_mtime >= ends[name]
    assert pt.events(5102) == [] and lying(pt) == []


def watches(pt):
    """A process of the service has an inotify watch."""
    for p in Path("/proc").glob("[0-9]*"):
        try:
            if int((p / "stat").read_text().rsplit(")", 1)[1].split()[3]) == pt.proc.pid:
                if any("inotify wd:" in f.read_text() for f in (p / "fdinfo").iterdir()):
                    return True
        except OSError:
            continue  # it has ended
    return False


def test_a_file_is_taken_soon(pt):
    """The kernel tells that it is there: two seconds of quiet, not the next look round."""
    pt.start()
    wait_for(lambda: watches(pt), 10, "the folder to be watched")
    begin = time.monotonic()
    for i in range(3):
        put(pt, f"f{i}", X + message(subject=f"f{i}"))
    wait_for(lambda: len(pt.drop()) == 3, 10, "three files")
    assert time.monotonic() - begin < 4.5
    assert pt.terminate() == DONE


@pytest.mark.limit(120)
def test_a_thousand_at_once(pt):
    """Mail of others goes on meanwhile."""
    pt.policy("fabrikam", "fabrikam.test")
    pt.route("fabrikam.test", f"drop:{pt.dir}/other")
    pt.start()
    for i in range(1000):
        put(pt, f"f{i:04}", X + message(subject=f"f{i}"))
    longest, sent = 0, 0
    end = time.monotonic() + 90
    while lying(pt) or claimed(pt):
        assert time.monotonic() < end, f"{len(lying(pt))} left"
        begin = time.monotonic()
        with smtplib.SMTP("127.0.0.1", pt.port, timeout=20) as c:
            c.sendmail("max@nwtraders.test", ["bob@fabrikam.test"], message(subject=f"o{sent}"))
        sent += 1
        longest = max(longest, time.monotonic() - begin)
        time.sleep(0.05)
    wait_for(lambda: len(pt.drop()) == 1000 and len(pt.drop(pt.dir / "other")) == sent, 30, "all of it")
    assert Counter(map(subject, pt.drop())) == Counter(f"f{i}" for i in range(1000))
    assert longest < 10, longest
    assert pt.terminate() == DONE and claims(pt) == 0


POINTS = ["before rename", "renamed", "claimed", "read", "queued", "in Badmail", "before sync", "removed"]


@pytest.mark.parametrize("point", POINTS)
def test_a_crash_loses_nothing_and_doubles_nothing(pt, point):
    good, bad = 4, 2
    for i in range(good):
        put(pt, f"g{i}", X + message(subject=f"g{i}"))
    put(pt, "large", X + message(subject="large", body=b"x" * 200_000 + b"\r\n"))
    for i in range(bad):
        put(pt, f"b{i}", b"words %d\n" % i)
    for n in (1, 2):
        r = pt.run("once", env={"POSTERN_CRASH": f"pickup: {point}#{n}"})
        if n == 1:
            assert r.status == -9, r  # the point is there
    pt.run("once").expect(DONE, FAILED)
    pt.once(status=(DONE, FAILED))
    assert sorted(map(subject, pt.drop())) == sorted([*(f"g{i}" for i in range(good)), "large"])
    assert sorted(b.data for b in pt.badmail()) == [b"words %d\n" % i for i in range(bad)]
    assert lying(pt) == [] == claimed(pt) and pt.queue() == [] and claims(pt) == 0


def test_a_crash_of_the_commit(pt):
    """The claim stands in the same transaction as the message."""
    pt.conf["log"] = {"level": 1}
    for point in ("store: origin written", "pickup: queued"):
        put(pt, "a", X + message(subject=point))
        assert pt.run("once", env={"POSTERN_CRASH": point}).status == -9
        assert lying(pt) == [] and len(claimed(pt)) == 1
        pt.once()
    assert sorted(map(subject, pt.drop())) == ["pickup: queued", "store: origin written"]
    assert {e["file"] for e in pt.events(5101)} == {"a"} and claims(pt) == 0


@pytest.mark.limit(150)
def test_killed_again_and_again(pt):
    total = 0
    for k in range(8):
        for i in range(40):
            put(pt, f"k{k}i{i}", X + message(subject=f"k{k}i{i}"))
            total += 1
        pt.start()
        # Files of the round before are ready at once, these two seconds later.
        before = len(pt.drop())
        if k % 2 and k > 1:
            wait_for(lambda: len(pt.drop()) > before, 20, "one of them in Drop")
        time.sleep(0.06 * k)  # the kill falls anywhere behind that
        pt.kill()
    pt.once(timeout=90)
    assert Counter(map(subject, pt.drop())) == Counter(f"k{k}i{i}" for k in range(8) for i in range(40))
    assert lying(pt) == [] == claimed(pt) and pt.queue() == [] and claims(pt) == 0


def test_low_on_disk_files_stay(pt):
    if os.geteuid() != 0:
        pytest.skip("a small file system can only be mounted by root")
    pt.state.mkdir(mode=0o700)
    mount = ["mount", "-t", "tmpfs", "-o", "size=6m,mode=0700", "tmpfs", str(pt.state)]
    if subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip("mounting is not allowed here")
    try:
        pt.once()
        folder(pt)
        (pt.state / "Pickup" / "a").write_bytes(X + message())
        filler = pt.state / "filler"
        filler.write_bytes(bytes(os.statvfs(pt.state).f_bavail * 4096 - 300_000))
        pt.start()
        pt.wait_line("event=6004")
        time.sleep(7)  # long enough for a look that must not be
        assert lying(pt) == ["a"] and claimed(pt) == []
        filler.unlink()
        wait_for(lambda: pt.drop(), 20, "the file, when there is room again")
        assert lying(pt) == [] and pt.terminate() == DONE
    finally:
        if pt.proc and pt.proc.poll() is None:
            pt.kill()
        subprocess.run(["umount", "-l", str(pt.state)], check=True)


def bytes_of(pt):
    return Counter(p.read_bytes() for p in (pt.state / "Drop").glob("*.eml"))


def round_trip(pt, files, **once):
    """Into Pickup, out of Drop, and the same again: the two Drops."""
    for i, data in enumerate(files):
        put(pt, f"{i:05}", data)
    pt.once(**once)
    first = bytes_of(pt)
    # Whatever other names they get: a file is known by what it holds.
    for i, p in enumerate(sorted((pt.state / "Drop").glob("*.eml"))):
        p.rename(folder(pt) / f"{i:05}.again")
    pt.once(**once)
    assert lying(pt) == [] == claimed(pt)
    return first, bytes_of(pt)


def test_drop_to_pickup_to_drop(pt):
    """E18 (9), over what is hard about bytes."""
    bodies = [b"", b"\r\n", b"\n", b"no header\r\n", b"A: b\r\n\r\n.\r\n", b"A: b\n\n.\n", b"A: b\r\n\r\n.", b"\r\n..\r\n.",
              b"A: b\r\n\r\na\nb\rc\r\r\n\n", b"A: b\r\n\r\n" + bytes(range(256)), b"A: b\r\n\r\n" + b"x" * 100_000,
              b"A: b\r\n\r\n" + b".\r\n" * 40_000, b"\0", b"Bcc: eve@contoso.test\r\n\r\nx", b"X-Old-Receiver: x\r\n\r\n",
              b"A: b\r\n\r\n" + X, b"From x Mon\r\nA: b\r\n\r\n", b"A: b\r\n c\r\nno colon\r\n\r\n\r\n"]
    first, second = round_trip(pt, [X + b"X-Receiver: Bob@Contoso.test\r\n" + b for b in bodies])
    assert sum(first.values()) == len(bodies) and first == second


@pytest.mark.limit(300)
def test_drop_to_pickup_to_drop_over_the_corpus(pt, corpus):
    files = sorted((corpus / "msg").glob("*.eml"))
    pt.conf["smtp"]["max_hops"] = 100
    originals = [p.read_bytes() for p in files]
    first, second = round_trip(pt, [X + b for b in originals], timeout=120)
    assert sum(first.values()) == len(files) and first == second
    # In Drop stands what was put in, under our trace line; a lone dot at the end is the only byte that may go.
    got = Counter(untraced(read_drop(p).data) for p in (pt.state / "Drop").glob("*.eml"))
    assert got == Counter(re.sub(rb"(?<=\n)\.\r?\n?\Z", b"", b) for b in originals)


@pytest.mark.limit(180)
def test_the_service_stops_amid_large_files(pt):
    """What is not read yet comes at the next start, once."""
    for i in range(6):
        put(pt, f"f{i}", X + b"Subject: f%d\r\n\r\n" % i + b"x" * (40 << 20))
    pt.start()
    wait_for(lambda: claimed(pt), 15, "the files to be claimed")
    begin = time.monotonic()
    assert pt.terminate() == DONE
    assert time.monotonic() - begin < 10
    assert len(lying(pt)) + len(claimed(pt)) + len(pt.queue()) + len(pt.drop()) >= 6
    pt.once(timeout=90)
    assert Counter(map(subject, pt.drop())) == Counter(f"f{i}" for i in range(6)) and claims(pt) == 0
