"""Headers that somebody forged, against the real program: what a provider's messages
taught it, what a forger adds above and below, foreign domains, headers beyond every limit
(RECIPIENTS.md E2, E3, E4, E11, E18). What `explain` says before is what happens after."""
import random
import re

import pytest
from harness.message import message
from harness.postern import DONE, FAILED
from test_pop3_faults import bound, run_measured

POP = "Received: from mx.isp.test (mx [192.0.2.7]) by pop.isp.test with LMTP; Mon, 05 Jan 2026 10:00:01 +0000"
MX = "Received: from out.else.test (out [198.51.100.9]) by mx.isp.test with ESMTP; Mon, 05 Jan 2026 10:00:00 +0000"
MODES = {"auto": {}, "strict": {"envelope": "strict"}, "named": {"envelope": "Delivered-To"}}
BOSS = "boss@contoso.test"


def stored(subject, own=("Delivered-To: real@contoso.test",), above=(), between=(), below=(), to="list@else.test", pop=POP,
           mx=(MX,)):
    """A message as the provider stores it: its header, its two lines, and what the sender wrote."""
    return message(to=to, subject=subject, headers=[*above, *own, pop, *between, *mx, *below], body=f"{subject}\r\n".encode())


def arrived(pt):
    """{subject: recipients of all its copies}"""
    got = {}
    for d in pt.drop():
        subject = re.search(rb"^Subject: (.*?)\r$", d.data, re.M)[1].decode()
        got[subject] = sorted(got.get(subject, []) + d.recipients)
    return got


def explained(pt, mails, account="contoso"):
    """{subject: recipients} as explain foretells; a sentence comes with each."""
    out = {}
    for subject, mail in mails.items():
        said = pt.run("explain", "-", "--account", account, "--json", input=mail).expect(DONE).json()
        assert re.match(r"(Delivered to|Nobody is found|Not to) ?.*\.$", said["sentence"], re.S), said["sentence"]
        out[subject] = sorted(r["address"] for r in said["recipients"] if said["outcome"] == "found")
    return out


# What is added, who gets it, in each mode ([]: held), and whether 4036 is told.
def forgeries():
    fake = [f"{n}: {BOSS}" for n in ("X-Envelope-To", "X-Original-To", "Envelope-To", "X-RCPT-TO", "X-Delivered-To", "X-Real-To",
                                     "X-Gm-Original-To")]
    again, real = f"Delivered-To: {BOSS}", ["real@contoso.test"]
    hop = MX.replace("out.else.test", "localhost")
    return {
        "nothing": (stored("nothing"), real, False),
        "below: other names": (stored("below: other names", below=fake), real, False),
        "below: its own": (stored("below: its own", below=[again, *fake]), real, False),
        "below: with its lines": (stored("below: with its lines", below=[again, POP, hop, again, POP]), real, False),
        "above: other names": (stored("above: other names", above=fake), real, "not named"),
        "between: other names": (stored("between: other names", between=fake), real, "not named"),
        "above: its own": (stored("above: its own", above=[again]), [], True),
        "between: its own": (stored("between: its own", between=[again]), [], True),
        "under it: its own": (stored("under it: its own", own=["Delivered-To: real@contoso.test", again]), [], True),
        "several in it": (stored("several in it", below=[f"Delivered-To: {BOSS}, {BOSS}"]), real, False),
        "one line fewer": (stored("one line fewer", mx=[], below=[again, MX]), [], True),
        "for": (stored("for", below=[MX.replace("; ", f" for <{BOSS}>; ")]), real, False),
        "not there, forged below": (stored("not there, forged below", own=[], below=[again]), [], True),
        "not there": (stored("not there", own=[]), [], False),
    }


