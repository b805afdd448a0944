"""What stands at the other end, and what leads back here: said before mail waits for it (edge 26; SPEC 8a; RECIPIENTS E10 e);
and whose Received line counts (edge 27; E1.3)."""
import pytest
from harness.message import message
from harness.net import free_port
from harness.postern import DONE

CONFIG = 78


def test_a_host_name_without_a_dot_is_said(pt):
    pt.conf["server"]["hostname"] = "15b0717dc4c2"
    said = pt.run("check").expect(CONFIG).out
    assert "server.hostname: 15b0717dc4c2 is not fully qualified" in said


@pytest.mark.parametrize("listen, to", [("127.0.0.1", "127.0.0.1"), ("127.0.0.1", "localhost"), ("0.0.0.0", "127.0.0.1"),
                                        ("0.0.0.0", "gw.contoso.test"), ("[::]", "[::1]")])
def test_a_route_that_leads_back_here_is_said(pt, listen, to):
    pt.conf["smtp"]["listen"] = [f"{listen}:{pt.port}"]
    pt.route("contoso.test", f"smtp:{to}:{pt.port}")
    assert "cannot connect to self" in pt.run("check").expect(CONFIG).out
    pt.route("contoso.test", f"smtp:{to}:{free_port()}")
    assert "cannot connect to self" not in pt.run("check").expect(DONE).out


def test_a_route_to_a_name_that_is_us_is_said_online(pt):
    """By its greeting, which no list of addresses can know."""
    pt.start()
    pt.route("contoso.test", f"smtp:127.0.0.2:{pt.port}")
    pt.conf["smtp"]["listen"] = [f"0.0.0.0:{pt.port}"]
    pt.terminate()
    pt.start()
    pt.conf["smtp"]["listen"] = ["127.0.0.1:1"]
    said = pt.run("check", "--online")
    assert said.status != DONE and "cannot connect to self" in said.out
    pt.terminate()


def test_an_account_on_an_smtp_port_is_said(pt, sink):
    hop = sink()
    pt.account("contoso", hop.port)
    said = pt.run("check", "--online")
    assert said.status != DONE
    assert "greets with" in said.out and "sink.test ESMTP" in said.out and "an SMTP or FTP server answers on this port" in said.out


BY_GOOGLE = message(to="undisclosed@nwtraders.test", subject="bcc", headers=[
    "Received: from a.test (a.test [192.0.2.1]) by mx.google.test with ESMTPS id x1 for <ann@contoso.test> (version=TLS1_3); Mon, "
    "05 Jan 2026 10:00:00 +0000", "Received: from b.test by a.test for <eve@contoso.test>; Mon, 05 Jan 2026 09:59:59 +0000"])


@pytest.mark.parametrize("more, to", [({}, "post@contoso.test"), ({"trusted_hops": 1}, "ann@contoso.test"),
                                      ({"provider_hosts": ["*.google.test"]}, "ann@contoso.test"),
                                      ({"provider_hosts": ["google.test"], "trusted_hops": 1}, "post@contoso.test")])
def test_whose_received_line_counts(pt, pop3, more, to):
    server = pop3()
    pt.conf["server"]["postmaster"] = "post@contoso.test"
    pt.account("contoso", server.port, **more)
    server.put(BY_GOOGLE)
    pt.once()
    assert [d.recipients for d in pt.drop()] == [[to]]
