"""What `explain` foretells is what the relay does, message by message: the same recipients, the
same refusals and reasons, the same ones held. Then `trace` names the same, and a replay under
the same rules finds nothing that would go elsewhere, under one changed rule just what it is for."""
import re
from concurrent.futures import ThreadPoolExecutor

import pytest
from harness.message import message
from harness.postern import DONE, FAILED, USAGE, yaml

POP = "Received: from mx.isp.test (mx [192.0.2.7]) by pop.isp.test with LMTP; Mon, 05 Jan 2026 10:00:01 +0000"
MX = "Received: from out.else.test (out [198.51.100.9]) by mx.isp.test with ESMTP; Mon, 05 Jan 2026 10:00:00 +0000"
HERE = POP.replace("pop.isp.test", "localhost")  # the host of the account's server
HOPS = 12
FOR = HERE.replace("; ", " for <{}>; ")
STAFF = """alias,given,surname,display,primary,groups,members
ann,Ann,Lee,,,staff,
bob,Bob,Ray,,bob@fabrikam.test,staff,
cid,Cid,Orr,,,,
joerg,Jörg,Maß,,jörg@contoso.test,,
dot.ted,,,,dot.ted@contoso.test,,
crew,,,,crew@contoso.test,,ann team
team,,,,team@contoso.test,,cid x@nwtraders.test crew
empty,,,,empty@contoso.test,,nobody-there
odd,,,,odd@contoso.test,,ghost@contoso.test ann
"""
DOMAINS = ["contoso.test", "fabrikam.test", "branch.test", "old.test", "unlisted.test", "bücher.test"]
RULES = [{"match": "info@else.test", "to": ["ann@contoso.test"]},
         {"match": "desk@contoso.test", "to": ["cid@contoso.test", "bob@fabrikam.test"]},
         {"match": "*@old.test", "to": ["*@contoso.test"]},
         {"match": "sales", "to": ["ann@contoso.test", "nobody@contoso.test"]},
         {"match": "news.else.test", "to": ["cid@contoso.test"]},
         {"match": "*@bücher.test", "to": ["any@branch.test"]},
         {"match": "away@contoso.test", "to": ["x@foreign.test"]}]
LONG = "X-Long: " + "x" * 990
CHAIN = [f"ARC-Seal: i={i}; " + "b" * 3000 for i in range(40)]


def raw(head, body=b"x\r\n"):
    return head if isinstance(head, bytes) else head.replace("\n", "\r\n").encode() + b"\r\n" + body