@pytest.mark.limit(120)
@pytest.mark.parametrize("mode", MODES)
def test_forged_after_it_is_learned(pt, pop3, mode):
    server = pop3()
    pt.conf["log"] = {"level": 1}
    pt.account("contoso", server.port, domains=["contoso.test"], unrouted="hold", **MODES[mode])
    for i in range(49):
        server.put(stored(f"m{i}", own=[f"Delivered-To: u{i}@contoso.test"], below=[f"X-Envelope-To: {BOSS}"] * (i % 2)))
    pt.once()
    assert "learning, 49 of 50 messages seen" in pt.run("accounts", "show", "contoso").expect(DONE).out
    server.put(stored("m49", own=["Delivered-To: u49@contoso.test"]))
    pt.once()
    assert arrived(pt) == {f"m{i}": [f"u{i}@contoso.test"] for i in range(50)}
    learned = pt.ask("accounts", "show", "contoso")["provider"]
    assert learned == {"learned": True, "messages": 50, "received_lines": 2, "host": "pop.isp.test", "strange": 0,
                       "headers": [{"header": "Delivered-To", "times": 1, "always": True}]}
    assert "adds 2 Received lines (by pop.isp.test); writes Delivered-To once" in pt.run("accounts", "show", "contoso").out

    cases = forgeries()
    foretold = explained(pt, {name: mail for name, (mail, _, _) in cases.items()})
    for turn in range(2):  # a second process knows it as well
        uids = {name: server.put(mail + b"%d\r\n" % turn) for name, (mail, _, _) in cases.items()}
        pt.once()
        got = arrived(pt)
        for name, (_, recipients, told) in cases.items():
            assert got.get(name, []) == recipients * (turn + 1), (name, got.get(name))
            assert foretold[name] == recipients, name
            assert bool([e for e in pt.events(4036) if e["uidl"] == uids[name]]) == (told and (told is True or mode != "named")), name
        missing = {e["uidl"] for e in pt.events(4035)}
        assert missing >= {uids["not there"]} and uids["nothing"] not in missing
        held = {r["uidl"] for r in pt.ask("unrouted", "list")}
        assert held >= {uids[n] for n, (_, r, _) in cases.items() if not r}
    assert not any(BOSS in r for r in arrived(pt).values()) and server.left() == []


def test_without_its_header_the_visible_ones_count_only_in_auto(pt, pop3):
    servers = {}
    for mode in MODES:
        servers[mode] = pop3()
        pt.account(mode, servers[mode].port, domains=["contoso.test"], unrouted="hold", **MODES[mode])
        for i in range(50):
            servers[mode].put(stored(f"{mode}{i}", own=[f"Delivered-To: u{i}@contoso.test"]))
    pt.conf["log"] = {"level": 1}
    pt.once()
    uids = {m: servers[m].put(stored(f"bare {m}", own=[], to="ann@contoso.test")) for m in MODES}
    pt.once()
    got = arrived(pt)
    assert {m: got.get(f"bare {m}") for m in MODES} == {"auto": ["ann@contoso.test"], "strict": None, "named": ["ann@contoso.test"]}
    assert {(e["account"], e["uidl"], e["header"]) for e in pt.events(4035)} == {(m, u, "Delivered-To") for m, u in uids.items()}
    assert [(r["account"], r["uidl"]) for r in pt.ask("unrouted", "list")] == [("strict", uids["strict"])]


# --- E11, E18 (1) and (7) ---

OURS = ["ann@contoso.test", "Bob.Ray@Contoso.Test", "c+tag@fabrikam.test", '"q d"@contoso.test', "d@sub.branch.test"]  # the fourth may stand in no envelope (H01)
THEIRS = ["eve@else.test", "x@contoso.test.evil.test", "x@evilcontoso.test", "x@branch.test", "a%contoso.test@else.test",
          '"ann@contoso.test"@else.test', "@contoso.test:x@else.test", "contoso.test!x@else.test", "x@[127.0.0.1]", "x@localhost",
          "x@c\u043entoso.test", "x@contoso.test.@else.test", "x@fabrikam", "root", "x@contoso.te\0st", "ann@contoso.test@else.test"]
SHAPES = ["{0}", "<{0}>", '"{1}" <{0}>', "{1} <{0}>, {2}", "g: {0}, {1};, {2}", "({1}) {0}", "{0};{1}", "=?utf-8?q?{1}?= <{0}>",
          "<{1}> <{0}>", "{0}\r\n ,\r\n\t{1}", "undisclosed-recipients:;", "<@else.test,@contoso.test:{0}>", '"{1}, <{2}>" <{0}>',
          "{0} ({1} (<{2}>))", "<{0}", "{0}>", ",,{0},,", "{1}\r\nX-Sender: {2}", "\\{0}"]
