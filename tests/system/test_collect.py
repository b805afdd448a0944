"""From the provider's mailbox into Drop, whole and once."""
import pytest
from harness import dovecot as dovecot_module
from harness.message import check_same, message
from harness.postern import DONE, FAILED


def account_row(report, name):
    return next(a for a in report["accounts"] if a["name"] == name)


def test_one_message(pt, pop3):
    server = pop3()
    sent = message()
    server.put(sent)
    pt.account("contoso", server.port)
    report = pt.once()
    row = account_row(report, "contoso")
    assert (row["listed"], row["collected"], row["failed"]) == (1, 1, 0)
    assert (report["delivered"], report["deferred"], report["refused"], report["badmail"]) == (1, 0, 0, 0)
    [dropped] = pt.drop()
    assert dropped.sender == "max@nwtraders.test" and dropped.recipients == ["ann@contoso.test"]
    check_same(sent, dropped.data)
    assert server.left() == [] and server.last.updated


def test_received_line_says_where_it_came_from(pt, pop3):
    server = pop3()
    server.put(message())
    pt.account("contoso", server.port).once()
    [dropped] = pt.drop()
    top = dropped.data.split(b"\r\nX-Postern")[0].replace(b"\r\n ", b" ").replace(b"\r\n\t", b" ").split(b"\r\n")[0]
    assert top.startswith(b"Received: from 127.0.0.1 ([127.0.0.1]) by gw.contoso.test with POP3 (Postern) id "), top
    assert dropped.path.stem.encode() in top and b"for <ann@contoso.test>" in top


def test_empty_mailbox(pt, pop3):
    server = pop3()
    report = pt.account("contoso", server.port).once()
    assert account_row(report, "contoso")["listed"] == 0 and pt.drop() == []


def test_user_account_never_reads_headers(pt, pop3):
    """E0: the recipient is the configured one, whatever the message says."""
    server = pop3(users={"jane": "secret"})
    server.put(message(to="somebody@contoso.test", headers=["X-Envelope-To: other@contoso.test"]))
    pt.account("jane", server.port, type="user", user="jane", recipient="jane@contoso.test").once()
    assert [d.recipients for d in pt.drop()] == [["jane@contoso.test"]]


def test_bcc_known_only_from_the_envelope_header(pt, pop3):
    """E1 level 2: the provider's envelope header wins over To and Cc."""
    server = pop3()
    server.put(message(to="ann@contoso.test", headers=["X-Envelope-To: secret@contoso.test",
               "Received: from a by pop.isp.test; Mon, 5 Jan 2026 10:00:00 +0000"]))
    pt.account("contoso", server.port).once()
    assert [d.recipients for d in pt.drop()] == [["secret@contoso.test"]]


def test_envelope_header_below_the_trusted_zone_is_not_believed(pt, pop3):
    server = pop3()
    server.put(message(to="ann@contoso.test", headers=[
        "Received: from a by pop.isp.test; Mon, 5 Jan 2026 10:00:00 +0000",
        "Received: from evil by a; Mon, 5 Jan 2026 09:00:00 +0000", "X-Envelope-To: boss@contoso.test"]))
    pt.account("contoso", server.port).once()
    assert [d.recipients for d in pt.drop()] == [["ann@contoso.test"]]


def test_two_domains_two_routes(pt, pop3, sink):
    here, there = sink(), sink()
    server = pop3()
    server.put(message(to="ann@contoso.test, bob@fabrikam.test, stranger@nwtraders.test"))
    pt.policy("fabrikam", "fabrikam.test")
    pt.route("contoso.test", here.route).route("fabrikam.test", there.route)
    pt.account("contoso", server.port).once()
    assert [m.recipients for m in here.mails] == [["ann@contoso.test"]]
    assert [m.recipients for m in there.mails] == [["bob@fabrikam.test"]]


def test_more_than_a_hundred_recipients_are_split(pt, pop3, sink):
    """E12: transactions of at most 100; nobody is forgotten, nobody comes twice."""
    hop = sink()
    server = pop3()
    people = [f"u{i}@contoso.test" for i in range(257)]
    server.put(message(to=",\r\n ".join(people)))
    pt.route("contoso.test", hop.route).account("contoso", server.port).once()
    assert sorted(r for m in hop.mails for r in m.recipients) == sorted(people)
    assert max(len(m.recipients) for m in hop.mails) <= 100
    assert len({m.data for m in hop.mails}) == 1


def test_nobody_goes_to_the_postmaster(pt, pop3):
    server = pop3()
    server.put(message(to="undisclosed-recipients:;"))
    pt.account("contoso", server.port).once()
    [dropped] = pt.drop()
    assert dropped.recipients == ["postmaster@contoso.test"]
    assert [e["id"] for e in pt.events(4033)] == [4033]


