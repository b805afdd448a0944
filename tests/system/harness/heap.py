"""Long lists, made at once: rows in the database of a state, files in its Badmail."""
import contextlib
import json
import sqlite3

FIRST = 0x18C00000000000  # the first queue id: of a time long past, so that the service's are above it
MESSAGES = """
WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < :count)
INSERT INTO message (id, account, uidl, source, sender, message_id, size, arrived_ms, flags)
SELECT :first + i * 65536, 1, 'u' || i, 'pop.isp.test [192.0.2.1]', 'max@nwtraders.test', '<m' || i || '@nwtraders.test>',
 2048, 1700000000000 + i, 0 FROM n"""
BODIES = """
INSERT INTO body (id, size, top, bytes) SELECT id, 40, x'', CAST('Subject: one of many' || x'0d0a0d0a' || 'text' AS BLOB)
FROM message WHERE id >= :first"""
RECIPIENTS = """
INSERT INTO recipient (message, seq, address, state, hop, next_ms, attempts, last_ms, code, reply, reason, asked_list)
SELECT id, 0, iif(:state = 3, NULL, 'ann@contoso.test'), :state, 1, 4000000000000, iif(:state = 0, 2, 0), 0,
 iif(:state = 0, 451, 0), iif(:state = 0, '4.3.2 try again later', NULL), iif(:state = 3, 'unrouted', NULL), 0
FROM message WHERE id >= :first"""
QUEUED, HELD = 0, 3


def qid(number):
    """As the program prints a queue id."""
    digits = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
    return "".join(digits[number >> shift & 31] for shift in range(60, -1, -5))


def queue(pt, count, state=QUEUED):
    """So many messages, each with one recipient in this state; the state directory is made by `once`."""
    pt.run("once")
    values = {"count": count, "first": FIRST, "state": state}
    with contextlib.closing(sqlite3.connect(pt.state / "postern.db")) as db, db:
        db.execute("INSERT OR IGNORE INTO account (id, name) VALUES (1, 'contoso')")
        db.execute("INSERT OR IGNORE INTO hop (id, key) VALUES (1, 'smtp:127.0.0.1:1')")
        for statement in (MESSAGES, BODIES, RECIPIENTS):
            db.execute(statement, {k: v for k, v in values.items() if f":{k}" in statement})


def badmail(pt, count):
    pt.run("badmail", "list")
    folder = pt.state / "Badmail"
    row = {"address": "eve@else.test", "status": "5.7.1", "reply": "550 5.7.1 Unable to relay for eve@else.test",
           "attempts": 1, "reason": "relay-denied"}
    for i in range(count):
        name = qid(FIRST + i * 65536)
        item = {"id": name, "reason": "relay-denied", "event": 4117, "time": "2026-01-05T10:00:00.000Z", "size": 4,
                "sender": "max@nwtraders.test", "message_id": f"<m{i}@nwtraders.test>", "account": "contoso",
                "uidl": f"u{i}", "path": "", "recipients": [row]}
        (folder / f"{name}.BAD").write_bytes(b"text")
        (folder / f"{name}.BDR").write_text("Unable to relay\n")
        (folder / f"{name}.BDP").write_text(json.dumps(item))


def recipients(pt, count):
    file = pt.dir / "many.csv"
    file.write_text("alias,given,surname,display,primary,groups,members\n"
                    + "".join(f"person{i},Ann,Number{i},Ann Number {i},person{i}@contoso.test,,\n" for i in range(count)))
    pt.run("recipient", "import", file, timeout=300)


def journal(pt, count):
    with open(pt.state / "events.jsonl", "a") as f:
        for i in range(count):
            f.write(json.dumps({"time": "2026-01-05T10:00:00.000Z", "id": 2003, "level": 1, "severity": "I",
                                "name": "collected", "text": f"Message u{i} was collected.", "account": "contoso",
                                "trace": f"contoso/u{i}"}, separators=(",", ":")) + "\n")
