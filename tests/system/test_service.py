"""The service in the foreground, and the commands beside it."""
import contextlib
import itertools
import os
import re
import select
import signal
import smtplib
import socket
import subprocess
import threading
import time
from collections import Counter
from pathlib import Path

import pytest
from harness import net
from harness.message import message
from harness.net import wait_for
from harness.postern import BAD_CONFIG, DONE, FAILED, LATER

RELOADS = int(os.environ.get("POSTERN_RELOADS", "20"))


@pytest.fixture
def service(pt, pop3, sink):
    pt.server, pt.hop = pop3(), sink()
    pt.account("contoso", pt.server.port, every="1h")
    pt.route("contoso.test", pt.hop.route)
    return pt


def test_it_collects_when_it_starts_and_when_asked(service):
    service.server.put(message(subject="first"))
    service.start()
    service.hop.wait(1)
    service.server.put(message(subject="second"))
    said = service.run("poll", "contoso").expect(DONE)
    assert "contoso" in said.out
    assert len(service.hop.wait(2)) == 2
    assert service.terminate() == 0
    numbers = [e["id"] for e in service.events()]
    assert 1000 in numbers and 1001 in numbers


def test_poll_while_a_poll_is_under_way_collects_what_came_since(service):
    """That poll has its listing already."""
    service.server.put(message(subject="first"))
    asked = threading.Event()
    service.server.answers["QUIT"] = lambda s, _: asked.wait(5) and None
    service.start()
    service.hop.wait(1)
    service.server.put(message(subject="second"))
    threading.Timer(0.5, asked.set).start()
    service.run("poll").expect(DONE)
    assert len(service.hop.wait(2, 3)) == 2


def test_it_collects_on_schedule(service):
    service.conf["accounts"]["contoso"]["every"] = "10s"
    service.start()
    wait_for(lambda: service.server.sessions and service.server.last.updated, 15, "the first poll")
    service.server.put(message())
    service.hop.wait(1, 25)


def test_poll_without_a_service_says_so(service):
    result = service.run("poll")
    assert result.status in (FAILED, LATER) and result.err


def test_it_tells_systemd_that_it_is_ready(service):
    service.start()
    service.wait_line("^READY=1", 5)


def test_same_answers_with_and_without_a_service(service):
    service.hop.answers["RCPT ann@contoso.test"] = "450 4.2.1 later"
    service.server.put(message())
    service.start()
    wait_for(lambda: [r for row in service.queue() for r in row["recipients"] if r["attempts"]], 20, "an attempt")
    with_service = service.queue(), service.ask("trace", "contoso/uid-00001")["queue_id"]
    assert service.terminate() == 0
    assert (service.queue(), service.ask("trace", "contoso/uid-00001")["queue_id"]) == with_service


def test_retry_reaches_the_running_service(service):
    service.hop.answers["RCPT ann@contoso.test"] = ["450 4.2.1 later"]
    service.server.put(message())
    service.start()
    wait_for(lambda: [r for row in service.queue() for r in row["recipients"] if r["attempts"]], 20, "an attempt")
    service.run("queue", "retry").expect(DONE)
    service.hop.wait(1)


def test_policy_added_beside_the_running_service_counts_at_once(service):
    service.start()
    with smtplib.SMTP("127.0.0.1", service.port) as c:
        c.ehlo()
        c.mail("max@nwtraders.test")
        assert c.rcpt("bob@fabrikam.test")[0] == 550
        service.run("policy", "add", "fabrikam.test").expect(DONE)
        wait_for(lambda: c.rcpt("bob@fabrikam.test")[0] == 250, 5, "acceptance")


def test_reload(service):
    service.start()
    good = service.file.read_text()
    service.file.write_text(good + "nonsense: 1\n")
    os.kill(service.proc.pid, signal.SIGHUP)
    service.wait_line(r"event=1003\b")
    service.file.write_text(good)
    os.kill(service.proc.pid, signal.SIGHUP)
    service.wait_line(r"event=1002\b")
    service.server.put(message())
    service.run("poll", write=False).expect(DONE)
    service.hop.wait(1)


def reload_by(service, how):
    if how == "SIGHUP":
        os.kill(service.proc.pid, signal.SIGHUP)
    else:
        service.run("reload", write=False).expect(DONE)


