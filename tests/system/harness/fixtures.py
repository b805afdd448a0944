"""The fixtures of tests/system and tests/crash. What is missing here makes a
test skip and say so."""
import os
import signal
from pathlib import Path

import pytest

from . import certs as certs_module
from . import dovecot as dovecot_module
from . import mailutils as mailutils_module
from . import net, pop3_auth, pop3_server, postfix, postern, smtp_sink

LIMIT = 60  # seconds for one test, unless it has a mark `limit(n)`
ROOT = Path(__file__).resolve().parents[3]


def corpus_dir():
    for d in (os.environ.get("POSTERN_CORPUS"), ROOT.parent / "shared" / "corpus"):
        if d and (Path(d) / "msg").is_dir():
            return Path(d)
    return None


def pytest_configure(config):
    config.addinivalue_line("markers", "limit(seconds): the time this test may take")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_protocol(item):
    mark = item.get_closest_marker("limit")
    seconds = mark.args[0] if mark else LIMIT

    def late(*_):
        raise TimeoutError(f"the test took more than {seconds} s")
    signal.signal(signal.SIGALRM, late)
    signal.alarm(seconds)
    yield
    signal.alarm(0)


@pytest.fixture
def closing():
    """closing(x): x, closed after the test."""
    things = []

    def keep(thing):
        things.append(thing)
        return thing
    yield keep
    for t in reversed(things):
        (t.stop if hasattr(t, "stop") else t.close)()


@pytest.fixture
def new_postern(closing):
    binary = postern.program()
    if not binary or not os.access(binary, os.X_OK):
        pytest.skip("POSTERN does not name a built postern")
    return lambda **kw: closing(postern.Postern(**kw))


@pytest.fixture
def pt(new_postern):
    """One Postern with the policy domain contoso.test."""
    return new_postern()


@pytest.fixture
def clock(pt, monkeypatch):
    """Moves the clock that the programs see by so many seconds."""
    file = pt.dir / "clock"

    def move(seconds):
        new = file.with_suffix(".new")
        new.write_text(str(int(seconds * 1000)))
        new.rename(file)

    move(0)
    monkeypatch.setenv("POSTERN_CLOCK", str(file))
    return move


@pytest.fixture(scope="session")
def certs():
    d = net.short_dir("ca-")
    yield certs_module.Certs(d)
    net.remove(d)


@pytest.fixture
def dovecot(closing):
    """dovecot(users, ...): a Dovecot, not yet started."""
    why = dovecot_module.missing()
    if why:
        pytest.skip(why)
    return lambda *a, **kw: closing(dovecot_module.Dovecot(*a, **kw))


@pytest.fixture
def mailutils(closing):
    """mailutils(users): a GNU mailutils pop3d, not yet started."""
    why = mailutils_module.missing()
    if why:
        pytest.skip(why)
    return lambda *a, **kw: closing(mailutils_module.Mailutils(*a, **kw))


@pytest.fixture
def pop3(closing):
    """pop3(...): a POP3 server that does what it is told."""
    return lambda **kw: closing(pop3_server.Pop3Server(**kw))


@pytest.fixture
def pop3_sasl(closing):
    """pop3_sasl(...): the same with AUTH and APOP, and a ledger of proofs."""
    return lambda **kw: closing(pop3_auth.AuthServer(**kw))


@pytest.fixture
def sink(closing):
    """sink(...): an SMTP or LMTP server with a ledger."""
    return lambda **kw: closing(smtp_sink.SmtpSink(**kw))


@pytest.fixture
def postfix_server(closing):
    why = postfix.missing()
    if why:
        pytest.skip(why)
    return lambda **kw: closing(postfix.Postfix(**kw)).start()


@pytest.fixture(scope="session")
def corpus():
    d = corpus_dir()
    if not d:
        pytest.skip("no corpus: POSTERN_CORPUS is not set and ../shared/corpus is not there")
    return d
