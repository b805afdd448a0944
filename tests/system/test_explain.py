"""Knowing why: explain, its replay, and trace in the same words."""
import json
import re
import sqlite3
from concurrent.futures import ThreadPoolExecutor

import pytest
from harness.fixtures import ROOT
from harness.message import message
from harness.postern import BAD_CONFIG, DONE, FAILED, USAGE, yaml

KEYS = {"account", "sender", "source", "candidates", "recipients", "refused", "outcome", "level", "reason",
        "sentence", "advice", "warnings"}
PROVIDER = "Received: from x (x [192.0.2.9]) by pop.isp.test with ESMTP; Mon, 05 Jan 2026 10:00:00 +0000"


@pytest.fixture
def one(pt, pop3):
    pt.account("contoso", pop3().port, domains=["contoso.test", "fabrikam.test"])
    return pt


CASES = [
    (dict(to="ann@contoso.test"), {}, "Delivered to ann@contoso.test: found in To and Cc (E1.5)."),
    (dict(to="list@else.test", headers=["X-Original-To: ann@contoso.test", PROVIDER]), {},
     "Delivered to ann@contoso.test: found in X-Original-To, which the provider wrote (E1.2)."),
    (dict(to="ann@contoso.test, bob@fabrikam.test"), {},
     "Delivered to ann@contoso.test: found in To and Cc (E1.5). Not to bob@fabrikam.test: the relay refuses: 550 5.7.1 "
     "Unable to relay for bob@fabrikam.test. That copy goes to Badmail (relay-denied)."),
    (dict(to="a@else.test, b@else.test, c@else.test"), {},
     "Nobody is found: 3 addresses were seen, none of them is in the account's domains (contoso.test, fabrikam.test). "
     "With unrouted: postmaster it goes to postmaster@contoso.test."),
    (dict(to="a@else.test"), dict(unrouted="hold"),
     "Nobody is found: 1 address was seen, it is not in the account's domains (contoso.test, fabrikam.test). With "
     "unrouted: hold it is held until somebody says who gets it (postern unrouted assign)."),
    (dict(to="ann@contoso.test"), dict(unrouted="badmail", envelope="strict"),
     "Nobody is found: 1 address was seen, it does not count: strict, only the envelope header counts (E1.2). With "
     "unrouted: badmail it goes to Badmail (no-recipients)."),
    (dict(to="a@else.test"), dict(type="user", recipient="jane@contoso.test", domains=None, unrouted=None),
     "Delivered to jane@contoso.test: the recipient of the user account contoso, whose headers are not asked (E0)."),
]


@pytest.mark.parametrize("mail,account,sentence", CASES)
def test_a_sentence_says_who_and_why(one, mail, account, sentence):
    one.conf["accounts"]["contoso"].update(account)
    one.conf["accounts"]["contoso"] = {k: v for k, v in one.conf["accounts"]["contoso"].items() if v is not None}
    mail = message(**mail)
    said = one.run("explain", "-", "--account", "contoso", "--json", input=mail).expect(DONE).json()
    assert set(said) == KEYS and said["sentence"] == sentence
    text = one.run("explain", "-", "--account", "contoso", input=mail).expect(DONE).out
    assert text.splitlines()[:2] == [sentence, said["advice"]]
    assert (said["advice"] != "") == (not sentence.startswith("Delivered") or said["refused"] != [])
    for c in said["candidates"]:
        assert c["address"] in text and c["why"] in text
    for r in said["recipients"]:
        assert f"to       {r['address']}, {r['route']}\n" in text
    for r in said["refused"]:
        assert f"refused  {r['address']}, {r['reply']}\n" in text


def test_facts_are_warnings_in_the_catalogues_words(one):
    mail = message(to="ann@contoso.test, a@@b", headers=[PROVIDER, "X-Original-To: eve@contoso.test"])
    said = one.run("explain", "-", "--account", "contoso", "--json", input=mail).expect(DONE).json()
    events = {w["event"]: w["text"] for w in said["warnings"]}
    assert {4036, 4043} <= set(events) and 4030 not in events
    assert events[4036].startswith("Envelope header X-Original-To in this message is outside the trusted zone")
    text = one.run("explain", "-", "--account", "contoso", input=mail).expect(DONE).out
    for number, words in events.items():
        assert f"warning  {number}: {words}\n" in text


def test_trace_says_it_in_the_same_words(pt, pop3):
    server = pop3()
    server.put(message(to="ann@contoso.test, bob@fabrikam.test, eve@else.test", message_id="m1"))
    pt.account("contoso", server.port, domains=["contoso.test", "fabrikam.test"])
    pt.once(status=FAILED)
    text = pt.run("trace", "<m1@nwtraders.test>").expect(DONE).out
    sentence = ("Decided for ann@contoso.test: found in To and Cc (E1.5). Not to bob@fabrikam.test: the relay refused: "
                "550 5.7.1 Unable to relay for bob@fabrikam.test. That copy went to Badmail (relay-denied).")
    order = [sentence, "To: ann@contoso.test kept, E1.5", "To: bob@fabrikam.test kept", "To: eve@else.test not taken, E11",
             "recipient ann@contoso.test: accepted, route drop", "recipient bob@fabrikam.test: refused, "
             "5.7.1 Unable to relay", "now: ann@contoso.test delivered; bob@fabrikam.test badmail (relay-denied)"]
    at = [text.find(w) for w in order]
    assert -1 not in at and at == sorted(at), text
    steps = pt.ask("trace", "<m1@nwtraders.test>")["steps"]
    assert sentence in [s["text"] for s in steps]


