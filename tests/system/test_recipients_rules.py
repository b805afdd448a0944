"""Rules about recipients from end to end: who else a copy may name (E12), alias rules
(E6), the envelope sender (E8), the hop limit (E10). What `explain` says before is what
happens after."""
import re

import pytest
from harness.message import message
from harness.net import wait_for
from harness.pop3_server import CUT
from harness.postern import DONE, FAILED
from test_recipients_forged import MX, POP, arrived, explained

HIDDEN = [f"hidden{i}@{d}" for i, d in enumerate(["contoso.test", "contoso.test", "fabrikam.test", "fabrikam.test",
                                                  "branch.test", "branch.test"])]
ALL = ", ".join(HIDDEN)


# --- E12, E18 (6): Bcc recipients ---

def each(*headers, to="ann@contoso.test"):
    """A copy for each, as a provider with an envelope header stores them."""
    return [message(to=to, headers=[h.format(one=h1, all=ALL) for h in headers] + [POP]) for h1 in HIDDEN]


def one(*headers, to="list@else.test"):
    return [message(to=to, headers=[h.format(all=ALL) for h in headers])]


COPIES = {
    "a header for each": each("X-Envelope-To: {one}"),
    "with a stale one of several": each("X-Envelope-To: {one}", "X-Original-To: {all}"),
    "with a Bcc of all": each("X-Original-To: {one}", "Bcc: {all}"),
    "with a Bcc of one": each("X-Original-To: {one}", "bcc : hidden0@contoso.test", "Resent-Bcc: hidden2@fabrikam.test"),
    "Delivered-To with a prefix": each("Delivered-To: mbox-{one}"),
    "the catch-all and the one": each("Delivered-To: global@contoso.test", "X-Original-To: {one}"),
    "Exim": one("Envelope-To: {all}", POP),
    "Exim folded": one("Envelope-To: {all}".replace(", ", ",\r\n\t"), POP),
    "Bcc": one("Bcc: {all}"),
    "Bcc in groups": one("Bcc: g: {all};", "BCC: <hidden0@contoso.test> (hidden2@fabrikam.test)"),
    "Resent-Bcc": one("Resent-To: x@else.test", "Resent-Bcc: {all}"),
    "a list": one("X-Envelope-To: crew@contoso.test", POP),
    "a list in To": one(to="crew@contoso.test"),
    "a rule": one(to="Crew <all@else.test>"),
}


def delivered(pt, hop):
    """[(recipients of this copy, its bytes)] wherever it went."""
    out = [(d.recipients, d.data) for d in pt.drop()] + [(m.recipients, m.data) for m in hop.mails]
    for f in (pt.dir / "maildir").glob("*/*/new/*"):
        out.append(([f"{f.parts[-3]}@{f.parts[-4]}"], f.read_bytes()))
    return out


def names_nobody_else(copies):
    for recipients, data in copies:
        for h in HIDDEN:
            assert h.encode() not in data.lower() or recipients == [h], (recipients, h, data.decode("latin-1"))


@pytest.fixture
def three_ways(pt, pop3, sink):
    """contoso.test by LMTP, fabrikam.test to Maildir, branch.test to Drop."""
    pt.server, pt.hop = pop3(), sink(lmtp=True)
    pt.policy("more", "fabrikam.test", "branch.test")
    pt.route("contoso.test", pt.hop.route).route("fabrikam.test", f"maildir:{pt.dir}/maildir/%d/%u")
    pt.account("contoso", pt.server.port, envelope_strip=["mbox-"], user="global@contoso.test",
               aliases=[{"match": "crew", "to": HIDDEN}])
    pt.server.users["global@contoso.test"] = "secret"
    pt.server.boxes["global@contoso.test"] = pt.server.boxes["global"]
    return pt


@pytest.mark.parametrize("case", COPIES)
def test_no_copy_names_another_recipient(three_ways, case):
    pt = three_ways
    if case.startswith("a list"):
        pt.conf["accounts"]["contoso"]["aliases"] = [{"match": "nothing", "to": HIDDEN}]
        for h in HIDDEN:
            pt.run("recipient", "add", h.split("@")[0], "--primary", h).expect(DONE)
        pt.run("recipient", "add", "crew", "--primary", "crew@contoso.test",
               *[w for h in HIDDEN for w in ("--member", h)]).expect(DONE)
    for mail in COPIES[case]:
        pt.server.put(mail)
    foretold = explained(pt, dict(enumerate(COPIES[case])))
    pt.once()
    copies = delivered(pt, pt.hop)
    assert sorted(r for recipients, _ in copies for r in recipients) == sorted(HIDDEN) == sorted(sum(foretold.values(), []))
    names_nobody_else(copies)
    for recipients, data in copies:
        assert b"X-Postern-Loop: " in data and b"\r\nSubject: hello\r\n" in data


