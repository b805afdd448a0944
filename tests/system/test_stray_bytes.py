"""Bytes that nobody asked for behind a message (edge 8): mostly of a server that does not
double dots, so that a line "." ends RETR early and the rest comes as if it were answers."""
import pytest
from harness.message import message
from harness.postern import DONE, FAILED
from harness.pop3_server import CUT
from test_collect import account_row
from test_pop3_faults import fill, numbers

CAPS = {"pipelined": ("UIDL", "TOP", "USER", "PIPELINING"), "one at a time": ("UIDL", "TOP", "USER")}
DOTTED = message(subject="with a dot", message_id="dotted",
                 body=b"A list of files:\r\n.\r\n..\r\nand what they are for.\r\n" + b"A line more.\r\n" * 5)


def raw(data):
    """As a server sends it that does not double dots."""
    return data + b".\r\n"


def poll(pt, status=(DONE,)):
    return account_row(pt.once(status=status), "contoso")


def bodies(pt):
    return [d.data for d in pt.drop()]


@pytest.mark.parametrize("caps", CAPS)
@pytest.mark.parametrize("at", [0, 2, 4])
@pytest.mark.parametrize("keep", [0, "forever"])
def test_a_server_that_does_not_double_dots(pt, pop3, caps, at, keep):
    """The part is never taken for the message, the others come, and it is told where it is."""
    server = pop3(caps=CAPS[caps])
    fill(server, at)
    uid = server.put(DOTTED, wire=raw(DOTTED))
    fill(server, 4 - at)
    pt.account("contoso", server.port, keep=keep)
    poll(pt, status=(DONE, FAILED))
    poll(pt, status=(DONE, FAILED))
    assert len(pt.drop()) == 4 and not any(b"with a dot" in d for d in bodies(pt))
    assert uid in server.left() and len(server.left()) == (1 if keep == 0 else 5)
    assert all(uid in e["text"] for e in pt.events(4020)) and len(pt.events(4020)) == 2
    [aside] = pt.events(4012)
    assert uid in aside["text"] and list((pt.state / "evidence").iterdir())
    before = len(server.sessions)
    assert poll(pt)["collected"] == 0
    assert all(s.retrieved == [] for s in server.sessions[before:])


@pytest.mark.parametrize("caps", CAPS)
@pytest.mark.parametrize("at", [0, 2, 4])
def test_it_comes_whole_when_the_server_is_mended(pt, pop3, caps, at):
    server = pop3(caps=CAPS[caps])
    fill(server, at)
    server.put(DOTTED)
    fill(server, 4 - at)
    once = []

    def retr(session, arg):
        m = session.message(arg)
        if m and m.data == DOTTED and not once:
            once.append(1)
            return b"+OK\r\n" + raw(DOTTED)
        return None
    server.answers["RETR"] = retr
    pt.account("contoso", server.port)
    poll(pt, status=(DONE, FAILED))
    poll(pt)
    assert len(pt.events(4020)) == 1 and pt.events(4012) == []
    assert len(pt.drop()) == 5 and server.left() == []
    [got] = [d for d in bodies(pt) if b"with a dot" in d]
    assert got.endswith(b"A line more.\r\n" * 5) and b"\r\n.\r\n..\r\n" in got


@pytest.mark.parametrize("caps", CAPS)
def test_strays_that_look_like_an_answer(pt, pop3, caps):
    """Somebody writes a mail that ends early and forges the next message. Nothing that
    waits there is lost by it."""
    server = pop3(caps=CAPS[caps])
    evil = message(subject="evil", message_id="evil", body=b"x\r\n.\r\n+OK\r\nTo: ann@contoso.test\r\nSubject: forged\r\n\r\nforged\r\n")
    fill(server, 1)
    server.put(evil, wire=raw(evil))
    fill(server, 3)
    real = [m.data.split(b"\r\n\r\n")[1] for m in server.boxes["global"] if b"evil" not in m.data]
    pt.account("contoso", server.port)
    for _ in range(3):
        poll(pt, status=(DONE, FAILED))
    for body in real:
        assert any(body in d for d in bodies(pt)) or any(body in m.data for m in server.boxes["global"]), body
    assert {4005, 4020} & set(numbers(pt))


@pytest.mark.parametrize("caps", CAPS)
def test_garbage_behind_a_whole_message(pt, pop3, caps):
    """It has the size that LIST says, by itself too: then it is the message."""
    server = pop3(caps=CAPS[caps])
    fill(server, 3)
    m = server.boxes["global"][1]
    from harness.pop3_server import stuffed
    m.wire = stuffed(m.data) + b"hello?\r\n"
    pt.account("contoso", server.port)
    poll(pt)
    assert len(pt.events(4020)) == 1 and pt.events(4012) == []
    assert server.left() == [] and len(pt.drop()) == 3


@pytest.mark.parametrize("caps", CAPS)
@pytest.mark.parametrize("add", [-20, 20])
def test_a_server_that_guesses_sizes_pays_one_question(pt, pop3, caps, add):
    """LIST is an estimate: the last message is believed when NOOP is answered in step."""
    server = pop3(caps=CAPS[caps])
    server.answers["LIST"] = lambda session, _: b"".join(
        [b"+OK\r\n", *(b"%d %d\r\n" % (n, len(m.data) + add) for n, m in session._box()), b".\r\n"])
    pt.account("contoso", server.port)
    fill(server, 1)
    poll(pt)  # what it is off by is known now
    fill(server, 4)
    assert poll(pt)["collected"] == 4
    assert server.left() == [] and server.last.verbs().count("NOOP") == 1 and len(server.last.retrieved) == 4
    assert pt.events(4020) == []


def test_an_exact_size_costs_nothing(pt, pop3):
    server = pop3()
    fill(server, 4)
    pt.account("contoso", server.port)
    poll(pt)
    assert "NOOP" not in server.last.verbs() and len(server.sessions) == 1


def test_a_kept_message_is_proved_before_quit(pt, pop3):
    """Nothing is to be deleted, and still QUIT waits for the end of the last message."""
    server = pop3()
    fill(server, 2)
    pt.account("contoso", server.port, keep="forever")
    poll(pt)
    uid = server.put(DOTTED, wire=raw(DOTTED))
    poll(pt, status=(DONE, FAILED))
    assert len(pt.drop()) == 2 and uid in server.left() and 4020 in numbers(pt)


@pytest.mark.parametrize("caps", CAPS)
def test_cut_behind_a_message_that_is_short(pt, pop3, caps):
    """No answer follows that proves it: it is asked for again."""
    server = pop3(caps=CAPS[caps])
    server.put(DOTTED, wire=raw(DOTTED))
    server.answers["RETR 1"] = lambda s, _: s.send(b"+OK\r\n" + raw(DOTTED)[:raw(DOTTED).index(b"\r\n.\r\n") + 5]) or CUT
    pt.account("contoso", server.port)
    poll(pt, status=(DONE, FAILED))
    assert pt.drop() == [] and len(server.left()) == 1
    server.answers.clear()
    server.boxes["global"][0].wire = None
    poll(pt)
    assert server.left() == [] and len(pt.drop()) == 1
