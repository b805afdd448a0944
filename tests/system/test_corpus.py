"""1,447 messages of 28 public projects, from a real Dovecot into Drop."""
import pytest
from harness.corpus import Mailbox
from harness.postern import FAILED
from test_collect import account_row


@pytest.mark.limit(180)
def test_corpus_arrives_whole_and_once(pt, dovecot, corpus):
    box = Mailbox(dovecot, corpus)
    total = len(box.files)
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