def addressed():
    """To, and more fields above it."""
    env = "X-Envelope-To: {}".format
    return {
        "plain": ("ann@contoso.test", []),
        "proxy": ("Ann.Lee@contoso.test, ann@contoso.test", []),
        "case": ("ANN@Contoso.TEST", []),
        "own primary": ("bob@contoso.test", []),
        "both his": ("bob@contoso.test, bob@fabrikam.test, Bob.Ray@contoso.test", []),
        "unknown": ("nobody@contoso.test", []),
        "known and unknown": ("ann@contoso.test, nobody@contoso.test", []),
        "shared domain": ("stray@fabrikam.test", []),
        "accepting domain": ("stray@branch.test", []),
        "unlisted": ("ann@unlisted.test", []),
        "two reasons": ("ann@unlisted.test, nobody@contoso.test, cid@contoso.test", []),
        "two reasons alone": ("nobody@contoso.test, ann@unlisted.test", []),
        "three of them": ("nobody@contoso.test, nobody2@contoso.test, ann@unlisted.test, empty@contoso.test", []),
        "list": ("crew@contoso.test", []),
        "list and member": ("crew@contoso.test, cid@contoso.test, ann@contoso.test", []),
        "member and list": ("cid@contoso.test, team@contoso.test", []),
        "unknown, in a list": ("ghost@contoso.test, odd@contoso.test", []),
        "list of an unknown": ("odd@contoso.test, ghost@contoso.test", []),
        "list that is empty": ("empty@contoso.test", []),
        "list with a tag": ("crew+x@contoso.test", []),
        "postmaster": ("postmaster@contoso.test", []),
        "tag": ("ann+news@contoso.test", []),
        "tag by minus": ("ann-news@contoso.test", []),
        "tag and without": ("ann+news@contoso.test, ann@contoso.test", []),
        "tag elsewhere": ("stray-x@branch.test, stray+y@branch.test", []),
        "tag of nobody": ("nobody+x@contoso.test", []),
        "quoted": ('"ann"@contoso.test', []),
        "quoted, needed": ('"a b"@branch.test', []),
        "quoted and not": ('"ann"@contoso.test, ann@contoso.test', []),
        "quoted at": ('"ann@contoso.test"@branch.test', []),
        "percent": ("ann%contoso.test@branch.test", []),
        "bang": ("contoso.test!ann@branch.test", []),
        "route": ("<@x.test,@y.test:ann@contoso.test>", []),
        "trailing dot": ("ann@contoso.test.", []),
        "literal": ("ann@[192.0.2.1]", []),
        "subdomain": ("ann@sub.contoso.test", []),
        "idn": ("stray@bücher.test", []),
        "idn as A-label": ("stray@xn--bcher-kva.test", []),
        "idn in capitals": ("stray@BÜCHER.test", []),
        "local part not ASCII": ("jörg@contoso.test", []),
        "local part not ASCII, unknown": ("grüße@contoso.test", []),
        "local part not ASCII, any": ("grüße@branch.test", []),
        "group": ("Us: ann@contoso.test, Bob <bob@contoso.test>;, cid@contoso.test", []),
        "empty group": ("undisclosed-recipients:;", []),
        "semicolons": ("ann@contoso.test; bob@contoso.test", []),
        "bare name": ("cid", []),
        "comment": ("(x@y.test) ann(nested (deep))@contoso.test", []),
        "display lies": ('"ann@contoso.test" <x@else.test>', []),
        "encoded": ("=?utf-8?q?Ann?= <ann@contoso.test>", []),
        "encoded address": ("=?utf-8?q?ann=40contoso=2Etest?=", []),
        "foreign": ("x@else.test, y@else.test", []),
        "rule for a foreign": ("info@else.test", []),
        "rule for one of ours": ("desk@contoso.test", []),
        "rule with a tag": ("desk+x@contoso.test", []),
        "rule of a domain": ("ann@old.test", []),
        "rule of a domain, nobody": ("nobody@old.test, cid@old.test", []),
        "rule by text": ("Our Sales <x@else.test>", []),
        "rule by encoded text": ("=?utf-8?B?U2FsZXM=?= <x@else.test>", []),
        "rule by user": ("sales@contoso.test", []),
        "rule by List-Id": ("list@else.test", ["List-Id: News <news.else.test>"]),
        "rule by wildcard": ("anybody@bücher.test", []),
        "rule to a foreign": ("away@contoso.test", []),
        "rule twice": ("info@else.test, Info <INFO@else.test>, Sales <x@else.test>", []),
        "envelope": ("x@else.test", [env("ann@contoso.test"), POP]),
        "envelope of an unknown": ("ann@contoso.test", [env("nobody@contoso.test"), POP]),
        "envelope of several": ("x@else.test", ["Envelope-To: ann@contoso.test, cid@contoso.test, x@else.test", POP]),
        "forged below": ("cid@contoso.test", [POP, env("ann@contoso.test"), MX]),
        "forged above and below": ("x@else.test", [env("cid@contoso.test"), POP, env("ann@contoso.test")]),
        "two that disagree": ("bob@contoso.test", [env("ann@contoso.test"), env("cid@contoso.test"), POP]),
        "two that agree": ("bob@contoso.test", [env("ann@contoso.test"), env("Ann <ANN@contoso.test>"), POP]),
        "foreign envelope": ("ann@contoso.test", [env("x@else.test"), POP]),
        "empty envelope": ("ann@contoso.test", [env(""), POP]),
        "Delivered-To": ("x@else.test", ["Delivered-To: ann@contoso.test", POP]),
        "for": ("x@else.test", [FOR.format("ann@contoso.test"), MX]),
        "for an unknown": ("x@else.test", [FOR.format("nobody@contoso.test"), MX]),
        "for, below": ("bob@contoso.test", [POP, FOR.format("ann@contoso.test")]),
        "for several": ("cid@contoso.test", [HERE.replace("; ", " for <ann@contoso.test>,<bob@contoso.test>; ")]),
        "resent": ("bob@contoso.test", ["Resent-From: b@else.test", "Resent-To: ann@contoso.test", "Resent-Cc: cid@contoso.test"]),
        "resent to a foreign": ("bob@contoso.test", ["Resent-To: x@else.test"]),
        "resent twice": ("bob@contoso.test", ["Resent-To: ann@contoso.test", "X-Gap: 1", "Resent-To: cid@contoso.test"]),
        "Cc": ("x@else.test", ["Cc: ann@contoso.test", "cc : cid@contoso.test"]),
        "Bcc": ("x@else.test", ["Bcc: ann@contoso.test, cid@contoso.test"]),
        "Apparently-To": ("x@else.test", ["Apparently-To: ann@contoso.test"]),
        "Apparently-To and To": ("cid@contoso.test", ["Apparently-To: ann@contoso.test"]),
        "hops, as many as may be": ("ann@contoso.test", [POP, *[MX] * (HOPS - 1)]),
        "hops, one too many": ("ann@contoso.test", [POP, *[MX] * HOPS]),
        "hops, and one is refused": ("ann@contoso.test, nobody@contoso.test", [POP, *[MX] * HOPS]),
        "hops, nobody": ("x@else.test", [POP, *[MX] * HOPS]),
        "hops of a chain": ("ann@contoso.test", [POP, *[f for seal in CHAIN for f in (seal, MX)]]),
        "hops behind a chain": ("ann@contoso.test", [POP, *CHAIN, *[MX] * HOPS]),
        "hops in a header of many words": ("ann@contoso.test", [*CHAIN, " Received: folded", *[MX] * HOPS]),
        "a long chain": ("ann@contoso.test", [POP, *CHAIN]),
        "somebody else's stamp": ("ann@contoso.test", ["X-Postern-Loop: gw=0123456789abcdef; mb=0123456789ab; mac=" + "0" * 32]),
        "folded": ("ann@contoso.test,\r\n\tcid@contoso.test,\r\n bob@contoso.test", []),
        "folded away": ("\r\n \r\n ann@contoso.test", []),
        "twice": ("ann@contoso.test", ["To: cid@contoso.test", "To:", LONG]),
        "junk line": ("ann@contoso.test", ["no field at all", "\x80\xff: 8 bits", ": nothing"]),
        "UTF-8 in a comment": ("Jörg (Größe) <ann@contoso.test>", []),
        "control bytes": ("ann\x01@contoso.test, cid@contoso.test", []),
        "many": (", ".join(f"u{i}@branch.test" for i in range(150)), []),
    }