@pytest.mark.parametrize("keep, remains", [(0, 0), ("forever", 3), ("7d", 3)])
def test_keep(pt, pop3, keep, remains):
    server = pop3()
    for i in range(3):
        server.put(message(subject=f"number {i}"))
    pt.account("contoso", server.port, keep=keep)
    assert account_row(pt.once(), "contoso")["collected"] == 3
    assert len(server.left()) == remains
    assert account_row(pt.once(), "contoso")["collected"] == 0
    assert server.last.retrieved == [] and len(pt.drop()) == 3 and len(server.left()) == remains


@pytest.mark.parametrize("caps, may", [(("UIDL", "PIPELINING"), True), (("UIDL",), False)])
def test_commands_are_pipelined_where_the_server_says_so(pt, pop3, caps, may):
    server = pop3(caps=caps)
    for i in range(50):
        server.put(message(subject=f"number {i}"))
    pt.account("contoso", server.port).once()
    assert len(pt.drop()) == 50 and server.left() == []
    if not may:
        assert not any(s.pipelined for s in server.sessions)


def test_server_without_capa(pt, pop3):
    server = pop3()
    server.answers["CAPA"] = b"-ERR unknown\r\n"
    server.put(message())
    pt.account("contoso", server.port).once()
    assert len(pt.drop()) == 1 and not server.last.pipelined


def test_many_accounts_at_once(pt, pop3):
    server = pop3(users={f"u{i}": "secret" for i in range(20)})
    for i in range(20):
        for k in range(5):
            server.put(message(subject=f"box {i} message {k}"), user=f"u{i}")
        pt.account(f"a{i}", server.port, user=f"u{i}")
    report = pt.once()
    assert sum(a["collected"] for a in report["accounts"]) == 100 == len(pt.drop())


def test_only_the_named_account(pt, pop3):
    server = pop3(users={"a": "secret", "b": "secret"})
    server.put(message(), user="a")
    server.put(message(), user="b")
    pt.account("a", server.port, user="a").account("b", server.port, user="b")
    report = pt.once("a")
    assert [a["name"] for a in report["accounts"]] == ["a"]
    assert server.left("a") == [] and len(server.left("b")) == 1


def test_one_bad_account_does_not_stop_the_other(pt, pop3, closing):
    server = pop3()
    server.put(message())
    pt.account("good", server.port)
    pt.account("bad", server.port, password="wrong")
    report = pt.once(status=FAILED)
    assert account_row(report, "good")["collected"] == 1
    assert len(pt.drop()) == 1


def test_max_per_session(pt, pop3):
    """QUIT after so many, so that deletions are committed, and again."""
    server = pop3()
    for i in range(25):
        server.put(message(subject=f"number {i}"))
    pt.account("contoso", server.port, max_per_session=10).once()
    assert len(pt.drop()) == 25 and server.left() == []
    assert max(len(s.retrieved) for s in server.sessions) <= 10


BODIES = {
    "lf dot lf": b"one\n.\ntwo\r\n",
    "nul": b"a\0b\r\n\0\r\n",
    "bare cr": b"one\rtwo\r.\rthree\r\n",
    "no final newline": b"the end",
    "dots": b".\r\n..\r\n...\r\n.\r\n",
    "8 bit": bytes(range(128, 256)) + b"\r\n",
    "every byte": bytes(b for b in range(256) if b not in (10, 13)) + b"\r\n",
    "empty": b"",
    "long line": b"x" * 100_000 + b"\r\n",
    "cr at the end": b"ends in cr\r",
    "cr lf doubled": b"one\r\r\ntwo\r\n\r\n\r\n",
    "one megabyte": b"0123456789abcdef" * 65536 + b"\r\n",
}


@pytest.mark.parametrize("name", BODIES)
def test_bodies_arrive_byte_for_byte(pt, pop3, name):
    server = pop3()
    sent = message(body=BODIES[name])
    server.put(sent)
    server.put(message(subject="the next one"))
    pt.account("contoso", server.port).once()
    first, second = pt.drop()
    # What RETR sent ends in CRLF, since CRLF.CRLF ends it.
    check_same(sent if sent.endswith(b"\r\n") else sent + b"\r\n", first.data)
    check_same(message(subject="the next one"), second.data)
    assert server.left() == []


@pytest.mark.parametrize("piece", [1, 7, 1447])
def test_however_the_server_cuts_its_segments(pt, pop3, piece):
    server = pop3()
    server.piece = piece
    sent = message(body=b"a\r\n.b\r\n..\r\n\r\n.\r\n" * 20)
    server.put(sent)
    pt.account("contoso", server.port).once()
    check_same(sent, pt.drop()[0].data)


