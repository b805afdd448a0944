"""201 varied messages from each POP3 server that Debian has: octet for octet, and once. Prints Markdown.

  POSTERN=build/release/src/cli/postern python3 tests/bench/servers.py [SERVER...] >>tests/bench/RESULTS.md

As root, with the servers that contrib/test unpacks (POSTERN_SERVERS names their folder) and those
it installs. Each cell begins with a full mailbox and an empty state; what Postern puts into Drop is
compared with what the server itself hands out to another client, but for the fields that E15 names
and the marks some servers write into a mailbox while it is used. Cells:

  keep 0        one poll, then another that finds nothing; how long the first took
  keep forever  two polls: the second collects nothing; how long it took
  50 ms         keep forever through tests/bench/delay_proxy.c, 25 ms each way: both polls
  kills         kill -9 at random moments, until a poll ends by itself, at least 8 of them (--seed)

A cell that is not right says what is wrong; the exit status is the number of these."""
import argparse
import os
import random
import subprocess
import sys
import time

from measure import log, machine, new_postern

from harness import debian  # isort: skip (measure says where it is)
from harness.line import Line  # isort: skip
from harness.message import check_same  # isort: skip

COUNT = 201
KILLS = 8


def poll(pt):
    """(its row, seconds)"""
    began = time.monotonic()
    row = pt.run("once", "--json", timeout=600).json()["accounts"][0]
    return row, time.monotonic() - began


def expect(what, got, want):
    assert got == want, f"{what}: {got} instead of {want}"


def compare(pt, want):
    drops = pt.drop()
    keys = [debian.message_id(d.data) for d in drops]
    expect("messages in Drop", len(keys), COUNT)
    expect("different ones", len(set(keys)), COUNT)
    for key, d in zip(keys, drops):
        check_same(debian.plain(want[key]), debian.plain(d.data))


def delete(pt, server, want, _):
    row, seconds = poll(pt)
    expect("error", row["error"], None)
    expect("collected", row["collected"], COUNT)
    compare(pt, want)
    expect("left there", debian.left(server), 0)
    row, _ = poll(pt)
    expect("collected by the second poll", (row["collected"], row["error"]), (0, None))
    return f"{seconds:.2f} s"


def keep(pt, server, want, _):
    row, _ = poll(pt)
    expect("collected", (row["collected"], row["error"]), (COUNT, None))
    row, seconds = poll(pt)
    expect("collected by the second poll", (row["collected"], row["error"]), (0, None))
    compare(pt, want)
    expect("left there", debian.left(server), COUNT)
    return f"{seconds:.2f} s"


def far(pt, server, want, _):
    row, first = poll(pt)
    expect("collected", (row["collected"], row["error"]), (COUNT, None))
    row, second = poll(pt)
    expect("collected by the second poll", (row["collected"], row["error"]), (0, None))
    compare(pt, want)
    return f"{first:.2f} s, {second:.2f} s"


def kills(pt, server, want, chance):
    pt.write()
    done = 0
    while True:
        p = subprocess.Popen(pt.command("once"), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                             start_new_session=True)
        try:
            # Growing, so that a slow machine gets through in the end.
            p.wait(chance.uniform(0.02, 0.25 + 0.05 * done))
            if done >= KILLS:
                break
        except subprocess.TimeoutExpired:
            p.kill()
            p.wait()
            done += 1
    for _ in range(2):
        row, _ = poll(pt)
    expect("error", row["error"], None)
    compare(pt, want)
    expect("left there", debian.left(server), 0)
    return f"{done} kills"


CELLS = {"keep 0": (delete, 0, False), "keep forever": (keep, "forever", False), "50 ms": (far, "forever", True), "kills": (kills, 0, False)}


def cell(name, what, chance):
    how, kept, long = CELLS[what]
    server = debian.filled(name, debian.varied(COUNT))
    pt = new_postern()
    line = None
    try:
        want = debian.handed_out(server)
        expect("messages handed out", len(want), COUNT)
        line = Line(server.port) if long else None
        pt.account("contoso", line.port if line else server.port, user=server.login("global"), keep=kept)
        return how(pt, server, want, chance), True
    except AssertionError as e:
        return f"WRONG: {str(e).splitlines()[0][:200]}", False
    finally:
        if line:
            line.close()
        pt.close()
        server.stop()


def main():
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("servers", nargs="*")
    args.add_argument("--seed", type=int, default=random.randrange(1 << 30))
    args = args.parse_args()
    chance = random.Random(args.seed)
    print(f"\n# Real POP3 servers, {COUNT} varied messages each\n\n{time.strftime('%Y-%m-%d')}, {machine()}; the servers of Debian 12, each its newest package.\n"
          f"Command: `POSTERN={os.environ['POSTERN']} python3 tests/bench/servers.py --seed {args.seed}`.\n\n"
          "| server | " + " | ".join(CELLS) + " |\n|---|" + "---|" * len(CELLS))
    wrong = 0
    for name in args.servers or debian.SERVERS:
        why = debian.why_not(name)
        if why:
            print(f"| {name} | not here: {why} |", flush=True)
            wrong += 1
            continue
        cells = []
        for what in CELLS:
            log(f"{name}: {what}")
            said, right = cell(name, what, chance)
            log(said)
            wrong += not right
            cells.append(said)
        print(f"| {name} | " + " | ".join(cells) + " |", flush=True)
    return wrong


if __name__ == "__main__":
    sys.exit(main())
