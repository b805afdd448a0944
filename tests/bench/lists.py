"""How long the lists of the command line take, and what memory, with very much to list.

  POSTERN=build/gcc/src/cli/postern python3 tests/bench/lists.py 100000

Each list whole, and how long until its first ten lines are out and the pipe is closed (`| head`). The medians of
--runs; whatever is to be listed is made by tests/system/harness/heap.py."""
import argparse
import os
import statistics
import subprocess
import time

from measure import Group, machine, new_postern

from harness import heap  # isort: skip (measure says where it is)

def traced(pt, count):
    """One message, and an event for it among those of many others."""
    heap.queue(pt, 1)
    heap.journal(pt, count)


LISTS = [
    ("queue list", heap.queue, ["queue", "list"]),
    ("unrouted list", lambda pt, n: heap.queue(pt, n, heap.HELD), ["unrouted", "list"]),
    ("badmail list", heap.badmail, ["badmail", "list"]),
    ("recipient list", heap.recipients, ["recipient", "list"]),
    ("events", heap.journal, ["events"]),
    ("trace of one message", traced, ["trace", "contoso/u0"]),
]


def whole(pt, words):
    group = Group(pt.command(*words), cwd=pt.dir, stdout=subprocess.PIPE)
    octets = sum(len(piece) for piece in iter(lambda: group.p.stdout.read1(1 << 20), b""))
    _, status, usage = os.wait4(group.p.pid, 0)
    seconds = time.monotonic() - group.begin
    group.p.returncode = os.waitstatus_to_exitcode(status)
    group.stop.set()
    return seconds, usage.ru_utime + usage.ru_stime, group.peak_mb(), octets


def head(pt, words):
    began = time.monotonic()
    with subprocess.Popen(pt.command(*words), cwd=pt.dir, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as p:
        for _ in range(10):
            p.stdout.readline()
    return time.monotonic() - began


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("count", type=int)
    parser.add_argument("--runs", type=int, default=3)
    args = parser.parse_args()
    print(f"{machine()}; {args.count:,} of each, medians of {args.runs}\n")
    print("| list | form | whole, s | its CPU, s | peak MB | MB printed | first ten lines, s |\n|---|---|---|---|---|---|---|")
    for name, fill, words in LISTS:
        pt = new_postern()
        pt.run("once")
        fill(pt, args.count)
        pt.write()
        for form in ([], ["--json"]):
            runs = [whole(pt, words + form) for _ in range(args.runs)]
            heads = [head(pt, words + form) for _ in range(args.runs)]
            seconds, cpu, peak, octets = (statistics.median(r[i] for r in runs) for i in range(4))
            print(f"| `{name}` | {'JSON' if form else 'text'} | {seconds:.2f} | {cpu:.2f} | {peak:.0f} | {octets / 1e6:.1f} | "
                  f"{statistics.median(heads):.3f} |", flush=True)
        pt.close()


main()
