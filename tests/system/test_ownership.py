"""Whose files: commands run as root act as the owner of the state, each kind of secret is judged
as the service's user meets it, and who may not read the state is told so (F2, F3, F4). The user
is a real other one, so these need root."""
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from harness.message import message
from harness.postern import BAD_CONFIG, DONE, FAILED, program

UID, GID, STRANGER = 61234, 61235, 61236
ROOT = Path(__file__).resolve().parents[2]


def by(uid, gid):
    return ["setpriv", f"--reuid={uid}", f"--regid={gid}", "--clear-groups"]


def give(pt, uid=UID, gid=GID):
    for where, dirs, files in os.walk(pt.dir):
        for name in [".", *dirs, *files]:
            os.lchown(os.path.join(where, name), uid, gid)


@pytest.fixture
def owned(pt):
    """A Postern whose folder and state belong to the service's user; commands run as root."""
    if os.geteuid() != 0 or not shutil.which("setpriv"):
        pytest.skip("needs root and setpriv")
    if subprocess.run([*by(UID, GID), program(), "--version"], capture_output=True).returncode != 0:
        pytest.skip("another user may not run the program")
    pt.state.mkdir(mode=0o700)
    pt.write()
    give(pt)
    pt.dir.chmod(0o755)
    return pt


def as_service(pt):
    pt.prefix = by(UID, GID)
    return pt


def as_root(pt):
    pt.prefix = []
    return pt


def of_others(pt):
    return [str(p) for p in pt.state.rglob("*") if p.lstat().st_uid != UID]


def test_what_root_does_leaves_nothing_of_roots_in_the_state(owned, pop3):
    """F2: check, once, recipient add as root; then the service as its user."""
    server = pop3()
    server.put(message(to="ann@contoso.test"))
    owned.account("contoso", server.port)
    give(owned)
    for words in (["check"], ["once"], ["once", "--queue-only"], ["recipient", "add", "ann"], ["policy", "apply"],
                  ["queue", "list"], ["accounts"], ["events"], ["badmail", "list"], ["status"]):
        owned.run(*words).expect(DONE, FAILED if words == ["status"] else DONE)
        assert of_others(owned) == [], words
    assert not list((owned.state / "run").glob("*.sock")) and not list((owned.state / "run").glob("*.ctl"))
    as_service(owned).start()
    server.put(message(to="bob@contoso.test", subject="another"))
    as_root(owned).run("poll").expect(DONE)
    assert server.left() == [] and of_others(owned) == []
    owned.prefix = by(UID, GID)
    assert owned.terminate() == 0
    assert not list((owned.state / "run").glob("*.sock")) and not list((owned.state / "run").glob("*.ctl"))


def test_the_service_started_by_root_becomes_the_owner(owned, pop3):
    owned.account("contoso", pop3().port)
    owned.write()
    give(owned)
    owned.start()
    assert of_others(owned) == []
    processes = subprocess.run(["ps", "-o", "uid=", "--ppid", str(owned.proc.pid)], capture_output=True, text=True).stdout.split()
    assert processes and set(processes) == {str(UID)}


def test_root_is_named_as_who_typed(owned):
    owned.run("recipient", "add", "ann").expect(DONE)
    assert owned.events(9002)[-1]["user"] == "root"


def test_sockets_that_root_left_do_not_stop_the_service(owned, pop3):
    owned.account("contoso", pop3().port)
    owned.write()
    give(owned)
    import socket
    (owned.state / "run").mkdir(mode=0o700)
    os.chown(owned.state / "run", UID, GID)
    for name in ("relay.sock", "relay.ctl", "fetch.ctl"):
        with socket.socket(socket.AF_UNIX) as s:
            s.bind(str(owned.state / "run" / name))
        (owned.state / "run" / name).chmod(0o600)
    as_service(owned).start()
    assert owned.terminate() == 0


@pytest.mark.parametrize("name", ["events.jsonl", "postern.db", "lock", "spool"])
def test_what_belongs_to_another_is_named_with_its_owner(owned, name):
    as_service(owned).run("once").expect(DONE)
    os.chown(owned.state / name, 0, 0)
    (owned.state / name).chmod(0o600)
    result = owned.run("once")
    assert result.status == FAILED and f"state/{name}: it belongs to root; chown it" in result.err, result


READERS = [["queue", "list"], ["accounts"], ["unrouted", "list"], ["recipient", "list"], ["policy", "list"], ["trace", "x"],
           ["status"], ["policy", "test", "a@contoso.test"], ["poll"], ["recipient", "show", "ann"], ["queue", "show", "x"],
           ["badmail", "list"], ["events"], ["explain", "--since", "7d"], ["accounts", "show", "contoso"], ["queue", "retry"],
           ["recipient", "add", "ann"], ["policy", "add", "x.test"], ["once"], ["unrouted", "rules"]]


def test_who_may_not_read_the_state_gets_no_empty_answer(owned, pop3):
    """F3: "The queue is empty." when thousands of messages lay there."""
    owned.account("contoso", pop3().port)
    owned.write()
    give(owned)
    as_service(owned).run("once").expect(DONE)
    owned.prefix = by(STRANGER, STRANGER)
    for words in READERS:
        for more in ([], ["--json"]):
            result = owned.run(*words, *more, write=False)
            assert result.status == FAILED and "Permission denied" in result.err and result.out == "", result