NAMES = ["To", "Cc", "Bcc", "Resent-To", "Resent-Cc", "Apparently-To", "X-Envelope-To", "X-Original-To", "Envelope-To",
         "Delivered-To", "X-RCPT-TO", "Reply-To", "Sender", "Return-Path", "X-Receiver", "Errors-To", "Disposition-Notification-To"]


def hostile(rng, subject):
    lines = [f"Subject: {subject}", f"Message-ID: <{subject}@else.test>", f"From: {rng.choice(OURS + THEIRS)}"]
    for _ in range(rng.randrange(1, 9)):
        some = [rng.choice(OURS if rng.random() < 0.5 else THEIRS) for _ in range(3)]
        name = rng.choice(NAMES)
        lines.append(f"{name}: " + rng.choice(SHAPES).format(*some))
        if rng.random() < 0.2:
            lines.append(POP.replace("; ", f" for <{some[0]}>; "))
    rng.shuffle(lines)
    return ("\r\n".join(lines) + f"\r\n\r\n{subject}\r\n").encode()


@pytest.mark.limit(150)
@pytest.mark.parametrize("seed", range(2))
def test_foreign_domains_never_reach_rcpt(pt, pop3, sink, seed):
    """200 random headers, in four accounts: every RCPT is inside the policies, and what was
    determined is what was settled."""
    rng, inside, outside = random.Random(seed), sink(), sink()
    pt.policy("more", "fabrikam.test", "*.branch.test")
    for d in ("contoso.test", "fabrikam.test", "*.branch.test"):
        pt.route(d, inside.route)
    for d in ("else.test", "evil.test", "*.evil.test", "evilcontoso.test", "branch.test", "localhost", "fabrikam"):
        pt.route(d, outside.route)
    modes = [{}, {"envelope": "none"}, {"domains": ["contoso.test"]}, {"trusted_hops": 3, "default_domain": "contoso.test"}]
    servers = [pop3() for _ in modes]
    pt.conf["log"] = {"level": 1}
    mails = {}
    for i, (server, more) in enumerate(zip(servers, modes)):
        pt.account(f"a{i}", server.port, dedup=False, **more)
        for n in range(50):
            mail = hostile(rng, f"s{i}x{n}")
            mails[f"a{i}", server.put(mail)] = mail
    samples = rng.sample(sorted(mails), 24)
    foretold = {key: explained(pt, {0: mails[key]}, key[0])[0] for key in samples}
    report = pt.once(status=(DONE, FAILED), timeout=120)
    assert report["refused"] == 0 and all(s.left() == [] for s in servers)
    said = [c for c in inside.commands if c.upper().startswith("RCPT")]
    assert said and outside.sessions == 0
    for line in said:
        domain = re.match(r"RCPT TO:<.*@([^@>]+)>", line)[1].lower()
        assert domain in ("contoso.test", "fabrikam.test") or domain.endswith(".branch.test"), line

    rows = {(r["account"], r["uidl"]): r for r in pt.ask("queue", "list", "--all")}
    assert set(rows) == set(mails)
    for key, row in rows.items():
        assert all(r["status"] in ("delivered", "badmail") for r in row["recipients"]), row
    sent = sorted(r for m in inside.mails for r in m.recipients)
    assert sent == sorted(r["address"] for row in rows.values() for r in row["recipients"] if r["status"] == "delivered")
    # |settled| = |determined|: by what was told at the time, and by the story of the message.
    determined = {(e["account"], e["uidl"]): e.get("accepted", 1) for n in (4030, 4033) for e in pt.events(n)}
    assert {key: len(row["recipients"]) for key, row in rows.items()} == determined
    for key in samples:
        texts = [s["text"] for s in pt.ask("trace", rows[key]["id"])["steps"]]
        addresses = sorted(r["address"] for r in rows[key]["recipients"])
        assert sorted(t.split(" ")[1].rstrip(":") for t in texts if re.match("recipient .*: accepted", t)) == addresses
        assert addresses == (foretold[key] or ["postmaster@contoso.test"]), key


# --- E3 and E4: beyond the limits ---

