"""What an administrator meets in the first week (F1-F13), and SPEC section 8a sentence by
sentence: nothing is collected for nobody, no answer is false, root breaks nothing."""
import os
import re

import pytest
from harness.message import message
from harness.postern import BAD_CONFIG, DONE, FAILED, Postern


def check(pt, status=BAD_CONFIG):
    result = pt.run("check").expect(status)
    return result.out + result.err


def no_policies(pt):
    for file in (pt.dir / "policies").iterdir():
        file.unlink()
    del pt.conf["policies"]


def fill(server, n, to="ann@nowhere.test", first=0):
    for i in range(first, first + n):
        server.put(message(to=to, subject=f"number {i}"), uidl=f"u{i}")


# ---- F1: a configuration under which mail would be collected for nobody ----

def test_a_global_account_without_any_policy_domain_is_an_error(pt, pop3):
    no_policies(pt)
    pt.account("contoso", pop3().port)
    assert "error: account contoso is global, but no policy domain exists: nobody can be found" in check(pt)


def test_a_policies_pattern_that_matches_nothing_is_an_error(pt, pop3):
    pt.account("contoso", pop3().port)
    pt.conf["policies"] = ["policies/*.yaml", "policy/*.yaml"]
    said = check(pt)
    assert re.search(r"error: policies: no file matches \S*policy/\*\.yaml", said), said


def test_no_postmaster_for_mail_that_nobody_gets_is_an_error(pt, pop3):
    pt.account("contoso", pop3().port)
    del pt.conf["server"]["postmaster"]
    assert "server.postmaster is not set" in check(pt)
    pt.conf["accounts"]["contoso"]["unrouted"] = "hold"
    check(pt, DONE)


def test_certificate_authorities_that_are_not_there_are_an_error(pt, pop3):
    pt.account("contoso", pop3().port, tls="implicit", tls_ca="ca/none.pem")
    said = check(pt)
    assert "account contoso: tls_ca: cannot read" in said and "No such file" in said, said


@pytest.mark.parametrize("state", ["/proc/x", "/sys/postern", "/dev/null/x", "postern.yaml", "secret-contoso/state"])
def test_a_state_folder_that_cannot_be_is_an_error(pt, pop3, state):
    pt.account("contoso", pop3().port)
    pt.conf["server"]["state"] = state
    assert "error: server.state: " in check(pt)


def test_a_state_folder_that_is_still_to_be_made_is_none(pt, pop3):
    pt.account("contoso", pop3().port)
    pt.conf["server"]["state"] = str(pt.dir / "a" / "b" / "state")
    check(pt, DONE)
    assert not (pt.dir / "a").exists()


def test_an_account_without_a_policy_domain_is_held_and_the_others_go_on(pt, pop3):
    """F1: forty messages stayed nowhere but in Badmail."""
    no_policies(pt)
    server = pop3(users={"global": "secret", "jane": "secret"})
    fill(server, 40)
    server.put(message(to="jane@contoso.test"), user="jane")
    pt.account("contoso", server.port)
    pt.account("jane", server.port, user="jane", type="user", recipient="jane@contoso.test")
    answer = pt.once(status=FAILED)
    assert len(server.left()) == 40 and server.left("jane") == []
    assert "no policy domain exists" in [a for a in answer["accounts"] if a["name"] == "contoso"][0]["error"]
    [event] = pt.events(4018)
    assert event["level"] == 0 and event["text"] == ("Account contoso: the first 40 messages would reach nobody (no policy domain exists). "
                                                     "Collection held; nothing was deleted.")
    pt.once(status=FAILED)
    assert len(pt.events(4018)) == 1  # told once
    assert "no policy domain" in pt.run("accounts", "show", "contoso").out
    pt.run("policy", "add", "nowhere.test").expect(DONE)
    pt.once("contoso")  # goes on by itself
    assert server.left() == [] and len([d for d in pt.drop() if d.recipients == ["ann@nowhere.test"]]) == 40


# ---- SPEC 8a: the first ten of a new account ----

def test_ten_first_messages_for_nobody_hold_a_new_account(pt, pop3):
    server = pop3()
    fill(server, 25)
    pt.account("contoso", server.port, domains=["nowhere.test"])
    pt.once(status=FAILED)
    assert len(pt.badmail()) == 10 and len(server.left()) == 25
    [event] = pt.events(4018)
    assert "the first 10 messages would reach nobody (the policies refused every recipient)" in event["text"]
    pt.once(status=FAILED)
    assert len(pt.badmail()) == 10 and len(server.left()) == 25 and len(pt.events(4018)) == 1
    assert pt.ask("accounts", "show", "contoso")["memory"]["held"] is True
    pt.run("policy", "add", "nowhere.test").expect(DONE)
    pt.run("accounts", "resume", "contoso").expect(DONE)
    pt.once()
    assert server.left() == [] and len(pt.drop()) == 15


def test_ten_first_messages_whose_recipients_nobody_finds_hold_a_new_account(pt, pop3):
    server = pop3()
    fill(server, 12, to="somebody@elsewhere.test")
    pt.account("contoso", server.port)
    pt.once(status=FAILED)
    assert len(server.left()) == 12 and len(pt.drop()) == 10  # the postmaster has those ten
    assert "no recipient was found" in pt.events(4018)[0]["text"]


