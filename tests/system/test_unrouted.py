"""Mail for nobody, held until somebody says who gets it (E13, `unrouted: hold`)."""
import json
import re
import sqlite3

import pytest
from harness.message import check_same, message
from harness.net import wait_for
from harness.postern import DONE, FAILED, USAGE

LIST_KEYS = {"id", "account", "uidl", "message_id", "sender", "subject", "to", "size", "arrived", "reason"}


def nobody(subject="for whom?", to="Sales <info@else.test>", **kw):
    return message(to=to, subject=subject, **kw)


@pytest.fixture
def held(pt, pop3):
    """One message for nobody, collected and held."""
    server = pop3()
    pt.sent = nobody(body=b"a\0b\rc\nd\r\n")
    pt.server = server
    pt.uidl = server.put(pt.sent)
    pt.account("contoso", server.port, domains=["contoso.test"], unrouted="hold")
    pt.conf["log"] = {"level": 1}
    pt.report = pt.once(status=DONE)
    return pt


def test_it_is_held_durable_and_deleted_at_the_provider(held):
    assert held.server.left() == []
    assert (held.report["delivered"], held.report["badmail"], held.report["refused"]) == (0, 0, 0)
    assert held.drop() == [] and held.badmail() == []
    [row] = held.ask("unrouted", "list")
    assert set(row) >= LIST_KEYS
    assert (row["account"], row["uidl"], row["subject"], row["to"], row["sender"], row["reason"]) == (
        "contoso", held.uidl, "for whom?", "Sales <info@else.test>", "max@nwtraders.test", "no-recipients")
    [queued] = held.queue()
    assert (queued["id"], queued["status"]) == (row["id"], "held")
    assert [(r["address"], r["status"]) for r in queued["recipients"]] == [("", "held")]
    assert row["id"] in held.run("unrouted", "list").expect(DONE).out
    # 4034 names what `unrouted` calls it, and the origin.
    [event] = held.events(4034)
    assert event["text"] == f"No local recipient in message {held.uidl} of contoso; held as unrouted {row['id']}."


def test_nothing_but_a_word_moves_it(held):
    [row] = held.ask("unrouted", "list")
    assert held.ask("queue", "retry")["changed"] == 0
    assert held.ask("queue", "retry", row["id"])["changed"] == 0
    held.conf["delivery"].update(expire="1s", retry=["1s"])
    held.once(status=DONE)
    assert [r["id"] for r in held.ask("unrouted", "list")] == [row["id"]]
    assert held.drop() == [] and held.badmail() == []
    # Seen again at the provider (its DELE was lost), it is known and not held twice.
    held.server.put(held.sent, uidl=held.uidl)
    held.once(status=DONE)
    assert len(held.ask("unrouted", "list")) == 1 and len(held.events(4034)) == 1


def test_show_tells_what_one_needs_to_decide(held):
    [row] = held.ask("unrouted", "list")
    said = held.ask("unrouted", "show", row["id"])
    assert set(said) >= LIST_KEYS | {"held", "sentence", "fields", "candidates", "header"}
    assert said["held"] is True
    assert said["sentence"].startswith("Nobody was found: 1 address was seen, it is not in the account's domains.")
    assert {"name": "To", "body": "Sales <info@else.test>"} in said["fields"]
    assert [(c["address"], c["header"], c["kept"]) for c in said["candidates"]] == [("info@else.test", "To", False)]
    assert "E11" in said["candidates"][0]["why"] and "Subject: for whom?" in said["header"]
    text = held.run("unrouted", "show", row["id"]).expect(DONE).out
    for word in ("held", "info@else.test", "E11: not in the account's domains", "Subject: for whom?", "unrouted assign"):
        assert word in text, text


def test_assigned_it_arrives_whole_with_its_line(held):
    [row] = held.ask("unrouted", "list")
    said = held.run("unrouted", "assign", row["id"], "ann@contoso.test").expect(DONE).out
    assert "ann@contoso.test" in said
    assert held.ask("unrouted", "list") == []
    [queued] = held.queue()
    assert [(r["address"], r["status"]) for r in queued["recipients"]] == [("", "removed"), ("ann@contoso.test", "queued")]
    assert held.once(status=DONE)["delivered"] == 1
    [dropped] = held.drop()
    assert dropped.recipients == ["ann@contoso.test"]
    check_same(held.sent, dropped.data)
    assert b"\r\nX-Postern-Route: none; reason=no-recipients\r\n" in dropped.data
    assert held.queue() == []
    # Its story says so, and ends with where it is.
    text = held.run("trace", row["id"]).expect(DONE).out
    at = [text.index(w) for w in ("Nobody was found", "held as unrouted", "assigned to ann@contoso.test",
                                  "now: ann@contoso.test delivered")]
    assert at == sorted(at), text
    assert re.search(r"9002 .*unrouted assign", text), text
    text = held.run("unrouted", "show", row["id"]).expect(DONE).out
    assert "assigned to ann@contoso.test, " in text and "not kept here any more" in text and "unrouted assign" not in text
    # Once.
    again = held.run("unrouted", "assign", row["id"], "bob@contoso.test").expect(FAILED)
    assert "not held" in again.err
    assert len(held.drop()) == 1