def shaped():
    """Whole messages that are no proper ones."""
    return {
        "mbox line": raw("From max Mon Jan  5 10:00:00 2026\nTo: ann@contoso.test\n"),
        "no final newline": raw("To: ann@contoso.test\n", b"end"),
        "header alone": b"To: ann@contoso.test\r\n",
        "header cut short": b"To: ann@contoso.test",
        "nothing": b"",
        "an empty line": b"\r\n",
        "body alone": b"\r\nTo: ann@contoso.test\r\n\r\n",
        "NUL": raw(b"To: ann@con\0toso.test\r\nCc: cid@contoso.test\r\n\r\nx\r\n"),
        "NUL behind": raw(b"To: <ann@contoso.test>\0\r\n\r\nNUL behind\r\n"),
        "lone CR": raw(b"To: ann@contoso.test\rCc: cid@contoso.test\r\n\r\nx\r\n"),
        "lone LF": raw(b"Subject: lf\nTo: ann@contoso.test\n\nbody\r\nTo: cid@contoso.test\r\n"),
        "dots": raw("To: ann@contoso.test\n", b".\r\n..\r\n.x\r\n"),
        "header too large": raw("To: ann@contoso.test\n" + "".join(f"X-{i}: {'y' * 900}\n" for i in range(1300)) + "Cc: cid@contoso.test\n"),
        "no end in sight": b"To: ann@contoso.test\r\n" + b"z" * 1_500_000,
        "too many addresses": raw("To: " + ",\n ".join(f"x{i}@else.test" for i in range(12000)) + "\nCc: ann@contoso.test\n"),
    }