def test_a_configured_unrouted_is_no_reason_to_hold(pt, pop3):
    server = pop3()
    fill(server, 12, to="somebody@elsewhere.test")
    pt.account("contoso", server.port, unrouted="postmaster")
    pt.once()
    assert server.left() == [] and len(pt.drop()) == 12 and pt.events(4018) == []


def test_fewer_than_ten_go_their_usual_way(pt, pop3):
    server = pop3()
    fill(server, 9)
    pt.account("contoso", server.port, domains=["nowhere.test"])
    pt.once(status=FAILED)
    assert server.left() == [] and len(pt.badmail()) == 9 and pt.events(4018) == []


def test_the_first_ten_are_counted_over_polls(pt, pop3):
    server = pop3()
    pt.account("contoso", server.port, domains=["nowhere.test"])
    fill(server, 6)
    pt.once(status=FAILED)
    fill(server, 6, first=6)
    pt.once(status=FAILED)
    assert len(pt.badmail()) == 10 and len(pt.events(4018)) == 1


def test_one_message_that_arrives_ends_the_watch(pt, pop3):
    server = pop3()
    fill(server, 9)
    server.put(message(to="ann@contoso.test"), uidl="good")
    fill(server, 12, first=20)
    pt.account("contoso", server.port, domains=["nowhere.test", "contoso.test"])
    pt.once(status=FAILED)
    assert server.left() == [] and len(pt.badmail()) == 21 and pt.events(4018) == []


def test_a_running_service_goes_on_at_once_after_resume(pt, pop3):
    server = pop3()
    fill(server, 11)
    pt.account("contoso", server.port, domains=["nowhere.test"], every="1h")
    pt.start()
    pt.wait_line(r"event=4018\b")
    pt.run("policy", "add", "nowhere.test").expect(DONE)
    pt.run("accounts", "resume", "contoso").expect(DONE)
    server.wait_empty() if hasattr(server, "wait_empty") else pt.run("poll").expect(DONE)
    assert server.left() == []


# ---- F5: domains by hand beside files ----

def accepted(pt, address):
    return pt.ask("policy", "test", address)["accepted"]


def test_a_domain_added_by_hand_survives_the_next_apply(pt):
    pt.run("policy", "apply").expect(DONE)
    pt.run("policy", "add", "extra.test", "--policy", "contoso").expect(DONE)
    pt.run("policy", "apply").expect(DONE)
    (pt.dir / "policies" / "contoso.yaml").write_text("name: contoso\npriority: 5\ndomains: { contoso.test: {}, more.test: {} }\n")
    pt.run("policy", "apply").expect(DONE)
    pt.once()
    assert accepted(pt, "a@extra.test") and accepted(pt, "a@more.test")
    [policy] = [p for p in pt.ask("policy", "list") if p["name"] == "contoso"]
    assert {d["domain"]: d["by_hand"] for d in policy["domains"]} == {
        "contoso.test": False, "more.test": False, "extra.test": True}
    assert policy["file"] == os.path.realpath(pt.dir / "policies" / "contoso.yaml")
    shown = pt.run("policy", "show", "contoso").out
    assert re.search(r"extra\.test .*added by hand", shown) and "contoso.yaml" in shown


def test_what_a_file_no_longer_says_is_taken_back_with_an_event(pt):
    pt.policy("fabrikam", "fabrikam.test", "old.test")
    pt.run("policy", "apply").expect(DONE)
    pt.policy("fabrikam", "fabrikam.test")
    pt.run("policy", "apply").expect(DONE)
    assert not accepted(pt, "a@old.test") and accepted(pt, "a@fabrikam.test")
    pt.run("policy", "add", "hand.test", "--policy", "fabrikam").expect(DONE)
    (pt.dir / "policies" / "fabrikam.yaml").unlink()
    pt.once()
    assert not accepted(pt, "a@fabrikam.test") and accepted(pt, "a@hand.test") and accepted(pt, "a@contoso.test")
    assert [e["domain"] for e in pt.events(9016)] == ["old.test", "fabrikam.test"]


def test_a_file_applied_by_name_goes_with_the_file(pt):
    extra = pt.dir / "extra.yaml"
    extra.write_text("name: extra\ndomains: { extra.test: {} }\n")
    pt.run("policy", "apply", extra).expect(DONE)
    pt.once()
    assert accepted(pt, "a@extra.test")
    extra.unlink()
    pt.once()
    assert not accepted(pt, "a@extra.test")


def test_files_that_are_away_take_nothing_back(pt):
    """A pattern that matches nothing: mistyped, or a folder that is not mounted."""
    pt.once()
    (pt.dir / "policies").rename(pt.dir / "elsewhere")
    result = pt.run("once").expect(DONE)
    assert accepted(pt, "a@contoso.test") and "no file matches" in result.err


def test_a_domain_removed_by_hand_that_a_file_names_is_told(pt):
    pt.run("policy", "apply").expect(DONE)
    assert "contoso.yaml names this domain" in pt.run("policy", "remove", "contoso.test").expect(DONE).err
    pt.run("policy", "apply").expect(DONE)
    assert accepted(pt, "a@contoso.test")