def test_assigned_under_a_running_service_it_goes_at_once(pt, pop3, sink):
    hop, server = sink(), pop3()
    pt.route("contoso.test", hop.route)
    server.put(nobody())
    pt.account("contoso", server.port, domains=["contoso.test"], unrouted="hold")
    pt.start()
    wait_for(lambda: pt.ask("unrouted", "list"), 20, "a held message")
    [row] = pt.ask("unrouted", "list")
    pt.run("unrouted", "assign", row["id"], "ann@contoso.test", write=False).expect(DONE)
    assert hop.wait(1)[0].recipients == ["ann@contoso.test"]
    assert pt.terminate() == 0


def test_kill_and_restart_keep_it_held(pt, pop3):
    server = pop3()
    server.put(nobody())
    pt.account("contoso", server.port, domains=["contoso.test"], unrouted="hold")
    pt.start()
    wait_for(lambda: pt.ask("unrouted", "list"), 20, "a held message")
    pt.kill()
    [row] = pt.ask("unrouted", "list")
    pt.run("unrouted", "assign", row["id"], "ann@contoso.test").expect(DONE)
    pt.once(status=DONE)
    assert [d.recipients for d in pt.drop()] == [["ann@contoso.test"]]


def test_what_the_relay_would_refuse_is_refused_in_its_words(held):
    [row] = held.ask("unrouted", "list")
    p = held.run("unrouted", "assign", row["id"], "bob@fabrikam.test").expect(FAILED)
    assert "550 5.7.1 Unable to relay for bob@fabrikam.test" in p.err
    assert held.run("unrouted", "assign", row["id"], "no address").expect(FAILED).err
    assert held.run("unrouted", "assign", "0000000000000", "ann@contoso.test").expect(FAILED).err
    assert held.run("unrouted", "assign", row["id"]).expect(USAGE).err
    assert held.run("unrouted", "assign", row["id"], "ann@contoso.test", "--match", "x").expect(USAGE).err
    assert held.run("unrouted", "show", "0000000000000").expect(FAILED).err
    assert [r["id"] for r in held.ask("unrouted", "list")] == [row["id"]]


def test_several_at_once_and_one_that_is_none(pt, pop3):
    server = pop3()
    for i in range(3):
        server.put(nobody(subject=f"m{i}"))
    pt.account("contoso", server.port, domains=["contoso.test"], unrouted="hold")
    pt.once(status=DONE)
    ids = [r["id"] for r in pt.ask("unrouted", "list")]
    p = pt.run("unrouted", "assign", ids[0], "nonsense", ids[1], "ann@contoso.test", "--json").expect(FAILED)
    assert [r["id"] for r in p.json()] == ids[:2] and "nonsense" in p.err
    assert [r["id"] for r in pt.ask("unrouted", "list")] == ids[2:]


@pytest.mark.parametrize("headers,match,words", [
    (["List-Id: The news <news.else.test>"], "news.else.test", "List-Id"),
    ([], "info@else.test", "address in To or Cc"),
])
def test_a_rule_is_made_with_it_and_told(pt, pop3, headers, match, words):
    server = pop3()
    server.put(nobody(headers=headers))
    pt.account("contoso", server.port, domains=["contoso.test"], unrouted="hold")
    pt.once(status=DONE)
    [row] = pt.ask("unrouted", "list")
    version = policies_version(pt)
    said = pt.run("unrouted", "assign", row["id"], "ann@contoso.test", "--rule").expect(DONE).out
    assert words in said and match in said and "--match" in said
    assert policies_version(pt) > version
    [rule] = pt.ask("unrouted", "rules")
    assert (rule["account"], rule["match"], rule["target"]) == ("contoso", match, "ann@contoso.test") and rule["made"]
    assert match in pt.run("unrouted", "rules").expect(DONE).out
    assert "no such rule" in pt.run("unrouted", "forget", "contoso", "other").expect(FAILED).err
    version = policies_version(pt)
    pt.run("unrouted", "forget", "contoso", match).expect(DONE)
    assert pt.ask("unrouted", "rules") == [] and policies_version(pt) > version