def test_a_bcc_stays_only_where_it_names_the_recipient(three_ways):
    """RFC 5322 3.6.3 allows it there; it tells of nobody."""
    pt = three_ways
    pt.server.put(message(to="list@else.test", subject="own", headers=["Bcc: Ann <ANN@contoso.test>"]))
    pt.server.put(message(to="ann@contoso.test", subject="other", headers=["Bcc: secret@else.test"]))
    pt.once()
    by_subject = {re.search(rb"Subject: (\w+)", m.data)[1]: m.data for m in pt.hop.mails}
    assert b"Bcc: Ann <ANN@contoso.test>\r\n" in by_subject[b"own"]
    assert b"secret@else.test" not in by_subject[b"other"]


def test_a_notice_names_only_who_failed(three_ways):
    pt = three_ways
    pt.hop.answers["RCPT hidden1@contoso.test"] = "550 5.1.1 no such user"
    pt.server.put(one("Envelope-To: {all}", POP)[0])
    pt.once(status=FAILED)
    notices = [(r, d) for r, d in delivered(pt, pt.hop) if b"\r\nX-Postern-Notice: " in d]
    assert len(notices) == 1 and notices[0][0] == ["postmaster@contoso.test"] and b"hidden1@contoso.test" in notices[0][1]
    assert not [h for h in HIDDEN if h.encode() in notices[0][1] and not h.startswith("hidden1")]
    names_nobody_else([c for c in delivered(pt, pt.hop) if c not in notices])


def test_held_and_assigned_to_several(three_ways):
    """The envelope header named people of a domain that is nobody's: they are no more named."""
    pt = three_ways
    pt.conf["accounts"]["contoso"]["unrouted"] = "hold"
    pt.server.put(message(to="undisclosed-recipients:;", headers=["Envelope-To: x1@else.test, x2@else.test",
                                                                 "Bcc: x1@else.test, x3@else.test", POP]))
    pt.once()
    pt.run("recipient", "add", "crew", "--primary", "crew@contoso.test", *[w for h in HIDDEN for w in ("--member", h)]).expect(DONE)
    [row] = pt.ask("unrouted", "list")
    shown = pt.run("unrouted", "show", row["id"]).expect(DONE).out
    assert all(f"x{i}@else.test" in shown for i in (1, 2, 3))
    pt.run("unrouted", "assign", row["id"], "crew").expect(DONE)
    pt.once()
    copies = delivered(pt, pt.hop)
    assert sorted(r for recipients, _ in copies for r in recipients) == sorted(HIDDEN)
    names_nobody_else(copies)
    assert not [d for _, d in copies if re.search(rb"x[123]@else", d)]


# --- E6 ---

ALIASES = [{"match": "info@else.test", "to": ["ann@contoso.test"]},
           {"match": "sales", "to": ["ann@contoso.test", "bob@contoso.test"]},
           {"match": "news.else.test", "to": ["cid@contoso.test"]},
           {"match": "*@old.test", "to": ["*@contoso.test"]},
           {"match": "*@fabrikam.test", "to": ["fab@contoso.test"]},
           {"match": "hop@contoso.test", "to": ["info@fabrikam.test"]},
           {"match": "exact@fabrikam.test", "to": ["exact@contoso.test"]}]
SALES = ["ann@contoso.test", "bob@contoso.test"]
NEWS = ["List-Id: The \"sales\" news <News.Else.test>"]
RULES = [  # To, more header, recipients, the rule that 4040 names
    ("Info <INFO@else.test>", [], ["ann@contoso.test"], "info@else.test"),
    ("The Sales Team <x@else.test>", [], SALES, "sales"),
    ("sales@contoso.test", [], SALES, "sales"),
    ("Sales+de@contoso.test", [], SALES, "sales"),
    ("=?utf-8?B?U2FsZXM=?= <x@else.test>", [], SALES, "sales"),
    ("presales <x@else.test>", [], [], None),
    ("=?utf-8?q?ann=40contoso.test?= <x@else.test>", [], [], None),
    ("list@else.test", NEWS, ["cid@contoso.test"], "news.else.test"),
    ("dan@contoso.test", NEWS, ["dan@contoso.test"], None),
    ("Joe+x@old.test", [], ["Joe+x@contoso.test"], "*@old.test"),
    ("zz@fabrikam.test", [], ["fab@contoso.test"], "*@fabrikam.test"),
    ("exact+y@fabrikam.test", [], ["exact@contoso.test"], "exact@fabrikam.test"),
    ("hop@contoso.test", [], ["info@fabrikam.test"], "hop@contoso.test"),
    ("joe", [], ["joe@contoso.test"], None),
    ("sales", [], SALES, "sales"),
    ("Sales <x@else.test>, sales <y@else.test>, sales@contoso.test, bob@contoso.test", [], SALES, "sales"),
    ("\"ann@contoso.test\" <x@else.test>", [], [], None),
    ("x@else.test", ["X-Envelope-To: sales@contoso.test", POP], SALES, "sales"),
]


