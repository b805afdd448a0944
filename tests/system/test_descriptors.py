"""Few descriptors: whoever takes them all at the SMTP port takes them from no one else (S17, Q09)."""
import contextlib
import shutil
import socket

import pytest
from harness import net
from harness.message import message

pytestmark = pytest.mark.skipif(not shutil.which("prlimit"), reason="prlimit of util-linux is needed")


def pick_up(pt, name, data):
    folder = pt.state / "Pickup"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    new = pt.dir / "being written"
    new.write_bytes(b"X-Sender: max@nwtraders.test\r\nX-Receiver: ann@contoso.test\r\n" + data)
    new.rename(folder / name)


def crowd(port, most):
    """Greeted clients, until somebody is turned away; what he was told."""
    inside = []
    while len(inside) < most:
        s = socket.create_connection(("127.0.0.1", port), 10)
        s.settimeout(20)
        with contextlib.suppress(ConnectionResetError):
            greeting = s.recv(512)
            if greeting.startswith(b"220"):
                inside.append(s)
                continue
            s.close()
            return inside, greeting
    return inside, b""


@pytest.mark.parametrize("hard", [64, 256, 1024])
def test_a_crowd_of_clients_stops_nobody_else(pt, pop3, sink, hard):
    server, hop = pop3(), sink()
    server.put(message(to="ann@contoso.test"))
    pt.prefix = ["prlimit", f"--nofile=40:{hard}"]
    pt.conf["smtp"]["limits"] = {"connections": 2000, "connections_per_client": 2000}
    pt.account("contoso", server.port, every="1h")
    pt.route("fabrikam.test", hop.route)
    pt.policy("fabrikam", "fabrikam.test")
    pt.start()
    pt.run("poll").expect(0)
    [fitted] = pt.events(1008)
    assert fitted["limit"] == hard and fitted["asked"] == 2000 and 0 < fitted["clients"] < hard / 2
    inside, told = crowd(pt.port, 2000)
    assert len(inside) == fitted["clients"] and told.startswith(b"421 4.3.2 ")
    # All the others at once, with large bodies, which lie in files.
    large = b"0123456789abcde\r\n" * 8000
    server.put(message(to="ann@contoso.test", subject="second", body=large))
    server.put(message(to="ann@fabrikam.test", subject="third", body=large))
    for i in range(5):
        pick_up(pt, f"p{i}.eml", message(to="ann@contoso.test", subject=f"picked {i}", body=large))
    pt.run("poll").expect(0)
    net.wait_for(lambda: len(pt.drop()) == 7 and len(hop.mails) == 1, 30)
    assert server.left() == [] and pt.queue() == []
    # Those inside are served, and when they have left others are let in.
    inside[0].sendall(b"NOOP\r\n")
    assert inside[0].recv(512).startswith(b"250")
    for s in inside:
        s.close()

    def greeted():
        with socket.create_connection(("127.0.0.1", pt.port), 10) as s:
            return s.recv(512).startswith(b"220")

    net.wait_for(greeted, 10)
    assert pt.terminate() == 0


def test_many_who_do_not_go_when_told_to(pt):
    """They are turned away, and stay: no descriptor is left for them, one is for the others."""
    pt.prefix = ["prlimit", "--nofile=64:64"]
    pt.start()
    gone = []
    for _ in range(200):
        s = socket.create_connection(("127.0.0.1", pt.port), 10)
        s.settimeout(20)
        gone.append(s)
    pick_up(pt, "p.eml", message(to="ann@contoso.test"))
    net.wait_for(lambda: len(pt.drop()) == 1, 20)
    for s in gone:
        s.close()
    assert pt.terminate() == 0


def test_once_does_with_few(pt, pop3):
    servers = [pop3() for _ in range(6)]
    for i, server in enumerate(servers):
        for k in range(4):
            server.put(message(to="ann@contoso.test", subject=f"{i} {k}", body=b"0123456789abcde\r\n" * 8000))
        pt.account(f"account{i}", server.port)
    pt.prefix = ["prlimit", "--nofile=64:64"]
    pt.once()
    assert [s.left() for s in servers] == [[]] * 6 and len(pt.drop()) == 24