@pytest.mark.parametrize("how", ["SIGHUP", "reload"])
def test_a_new_configuration_counts_after(service, sink, how):
    """Another next hop, another account, another port: what was given up is given up."""
    service.start()
    hop, port = sink(), net.free_port()
    service.server.put(message(subject="old"))
    service.run("poll").expect(DONE)
    service.hop.wait(1)
    service.route("contoso.test", hop.route)
    service.conf["smtp"]["listen"] = [f"127.0.0.1:{port}"]
    service.write()
    reload_by(service, how)
    service.wait_line(r"event=1002\b")
    assert deliver(port, "new") == 250
    hop.wait(1)
    assert len(service.hop.mails) == 1 and net.may_listen("127.0.0.1", service.port)


def test_a_broken_configuration_is_rejected_and_the_old_one_stays(service):
    """By SIGHUP 1003 says so; the word of the command line does not even ask."""
    service.start()
    good = service.file.read_text()
    for bad in (good + "nonsense: 1\n", good + "  : [\n"):
        heard = len(service.log().splitlines())
        service.file.write_text(bad)
        os.kill(service.proc.pid, signal.SIGHUP)
        service.wait_line(r"event=1003\b", start=heard)
        assert deliver(service.port, "still") == 250
        assert service.run("reload", write=False).status == BAD_CONFIG
    service.file.unlink()
    heard = len(service.log().splitlines())
    os.kill(service.proc.pid, signal.SIGHUP)
    service.wait_line(r"event=1003\b", start=heard)
    service.file.write_text(good)
    service.hop.wait(2)
    assert not re.search(r"event=(1002|1005)\b", service.log()) and service.terminate() == 0


def test_a_configuration_that_cannot_be_taken_leaves_the_old_one(service):
    """It has no fault, but somebody else holds the port."""
    service.start()
    with socket.create_server(("127.0.0.1", 0)) as other:
        service.conf["smtp"]["listen"] = [f"127.0.0.1:{service.port}", f"127.0.0.1:{other.getsockname()[1]}"]
        service.write()
        os.kill(service.proc.pid, signal.SIGHUP)
        service.wait_line(r"event=1003\b")
        assert deliver(service.port, "still") == 250
    service.hop.wait(1)
    assert service.terminate() == 0


def test_a_reload_does_not_change_the_state(service):
    """An empty file is a good one, and means another state directory, which nobody has locked."""
    service.start()
    good = service.file.read_text()
    service.file.write_text(good.replace(str(service.state), str(service.dir / "elsewhere")))
    os.kill(service.proc.pid, signal.SIGHUP)
    said = service.wait_line(r"event=1003\b")
    assert "server.state" in said and not (service.dir / "elsewhere").exists()
    service.file.write_text(good)
    assert deliver(service.port, "still") == 250
    service.hop.wait(1)
    assert service.terminate() == 0


def deliver(port, name):
    """The answer to a message, after as many tries as a client has that was put off or cut off."""
    def tries():
        with contextlib.suppress(OSError, smtplib.SMTPException):
            with smtplib.SMTP("127.0.0.1", port, timeout=20) as c:
                c.ehlo()
                if c.mail("max@nwtraders.test")[0] == 250 and c.rcpt("ann@contoso.test")[0] == 250:
                    return c.data(message(subject=name))[0]
        return 0
    return wait_for(tries, 20, f"an answer to {name}")


@pytest.mark.limit(60 + 3 * RELOADS)
def test_reloads_under_load_lose_nothing(service):
    """Submissions and polls go on; who has his 250 finds his mail at the next hop."""
    service.conf["accounts"]["contoso"]["every"] = "10s"
    service.start()
    accepted, over = [], threading.Event()

    def submit(who):
        for i in itertools.count():
            if over.is_set():
                return
            if deliver(service.port, f"w{who} {i}") == 250:
                accepted.append(f"w{who} {i}")
    clients = [threading.Thread(target=submit, args=(k,)) for k in range(2)]
    for c in clients:
        c.start()
    for i in range(RELOADS):
        service.server.put(message(subject=f"collected {i}"))
        accepted.append(f"collected {i}")
        reloaded = len(service.log().splitlines())
        os.kill(service.proc.pid, signal.SIGHUP)
        service.wait_line(r"event=1002\b", start=reloaded)
    over.set()
    for c in clients:
        c.join()
    service.run("poll", write=False).expect(DONE)
    assert service.terminate() == 0
    service.once(status=DONE)
    got = [re.search(rb"^Subject: ([^\r\n]*)", m.data, re.M)[1].decode() for m in service.hop.mails]
    assert set(accepted) <= set(got) and service.queue() == [] and service.server.left() == []
    assert len(accepted) > RELOADS and not re.search(r"event=(1003|1005)\b", service.log())
    # Only what a client was not answered and sent again may be there twice; what was collected never.
    assert max(Counter(s for s in got if s.startswith("collected")).values()) == 1


