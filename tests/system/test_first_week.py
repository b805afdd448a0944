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


# ---- F9 to F11: recipients ----

def primaries(pt):
    return {r["alias"]: r["primary"] for r in pt.ask("recipient", "list")}


def test_letters_are_spelled_in_ascii_not_dropped(pt):
    pt.policy("contoso", "contoso.test", addresses=[{"primary": "%g.%s@contoso.test"}])
    pt.run("policy", "apply").expect(DONE)
    for alias, given, surname in (("a", "Jürgen", "Müller"), ("b", "Søren", "Ångström"), ("c", "Zoë", "Weiß"), ("d", "Lee", "王")):
        said = pt.run("recipient", "add", alias, "--given", given, "--surname", surname).expect(DONE).out
        assert ("left out" in said) == (alias == "d")
    assert primaries(pt) == {"a": "Jurgen.Muller@contoso.test", "b": "Soren.Angstrom@contoso.test",
                             "c": "Zoe.Weiss@contoso.test", "d": "Lee@contoso.test"}
    pt.policy("contoso", "contoso.test", addresses=[{"primary": "%g.%s@contoso.test"}], spelling="german")
    pt.run("policy", "apply").expect(DONE)
    assert primaries(pt)["a"] == "Juergen.Mueller@contoso.test" and primaries(pt)["b"] == "Soren.Angstroem@contoso.test"


def test_an_import_says_whose_mail_goes_elsewhere_and_can_be_tried(pt):
    """F10: Dovecot knew jane, not Jane.Doe; everything for her went to Badmail."""
    pt.policy("contoso", "contoso.test", addresses=[{"primary": "%g.%s@contoso.test"}, "%m@contoso.test"])
    pt.run("policy", "apply").expect(DONE)
    csv = pt.dir / "people.csv"
    csv.write_text("alias,given,surname\njane,Jane,Doe\nmax,,\n")
    said = pt.run("recipient", "import", csv, "--dry-run").expect(DONE).out
    assert "2 recipients: 2 new, 0 different." in said and "Nothing was changed." in said
    assert "mail for jane@contoso.test is delivered as Jane.Doe@contoso.test, before as jane@contoso.test" in said
    assert "mail for max" not in said and primaries(pt) == {}
    answer = pt.ask("recipient", "import", csv)
    assert answer["elsewhere"] == [{"address": "jane@contoso.test", "was": ["jane@contoso.test"], "now": ["Jane.Doe@contoso.test"]}]
    assert primaries(pt)["jane"] == "Jane.Doe@contoso.test"
    assert pt.ask("recipient", "import", csv, "--dry-run")["elsewhere"] == []


@pytest.mark.parametrize("word", ["add", "set"])
def test_what_is_not_named_of_a_recipient_stays(pt, word):
    """F11: `recipient add ann --group boss` took name, surname and group away."""
    pt.run("recipient", "add", "ann", "--given", "Ann", "--surname", "Lee", "--group", "staff").expect(DONE)
    pt.run("recipient", "add", "all", "--member", "ann").expect(DONE)
    pt.run("recipient", word, "ANN", "--display", "Ann Lee", "--group", "staff", "--group", "boss").expect(DONE)
    ann = pt.ask("recipient", "show", "ann")
    assert (ann["alias"], ann["given"], ann["surname"], ann["display"], ann["groups"]) == (
        "ann", "Ann", "Lee", "Ann Lee", ["staff", "boss"])
    pt.run("recipient", word, "all", "--display", "Everybody").expect(DONE)
    assert pt.ask("recipient", "show", "all")["members"] == ["ann"]
    pt.run("recipient", word, "ann", "--given", "", "--group", "").expect(DONE)
    ann = pt.ask("recipient", "show", "ann")
    assert (ann["given"], ann["surname"], ann["groups"]) == ("", "Lee", [])


def test_set_makes_no_recipient(pt):
    result = pt.run("recipient", "set", "ann", "--given", "Ann")
    assert result.status == FAILED and "postern recipient add" in result.err and primaries(pt) == {}


# ---- F7, F13: 250 and then Badmail without a word; a replay's new number ----

def test_a_client_that_may_relay_is_refused_where_no_route_leads(pt):
    import smtplib
    pt.conf["smtp"]["relay_from"] = ["127.0.0.0/8"]
    pt.route("partner.test", "drop")
    pt.start()
    with smtplib.SMTP("127.0.0.1", pt.port) as s:
        s.ehlo()
        s.mail("ann@contoso.test")
        code, text = s.rcpt("ann@elsewhere.test")
        assert (code, text) == (550, b"5.4.4 No route leads to ann@elsewhere.test")
        assert s.rcpt("bob@partner.test")[0] == 250 and s.rcpt("cid@contoso.test")[0] == 250
        assert s.rcpt("dan@[192.0.2.1]")[0] == 550
    assert pt.badmail() == []


