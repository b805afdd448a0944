"""1,447 messages of 28 public projects, from a real Dovecot into Drop."""
import re
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
from harness.corpus import Mailbox
from harness.postern import DONE, FAILED
from test_collect import account_row


@pytest.mark.limit(180)
def test_corpus_arrives_whole_and_once(pt, dovecot, corpus):
    box = Mailbox(dovecot, corpus)
    total = len(box.files) + 1
    box.set_up(pt)
    report = pt.once(status=FAILED, timeout=120)  # some goes to Badmail: its domain is unlisted
    row = account_row(report, "corpus")
    assert (row["listed"], row["collected"], row["failed"]) == (total, total, 0)
    dropped, bad = box.count(pt)
    assert bad > 0 and dropped > 0 and dropped + bad >= total
    assert report["badmail"] >= bad or report["refused"] >= bad
    again = account_row(pt.once(), "corpus")
    assert (again["listed"], again["collected"]) == (0, 0)
    assert box.count(pt) == (dropped, bad)
    assert pt.queue() == []


def domains_of(corpus):
    """Every domain that stands in a recipient field of the corpus, as far as one can be configured."""
    found = set()
    for row in (corpus / "truth.tsv").read_text(encoding="latin-1").splitlines()[1:]:
        _, header, _, _, addresses, _ = row.split("\t")
        if header in ("to", "cc", "bcc", "delivered-to", "received-for", "resent-to", "resent-cc", "x-original-to"):
            found |= {a.rpartition("@")[2].lower() for a in addresses.split(" ")}
    return sorted(d for d in found if re.fullmatch(r"([a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?\.)+[a-z][-a-z0-9]*[a-z0-9]", d))


@pytest.mark.limit(900)
def test_explain_tells_why_for_every_message(pt, corpus):
    """For an account that serves the domains of the messages, every other one listed, and for one that serves none."""
    domains = domains_of(corpus)
    assert len(domains) > 100
    pt.policy("corpus", *domains[::2])
    pt.account("theirs", 1, domains=domains, unrouted="hold")
    pt.account("none", 1, domains=["none.test"])
    pt.write()
    files = sorted((corpus / "msg").glob("*.eml"))
    seen = Counter()

    def one(job):
        file, account = job
        said = pt.run("explain", file, "--account", account, "--json", write=False).expect(DONE).json()
        sentence, outcome = said["sentence"], said["outcome"]
        assert re.fullmatch(r"(Delivered to|Nobody gets it:|Nobody is found:) .{10,}\.", sentence, re.S), (file.name, sentence)
        # There is a reason in it: a rule, or that nothing was seen.
        assert re.search(r"\([EH]\d+(\.\d)?\)|account's domains|names an address", sentence), (file.name, sentence)
        assert all(re.match(r"[EH]\d+(\.\d)?: .", c["why"]) for c in said["candidates"]), (file.name, said["candidates"])
        assert (outcome == "found") == (said["level"] < 7) == (not sentence.startswith("Nobody is found")), said
        assert len(said["recipients"]) + len(said["refused"]) >= (outcome in ("found", "fallback"))
        assert outcome != ("hold" if account == "none" else "fallback"), said
        if account == "none":
            assert outcome == "fallback" and [r["address"] for r in said["recipients"]] == ["postmaster@contoso.test"], said
        return account, outcome, sentence.split(" ")[0] + (" refused" if said["refused"] else "")

    # Each starts a process: the second account is asked about every fourth message only.
    jobs = [(f, account) for i, f in enumerate(files) for account in ("theirs", "none") if account == "theirs" or i % 4 == 0]
    with ThreadPoolExecutor(4) as pool:
        for row in pool.map(one, jobs):
            seen[row] += 1
    assert sum(seen.values()) == len(jobs)
    # The corpus has all kinds of it.
    assert seen["theirs", "found", "Delivered"] > 100 and seen["theirs", "found", "Delivered refused"] > 5, seen
    assert seen["theirs", "found", "Nobody refused"] > 20 and seen["theirs", "hold", "Nobody"] > 20, seen
