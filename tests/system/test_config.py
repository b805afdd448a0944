"""The configuration: every fault with its place, and no secret lying open."""
import json
import re

import pytest
from harness.postern import BAD_CONFIG, DONE, FAILED, USAGE

TEN = """server:
  hostname: gw.contoso.test
  hostnam: gw2.contoso.test
  state: state
  state: elsewhere
accounts:
  contoso:
    type: globl
    server: pop.isp.test:99999
    user: contoso
    password: { value: secret }
    every: 3s
    max_size: 50Q
    keep: sometimes
  jane:
    type: user
    user: jane
    password: { env: JANE }
    recipient: jane@contoso.test
smtp:
  listen: [ "127.0.0.1:2525" ]
  relay_from: [ 192.168.2.0/99 ]
delivery:
  retry: 15m
  routes:
    contoso.test: { to: "smpt:mail.contoso.test:25" }
"""
# The line of each of the ten: unknown key, duplicate key, type, port, every, size,
# keep, jane's missing server, network, route.
WRONG = {3: "hostname", 5: "state", 8: "global", 9: "99999", 12: "10s", 13: "50Q", 14: "sometimes", 15: "server",
         22: "192.168.2.0/99", 26: "smpt"}


def faults(pt, text):
    pt.file.write_text(text)
    result = pt.run("check", write=False)
    said = result.out + result.err
    return result, re.findall(r"^(\S+?):(\d+):(\d+): error: (.*)$", said, re.M)


def test_ten_mistakes_are_all_named(pt):
    result, found = faults(pt, TEN)
    assert result.status == BAD_CONFIG
    assert all(f.endswith("postern.yaml") for f, _, _, _ in found)
    by_line = {int(line): (int(column), text) for _, line, column, text in found}
    for line, word in WRONG.items():
        assert line in by_line or line == 15 and {16, 17} & set(by_line), f"line {line} is not named: {found}"
        if line in by_line:
            column, text = by_line[line]
            shown = TEN.splitlines()[line - 1]
            assert 1 <= column <= len(shown) and shown[column - 1] != " ", (line, column)
            assert word in result.out + result.err
    assert len(found) == len(WRONG), found
    assert "hint" in (result.out + result.err).lower()


def test_no_command_runs_on_a_bad_file(pt):
    pt.file.write_text(TEN)
    for words in (["run"], ["once"], ["queue", "list"]):
        assert pt.run(*words, write=False).status == BAD_CONFIG
    assert not (pt.dir / "state").exists()


@pytest.mark.parametrize("text", [
    "", "- a\n- b\n", "just text\n", "server: [\n", "server:\n\thostname: x\n", "a: &a [*a]\n", "a: !!python/object:x {}\n",
    "server: {hostname: x}\n---\nserver: {hostname: y}\n", "\x00\x01", "\ufeffserver: 3\n", "{" * 5000, "? [a]\n: b\n",
    "server: {hostname: \"a\\nb\"}\n", "accounts: {" + ", ".join(f"a{i}: 1" for i in range(5000)) + "}\n"],
    ids=lambda t: repr(t[:18]))
def test_every_kind_of_broken_yaml(pt, text):
    pt.file.write_text(text)
    result = pt.run("check", write=False)
    if text == "":  # what is not there has no place; a host's own name without a dot is an error too
        assert result.status in (DONE, BAD_CONFIG)
    else:
        assert result.status == BAD_CONFIG
        assert re.search(r":\d+:\d+: error: ", result.out + result.err), result


def test_missing_file(pt):
    result = pt.run("check", write=False)
    assert result.status == BAD_CONFIG and "postern.yaml" in result.err + result.out


def test_good_file(pt, pop3):
    pt.account("contoso", pop3().port)
    pt.run("check").expect(DONE)


def test_check_warns_of_a_domain_without_policy(pt, pop3):
    pt.account("contoso", pop3().port, domains=["contoso.test", "fabrikam.test"])
    result = pt.run("check").expect(DONE)
    assert "fabrikam.test" in result.out + result.err and "4045" in result.out + result.err


def test_bad_policy_file(pt):
    (pt.dir / "policies" / "bad.yaml").write_text("name: bad\npriority: ten\ndomains:\n  not a domain: {}\n")
    result = pt.run("check")
    assert result.status == BAD_CONFIG
    assert re.search(r"bad\.yaml:2:\d+: error: ", result.out + result.err), result