@pytest.mark.parametrize("data", [
    b"no header at all\r\n", b"\r\nonly a body\r\n", b"To: ann@contoso.test\r\n", b"", b"\r\n",
    b"From max Mon Jan  5 10:00:00 2026\r\nTo: ann@contoso.test\r\n\r\nbody\r\n",
    b"To: ann@contoso.test\r\nno colon here\r\n\xff\xfe\r\nCc: bob@contoso.test\r\n\r\nbody\r\n"],
    ids=["no header", "empty header", "no body", "nothing", "one empty line", "mbox line", "junk in the header"])
def test_odd_headers(pt, pop3, data):
    server = pop3()
    server.put(data)
    pt.account("contoso", server.port).once(status=(DONE, FAILED))
    got = [d.data for d in pt.drop()] or [b.data for b in pt.badmail()]
    assert len(got) == 1 and server.left() == []
    check_same(data if data.endswith(b"\r\n") else data + b"\r\n", got[0])


@pytest.mark.parametrize("header", [
    b"".join(b"X-Filler-%d: %s\r\n" % (i, b"x" * 90) for i in range(100_000)),
    b"X-Long: " + b"y" * 10_000_000 + b"\r\n",
    b"To: " + b",\r\n ".join(b"u%d@elsewhere.test" % i for i in range(400_000)) + b"\r\n",
], ids=["many fields", "one field", "many addresses"])
def test_ten_megabytes_of_header(pt, pop3, header):
    server = pop3()
    sent = b"To: ann@contoso.test\r\n" + header + b"\r\nbody\r\n"
    server.put(sent)
    server.put(message(subject="the next one"))
    pt.account("contoso", server.port).once(status=(DONE, FAILED))
    got = sorted([d.data for d in pt.drop()] + [b.data for b in pt.badmail()], key=len)
    assert len(got) == 2 and server.left() == []
    check_same(sent, got[1])


def test_foreign_addresses_never_reach_the_relay(pt, pop3, sink):
    """Promise 5: what a header names outside the policy domains is no recipient."""
    elsewhere, hop = sink(), sink()
    server = pop3()
    for to in ("eve@nwtraders.test", '"ann@contoso.test" <eve@nwtraders.test>',
               "eve@nwtraders.test, ann@contoso.test", "<@contoso.test:eve@nwtraders.test>",
               "ann%nwtraders.test@contoso.test"):
        server.put(message(to=to, message_id=str(len(to))))
    pt.route("contoso.test", hop.route).route("nwtraders.test", elsewhere.route)
    pt.account("contoso", server.port).once()
    assert elsewhere.mails == [] and elsewhere.sessions == 0
    assert all(r.endswith("@contoso.test") for m in hop.mails for r in m.recipients)
    assert len(hop.mails) == 5


def test_dovecot_over_all_three_ways(pt, dovecot, certs):
    server = dovecot(["plain", "stls", "implicit"], certs=certs)
    for user in ("plain", "stls", "implicit"):
        server.put(user, message(subject=f"by {user}").replace(b"\r\n", b"\n"))
    server.start()
    ca = str(certs.ca.pem)
    pt.account("plain", server.port, user="plain")
    pt.account("stls", server.port, user="stls", server=f"localhost:{server.port}", tls="starttls", tls_ca=ca)
    pt.account("implicit", server.tls_port, user="implicit", server=f"localhost:{server.tls_port}",
               tls="implicit", tls_ca=ca)
    report = pt.once()
    assert [a["collected"] for a in report["accounts"]] == [1, 1, 1]
    assert sorted(b"POP3S" in d.data for d in pt.drop()) == [False, True, True]
    for user in ("plain", "stls", "implicit"):
        assert server.messages(user) == []


def test_auth_plain(pt, pop3):
    import base64
    server = pop3(caps=("UIDL", "SASL PLAIN"))

    def auth(session, arg):
        word, _, first = arg.partition(" ")
        assert word.upper() == "PLAIN"
        if not first:
            session.send(b"+ \r\n")
            first = session.line()
        _, session.user, password = base64.b64decode(first).decode().split("\0")
        session.authorized = password == "secret"
        return b"+OK\r\n" if session.authorized else b"-ERR [AUTH] no\r\n"
    server.answers["AUTH"] = auth
    server.put(message())
    pt.account("contoso", server.port, auth="plain").once()
    assert len(pt.drop()) == 1 and "PASS" not in server.last.verbs()


def test_same_uidl_is_not_taken_again_by_another_session(pt, dovecot):
    """A mailbox that is polled twice while nothing is deleted."""
    server = dovecot(["global"])
    for i in range(10):
        server.put("global", message(subject=f"number {i}").replace(b"\r\n", b"\n"))
    server.start()
    pt.account("contoso", server.port, keep="forever")
    pt.once()
    pt.once()
    assert len(pt.drop()) == 10 and len(dovecot_module.contents(server.port, "global")) == 10