def processes(session):
    """The pids of a session."""
    found = []
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                words = Path(entry.path, "stat").read_text().rsplit(")", 1)[1].split()
                if int(words[3]) == session and words[0] != "Z":
                    found.append(int(entry.name))
    return found


def test_a_dead_role_comes_back(service):
    """super starts fetch and relay again; the queue is what the disk says."""
    service.start()
    children = [pid for pid in processes(service.proc.pid) if pid != service.proc.pid]
    assert len(children) >= 2, processes(service.proc.pid)
    for pid in children:
        os.kill(pid, signal.SIGKILL)
    service.server.put(message())
    service.wait_line(r"event=1005\b")
    wait_for(lambda: service.run("poll").status == DONE, 30, "a poll after the restart")
    service.hop.wait(1)
    assert service.terminate() == 0


def test_who_waits_for_a_role_that_is_not_ready_sleeps(service):
    """fetch is due while the relay still starts: the service waits for that, and burns nothing."""
    service.start()
    names = {Path(f"/proc/{pid}/comm").read_text().strip(): pid for pid in processes(service.proc.pid)}
    os.kill(names["fetch"], signal.SIGKILL)
    os.kill(names["relay"], signal.SIGKILL)

    def started_again():
        for pid in processes(service.proc.pid):
            if pid not in names.values() and Path(f"/proc/{pid}/comm").read_text().strip() == "relay":
                return pid
        return None
    relay = wait_for(started_again, 10, "a relay after the one that was killed")
    os.kill(relay, signal.SIGSTOP)
    begin, seen = time.monotonic(), service.log().count("WATCHDOG=1")
    wait_for(lambda: service.log().count("WATCHDOG=1") >= seen + 5, 15, "five more rounds of the service")
    took = time.monotonic() - begin
    os.kill(relay, signal.SIGCONT)
    assert took > 2, f"five rounds in {took:.3f} s"
    service.server.put(message())
    wait_for(lambda: service.run("poll").status == DONE, 30, "a poll after the restart")
    service.hop.wait(1)


def test_events_command(service):
    service.server.put(message(to="bob@contoso.test"))
    service.account("broken", service.server.port, password="wrong")
    service.once(status=FAILED)
    everything = service.events()
    assert everything and all({"time", "id", "level", "name", "text"} <= set(e) for e in everything)
    mine = service.run("events", "--account", "broken", "--json").expect(DONE).lines()
    assert mine and all(e["account"] == "broken" for e in mine)
    assert service.run("events", "--since", "1h", "--json").expect(DONE).lines() == everything
    assert service.run("events", "--id", "4003").expect(DONE).out.startswith("EVENT ID: 4003")
    catalog = service.run("events", "catalog", "--json").expect(DONE).out
    assert '"4032"' in catalog or re.search(r'"id": ?4032', catalog)


def test_events_follow(service):
    service.write()
    service.run("check").expect(DONE)
    p = subprocess.Popen(service.command("events", "--follow", "--json"), stdout=subprocess.PIPE, cwd=service.dir)
    try:
        service.account("broken", service.server.port, password="wrong")
        seen = b""
        while b"4003" not in seen:  # until `events` was there in time to see it
            service.once(status=FAILED)
            if select.select([p.stdout], [], [], 1)[0]:
                seen += os.read(p.stdout.fileno(), 65536)
    finally:
        p.kill()
        p.wait()


def test_accounts_command(service):
    service.server.put(message())
    service.once()
    [row] = service.ask("accounts") if isinstance(service.ask("accounts"), list) else service.ask("accounts")["accounts"]
    assert {"name", "type", "server", "last_poll", "result", "waiting", "collected", "next_poll"} <= set(row)
    assert (row["name"], row["type"], row["collected"]) == ("contoso", "global", 1)


def test_queue_show(service):
    service.hop.answers["RCPT ann@contoso.test"] = "450 4.2.1 later"
    service.server.put(message(subject="show me"))
    service.once()
    [row] = service.queue()
    out = service.run("queue", "show", row["id"]).expect(DONE).out
    assert "show me" in out and "450 4.2.1 later" in out and "ann@contoso.test" in out
    assert {"id", "account", "uidl", "message_id", "sender", "size", "arrived", "status", "recipients"} <= set(row)
    assert {"address", "status", "attempts", "next_try", "last_reply", "route"} <= set(row["recipients"][0])
    assert service.run("queue", "show", "0000000000000").status == FAILED
    assert len(service.run("queue", "list", "--domain", "contoso.test", "--json").expect(DONE).json() or []) == 1