def test_alias_rules_of_the_configuration(pt, pop3):
    server = pop3()
    pt.policy("more", "fabrikam.test", "old.test")
    pt.conf["log"] = {"level": 2}
    pt.account("contoso", server.port, domains=["contoso.test", "fabrikam.test", "old.test"], unrouted="hold",
               default_domain="contoso.test", aliases=ALIASES)
    mails = {f"r{i}": message(to=to, subject=f"r{i}", headers=more, body=b"%d\r\n" % i) for i, (to, more, _, _) in enumerate(RULES)}
    uids = {server.put(mail): name for name, mail in mails.items()}
    foretold = explained(pt, mails)
    pt.once()
    got, rules = arrived(pt), {}
    for e in pt.events(4040):
        rules.setdefault(uids[e["uidl"]], []).append(e["rule"])
        assert e["from"] and e["to"] and e["text"] == f"Alias rule {e['rule']} applied: {e['from']} -> {e['to']}.", e
    for i, (to, _, recipients, rule) in enumerate(RULES):
        assert got.get(f"r{i}", []) == sorted(recipients) == foretold[f"r{i}"], to
        assert rules.get(f"r{i}", []) == ([rule] if rule else []), to


def test_a_provider_that_appends_with_a_prefix(pt, pop3):
    server = pop3()
    pt.conf["log"] = {"level": 1}
    pt.account("contoso", server.port, domains=["contoso.test"], unrouted="hold", envelope_position="bottom",
               envelope_strip=["mbox-", "*.pop"], envelope="strict")

    def mail(subject, *last, headers=()):
        return message(to="boss@contoso.test", subject=subject, headers=[POP, *headers]).replace(
            b"\r\n\r\n", "".join(f"\r\n{h}" for h in last).encode() + b"\r\n\r\n", 1)
    fake = "X-Envelope-To: boss@contoso.test"
    cases = {
        "plain": (mail("plain", "X-Envelope-To: ann@contoso.test"), ["ann@contoso.test"]),
        "prefix": (mail("prefix", "X-Original-To: MBOX-ann@contoso.test"), ["ann@contoso.test"]),
        "suffix": (mail("suffix", "Delivered-To: ann.pop@contoso.test"), ["ann@contoso.test"]),
        "forged": (mail("forged", fake, "Subject2: x", "Delivered-To: mbox-ann@contoso.test", headers=[fake]), ["ann@contoso.test"]),
        "not last": (mail("not last", fake, "X-Last: no"), []),
        "in the body": (mail("in the body") + b"X-Envelope-To: boss@contoso.test\r\n\r\n", []),
    }
    foretold = explained(pt, {k: v for k, (v, _) in cases.items()})
    for m, _ in cases.values():
        server.put(m)
    pt.once()
    got = arrived(pt)
    assert {k: got.get(k, []) for k in cases} == {k: r for k, (_, r) in cases.items()} == foretold


def test_a_rule_made_by_assigning_works_for_the_next(pt, pop3, sink):
    hop, server = sink(), pop3()
    pt.route("contoso.test", hop.route)
    pt.account("contoso", server.port, domains=["contoso.test"], unrouted="hold")

    def mail(n):
        return message(to="Info desk <info@else.test>", subject=f"n{n}", body=b"%d\r\n" % n)
    server.put(mail(0))
    pt.start()
    wait_for(lambda: pt.ask("unrouted", "list"), 20, "a held message")
    [row] = pt.ask("unrouted", "list")
    assert explained(pt, {0: mail(1)}) == {0: []}
    pt.run("unrouted", "assign", row["id"], "ann@contoso.test", "--rule", write=False).expect(DONE)
    hop.wait(1)
    server.put(mail(1))
    assert explained(pt, {0: mail(1)}) == {0: ["ann@contoso.test"]}
    pt.run("poll", "contoso", write=False).expect(DONE)
    hop.wait(2)
    assert pt.terminate() == 0
    server.put(mail(2))
    pt.once()
    assert [m.recipients for m in hop.wait(3)] == [["ann@contoso.test"]] * 3
    pt.run("unrouted", "forget", "contoso", "info@else.test").expect(DONE)
    server.put(mail(3))
    pt.once()
    assert len(hop.mails) == 3 and len(pt.ask("unrouted", "list")) == 1


