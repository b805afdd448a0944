"""Lists of what is many: a page is a page, and what was found is printed before the rest is looked for."""
import contextlib
import os
import sqlite3
import subprocess

import pytest
from harness import heap, net

MANY, FEW = 1500, 700  # some pages of each list; the pipe holds less than FEW of them


def remove_rows(pt):
    """Everything behind the first FEW."""
    with contextlib.closing(sqlite3.connect(pt.state / "postern.db", timeout=20)) as db, db:
        for table, column in (("body", "id"), ("recipient", "message"), ("message", "id")):
            db.execute(f"DELETE FROM {table} WHERE {column} >= ?", [heap.FIRST + FEW * 65536])


def remove_files(pt):
    for path in sorted((pt.state / "Badmail").glob("*.BDP"))[FEW:]:
        path.unlink()


LISTS = {
    "queue": (lambda pt: heap.queue(pt, MANY), remove_rows),
    "unrouted": (lambda pt: heap.queue(pt, MANY, heap.HELD), remove_rows),
    "badmail": (lambda pt: heap.badmail(pt, MANY), remove_files),
}


@pytest.mark.parametrize("form", [[], ["--json"]], ids=["table", "json"])
@pytest.mark.parametrize("name", LISTS)
def test_a_list_is_printed_while_it_is_made(pt, name, form):
    fill, remove = LISTS[name]
    fill(pt)
    whole = pt.run(name, "list", *form)
    assert whole.status == 0 and whole.out.count("@nwtraders.test") >= MANY
    with subprocess.Popen(pt.command(name, "list", *form), stdout=subprocess.PIPE, preexec_fn=net.end_with_us) as p:
        first = p.stdout.readline() + p.stdout.readline()  # it waits for us now, the pipe is full
        assert first
        remove(pt)
        rest = p.stdout.read().decode()
        assert p.wait(30) in (0, 1)  # items of Badmail that went meanwhile are "not whole"
    shown = (first.decode() + rest).count(" " * 2 + "max@nwtraders.test" if not form else '"sender"')
    assert FEW <= shown < MANY


def test_who_has_seen_enough_closes_the_pipe(pt):
    heap.queue(pt, MANY)
    pt.write()
    with subprocess.Popen(pt.command("queue", "list"), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          preexec_fn=net.end_with_us) as p:
        assert p.stdout.readline().startswith(b"id ")
        os.close(p.stdout.fileno())
        p.stdout = None
        assert p.wait(20) != 0
        assert p.stderr.read() == b""


def test_pages_join_without_a_seam(pt):
    heap.queue(pt, MANY)
    ids = [m["id"] for m in pt.queue()]
    assert ids == [heap.qid(heap.FIRST + i * 65536) for i in range(MANY)]
    assert [m["id"] for m in pt.ask("queue", "list", "--domain", "contoso.test", "--status", "deferred")] == ids
    assert pt.ask("queue", "list", "--domain", "else.test") == []