def test_found_mail_says_source_and_rule_and_no_address(pt, pop3):
    server = pop3()
    server.put(message(to="ann@contoso.test", subject="a"))
    server.put(message(to="list@else.test", subject="b", headers=["X-Original-To: ann@contoso.test", PROVIDER]))
    pt.account("contoso", server.port, domains=["contoso.test"])
    pt.once(status=DONE)
    lines = sorted(line for d in pt.drop() for line in d.data.split(b"\r\n") if line.startswith(b"X-Postern-Route"))
    assert lines == [b"X-Postern-Route: X-Original-To; rule=E1.2", b"X-Postern-Route: to-cc; rule=E1.5"]


# --- replay ---

def make_old(pt, uidl):
    """The route record of a message as it was before headers were kept in it."""
    with sqlite3.connect(pt.state / "postern.db") as db:
        [(id, route)] = db.execute("SELECT id, route FROM message WHERE uidl = ?", [uidl]).fetchall()
        record = json.loads(route)
        del record["header"]
        db.execute("UPDATE message SET route = ? WHERE id = ?", [json.dumps(record), id])


@pytest.fixture
def history(pt, pop3):
    """Collected: one for ann, one for ann and bob, one for nobody, one whose record is too old."""
    server = pop3()
    pt.mails = [message(to="ann@contoso.test", subject="one"),
                message(to="ann@contoso.test, bob@fabrikam.test", subject="two"),
                message(to="cid@branch.test", subject="three"),
                message(to="ann@contoso.test", subject="four")]
    pt.uidls = [server.put(m) for m in pt.mails]
    pt.account("contoso", server.port, domains=["contoso.test", "fabrikam.test", "branch.test"], unrouted="hold")
    pt.conf["accounts"]["contoso"]["domains"].remove("branch.test")
    pt.once(status=FAILED)
    make_old(pt, pt.uidls[3])
    return pt


def policy_file(pt, name, *domains):
    path = pt.dir / f"new-{name}.yaml"
    path.write_text(yaml({"name": name, "priority": 10,
                          "domains": {d: {"authoritative": True, "unknown": "accept"} for d in domains}}) + "\n")
    return path


def test_under_the_same_rules_nothing_goes_elsewhere(history):
    said = history.ask("explain", "--since", "7d")
    assert (said["looked_at"], said["different"], said["not_replayed"], said["messages"]) == (4, 0, 1, [])
    out = history.run("explain", "--since", "7d").expect(DONE).out
    assert out == "4 messages looked at, 0 would go elsewhere, 1 could not be replayed (record too old or cut).\n"


def test_a_new_policy_shows_what_it_would_change(history):
    new = policy_file(history, "contoso", "contoso.test", "fabrikam.test")
    said = history.ask("explain", "--since", "7d", "--policy", new)
    [diff] = said["messages"]
    assert diff["uidl"] == history.uidls[1] and diff["account"] == "contoso" and diff["id"] and diff["time"]
    assert diff["went"] == {"recipients": ["ann@contoso.test"], "refused": ["bob@fabrikam.test"], "held": False,
                            "badmail": False}
    assert diff["would"]["recipients"] == ["ann@contoso.test", "bob@fabrikam.test"] and diff["would"]["refused"] == []
    out = history.run("explain", "--since", "7d", "--policy", new).expect(DONE).out
    assert "went to ann@contoso.test, and to Badmail for bob@fabrikam.test\n" in out
    assert "would go to ann@contoso.test, bob@fabrikam.test (to-cc, E1.5)\n" in out
    assert "4 messages looked at, 1 would go elsewhere, 1 could not" in out
    # A policy of another name is added to the others; one of the same name takes its place.
    assert history.ask("explain", "--since", "7d", "--policy", policy_file(history, "other", "fabrikam.test"))["different"] == 1
    gone = history.ask("explain", "--since", "7d", "--policy", policy_file(history, "contoso", "x.test"))
    assert gone["different"] == 2
    assert [m["would"]["refused"] for m in gone["messages"]] == [["ann@contoso.test"], ["ann@contoso.test", "bob@fabrikam.test"]]
    # Nothing was changed by all this.
    assert history.ask("policy", "test", "bob@fabrikam.test")["accepted"] is False


