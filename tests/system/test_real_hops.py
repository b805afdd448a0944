"""The mail servers that people have as next hops, for real: what is sent to them comes octet for
octet and once, and what one of them refuses is refused with its own words. tests/bench/hops.py
sends each of them 201 messages; these are a sample."""
import re

import pytest
from harness import debian, hops, net
from harness.message import check_same, message
from harness.postern import DONE, FAILED

COUNT = 24


@pytest.fixture(params=hops.HOPS)
def hop(request, closing):
    why = hops.why_not(request.param)
    if why:
        pytest.skip(why)
    server = closing(hops.HOPS[request.param]())
    server.name = request.param
    server.start()
    return server


def queued(pt, pop3, hop, mails):
    server = pop3()
    pt.account("contoso", server.port)
    pt.route("contoso.test", hop.route)
    for m in mails:
        server.put(m)
    return server


def test_sent_octet_for_octet_and_once(pt, pop3, hop):
    """What the hop does not take itself stands in Badmail with its words."""
    mails = {debian.message_id(m): m for m in debian.varied(COUNT)}
    queued(pt, pop3, hop, mails.values())
    row = pt.once(status=(DONE, FAILED))
    assert row["delivered"] + row["badmail"] == COUNT and row["deferred"] == 0
    net.wait_for(lambda: len(hop.got()) >= row["delivered"], 30, f"{row['delivered']} mails at {hop.name}")
    came = [hops.as_sent(d) for d in hop.got()]
    assert len({debian.message_id(d) for d in came}) == len(came), "doubled"
    for d in came:
        hops.check_as(hop.name, mails[debian.message_id(d)], d)
    for bad in pt.badmail_list():
        assert any(r["reply"] for r in pt.ask("badmail", "show", bad["id"])["recipients"]) or bad["reason"]


def test_a_refusal_has_the_words_of_the_hop(pt, pop3, hop):
    """An address that it does not take, of two in one message."""
    stranger = hops.stranger(hop.name)
    queued(pt, pop3, hop, [message(to=f"ann@contoso.test, {stranger}")])
    pt.policy("more", "else.contoso.test")
    pt.route("else.contoso.test", hop.route)
    row = pt.once(status=(DONE, FAILED))
    assert row["delivered"] >= 1 and row["badmail"] + row["deferred"] >= 1
    said = " ".join(str(b.record) for b in pt.badmail()) + str(pt.queue())
    assert re.search(re.escape(stranger) + r".*?\b[45]\d\d[' ,:\"]", said), said