def corpus():
    mails = {k: message(to=to, headers=more, subject=k, message_id=f"m{i}", body=f"{k}\r\n".encode())
             for i, (k, (to, more)) in enumerate(addressed().items())}
    return {**mails, **shaped()}


POLICY = {"addresses": ["%m@contoso.test", "%g.%s@contoso.test"],
          "domains": {"contoso.test": {"authoritative": True, "unknown": "reject", "subaddress": "+-"},
                      "fabrikam.test": {"authoritative": False}, "branch.test": {"authoritative": True, "subaddress": ""},
                      "old.test": {"authoritative": True, "unknown": "reject"}, "bücher.test": {"authoritative": True}}}
CUT = {"header too large", "no end in sight", "too many addresses"}  # of these the record cannot hold all
ACCOUNTS = {  # every message for hold; of the others what shows the difference
    "hold": dict(unrouted="hold"),
    "postmaster": dict(unrouted="postmaster"),
    "badmail": dict(unrouted="badmail"),
    "strict": dict(unrouted="hold", envelope="strict"),
    "address": dict(unrouted="cid@contoso.test", domains=["contoso.test"]),
    "list": dict(unrouted="crew@contoso.test"),
    "gone": dict(unrouted="nobody@contoso.test"),
    "jane": dict(type="user", recipient="ann"),
    "user-list": dict(type="user", recipient="crew@contoso.test"),
    "user-unlisted": dict(type="user", recipient="ann@unlisted.test"),
}
SOME = ["plain", "unknown", "foreign", "two reasons alone", "hops, one too many", "hops, nobody", "envelope", "rule by text", "nothing",
        "forged below", "unlisted", "bare name"]
USERS = ["plain", "foreign", "hops, one too many", "nothing"]


@pytest.fixture
def house(pt, pop3):
    pt.policy("contoso", **POLICY)
    pt.conf["smtp"]["max_hops"] = HOPS
    pt.conf["log"] = {"level": 1}
    pt.route("nwtraders.test", "drop")
    path = pt.dir / "staff.csv"
    path.write_text(STAFF)
    pt.run("recipient", "import", path).expect(DONE)
    return pt


def fill(pt, pop3, accounts, mails):
    """Puts each message into the mailbox of each account; {(account, uidl): name}."""
    users = {name: "secret" for name in accounts}
    server = pop3(users=users)
    names = {}
    for name, (more, chosen) in accounts.items():
        conf = dict(user=name, aliases=RULES, default_domain="contoso.test", domains=DOMAINS, dedup=False)
        if more.get("type") == "user":
            conf = dict(user=name, dedup=False)
        pt.account(name, server.port, **{**conf, **more})
        for k in chosen:
            names[name, server.put(mails[k], user=name)] = k
    return server, names


def foretell(pt, account, mail):
    return pt.run("explain", "-", "--account", account, "--json", input=mail or None, write=False).expect(DONE).json()


def foretold(said):
    return dict(recipients=sorted(r["address"] for r in said["recipients"]),
                routes=sorted({r["route"] for r in said["recipients"]}),
                refused=sorted((r["address"], r["reply"]) for r in said["refused"]), held=said["outcome"] == "hold",
                badmail=said["outcome"] == "badmail" or bool(said["refused"]), sender=said["sender"],
                reasons=reasons_in(said["sentence"]))