def policies_version(pt):
    with sqlite3.connect(f"file:{pt.state}/postern.db?mode=ro", uri=True) as db:
        return db.execute("SELECT value FROM meta WHERE key = 'policies'").fetchone()[0]


def test_a_rule_for_another_text_or_none(pt, pop3):
    server = pop3()
    server.put(nobody(to="undisclosed-recipients:;"))
    pt.account("contoso", server.port, domains=["contoso.test"], unrouted="hold")
    pt.once(status=DONE)
    [row] = pt.ask("unrouted", "list")
    # Nothing to match: nothing is done, and it says how to go on.
    p = pt.run("unrouted", "assign", row["id"], "ann@contoso.test", "--rule").expect(FAILED)
    assert "--match" in p.err and len(pt.ask("unrouted", "list")) == 1 and pt.ask("unrouted", "rules") == []
    said = pt.run("unrouted", "assign", row["id"], "ann@contoso.test", "--rule", "--match", "sales team", "--json")
    assert said.expect(DONE).json()[0]["rule"] == {
        "account": "contoso", "match": "sales team", "target": "ann@contoso.test", "new": True}
    assert [r["match"] for r in pt.ask("unrouted", "rules")] == ["sales team"]


def test_too_many_hops_are_not_held(pt, pop3):
    """Somebody would only send it round again: E10."""
    server = pop3()
    server.put(nobody(headers=[f"Received: from a by b{i}; Mon, 05 Jan 2026 10:00:00 +0000" for i in range(60)]))
    pt.account("contoso", server.port, domains=["contoso.test"], unrouted="hold")
    pt.once(status=FAILED)
    assert pt.ask("unrouted", "list") == []
    assert [b["reason"] for b in pt.badmail_list()] == ["hop-count"]


def test_bytes_of_the_message_do_nothing_to_the_terminal(pt, pop3):
    server = pop3()
    server.put(nobody(subject="\x1b[2Jboo\x07", to="\x1b]0;x\x07 <a@else.test>"))
    pt.account("contoso", server.port, domains=["contoso.test"], unrouted="hold")
    pt.once(status=DONE)
    [row] = pt.ask("unrouted", "list")
    for words in (["list"], ["show", row["id"]]):
        out = pt.run("unrouted", *words).expect(DONE).out
        assert "\x1b" not in out and "\x07" not in out


# --- the other steps of E13 ---

def fallback_refused(pt, pop3):
    """The policy changes between the decision and the relay's answer: here the domain's
    row is taken out under the collector, which has read the policies at its start."""
    server = pop3()
    pt.account("contoso", server.port, domains=["contoso.test"], unrouted="help@fabrikam.test")
    pt.policy("more", "fabrikam.test")
    server.put(nobody())

    def remove(session, arg):
        pt.run("policy", "remove", "fabrikam.test", write=False).expect(DONE)
        return None
    server.answers["RETR"] = remove
    return server


def test_a_fallback_that_the_relay_refuses_goes_to_badmail_as_nobodys(pt, pop3):
    server = fallback_refused(pt, pop3)
    pt.start()
    wait_for(pt.badmail, 20, "a Badmail")
    assert pt.terminate() == 0
    assert server.left() == [] and pt.drop() == []
    [bad] = pt.badmail_list()
    assert bad["reason"] == "no-recipients"
    assert "help@fabrikam.test" in json.dumps(bad["recipients"])
    text = pt.run("trace", bad["id"]).expect(DONE).out
    assert "would go to help@fabrikam.test, but the relay refused: 550 5.7.1" in text, text
    assert "now: help@fabrikam.test badmail (no-recipients)" in text


@pytest.mark.parametrize("unrouted,status,drops,bad", [
    ("postmaster", DONE, [["postmaster@contoso.test"]], []),
    ("help@contoso.test", DONE, [["help@contoso.test"]], []),
    ("help@unlisted.test", DONE, [["postmaster@contoso.test"]], []),
    ("badmail", FAILED, [], ["no-recipients"]),
    ("hold", DONE, [], []),
])
def test_each_step_of_e13(pt, pop3, unrouted, status, drops, bad):
    server = pop3()
    sent = nobody()
    server.put(sent)
    pt.account("contoso", server.port, domains=["contoso.test"], unrouted=unrouted)
    pt.once(status=status)
    assert server.left() == []
    assert [d.recipients for d in pt.drop()] == drops
    assert [b["reason"] for b in pt.badmail_list()] == bad
    assert len(pt.ask("unrouted", "list")) == (unrouted == "hold")
    for got in [*pt.drop(), *pt.badmail()]:
        check_same(sent, got.data)
        assert b"\r\nX-Postern-Route: none; reason=no-recipients\r\n" in got.data


