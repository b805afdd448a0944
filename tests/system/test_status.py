"""`postern status`: one screen, the same with and without a service, and what to look at first."""
import sqlite3

from harness.message import message
from harness.postern import DONE, FAILED


def status(pt, code):
    return pt.run("status", "--json").expect(code).json()


def told_id(pt, state):
    [q] = pt.run("queue", "list", "--status", state, "--json").expect(DONE).json()
    return q["id"]


def test_all_is_well(pt, pop3):
    server = pop3()
    pt.account("contoso", server.port)
    new = status(pt, DONE)
    assert not new["running"] and new["accounts"]["never"] == 1 and new["queue"] == []
    server.put(message(to="ann@contoso.test", body=b"0123456789abcde\r\n" * 1000))
    pt.once()
    without = status(pt, DONE)
    assert without["accounts"] == {"ok": 1, "failing": 0, "held": 0, "never": 0, "set_aside": 0}
    assert without["look_at"] == [] and without["unrouted"] == 0
    sizes = without["state"]
    assert sizes["drop"] >= 16000 and sizes["database"] > 0
    assert sum(n for k, n in sizes.items() if k != "total") == sizes["total"]
    assert without["disk"]["free"] > without["disk"]["floor"] > 0
    pt.start()
    running = status(pt, DONE)
    assert running["running"] and running["pid"] == pt.proc.pid
    assert running["accounts"]["ok"] == 1
    text = pt.run("status").expect(DONE).out
    for word in [f"runs (process {pt.proc.pid})", "1 ok, 0 failing", "queue      empty", "free; below"]:
        assert word in text
    assert "look at" not in text
    assert pt.terminate() == DONE


def test_what_needs_a_person(pt, pop3, sink):
    hop, server, other = sink(), pop3(), pop3()
    hop.answers["RCPT later@contoso.test"] = "451 4.2.1 later"
    other.answers["PASS"] = b"-ERR no\r\n"
    pt.route("contoso.test", hop.route)
    pt.account("contoso", server.port, unrouted="hold", domains=["contoso.test", "else.test"])
    pt.account("other", other.port)
    server.put(message(to="later@contoso.test"))
    server.put(message(to="eve@else.test"))
    server.put(message(to="undisclosed-recipients:;"))
    pt.once(status=FAILED)
    told = status(pt, FAILED)
    assert told["accounts"] == {"ok": 1, "failing": 1, "held": 0, "never": 0, "set_aside": 0}
    assert {q["status"]: q["messages"] for q in told["queue"]} == {"deferred": 1, "held": 1}
    assert all(q["last_hour"] == q["last_day"] == 1 and q["oldest"] for q in told["queue"])
    assert told["unrouted"] == 1 and told["badmail"] == {"messages": 1, "last_day": 1}
    look = told["look_at"]
    assert "account other fails" in look[0] and len(look) == 3
    assert "unrouted list" in look[1] and "badmail list" in look[2]
    text = pt.run("status").expect(FAILED).out
    assert "deferred" in text and look[0] in text and "does not run" in text
    shown = [pt.run(*line.split("; see: postern ")[1].split()).expect(DONE).out for line in look]
    assert "other" in shown[0] and told_id(pt, "held") in shown[1] and pt.badmail()[0].id in shown[2]


def test_each_advice_is_a_command_that_works(pt, pop3, sink):
    """What is held for another reason, and what waits too long."""
    hop, server = sink(), pop3()
    hop.answers["RCPT later@contoso.test"] = "451 4.2.1 later"
    pt.route("contoso.test", hop.route)
    pt.account("contoso", server.port, unrouted="hold")
    server.put(message(to="later@contoso.test"))
    server.put(message(to="undisclosed-recipients:;"))
    pt.once()
    deferred, held = told_id(pt, "deferred"), told_id(pt, "held")
    with sqlite3.connect(pt.state / "postern.db") as db:
        assert db.execute("UPDATE recipient SET reason = 'policy' WHERE reason = 'unrouted'").rowcount == 1
        db.execute("UPDATE message SET arrived_ms = arrived_ms - 2 * 86400000")
    look = status(pt, FAILED)["look_at"]
    advice = [line.split("; see: postern ")[1] for line in look]
    assert advice == ["queue list --status held", "queue list"]
    assert held in pt.run(*advice[0].split()).expect(DONE).out
    assert deferred in pt.run(*advice[1].split()).expect(DONE).out


def test_a_state_that_cannot_be_read_is_no_empty_one(pt):
    pt.once()
    (pt.state / "postern.db").write_bytes(b"this is no database, and it is long enough to be read" * 100)
    result = pt.run("status").expect(FAILED)
    assert "postern.db" in result.err or "database" in result.err