def reasons_in(sentence):
    return sorted({r for m in re.findall(r"(?:goes|went) to Badmail \(([^)]*)\)", sentence) for r in m.split(", ")})


def what_happened(pt):
    """The same, of every message, by account and UIDL; from Drop, Badmail, unrouted list and the queue's history."""
    drop, bad = {}, {}
    for d in pt.drop():
        drop.setdefault(d.path.stem.split("-")[0], []).append(d)
    for b in pt.badmail():
        bad[b.id] = b
    held = {r["id"] for r in pt.ask("unrouted", "list")}
    out = {}
    for m in pt.ask("queue", "list", "--all"):
        rows = [r for r in m["recipients"] if r["address"]]
        refused = [r for r in rows if r["status"] == "badmail"]
        got = sorted(r for d in drop.get(m["id"], []) for r in d.recipients)
        got = [r.encode("latin-1").decode() for r in got]
        assert sorted(got) == sorted(r["address"] for r in rows if r["status"] == "delivered"), m
        assert (m["id"] in bad) == (bool(refused) or m["status"] == "badmail" and not rows), m
        record = bad[m["id"]].record if m["id"] in bad else {"recipients": [], "reason": ""}
        reasons = {r["reason"] for r in record["recipients"]} or {record["reason"]} - {""}
        out[m["account"], m["uidl"]] = dict(
            recipients=sorted(got), routes=sorted({r["route"] for r in rows if r["status"] == "delivered"}),
            refused=sorted((r["address"], r["last_reply"]) for r in refused), held=m["id"] in held, badmail=m["id"] in bad,
            sender=m["sender"], reasons=sorted(reasons), id=m["id"])
    return out


def told_wrong(trace, got, said, whole):
    """What trace says of the message that is not so."""
    steps = [s["text"] for s in trace["steps"]]
    past = [t for t in steps if re.match(r"(Decided for|Nobody got it:|Nobody was found:) ", t)]
    if len(past) != 1:
        return [("sentences", past)]
    wrong = []
    rows = dict(re.match(r"recipient (\S+)(?: \(for .*\))?: (accepted|refused), ", t).groups() for t in steps if t.startswith("recipient "))
    if sorted(rows) != sorted(got["recipients"] + [a for a, _ in got["refused"]]):
        wrong.append(("recipients", rows))
    if sorted(a for a, w in rows.items() if w == "accepted") != got["recipients"]:
        wrong.append(("accepted", rows))
    if reasons_in(past[0]) != got["reasons"]:
        wrong.append(("reasons", past[0]))
    if ("held as unrouted" in past[0]) != got["held"] or any(t == "held as unrouted" for t in steps) != got["held"]:
        wrong.append(("held", past[0]))
    # The same words, but for their tense and what trace does not know any more.
    now = past[0]
    for then, word in (("Decided for", "Delivered to"), ("got it", "gets it"), (" was ", " is "),
                       (" were ", " are "), ("are seen", "were seen"), ("address is seen", "address was seen")):
        now = now.replace(then, word)
    now, words = now.split(", but ")[0].split(". ")[0].split(" domains")[0], r"[^\s,:.]+(?:\.[^\s,:.]+)*"
    if whole and not set(re.findall(words, now)) <= set(re.findall(words, said["sentence"])):
        wrong.append(("words", past[0], said["sentence"]))
    return wrong