def test_the_refusal_says_who_may(owned):
    as_service(owned).run("once").expect(DONE)
    owned.prefix = by(STRANGER, STRANGER)
    said = owned.run("queue", "list", write=False).err
    assert said == f"postern: cannot read {owned.state}: Permission denied (run as root or uid {UID})\n"


# ---- F4: each kind of secret, for root and for the service's user ----

def secret(pt, kind):
    path = pt.dir / "secret-jane"
    if kind == "file":
        return {"file": "secret-jane"}, {}
    if kind == "env":
        return {"env": "JANE_POP3"}, {"JANE_POP3": "secret"}
    if kind == "credential":
        return {"credential": path.name}, {"CREDENTIALS_DIRECTORY": str(pt.dir)}
    return {"command": ["/bin/cat", str(path)]}, {}


@pytest.mark.parametrize("kind", ["file", "env", "credential", "command"])
def test_each_kind_of_secret_passes_for_root_and_serves_the_service(owned, pop3, kind):
    server = pop3(users={"jane": "secret"})
    server.put(message(to="jane@contoso.test"), user="jane")
    owned.account("jane", server.port, user="jane", type="user", recipient="jane@contoso.test")
    owned.conf["accounts"]["jane"]["password"], env = secret(owned, kind)
    owned.write()
    give(owned)
    owned.run("check").expect(DONE)  # as root, with nothing of the unit's around
    as_service(owned).run("check", env=env).expect(DONE)
    owned.run("once", env=env).expect(DONE)
    assert server.left("jane") == []
    server.put(message(to="jane@contoso.test", subject="by root"), user="jane")
    as_root(owned).run("once", env=env).expect(DONE)
    assert server.left("jane") == [] and of_others(owned) == []


@pytest.mark.parametrize("owner, group, mode, good", [
    (UID, GID, 0o600, True), (0, GID, 0o640, True), (0, 0, 0o400, False), (0, GID, 0o660, False), (0, GID, 0o644, False),
    (UID, GID, 0o644, False), (STRANGER, GID, 0o640, False), (0, STRANGER, 0o640, False)])
def test_a_secret_file_is_judged_as_the_service_meets_it(owned, pop3, owner, group, mode, good):
    """root:postern 0640 is Debian's usual way."""
    owned.account("contoso", pop3().port)
    owned.write()
    give(owned)
    file = owned.dir / "secret-contoso"
    os.chown(file, owner, group)
    file.chmod(mode)
    for pt in (as_root(owned), as_service(owned)):
        result = pt.run("check", write=False)
        assert result.status == (DONE if good else BAD_CONFIG), result


def test_a_variable_of_the_unit_that_is_not_here_is_a_warning(owned, pop3):
    owned.account("jane", pop3().port)
    for source, word in (({"env": "NOT_SET"}, "NOT_SET"), ({"credential": "jane"}, "CREDENTIALS_DIRECTORY")):
        owned.conf["accounts"]["jane"]["password"] = source
        said = owned.run("check").expect(DONE).out
        assert "warning: account jane: " in said and word in said and "LoadCredential=" in said


def test_a_command_that_cannot_run_is_an_error(owned, pop3):
    owned.account("jane", pop3().port)
    owned.conf["accounts"]["jane"]["password"] = {"command": ["/no/such/program"]}
    assert "account jane: cannot run /no/such/program: No such file" in owned.run("check").expect(BAD_CONFIG).out


def test_a_configuration_that_the_owner_cannot_read_is_an_error(owned):
    owned.write()
    os.chown(owned.file, 0, 0)
    owned.file.chmod(0o600)
    said = owned.run("check", write=False).expect(BAD_CONFIG).out
    assert "cannot read this file" in said and "hint: chgrp it" in said


# ---- what is shipped ----

def test_the_shipped_sample_passes_check_beside_the_shipped_policies(owned):
    shutil.copy(ROOT / "contrib" / "postern.yaml", owned.file)
    for file in (ROOT / "policies").glob("*.yaml"):
        shutil.copy(file, owned.dir / "policies" / file.name)
    text = owned.file.read_text().replace("/var/lib/postern", str(owned.state))
    owned.file.write_text(text)
    for path in re.findall(r"file: (secrets/\w+)", text):
        (owned.dir / path).parent.mkdir(exist_ok=True)
        (owned.dir / path).write_text("secret\n")
        (owned.dir / path).chmod(0o640)
    give(owned, 0, GID)
    give_state = [owned.state]
    for path in give_state:
        os.chown(path, UID, GID)
    owned.dir.chmod(0o750)
    for pt in (as_root(owned), as_service(owned)):
        result = pt.run("check", write=False)
        assert result.status == DONE, result


def test_the_shipped_unit_serves_what_the_sample_names():
    unit = (ROOT / "contrib" / "postern.service").read_text()
    sample = (ROOT / "contrib" / "postern.yaml").read_text()
    state = re.search(r"^  state: /var/lib/(\S+)", sample, re.M)[1]
    assert f"\nStateDirectory={state}\n" in unit and "\nUser=postern\n" in unit
    assert re.search(r"^EnvironmentFile=-", unit, re.M)
    for name in re.findall(r"^[^#\n]*credential: (\w+)", sample, re.M):
        assert re.search(rf"^LoadCredential={name}:", unit, re.M), name