# --- E8, E10 ---

SENDERS = [  # header fields above From, the envelope sender, whether 4043 is told
    (["Return-Path: <>", POP], "", False),
    (["Return-Path: <s@else.test>", POP], "s@else.test", False),
    (["Return-Path: <>", "Return-Path: <s@else.test>", POP], "", False),
    ([POP, "Return-Path: <>"], "max@nwtraders.test", True),
    ([POP], "max@nwtraders.test", True),
    ([POP, "Sender: boss@contoso.test", "Reply-To: boss@contoso.test"], "max@nwtraders.test", True),
    (["Return-Path: <@>", POP], "max@nwtraders.test", True),
    (["Return-Path: nonsense", POP], "max@nwtraders.test", True),
    (["Return-Path: <a b@else.test>", POP, "List-Id: <l.else.test>"], "", True),
    ([POP, "List-Id: <l.else.test>"], "", True),
    ([POP, "List-Unsubscribe: <mailto:x@else.test>"], "", True),
    ([POP, "Precedence: Bulk"], "", True),
    ([POP, "Auto-Submitted: auto-replied (x)"], "", True),
    ([POP, "Auto-Submitted: no"], "max@nwtraders.test", True),
    (["Return-Path: <s@else.test>", POP, "List-Id: <l.else.test>"], "s@else.test", False),
]


def test_the_envelope_sender(pt, pop3, sink):
    """A bounce never gets a sender; no one is ever to be told of a failure."""
    server, hop = pop3(), sink(extensions=["PIPELINING", "8BITMIME", "ENHANCEDSTATUSCODES", "DSN"])
    pt.conf["log"] = {"level": 2}
    pt.route("contoso.test", hop.route)
    pt.account("contoso", server.port)
    mails = {f"s{i}": message(subject=f"s{i}", headers=h, body=b"%d\r\n" % i) for i, (h, _, _) in enumerate(SENDERS)}
    uids = {name: server.put(mail) for name, mail in mails.items()}
    for name, (_, sender, _) in list(zip(mails, SENDERS))[:5]:
        said = pt.run("explain", "-", "--account", "contoso", "--json", input=mails[name]).expect(DONE).json()
        assert said["sender"] == sender
    pt.once()
    got = {re.search(rb"Subject: (\w+)", m.data)[1].decode(): m for m in hop.wait(len(SENDERS))}
    told = {e["uidl"]: e["text"] for e in pt.events(4043)}
    for i, (headers, sender, event) in enumerate(SENDERS):
        m = got[f"s{i}"]
        assert m.sender == sender, headers
        words = f"No Return-Path in {uids[f's{i}']}; envelope sender set to {sender or '<>'}, notifications off."
        assert told.get(uids[f"s{i}"]) == (words if event else None), headers
        kept = [h.encode() for h in headers if h.startswith("Return-Path")]
        assert not re.search(rb"^Return-Path:", m.data, re.M) and all(b"\r\nX-Postern-Orig-" + h in m.data for h in kept)
    said = [c for c in hop.commands if c.startswith("RCPT")]
    assert len(said) == len(SENDERS) and all(c.endswith(" NOTIFY=NEVER") for c in said)


@pytest.mark.parametrize("hops", [5, 6])
def test_the_hop_limit(pt, pop3, hops):
    server = pop3()
    pt.conf["smtp"]["max_hops"] = 5
    pt.account("contoso", server.port)
    mail = message(headers=[POP, *[MX] * (hops - 1)])
    server.put(mail)
    said = pt.run("explain", "-", "--account", "contoso", "--json", input=mail).expect(DONE).json()
    pt.once(status=DONE if hops == 5 else FAILED)
    assert len(pt.drop()) == (hops == 5) and len(pt.events(4098)) == (hops == 6) and server.left() == []
    assert [b["reason"] for b in pt.badmail_list()] == ["hop-count"] * (hops == 6)
    assert ("hop" in said["sentence"]) == (hops == 6), said["sentence"]
    if hops == 6:
        [event] = pt.events(4098)
        assert event["text"].startswith("The following message could not be delivered because the hop count exceeded the maximum.")
        assert "From: max@nwtraders.test Subject: hello" in event["text"]