@pytest.mark.limit(600)
def test_what_is_foretold_is_what_happens(house, pop3):
    mails, pool = corpus(), ThreadPoolExecutor(3)
    accounts = {k: (v, USERS if "type" in v else SOME) for k, v in ACCOUNTS.items() if k != "hold"}
    for i in range(0, len(mails), 45):  # after fifty messages it would have learned what the provider does
        accounts[f"hold{i}"] = (ACCOUNTS["hold"], list(mails)[i:i + 45])
    _, names = fill(house, pop3, accounts, mails)
    house.write()
    says = dict(zip(names, pool.map(lambda key: foretell(house, key[0], mails[names[key]]), names)))
    house.once(status=FAILED, timeout=300)
    happened = what_happened(house)
    bad = []
    for key, name in names.items():
        want, got = foretold(says[key]), happened[key]
        bad += [(key, name, k, want[k], got[k], says[key]["sentence"]) for k in want if want[k] != got[k]]
    traces = pool.map(lambda key: house.run("trace", happened[key]["id"], "--json", write=False).json(), names)
    bad += [(key, names[key], "trace", t) for key, trace in zip(names, traces) for t in told_wrong(trace, happened[key], says[key], names[key] not in CUT)]
    assert not bad, f"{len(bad)}\n" + "\n".join(str(b)[:1200] for b in bad)
    # Asked about one address alone, the answer is the same.
    for address, reply in sorted({pair for got in happened.values() for pair in got["refused"] if pair[1].startswith("550 ")}):
        said = house.ask("policy", "test", address)
        assert (said["accepted"], said["reply"], said["delivers_to"]) == (False, reply, []), said
    for address, goes in (("Ann.Lee@contoso.test", "ann@contoso.test"), ("bob+x@contoso.test", "bob+x@fabrikam.test"),
                          ("stray@branch.test", "stray@branch.test"), ("postmaster@contoso.test", "postmaster@contoso.test")):
        said = house.ask("policy", "test", address)
        assert said["accepted"] is True and said["delivers_to"] == [{"address": goes, "route": "drop"}]

    def elsewhere(*words):
        said = house.ask("explain", "--since", "7d", *words)
        assert (said["looked_at"], said["not_replayed"]) == (len(names), sum(n in CUT for n in names.values())), said
        return {(m["account"], m["uidl"]): m for m in said["messages"]}
    assert elsewhere() == {}
    # Who is unknown is accepted: exactly those who were refused for it, and not for their hops.
    new = house.dir / "new.yaml"
    domains = {**POLICY["domains"], "contoso.test": {"authoritative": True, "unknown": "accept", "subaddress": "+-"}}
    new.write_text(yaml({"name": "contoso", "priority": 10, "addresses": POLICY["addresses"], "domains": domains}) + "\n")
    there = elsewhere("--policy", new)
    unknown = {key: [a for a, reply in got["refused"] if re.search("User unknown .*@contoso.test$", reply)] for key, got in happened.items()}
    unknown = {key: who for key, who in unknown.items() if who and len(re.findall(rb"(?m)^Received:", mails[names[key]])) <= HOPS}
    assert set(there) == set(unknown) and len(unknown) > 10
    for key, who in unknown.items():
        assert set(there[key]["would"]["recipients"]) == {*happened[key]["recipients"], *who}, (names[key], there[key])
    # One rule leads to somebody else.
    for account in house.conf["accounts"].values():
        if "aliases" in account:
            account["aliases"] = [{**r, "to": ["bob@contoso.test"]} if r["match"] == "info@else.test" else r for r in RULES]
    there = elsewhere()
    assert {names[key] for key in there} == {"rule for a foreign", "rule twice"}
    for account in house.conf["accounts"].values():
        account.pop("aliases", None)
    house.conf["smtp"]["max_hops"] = 1000  # and without rules: those with rules, and those with hops
    there = {names[key] for key in elsewhere()}
    assert {re.split("[ ,]", n)[0] for n in there} == {"rule", "hops", "idn"}, there
    assert {n for n in names.values() if n.startswith(("rule", "idn", "hops,", "hops behind"))} - {"hops, as many as may be"} <= there