def test_a_list_gets_it_once_each_whatever_was_delivered_before(pt, pop3):
    """Assigned to a list: each member once, also one that two lists name. Somebody's word
    is never a copy of anything, and nothing that comes later is a copy of it."""
    server = pop3()
    (pt.dir / "staff.csv").write_text("alias,given,surname,display,primary,groups,members\n"
                                      "ann,,,,,,\nbob,,,,,,\nteam,,,,,,ann bob\nsales,,,,,,team ann\n")
    pt.policy("contoso", "contoso.test", addresses=[{"primary": "%m@contoso.test"}])
    pt.run("recipient", "import", "staff.csv").expect(DONE)
    everybody = ["ann@contoso.test", "bob@contoso.test"]
    for uidl in ("first", "second"):
        server.put(nobody(), uidl=uidl)
    pt.account("contoso", server.port, domains=["contoso.test"], unrouted="hold")
    pt.once(status=DONE)
    one, two = [r["id"] for r in pt.ask("unrouted", "list")]  # no copy: nobody has it yet
    pt.run("unrouted", "assign", one, "sales").expect(DONE)
    pt.once(status=DONE)
    assert [sorted(d.recipients) for d in pt.drop()] == [everybody]
    assert b"X-Postern-Loop" not in pt.drop()[0].data
    pt.run("unrouted", "assign", two, "Sales@contoso.test", "--rule").expect(DONE)
    pt.once(status=DONE)
    assert [sorted(d.recipients) for d in pt.drop()] == [everybody] * 2 and pt.events(4041) == []
    # By the rule it goes like other mail: once, then it is a copy, and it has its stamps.
    for uidl in ("third", "fourth"):
        server.put(nobody(), uidl=uidl)
    pt.once(status=DONE)
    assert [sorted(d.recipients) for d in pt.drop()] == [everybody] * 3
    [stamped] = [d.data for d in pt.drop() if b"X-Postern-Loop" in d.data]
    assert stamped.count(b"X-Postern-Loop: ") == 2
    server.put(stamped + b"-- \r\nfooter\r\n", uidl="back")
    pt.once(status=FAILED)
    assert sorted(r["address"] for b in pt.badmail() for r in b.record["recipients"]) == everybody
    assert len(pt.drop()) == 3 and pt.ask("unrouted", "list") == []
    # Its replay is no copy either, and looks at no stamp.
    [bad] = pt.badmail()
    pt.run("badmail", "replay", bad.id).expect(DONE)
    pt.once(status=DONE)
    assert sorted(r for d in pt.drop() for r in d.recipients) == sorted(everybody * 4)


def test_one_that_cannot_be_assigned_keeps_no_other_from_it(pt, pop3):
    """The second of three is not there any more: the others are assigned, and the command says that it failed."""
    server = pop3()
    for i in range(3):
        server.put(nobody(subject=f"n{i}", message_id=f"n{i}"))
    pt.account("contoso", server.port, domains=["contoso.test"], unrouted="hold")
    pt.once(status=DONE)
    a, b, c = [row["id"] for row in pt.ask("unrouted", "list")]
    pt.run("unrouted", "assign", b, "bob@contoso.test").expect(DONE)
    said = pt.run("unrouted", "assign", a, b, c, "ann@contoso.test").expect(FAILED)
    assert b in said.err and a not in said.err and c not in said.err
    assert pt.ask("unrouted", "list") == []
    pt.once(status=DONE)
    assert sorted(m.recipients[0] for m in pt.drop()) == ["ann@contoso.test", "ann@contoso.test", "bob@contoso.test"]


@pytest.mark.parametrize("words", [("queue", "show"), ("unrouted", "show"), ("trace",)], ids=" ".join)
def test_a_message_that_cannot_be_looked_up_is_not_called_unknown(held, words):
    [row] = held.ask("unrouted", "list")
    with sqlite3.connect(held.state / "postern.db") as db:
        db.execute("DROP TABLE attempt")
    said = held.run(*words, row["id"]).expect(FAILED)
    assert "no such table" in said.err and "there is no" not in said.err and "not found" not in said.out + said.err
