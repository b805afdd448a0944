"""Another POP3 server than Dovecot, for real."""
from harness.dovecot import Pop3
from harness.mailutils import PASSWORD
from harness.message import message


def odd_messages():
    yield message(subject="plain")
    yield message(subject="dots", body=b".\r\n..\r\n...x\r\n\r\n.\r\n")
    yield message(subject="from", body=b"From here on\r\nFrom there\r\n")
    yield message(subject="long", body=b"y" * 5000 + b"\r\n")
    yield message(subject="empty", body=b"")
    yield message(subject="eight bits", body="Grüße, 漢字\r\n".encode())
    for i in range(24):
        yield message(subject=f"number {i}", message_id=f"n{i}", body=b"line\r\n" * (i * 37 + 1))


def what_it_hands_out(server, user):
    """{message-id: bytes} as the server itself gives them."""
    p = Pop3(server.port, server.login(user), PASSWORD)
    got = [p.retr(n) for n in p.uidl().values()]
    p.quit()
    return {key(m): m for m in got}


def key(data):
    [line] = [x for x in data.split(b"\r\n\r\n")[0].split(b"\r\n") if x.lower().startswith(b"message-id:")]
    return line


def test_mailutils_collect_and_delete(pt, mailutils):
    """Every message as the server hands it out, then gone there; nothing comes twice."""
    server = mailutils(["global"]).start()
    for m in odd_messages():
        server.put("global", m)
    what_it_hands_out(server, "global")  # writes its marks into the mailbox
    want = what_it_hands_out(server, "global")
    assert len(want) == 30
    pt.account("contoso", server.port, user=server.login("global"))
    assert pt.once()["accounts"][0]["collected"] == 30
    drops = {key(d.data): d.data for d in pt.drop()}
    for k, data in want.items():
        body, got = data.split(b"\r\n\r\n", 1)[1], drops[k].split(b"\r\n\r\n", 1)[1]
        assert got == body, k
    assert server.inbox("global").strip() == b""
    assert pt.once()["accounts"][0]["collected"] == 0 and len(pt.drop()) == 30


def test_mailutils_keep(pt, mailutils):
    server = mailutils(["global"]).start()
    for m in list(odd_messages())[:5]:
        server.put("global", m)
    pt.account("contoso", server.port, user=server.login("global"), keep="forever")
    assert pt.once()["accounts"][0]["collected"] == 5
    server.put("global", message(subject="one more"))
    assert pt.once()["accounts"][0]["collected"] == 1
    assert pt.once()["accounts"][0]["collected"] == 0 and len(pt.drop()) == 6


def test_mailutils_wrong_password(pt, mailutils):
    server = mailutils(["global"]).start()
    pt.account("contoso", server.port, user=server.login("global"), password="wrong")
    pt.once(status=1)
    [event] = pt.events(4003)
    assert event["account"] == "contoso"