def test_what_comes_back_is_known(pt, pop3):
    """A message that went through here, with its stamps: for the one who had it, and for somebody else."""
    server = pop3()
    mail = message(to="ann@contoso.test", body=b"once\r\n")
    pt.account("contoso", server.port, domains=["contoso.test"])
    assert "had it before" not in foretell(pt.write() or pt, "contoso", mail)["sentence"]
    server.put(mail)
    pt.once()
    [dropped] = pt.drop()
    changed = dropped.data.replace(b"once\r\n", b"once more\r\n")
    for back, state in ((dropped.data, "duplicate"), (changed, "badmail")):
        said = foretell(pt, "contoso", back)
        assert "But ann@contoso.test had it before: it carries loop stamps of this gateway." in said["sentence"]
        uidl = server.put(back)
        pt.once(status=(DONE, FAILED))
        [m] = [m for m in pt.ask("queue", "list", "--all") if m["uidl"] == uidl]
        assert [(r["address"], r["status"]) for r in m["recipients"]] == [("ann@contoso.test", state)]
    assert pt.ask("explain", "--since", "7d")["messages"] == []
    for_bob = dropped.data.replace(b"To: ann@", b"To: bob@")
    assert "had it before" not in foretell(pt, "contoso", for_bob)["sentence"]
    server.put(for_bob)
    pt.once()
    assert sorted(r for d in pt.drop() for r in d.recipients) == ["ann@contoso.test", "bob@contoso.test"]
    assert "had it before" not in foretell(pt, "contoso", changed.replace(b"mac=", b"mac=0"))["sentence"]


@pytest.mark.parametrize("oversize", ["notice", "skip"])
def test_what_is_too_large_is_not_foretold_to_arrive(pt, pop3, oversize):
    server = pop3()
    mail = message(body=b"x" * 3000 + b"\r\n")
    pt.account("contoso", server.port, domains=["contoso.test"], max_size="2K", oversize=oversize)
    pt.write()
    said = foretell(pt, "contoso", mail)
    file = pt.dir / "large.eml"
    file.write_bytes(mail)
    assert pt.ask("explain", file, "--account", "contoso") == said
    assert f"(oversize: {oversize})" in said["sentence"] and "raise max_size of account contoso" in said["advice"]
    assert said["outcome"] == ("found" if oversize == "notice" else "skipped")
    server.put(mail)
    pt.once(status=(DONE, FAILED))
    assert sorted(r for d in pt.drop() for r in d.recipients) == [r["address"] for r in said["recipients"]]
    assert all(b"x" * 100 not in d.data for d in pt.drop()) and len(pt.drop()) == (oversize == "notice")
    assert "max_size" not in foretell(pt, "contoso", mail[:2048])["sentence"]


def test_a_replay_knows_what_was_learned(pt, pop3):
    """The provider's habits were learned between the messages: under the same rules nothing goes elsewhere."""
    server = pop3()
    pt.account("contoso", server.port, domains=["contoso.test"], unrouted="hold")
    own = "X-Envelope-To: ann@contoso.test"
    # Three with a header that turns out not to be the provider's, which the second of them completes.
    other = (3, 49, 54)
    for i in range(55):
        headers = ["Delivered-To: cid@contoso.test" if i in other else own, POP, MX]
        server.put(message(to="bob@contoso.test", subject=f"m{i}", headers=headers, body=b"%d\r\n" % i))
    pt.once()
    assert pt.ask("accounts", "show", "contoso")["provider"]["learned"] is True
    got = sorted(r for d in pt.drop() for r in d.recipients)
    assert got == ["ann@contoso.test"] * 52 + ["bob@contoso.test"] + ["cid@contoso.test"] * 2
    said = pt.ask("explain", "--since", "7d")
    assert (said["looked_at"], said["not_replayed"], said["messages"]) == (55, 0, [])


def test_an_account_whose_recipient_is_gone_stops_no_replay(pt, pop3):
    server = pop3(users={"jane": "secret", "global": "secret"})
    pt.run("recipient", "add", "jane", "--primary", "jane@contoso.test").expect(DONE)
    pt.account("jane", server.port, type="user", user="jane", recipient="jane")
    pt.account("contoso", server.port, domains=["contoso.test"])
    server.put(message(), user="jane")
    server.put(message(subject="two"), user="global")
    pt.once()
    assert pt.ask("explain", "--since", "7d")["not_replayed"] == 0
    pt.run("recipient", "remove", "jane").expect(DONE)
    p = pt.run("explain", "--since", "7d", "--json").expect(DONE)
    assert (p.json()["looked_at"], p.json()["not_replayed"], p.json()["messages"]) == (2, 1, [])
    assert "account jane would not be collected: there is no recipient jane" in p.err
    assert "there is no recipient jane" in pt.run("explain", "-", "--account", "jane", input=message()).expect(FAILED).err