def test_secret_that_others_can_read_is_refused(pt, pop3):
    pt.account("contoso", pop3().port)
    (pt.dir / "secret-contoso").chmod(0o644)
    result = pt.run("check")
    assert result.status == BAD_CONFIG and "secret-contoso" in result.out + result.err
    assert pt.run("once").status in (FAILED, BAD_CONFIG)


def test_secrets_by_environment_and_command(pt, pop3):
    from harness.message import message
    server = pop3(users={"a": "by env", "b": "by $HOME command"})
    server.put(message(), user="a")
    server.put(message(subject="another"), user="b")
    pt.account("a", server.port, user="a")
    pt.account("b", server.port, user="b")
    pt.conf["accounts"]["a"]["password"] = {"env": "SECRET_A"}
    pt.conf["accounts"]["b"]["password"] = {"command": ["/bin/echo", "by $HOME command"]}
    pt.once(env={"SECRET_A": "by env"})
    assert len(pt.drop()) == 2


def test_command_that_hangs_does_not_hold_us(pt, pop3):
    pt.account("contoso", pop3().port)
    pt.conf["accounts"]["contoso"]["password"] = {"command": ["/bin/sleep", "300"]}
    assert pt.run("once", timeout=50).status in (FAILED, BAD_CONFIG)


def test_no_secret_is_ever_shown(pt, pop3):
    server = pop3(users={"global": "Geheim-123"})
    pt.account("contoso", server.port, password="Geheim-123")
    pt.conf["log"] = {"level": 3}
    said = ""
    for words in (["check"], ["once"], ["accounts"], ["events"], ["events", "--json"], ["config", "defaults"]):
        result = pt.run(*words)
        said += result.out + result.err
    assert "Geheim-123" not in said


def test_schema_and_defaults(pt):
    schema = json.loads(pt.run("config", "schema").expect(DONE).out)
    assert "accounts" in str(schema)
    defaults = pt.run("config", "defaults").expect(DONE).out
    for word in ("smtp", "retry", "15m", "every", "5m"):
        assert word in defaults


@pytest.mark.parametrize("words, status", [
    (["nonsense"], USAGE), ([], USAGE), (["queue"], USAGE), (["queue", "nonsense"], USAGE), (["trace"], USAGE),
    (["--help"], DONE), (["queue", "--help"], DONE), (["policy", "add", "--help"], DONE), (["--version"], DONE),
    (["events", "explain", "4032"], DONE), (["events", "catalog"], DONE), (["events", "explain", "99999"], FAILED)])
def test_usage(pt, words, status):
    result = pt.run(*words)
    assert result.status == status, result
    assert (result.out if status == DONE else result.err).strip()


def test_policies(pt):
    pt.run("policy", "apply").expect(DONE)
    pt.run("policy", "add", "fabrikam.test").expect(DONE)
    pt.run("policy", "add", "*.branch.test").expect(DONE)
    accepted = {a: pt.ask("policy", "test", a)["accepted"] for a in (
        "a@fabrikam.test", "a@FABRIKAM.test", "a@sub.fabrikam.test", "a@x.branch.test", "a@branch.test", "a@contoso.test")}
    assert accepted == {"a@fabrikam.test": True, "a@FABRIKAM.test": True, "a@sub.fabrikam.test": False,
                        "a@x.branch.test": True, "a@branch.test": False, "a@contoso.test": True}
    pt.run("policy", "remove", "fabrikam.test").expect(DONE)
    assert pt.ask("policy", "test", "a@fabrikam.test")["accepted"] is False
    assert pt.run("policy", "add", "not a domain").status in (FAILED, USAGE)


def test_applied_policy_file(pt):
    extra = pt.dir / "extra.yaml"
    extra.write_text("name: extra\npriority: 20\ndomains:\n  extra.test: { authoritative: true }\n")
    pt.run("policy", "apply", extra).expect(DONE)
    assert pt.ask("policy", "test", "a@extra.test")["policy"] == "extra"
    extra.write_text("name: extra\nnonsense: 1\n")
    assert pt.run("policy", "apply", extra).status == BAD_CONFIG
    assert pt.ask("policy", "test", "a@extra.test")["accepted"] is True
