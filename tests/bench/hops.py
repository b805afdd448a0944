"""201 varied messages from a mailbox through Postern to each of the mail servers that people have
as next hops, on loopback: what arrived, whether it is what was sent, how often, and what was
refused with which words.

  POSTERN=PROGRAM POSTERN_SERVERS=DIR /usr/bin/python3 tests/bench/hops.py [HOP...]

DIR is where contrib/test unpacks the servers (build/servers). Prints the table of RESULTS.md."""
import sys
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "system"))

from harness import debian, hops, pop3_server, postern  # noqa: E402
from harness.message import essence, message  # noqa: E402

ODD = {
    "NUL": b"a\0b\r\n", "bare CR": b"one\rtwo\r\n", "bare LF": b"one\ntwo\r\n", "a dot between bare LFs": b"one\n.\ntwo\r\n",
    "a line of 9,000": b"w" * 9000 + b"\r\n", "a line of 70,000": b"w" * 70000 + b"\r\n",
}


def mails():
    """{Message-ID: (kind, message)}"""
    all_ = {debian.message_id(m): ("usual", m) for m in debian.varied(201 - len(ODD))}
    for i, (kind, body) in enumerate(ODD.items()):
        m = message(subject=kind, message_id=f"odd{i}", body=body)
        all_[debian.message_id(m)] = (kind, m)
    return all_


def lines(data):
    """As it may go to a hop without BINARYMIME (E15)."""
    return essence(data).replace(b"\r\n", b"\n").replace(b"\r", b"\n")


def words(pt):
    """What was refused or waits, and why: {(kind or id, reply)}."""
    out = []
    for bad in pt.badmail():
        out += [(str(bad.record.get("message_id")), r.get("reply")) for r in bad.record.get("recipients", [])]
    out += [(q["message_id"], r["last_reply"]) for q in pt.queue() for r in q["recipients"]]
    return [(str(i).encode(), reply) for i, reply in out]


def settled(hop, want):
    """What lies there once nothing more comes."""
    end, n = time.monotonic() + 60, -1
    while time.monotonic() < end:
        got = hop.got()
        if len(got) >= want and len(got) == n:
            break
        n = len(got)
        time.sleep(1)
    return [hops.as_sent(d) for d in hop.got()]


def measure(name):
    sent = mails()
    hop = hops.HOPS[name]()
    pt = postern.Postern()
    server = pop3_server.Pop3Server()
    try:
        hop.start()
        pt.policy("contoso", "contoso.test")
        pt.account("contoso", server.port)
        pt.route("contoso.test", hop.route)
        for _, m in sent.values():
            server.put(m)
        row = pt.once(status=(0, 1), timeout=300)
        came = settled(hop, row["delivered"])
        count = Counter(debian.message_id(d) for d in came if debian.message_id(d) in sent)
        changed = Counter(sent[debian.message_id(d)][0] for d in came
                          if debian.message_id(d) in sent and lines(d) != lines(sent[debian.message_id(d)][1]))
        refused = Counter((sent[i][0], reply) for i, reply in words(pt) if i in sent)
        missing = Counter(sent[i][0] for i in sent if i not in count) - Counter(k for k, _ in refused.elements())
        print(f"| {name} | {row['delivered']} | {len(count)} | {sum(n > 1 for n in count.values())} | {len(count) - sum(changed.values())} | "
              f"{'; '.join(f'{k} ({n})' for k, n in changed.items()) or '-'} | "
              f"{'; '.join(f'{k} ({n}): {r}' for (k, r), n in refused.items()) or '-'} | "
              f"{'; '.join(f'{k} ({n})' for k, n in missing.items()) or '-'} |", flush=True)
    finally:
        pt.close()
        server.close()
        hop.stop()


def main():
    print("| next hop | accepted | arrived | twice | to the octet | changed by it | refused, and its words | taken, and not in the mailbox |")
    print("|---|---|---|---|---|---|---|---|")
    for name in sys.argv[1:] or hops.HOPS:
        why = hops.why_not(name)
        if why:
            print(f"| {name} | {why} | | | | | | |")
        else:
            measure(name)


main()