def test_a_changed_account_shows_what_it_would_change(history):
    history.conf["accounts"]["contoso"]["domains"].append("branch.test")
    new = policy_file(history, "branch", "branch.test")
    [diff] = history.ask("explain", "--since", "7d", "--policy", new)["messages"]
    assert diff["uidl"] == history.uidls[2] and diff["went"]["held"] is True
    assert diff["would"]["recipients"] == ["cid@branch.test"]
    out = history.run("explain", "--since", "7d", "--policy", new).expect(DONE).out
    assert "went to nobody, held as unrouted\n" in out and "would go to cid@branch.test (to-cc, E1.5)\n" in out
    # Given by hand to the one who would get it now: no difference any more.
    history.run("policy", "add", "branch.test").expect(DONE)
    [row] = history.ask("unrouted", "list")
    history.run("unrouted", "assign", row["id"], "cid@branch.test").expect(DONE)
    assert history.ask("explain", "--since", "7d", "--policy", new)["different"] == 0


def test_replay_says_what_it_does_not_understand(history):
    assert history.run("explain", "--since", "soon").expect(USAGE).err
    assert history.run("explain", "--since", "7d", "x.eml").expect(USAGE).err
    assert history.run("explain", "--since", "7d", "--account", "nobody").expect(USAGE).err
    assert history.run("explain", "--policy").expect(USAGE).err
    bad = history.dir / "bad.yaml"
    bad.write_text("name: x\nnonsense: 1\n")
    assert "bad.yaml:2" in history.run("explain", "--since", "7d", "--policy", bad).expect(BAD_CONFIG).err
    assert history.run("explain", "--since", "7d", "--policy", history.dir / "not-there.yaml").expect(BAD_CONFIG).err


def test_replay_of_an_account_and_of_no_history(history, new_postern):
    assert history.ask("explain", "--since", "7d", "--account", "contoso")["looked_at"] == 4
    assert history.ask("explain", "--since", "0")["looked_at"] == 0
    fresh = new_postern()
    assert fresh.ask("explain", "--since", "7d")["looked_at"] == 0


@pytest.mark.parametrize("route", ["", "{", "[]", "{}", '{"outcome":"odd"}', '{"outcome":"found","header":7}',
                                   '{"outcome":"found","header":"To: \\u0000 <x@contoso.test>\\r\\n","candidates":7}',
                                   '{"outcome":"found","level":-5,"candidates":[1,{"address":null}],"source":[]}'])
def test_a_damaged_record_harms_nobody(history, route):
    with sqlite3.connect(history.state / "postern.db") as db:
        db.execute("UPDATE message SET route = ?", [route])
    assert history.ask("explain", "--since", "7d")["looked_at"] == 4
    for words in (["trace", f"contoso/{history.uidls[2]}"], ["unrouted", "list"],
                  ["unrouted", "show", history.ask("unrouted", "list")[0]["id"]]):
        history.run(*words).expect(DONE)
        history.run(*words, "--json").expect(DONE).json()


# --- the table of tests/unit/route, by the program ---

def expand(text):
    """The header of a line of nasty.tsv, as bytes; its words are those of nasty_test.c."""
    def word(m):
        name, _, argument = m[1].partition(" ")
        return {"isp": r"Received: from a.test by mx.isp.test; Mon\n",
                "sender": r"Received: from z by a.test for <eve@contoso.test>; Mon\n",
                "isp-for": rf"Received: from a.test by mx.isp.test id 1\n\tfor <{argument}>; Mon\n"}[name]

    text = re.sub(r"\\\{([a-z].*?)\}", word, text)
    text = re.sub(r"\\\{(\d+):(.*?)\}", lambda m: m[2] * int(m[1]), text)
    return re.sub(rb"\\([0-3][0-7]{2}|[rnt\\])", lambda m: {b"r": b"\r", b"n": b"\n", b"t": b"\t", b"\\": b"\\"}.get(m[1]) or
                  bytes([int(m[1], 8)]), text.encode())


def test_the_program_decides_as_the_table_says(pt):
    """Every second line that needs no setting; the provider is only named, nothing is dialled."""
    pt.policy("all", "contoso.test", "fabrikam.test")
    pt.account("contoso", 110, server="pop.isp.test", tls="implicit", user="contoso", domains=["contoso.test", "fabrikam.test"])
    pt.write()
    rows = [r.split("\t") for r in (ROOT / "tests/unit/route/nasty.tsv").read_text().splitlines()[1:]]
    rows = [r for r in rows if r[1] == "." and "catchall@" not in r[2].lower()][::2]
    assert len(rows) > 50

    def one(row):
        said = pt.run("explain", "-", "--account", "contoso", "--json", input=expand(row[2]), write=False).expect(DONE).json()
        who = "".join(f" {r['address']}" for r in said["recipients"] + said["refused"])
        outcome = "" if said["outcome"] == "found" else said["outcome"] + " "
        wanted = re.sub(r"\\\{(\d+):(.*?)\}", lambda m: m[2] * int(m[1]), row[3])
        return f"{outcome}{said['source']}:{who}" == wanted or (row, said)

    with ThreadPoolExecutor(4) as pool:
        assert not [answer for answer in pool.map(one, rows) if answer is not True]
