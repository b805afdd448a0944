"""What a state weighs after many messages, crashes and days, and where it stops growing.

  POSTERN=build/gcc/src/cli/postern python3 tests/bench/state_size.py 100000

Collects and delivers so many messages of 2 KB by `once` (every 10th has a second recipient, every 100th is
refused and goes to Badmail), kills five more runs while they have half a message of 200 KB, then moves the clock
on day by day (--days), with one empty `once` on each, until the history's month is over. What `postern status`
says at each step is printed as Markdown; Drop is left out, since it is for others to empty."""
import argparse
import os
import subprocess
import time

from measure import log, new_postern

from harness.message import message  # isort: skip (measure says where it is)
from harness.pop3_server import Pop3Server  # isort: skip

CRASHES = 5
ROUND = 2000  # messages of one poll
PARTS = ["database", "log", "spool", "badmail", "evidence", "events"]


def run(pt, *words, env=None):
    return subprocess.run(pt.command(*words), cwd=pt.dir, stdin=subprocess.DEVNULL, capture_output=True,
                          env={**os.environ, "POSTERN_CLOCK": str(pt.dir / "clock"), **(env or {})}, check=False)


def row(pt, when):
    size = pt.run("status", "--json").json()["state"]
    whole = sum(size[k] for k in PARTS)
    print(f"| {when} | " + " | ".join(f"{size[k] / 1e6:.2f}" for k in PARTS) + f" | {whole / 1e6:.2f} |", flush=True)
    return whole


def collect(pt, server, n):
    body = b"0123456789abcdef" * 125 + b"\r\n"
    began = time.monotonic()
    for first in range(0, n, ROUND):
        for i in range(first, min(n, first + ROUND)):
            to = "eve@else.test" if i % 100 == 99 else "ann@contoso.test, bob@contoso.test" if i % 10 == 9 else "ann@contoso.test"
            server.put(message(to=to, subject=f"number {i}", message_id=f"m{i}", body=body), uidl=f"u{i}")
        run(pt, "once")
        assert server.left() == [] and pt.queue() == []
        for p in (pt.dir / "drop").glob("*.eml"):  # it is for others to empty
            p.unlink()
    log(f"{n} messages in {time.monotonic() - began:.1f} s")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("messages", type=int)
    parser.add_argument("--days", type=int, default=33)
    args = parser.parse_args()
    pt, server = new_postern(), Pop3Server()
    (pt.dir / "clock").write_text("0")
    pt.route("contoso.test", f"drop:{pt.dir}/drop")
    pt.account("contoso", server.port, domains=["contoso.test", "else.test"], max_per_session=args.messages)
    pt.conf["accounts"]["contoso"]["keep"] = 0
    pt.write()
    run(pt, "once")
    print("| MB | " + " | ".join(PARTS) + " | all |\n" + "|---" * (len(PARTS) + 2) + "|")
    empty = row(pt, "new")
    collect(pt, server, args.messages)
    full = row(pt, f"{args.messages} messages collected and delivered")
    server.put(message(to="ann@contoso.test", message_id="large", body=b"0123456789abcde\r\n" * 12000), uidl="large")
    for _ in range(CRASHES):
        killed = run(pt, "once", env={"POSTERN_CRASH": "store: spool files synced"})
        assert killed.returncode == -9, killed
    row(pt, f"{CRASHES} kills with half a message")
    run(pt, "once")
    row(pt, "the next run")
    for day in range(1, args.days + 1):
        (pt.dir / "clock").write_text(str(day * 86400000))
        run(pt, "once")
        if day in (1, 8, 15, 30, 31, 32, args.days):
            row(pt, f"day {day}")
    print(f"\n{(full - empty) / args.messages:.0f} octets for each message, until its month is over.")
    server.close()
    pt.close()


main()