def test_what_cannot_be_explained_says_why(pt, pop3):
    pt.account("contoso", 1, domains=["contoso.test"])
    large = pt.dir / "large.eml"
    with large.open("wb") as f:
        f.write(message())
        f.truncate(60_000_000)
    empty = pt.dir / "empty.eml"
    empty.write_bytes(b"")
    for words, status, says in (
            (["explain", pt.dir / "none.eml"], FAILED, "cannot open .*none.eml: No such file"),
            (["explain", pt.dir], FAILED, "cannot read .* as a message: Is a directory"),
            (["explain", "/dev/null"], DONE, "/dev/null is empty; this is what becomes of an empty message"),
            (["explain", empty], DONE, "empty.eml is empty"),
            (["explain", large, "--account", "nobody"], USAGE, "there is no account nobody; postern accounts lists them"),
            (["explain", "--since", "7d", "--account", "nobody"], USAGE, "there is no account nobody; postern accounts"),
            (["trace", "nothing"], FAILED, "nothing is known of nothing: neither a queue id, a Message-ID nor ACCOUNT/UIDL"),
            (["policy", "test", "ann"], USAGE, "ann is no address; USER@DOMAIN is expected"),
            (["unrouted", "show", "x"], USAGE, "x is no queue id; postern unrouted list shows them"),
            (["unrouted", "assign", "0000000000000", "ann@contoso.test"], FAILED, "there is no message 0000000000000; postern unrouted list")):
        p = pt.run(*words).expect(status)
        assert re.search(says, p.err), (words, p.err)
    # One account alone need not be named; a file of 60 MB is read as far as it matters.
    assert "ann@contoso.test" in pt.run("explain", large).expect(DONE).out
    pt.account("other", 1, domains=["contoso.test"])
    assert "--account NAME is needed" in pt.run("explain", large).expect(USAGE).err


def test_what_cannot_be_assigned_says_why(pt, pop3):
    server = pop3()
    pt.policy("contoso", domains={"contoso.test": {"authoritative": True, "unknown": "reject"}})
    pt.run("recipient", "add", "ann", "--primary", "ann@contoso.test").expect(DONE)
    pt.account("contoso", server.port, domains=["contoso.test"], unrouted="hold")
    server.put(message(to="x@else.test"))
    server.put(message(to="ann@contoso.test", subject="found"))
    pt.once()
    [row] = pt.ask("unrouted", "list")
    [found] = [m["id"] for m in pt.ask("queue", "list", "--all") if m["id"] != row["id"]]
    for who, says in (("nobody", "nobody is no address, nor the alias of a recipient with one; postern recipient list"),
                      ("nobody@contoso.test", "550 5.1.1 User unknown nobody@contoso.test. If somebody is to have nobody@contoso.test: "
                                              "postern recipient add ALIAS --primary nobody@contoso.test."),
                      ("x@else.test", "550 5.7.1 Unable to relay for x@else.test. If else.test is yours: postern policy add else.test.")):
        p = pt.run("unrouted", "assign", row["id"], who).expect(FAILED)
        assert says in p.err, p.err
        assert [r["id"] for r in pt.ask("unrouted", "list")] == [row["id"]]
    p = pt.run("unrouted", "assign", row["id"], row["id"], found, "ann").expect(FAILED)
    assert p.out.count("goes to ann@contoso.test") == 1
    for id in (row["id"], found):
        assert f"{id} is not held as unrouted (any more); postern trace {id}" in p.err
    assert pt.once()["delivered"] == 1