def test_a_replay_is_found_by_its_old_number(pt, pop3):
    server = pop3()
    server.put(message(to="ann@nowhere.test"))
    pt.account("contoso", server.port, domains=["nowhere.test"])
    pt.once(status=FAILED)
    [item] = pt.badmail()
    pt.run("policy", "add", "nowhere.test").expect(DONE)
    [row] = pt.ask("badmail", "replay", item.id)
    new = row["queue_id"]
    said = pt.run("badmail", "show", item.id)
    assert said.status == FAILED and re.search(rf"{item.id} was replayed as {new} at \d{{4}}-", said.err), said
    assert re.search(rf"was replayed as {new} ", pt.run("badmail", "replay", item.id).err)
    steps = pt.ask("trace", item.id)["steps"]
    assert any(new in s["text"] and "replayed" in s["text"] for s in steps), steps
    assert "replay" in str(pt.ask("trace", new)["steps"]) and item.id in str(pt.ask("trace", new)["steps"])


# ---- edge 40: small things; edge 37: long paths ----

def test_a_resent_bcc_alone_needs_no_resent_from(pt):
    pt.run("once").expect(DONE)
    (pt.state / "Pickup" / "m.eml").write_bytes(
        b"From: eve@partner.test\r\nTo: else@partner.test\r\nResent-Bcc: ann@contoso.test\r\nSubject: x\r\n\r\nbody\r\n")
    pt.once()
    [mail] = pt.drop()
    assert (mail.sender, mail.recipients) == ("eve@partner.test", ["ann@contoso.test"])


def test_a_message_of_many_parts_is_told_once(pt, pop3, sink):
    """3041 came again for each slice of a message that leaves by several."""
    hop, server = sink(), pop3()
    pt.route("contoso.test", hop.route)
    pt.run("recipient", "add", "all", *[x for i in range(2500) for x in ("--member", f"u{i}@contoso.test")]).expect(DONE)
    pt.run("recipient", "set", "all", "--primary", "all@contoso.test").expect(DONE)
    server.put(message(to="all@contoso.test"))
    pt.account("contoso", server.port)
    pt.once()
    assert sum(len(m.recipients) for m in hop.mails) == 2500 and len(pt.events(3041)) == 1


@pytest.mark.parametrize("words", [["events"], ["events", "--json"], ["events", "catalog"], ["check", "--online"], ["queue", "list", "--json"],
                                   ["config", "defaults"]])
def test_a_full_output_is_no_success(pt, words):
    import subprocess
    pt.run("once").expect(DONE)
    for _ in range(3):
        pt.run("policy", "add", "x.test").expect(DONE)
    with open("/dev/full", "wb") as full:
        done = subprocess.run(pt.command(*words), stdout=full, stderr=subprocess.PIPE, cwd=pt.dir)
    assert done.returncode == FAILED, (words, done.stderr)


def test_a_poll_whose_output_is_full_is_no_success(pt, pop3):
    import subprocess
    pt.account("contoso", pop3().port)
    pt.start()
    with open("/dev/full", "wb") as full:
        done = subprocess.run(pt.command("poll"), stdout=full, stderr=subprocess.PIPE, cwd=pt.dir)
    assert done.returncode == FAILED


def test_json_holds_no_raw_character_that_turns_text_around(pt):
    pt.run("recipient", "add", "ann", "--display", "ann\u202egnp \u2066ü").expect(DONE)
    result = pt.run("recipient", "show", "ann", "--json").expect(DONE)
    assert "\u202e" not in result.out and "\\u202e" in result.out and "ü" in result.out
    assert result.json()["display"] == "ann\u202egnp \u2066ü"


@pytest.mark.parametrize("text", ["server:\n  hostname: gw.contoso.test\nlog:\n  level: 1\n", "---\nserver: { hostname: gw.contoso.test }\n",
                                  "# first\nserver:\n  hostname: gw.contoso.test\n"])
def test_a_byte_order_mark_is_no_part_of_the_file(pt, text):
    pt.file.write_text("\ufeff" + text)
    assert pt.run("config", "defaults", write=False).status == DONE
    said = pt.run("check", write=False)
    assert "YAML" not in said.out and "expected keys" not in said.out, said


def test_a_final_reply_of_100_kb_is_a_reply(pt, pop3, sink):
    """It was taken for none, so the message was delivered again."""
    hop, server = sink(), pop3()
    hop.answers["EOD"] = "250 2.0.0 " + "x" * 100000
    pt.route("contoso.test", hop.route)
    server.put(message(to="ann@contoso.test"))
    pt.account("contoso", server.port)
    pt.once()
    assert len(hop.mails) == 1 and pt.queue() == []


@pytest.mark.parametrize("length", [98, 107, 108, 150, 255, 418, 1000])
def test_a_state_of_any_length_serves(pt, pop3, length):
    deep = pt.dir
    while len(str(deep)) < length - 60:
        deep = deep / ("d" * 50)
    deep = deep / ("e" * (length - len(str(deep)) - 1))
    assert len(str(deep)) == length
    pt.state = deep
    pt.conf["server"]["state"] = str(deep)
    server = pop3()
    server.put(message(to="ann@contoso.test"))
    pt.account("contoso", server.port)
    pt.run("check").expect(DONE)
    pt.once()
    assert len(pt.drop()) == 1
    if length in (98, 418):
        pt.start()
        server.put(message(to="bob@contoso.test", subject="another"))
        pt.run("poll").expect(DONE)
        pt.run("policy", "add", "x.test").expect(DONE)
        assert pt.terminate() == 0 and server.left() == []