def huge():
    many = ",\r\n ".join(f"u{i}@contoso.test" for i in range(10_001))
    return {
        "many": (b"To: " + many.encode(), [f"u{i}@contoso.test" for i in range(10_000)], 4038),
        "comments": (b"To: " + b"(" * 50_000 + b")" * 50_000 + b" ann@contoso.test", ["ann@contoso.test"], None),
        "open comments": (b"Cc: " + b"(" * 50_000 + b"eve@contoso.test\r\nTo: ann@contoso.test", ["ann@contoso.test"], None),
        "quotes": (b"To: " + b'"\\' * 60_000 + b"\r\nCc: ann@contoso.test", ["ann@contoso.test"], None),
        "groups": (b"To: " + b"g:" * 50_000 + b"ann@contoso.test;", None, None),
        "routes": (b"To: <" + b"@a.test," * 20_000 + b":ann@contoso.test>", None, None),
        "one field": (b"To: ann@contoso.test\r\nX-Long: " + b"x" * 2_000_000, ["ann@contoso.test"], 4038),
        "one megabyte": (b"To: ann@contoso.test\r\n" + b"X-A: " + b"y" * 60 + b"\r\n" + (b"X-B: " + b"z" * 90 + b"\r\n") * 12_000 +
                         b"Cc: eve@contoso.test", ["ann@contoso.test"], 4038),
        "lines": (b"To: ann@contoso.test\r\n" + b"a:\r\n" * 500_000 + b"b:", ["ann@contoso.test"], 4038),
        "junk lines": (b"To: ann@contoso.test\r\n" + b"-\r\n" * 500_000 + b"b:", ["ann@contoso.test"], 4038),
        "folds": (b"To: ann@contoso.test\r\nX: y\r\n" + b" \r\n" * 500_000 + b"b:", ["ann@contoso.test"], 4038),
    }


@pytest.mark.limit(150)
def test_beyond_every_limit(pt, pop3):
    server, cases = pop3(), huge()
    mails = {name: b"Subject: " + name.encode() + b"\r\nMessage-ID: <" + name.replace(" ", ".").encode() + b"@else.test>\r\n" +
             head + b"\r\n\r\nbody of " + name.encode() + b"\r\n" for name, (head, _, _) in cases.items()}
    pt.conf["log"] = {"level": 1}
    pt.account("contoso", server.port, domains=["contoso.test"], unrouted="hold")
    uids = {name: server.put(mail) for name, mail in mails.items()}
    foretold = explained(pt, mails)
    status, megabytes = run_measured(pt, "once")
    assert status == DONE and megabytes < bound() and server.left() == []
    got = arrived(pt)
    held = {r["uidl"] for r in pt.ask("unrouted", "list")}
    told = {e["uidl"] for e in pt.events(4038)}
    for name, (_, recipients, event) in cases.items():
        assert got.get(name, []) == foretold[name], name
        assert (name in got) != (uids[name] in held), name
        assert recipients is None or got[name] == sorted(recipients), name
        assert (uids[name] in told) == (event == 4038), (name, told)
    for d in pt.drop():  # whole: the body is there, and as much header as came
        name = re.search(rb"^Subject: (.*?)\r$", d.data, re.M)[1].decode()
        assert d.data.endswith(mails[name][-40:]) and len(d.data) >= len(mails[name]), name


# E3: a bare CR ends no field and starts none. Whom each header names.
BARE_CR = {
    "visible": (message(to="ann@contoso.test\rBcc: eve@contoso.test", subject="visible"), ["ann@contoso.test"]),
    "angles": (message(to="Ann <ann@contoso.test>\rBcc: Eve <eve@contoso.test>", subject="angles"), ["ann@contoso.test"]),
    "nul": (message(to="ann@contoso.test \0Bcc: eve@contoso.test", subject="nul"), ["ann@contoso.test"]),
    "envelope": (stored("envelope", own=["Delivered-To: ann@contoso.test\rDelivered-To: eve@contoso.test"], to="list@else.test"),
                 ["ann@contoso.test"]),
}


def test_an_address_is_not_lost_to_what_stands_behind_a_bare_cr(pt, pop3):
    server = pop3()
    pt.account("contoso", server.port, domains=["contoso.test"], unrouted="hold")
    for mail, _ in BARE_CR.values():
        server.put(mail)
    want = {subject: to for subject, (_, to) in BARE_CR.items()}
    assert explained(pt, {subject: mail for subject, (mail, _) in BARE_CR.items()}) == want
    pt.once()
    assert arrived(pt) == want