# --- E1 level 1: the server tells the envelope itself (SDPS) ---

ENVELOPES = {  # number: lines of the answer to *ENV; None: it does not say
    "1": ["gw.contoso.test", "2026", "news@else.test", "ann@contoso.test"],
    "2": ["gw.contoso.test", "2026", "", "bob@contoso.test"],
    "3": ["gw.contoso.test", "2026", "x@else.test", "foreign@else.test"],
    "4": None,
    "5": ["too", "few"],
}


def envelope_of(_session, number):
    lines = ENVELOPES.get(number)
    if lines is None:
        return b"-ERR no such thing\r\n"
    return "".join(["+OK\r\n", *(f"{line}\r\n" for line in lines), ".\r\n"]).encode()


@pytest.mark.parametrize("caps, settings, asked", [
    (["UIDL", "TOP", "USER", "PIPELINING", "SDPS"], {}, True), (["UIDL", "TOP", "USER", "PIPELINING"], {"envelope": "sdps"}, True),
    (["UIDL", "USER", "SDPS"], {"envelope": "strict", "keep": "forever"}, True),
    (["UIDL", "TOP", "USER", "PIPELINING", "SDPS"], {"envelope": "none"}, False),
    (["UIDL", "TOP", "USER", "PIPELINING"], {}, False)])
def test_the_server_tells_the_envelope(pt, pop3, caps, settings, asked):
    server = pop3(caps=caps)
    server.answers["*ENV"] = envelope_of
    pt.conf["log"] = {"level": 1}  # 4035 is of level 1
    pt.account("contoso", server.port, **settings)
    for i in range(1, 6):
        server.put(message(to="zoe@contoso.test", subject=f"m{i}",
                           headers=["Return-Path: <path@else.test>", "X-Original-To: eve@contoso.test", POP]))
    pt.once(status=DONE)
    header = "zoe@contoso.test" if settings.get("envelope") == "none" else "eve@contoso.test"
    want = {f"m{i}": [header] for i in range(1, 6)}
    if asked:
        want |= {"m1": ["ann@contoso.test"], "m2": ["bob@contoso.test"]}
        assert server.last.verbs().count("*ENV") == 5
        senders = {re.search(rb"Subject: (m\d)", d.data)[1]: d.sender for d in pt.drop()}
        assert senders[b"m1"] == "news@else.test" and not senders[b"m2"].strip("<>") and senders[b"m4"] == "path@else.test"
        assert [e["header"] for e in pt.events(4035)] == ["*ENV"]
        same = pt.run("explain", "--since", "1d", "--json").expect(DONE).json()
        assert same["looked_at"] == 5 and not same["different"], same
    else:
        assert "*ENV" not in server.last.verbs()
    assert arrived(pt) == want
    assert server.left() == (server.left() if "keep" in settings else [])
    foretold = pt.run("explain", "-", "--account", "contoso", input=message(to="zoe@contoso.test")).expect(DONE).out
    assert ("(*ENV)" in foretold) == (settings.get("envelope") == "sdps"), foretold
    trace = pt.run("trace", "contoso/uid-00001").expect(DONE).out
    assert ("told by the provider's POP3 server itself" in trace) == asked, trace


@pytest.mark.parametrize("answer", [b"+OK\r\n" + b"x\r\n" * 100000, b"+OK\r\n" + b"x" * 10_000_000, b"nonsense\r\n", CUT, b"+OK\r\na\r\n"],
                         ids=["many lines", "a long line", "nonsense", "cut", "cut inside"])
def test_an_envelope_that_is_a_lie(pt, pop3, answer):
    server = pop3(caps=["UIDL", "TOP", "USER", "PIPELINING", "SDPS"])
    pt.account("contoso", server.port)
    server.put(message(to="ann@contoso.test", subject="m"))
    server.answers["*ENV"] = answer if answer != b"+OK\r\na\r\n" else lambda s, _: (s.send(answer), CUT)[1]
    pt.once(status=FAILED)
    assert not pt.drop() and server.left() == ["uid-00001"]
    server.answers.clear()
    server.caps.remove("SDPS")
    pt.once(status=DONE)
    assert arrived(pt) == {"m": ["ann@contoso.test"]} and not server.left()
