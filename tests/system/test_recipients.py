"""Recipients as Exchange had them: policies give addresses, the relay and the
collector ask for them (SPEC 4 and 9; RECIPIENTS E0, E5, E6, E11)."""
import smtplib

import pytest
from harness.message import message
from harness.net import wait_for
from harness.postern import BAD_CONFIG, DONE, FAILED, USAGE

HEADER = "alias,given,surname,display,primary,groups,members\n"
STAFF = """ann,Ann,Lee,,,staff,
bob,Bob,Ray,,bob@fabrikam.test,staff,
cid,Cid,Orr,,,staff,
sales,,,"Sales, all of them",,,ann; team x@nwtraders.test
team,,,,,,"cid
sales"
"""


def strict(pt, **more):
    """Two domains; who is unknown in the first is rejected."""
    pt.policy("contoso", addresses=[{"primary": "%g.%s@contoso.test"}, "%m@contoso.test"],
              domains={"contoso.test": {"authoritative": True, "unknown": "reject", **more},
                       "fabrikam.test": {"authoritative": False}})


def staff(pt, text=STAFF):
    path = pt.dir / "staff.csv"
    path.write_text(HEADER + text)
    return pt.run("recipient", "import", path).expect(DONE)


def talk(pt, *recipients, sender="max@nwtraders.test", data=None):
    """The answers to RCPT; sends a message to who was taken."""
    with smtplib.SMTP("127.0.0.1", pt.port) as c:
        c.ehlo()
        c.mail(sender)
        said = [c.rcpt(r) for r in recipients]
        if data and any(code == 250 for code, _ in said):
            assert c.data(data)[0] == 250
        return [f"{code} {text.decode()}" for code, text in said]


def dropped(pt, count=1):
    """Every recipient of every Drop file."""
    return wait_for(lambda: len(pt.drop()) >= count and sorted(r for d in pt.drop() for r in d.recipients), 20, "Drop")


@pytest.fixture
def house(pt):
    strict(pt)
    staff(pt)
    return pt.start()


def test_unknown_user_over_smtp(house):
    said = talk(house, "nobody@contoso.test", "ann@contoso.test", "nobody@fabrikam.test", "x@nwtraders.test",
                "postmaster@contoso.test", "Postmaster")
    assert said == ["550 5.1.1 User unknown nobody@contoso.test", "250 2.1.5 ann@contoso.test",
                    "250 2.1.5 nobody@fabrikam.test", "550 5.7.1 Unable to relay for x@nwtraders.test",
                    "250 2.1.5 postmaster@contoso.test", "250 2.1.5 Postmaster"]
    told = [(e["reply"], e["ndr"], e["recipient"]) for e in house.events(4032)]
    assert told == [("550 5.1.1 User unknown nobody@contoso.test", "511", "nobody@contoso.test"),
                    ("550 5.7.1 Unable to relay for x@nwtraders.test", "504", "x@nwtraders.test")]


def test_unknown_user_of_collected_mail_goes_to_badmail(pt, pop3):
    server = pop3()
    server.put(message(to="ann@contoso.test, nobody@contoso.test, stray@fabrikam.test"))
    strict(pt)
    staff(pt)
    pt.account("contoso", server.port)
    report = pt.once(status=FAILED)
    assert report["badmail"] == 1 and report["refused"] == 1 and server.left() == []
    assert dropped(pt) == ["Ann.Lee@contoso.test", "stray@fabrikam.test"]
    [bad] = pt.badmail()
    assert "unknown-user" in bad.reason and "550 5.1.1 User unknown nobody@contoso.test" in str(bad.record)


def test_replay_when_the_recipient_is_there(pt, pop3):
    server = pop3()
    server.put(message(to="crew@contoso.test"))
    strict(pt)
    pt.account("contoso", server.port).once(status=FAILED)
    [bad] = pt.badmail()
    assert "stays: nobody has this address" in pt.run("badmail", "replay", bad.id).out
    staff(pt, "ann,Ann,Lee,,,,\ncid,Cid,Orr,,,,\ncrew,,,,,,ann cid\n")
    pt.run("badmail", "replay", bad.id).expect(DONE)
    pt.once()
    assert dropped(pt) == ["Ann.Lee@contoso.test", "Cid.Orr@contoso.test"] and pt.badmail() == []


def test_proxies_lists_and_tags_lead_to_final_addresses(house, sink):
    talk(house, "ANN@contoso.test", "ann.lee+News@Contoso.test", "Sales@contoso.test", "sales+x@contoso.test",
         "bob.ray+y@contoso.test", data=message())
    # nwtraders.test is not ours and has no route yet: that member waits in the queue or is bounced.
    assert dropped(house) == ["Ann.Lee+News@contoso.test", "Ann.Lee@contoso.test", "Cid.Orr@contoso.test",
                              "bob+y@fabrikam.test"]
    [one] = house.ask("queue", "list", "--all")
    asked = {r["address"]: r["asked"] for r in one["recipients"]}
    assert asked == {"Ann.Lee@contoso.test": "ANN@contoso.test", "Ann.Lee+News@contoso.test": None,
                     "Cid.Orr@contoso.test": "Sales@contoso.test", "x@nwtraders.test": "Sales@contoso.test",
                     "bob+y@fabrikam.test": "bob.ray+y@contoso.test"}
    shown = house.run("queue", "show", one["id"]).expect(DONE).out
    assert "asked for" in shown and "Sales@contoso.test" in shown
    said = house.run("trace", one["id"]).expect(DONE).out
    assert "recipient Cid.Orr@contoso.test (for list Sales@contoso.test): accepted" in said
    assert "recipient Ann.Lee@contoso.test (for ANN@contoso.test): accepted" in said
    assert "recipient Ann.Lee+News@contoso.test: accepted" in said
    steps = house.ask("trace", one["id"])["steps"]
    assert [s["asked"] for s in steps if s["text"].startswith("recipient Cid")] == ["Sales@contoso.test"]


def test_foreign_member_is_routed_like_outbound_mail(pt, sink):
    there = sink()
    strict(pt)
    staff(pt)
    pt.route("nwtraders.test", there.route)
    pt.start()
    assert talk(pt, "x@nwtraders.test") == ["550 5.7.1 Unable to relay for x@nwtraders.test"]
    talk(pt, "team@contoso.test", data=message())
    assert [m.recipients for m in there.wait(1)] == [["x@nwtraders.test"]]
    assert dropped(pt) == ["Ann.Lee@contoso.test", "Cid.Orr@contoso.test"]


def test_delimiters_are_those_of_the_domain(pt):
    strict(pt, subaddress="-")
    staff(pt)
    pt.start()
    assert talk(pt, "ann+x@contoso.test", "ann-x@contoso.test") == \
        ["550 5.1.1 User unknown ann+x@contoso.test", "250 2.1.5 ann-x@contoso.test"]


def test_list_that_leads_to_nobody(pt, pop3):
    server = pop3()
    server.put(message(to="empty@contoso.test"))
    strict(pt)
    staff(pt, "empty,,,,,,nobody empty\n")
    pt.account("contoso", server.port)
    pt.once(status=FAILED)
    [bad] = pt.badmail()
    assert "550 5.2.4" in str(bad.record)
    shown = pt.run("recipient", "show", "empty").expect(DONE).out
    assert "leads to 0 addresses" in shown and "1 members are no recipients" in shown


def test_running_relay_hears_of_changes(house):
    assert talk(house, "dan@contoso.test") == ["550 5.1.1 User unknown dan@contoso.test"]
    added = house.ask("recipient", "add", "dan", "--given", "Dan", "--surname", "Fox", "--display", "Fox, Dan",
                      "--group", "staff", "--group", "night")
    assert added["added"] and added["primary"] == "Dan.Fox@contoso.test" and added["groups"] == ["staff", "night"]
    assert talk(house, "dan@contoso.test") == ["250 2.1.5 dan@contoso.test"]
    house.run("recipient", "add", "crew", "--member", "dan", "--member", "ann").expect(DONE)
    talk(house, "crew@contoso.test", data=message())
    assert dropped(house) == ["Ann.Lee@contoso.test", "Dan.Fox@contoso.test"]
    house.run("recipient", "remove", "DAN").expect(DONE)
    assert talk(house, "dan@contoso.test") == ["550 5.1.1 User unknown dan@contoso.test"]
    assert house.run("recipient", "remove", "dan").status == FAILED


def test_postmaster_of_a_strict_domain_is_the_servers(pt):
    strict(pt)
    pt.policy("other", domains={"other.test": {"unknown": "reject"}})
    staff(pt)
    pt.conf["server"]["postmaster"] = "ann@contoso.test"
    pt.start()
    talk(pt, "postmaster@other.test", data=message())
    assert dropped(pt) == ["Ann.Lee@contoso.test"]


def test_show_list_and_json_keys(house):
    ann = house.ask("recipient", "show", "ann")
    assert list(ann) == ["alias", "type", "given", "surname", "display", "primary", "own_primary", "proxies", "policy",
                         "groups", "members"]
    assert ann["primary"] == "Ann.Lee@contoso.test" and ann["proxies"] == ["ann@contoso.test"]
    assert ann["policy"] == "contoso" and ann["type"] == "person" and not ann["own_primary"]
    bob = house.ask("recipient", "show", "bob.ray@contoso.test")
    assert bob["primary"] == "bob@fabrikam.test" and bob["own_primary"]
    assert bob["proxies"] == ["Bob.Ray@contoso.test", "bob@contoso.test"]
    every = house.ask("recipient", "list")
    assert [e["alias"] for e in every] == ["ann", "bob", "cid", "sales", "team"]
    assert every[3]["members"] == ["ann", "team", "x@nwtraders.test"] and every[3]["type"] == "list"
    assert "Sales, all of them" in house.run("recipient", "list").expect(DONE).out
    assert house.run("recipient", "show", "nobody").status == FAILED
    for bad in (["a b"], ["x", "--primary", "x"], ["x", "--member", "a b"], ["x", "--group", "a;b"], []):
        assert house.run("recipient", "add", *bad).status == USAGE


def test_two_of_one_name_and_one_address_for_two(pt):
    strict(pt)
    staff(pt, "b,Ann,Lee,,,,\na,Ann,Lee,,,,\n")
    assert [pt.ask("recipient", "show", x)["primary"] for x in "ab"] == ["Ann.Lee@contoso.test", "Ann.Lee2@contoso.test"]
    pt.run("recipient", "add", "c", "--primary", "C@contoso.test").expect(DONE)
    said = pt.run("recipient", "add", "d", "--primary", "c@Contoso.test")
    assert said.status == FAILED and "would be the primary address of c and of d" in said.err


def test_import_tells_every_fault_and_imports_nothing(pt):
    strict(pt)
    pt.run("recipient", "add", "own", "--primary", "own@contoso.test").expect(DONE)
    path = pt.dir / "bad.csv"
    path.write_bytes(b"\xef\xbb\xbf" + (
        "groups,alias,primary\r\n"
        "staff,good,\r\n"
        "a;b c,b d,\r\n"
        ",two\r\n"
        ",x,not an address\r\n"
        ",GOOD,\r\n"
        ",y,own@contoso.test\r\n"
        ",\"z\"z,\r\n"
        ",,\r\n").encode())
    said = pt.run("recipient", "import", path).expect(FAILED)
    for line in ("bad.csv:3:7: error: alias: \"b d\": an alias has", "bad.csv:4:1: error: 2 fields, but the first line names 3",
                 "bad.csv:5:4: error: primary: \"not an address\": this is no mail address",
                 "bad.csv:6:2: error: the alias GOOD is in line 2 already",
                 "bad.csv:7:2: error: the primary address own@contoso.test is that of own already",
                 "bad.csv:8:2: error: something stands behind the closing quote", "bad.csv:9:2: error: alias: \"\": an alias has",
                 "nothing was imported"):
        assert line in said.err, (line, said.err)
    assert [e["alias"] for e in pt.ask("recipient", "list")] == ["own"]
    path.write_text("alias;given\nann;Ann\n")
    assert ":1:1: error:" in pt.run("recipient", "import", path).expect(FAILED).err
    path.write_text("given\nAnn\n")
    assert "alias is not among them" in pt.run("recipient", "import", path).expect(FAILED).err
    path.write_bytes(b"alias,given\nann,\xff\n")
    assert "bad.csv:2:5: error: given: " in pt.run("recipient", "import", path).expect(FAILED).err


def test_import_again_changes_only_what_differs(pt):
    strict(pt)
    staff(pt)
    path = pt.dir / "more.csv"
    path.write_text(HEADER + "ann,Anna,Lee,,,staff,\nbob,Bob,Ray,,bob@fabrikam.test,staff,\ndan,,,,,,\n")
    assert pt.ask("recipient", "import", path) == {"recipients": 3, "added": 1, "changed": 1}
    assert pt.ask("recipient", "import", path) == {"recipients": 3, "added": 0, "changed": 0}
    assert pt.ask("recipient", "show", "ann")["primary"] == "Anna.Lee@contoso.test"
    assert len(pt.ask("recipient", "list")) == 6


def test_user_account_with_an_alias(pt, pop3):
    """E0: the alias is mapped to its primary; while it is nobody, the mail stays (4046)."""
    server = pop3(users={"jane": "secret"})
    server.put(message(to="somebody@contoso.test"))
    strict(pt)
    pt.account("jane", server.port, type="user", user="jane", recipient="jane", every="10s")
    said = pt.run("check").expect(DONE)
    assert "there is no recipient jane" in said.out and "postern.yaml:" in said.out
    pt.start()
    pt.wait_line("event=4046")
    [row] = pt.ask("accounts")
    assert row["result"] == "Target jane of account jane is disabled; collection held."
    [event] = {e["text"]: e for e in pt.events(4046)}.values()
    assert event["account"] == "jane" and event["recipient"] == "jane"
    assert len(server.left("jane")) == 1 and pt.drop() == []
    pt.run("recipient", "add", "jane", "--given", "Jane", "--surname", "Doe").expect(DONE)
    assert dropped(pt) == ["Jane.Doe@contoso.test"]
    assert "no recipient" not in pt.run("check").expect(DONE).out
    assert pt.terminate() == 0


def test_user_account_with_a_proxy_and_with_an_unknown_address(pt, pop3):
    server = pop3(users={"ann": "secret", "zoe": "secret"})
    server.put(message(), user="ann")
    server.put(message(), user="zoe")
    strict(pt)
    staff(pt)
    pt.account("ann", server.port, type="user", user="ann", recipient="ann@contoso.test")
    pt.account("zoe", server.port, type="user", user="zoe", recipient="zoe@contoso.test")
    pt.once(status=FAILED)
    assert dropped(pt) == ["Ann.Lee@contoso.test"] and len(server.left("zoe")) == 1
    assert [e["account"] for e in pt.events(4046)] == ["zoe"]


@pytest.mark.parametrize("address, found, recipient, primary, goes", [
    ("ann@contoso.test", "exact", "ann", "Ann.Lee@contoso.test", ["Ann.Lee@contoso.test"]),
    ("ann+x@contoso.test", "without-tag", "ann", "Ann.Lee@contoso.test", ["Ann.Lee+x@contoso.test"]),
    ("team@contoso.test", "list", "team", "team@contoso.test",
     ["Cid.Orr@contoso.test", "Ann.Lee@contoso.test", "x@nwtraders.test"]),
    ("zoe@contoso.test", "unknown", None, None, []),
    ("zoe@fabrikam.test", "unknown", None, None, ["zoe@fabrikam.test"]),
    ("zoe@nwtraders.test", "foreign", None, None, []),
    ("postmaster@contoso.test", "unknown", None, None, ["postmaster@contoso.test"]),
])
def test_policy_test(pt, address, found, recipient, primary, goes):
    strict(pt)
    staff(pt)
    pt.route("contoso.test", "drop:/nowhere")
    if address.startswith("postmaster"):
        pt.conf["server"].pop("postmaster")
    said = pt.ask("policy", "test", address)
    assert list(said)[:7] == ["address", "accepted", "reply", "policy", "recipient", "primary", "route"]
    assert (said["found"], said["recipient"], said["primary"]) == (found, recipient, primary)
    assert [d["address"] for d in said["delivers_to"]] == goes and said["accepted"] == bool(goes)
    assert said["reply"].startswith("250 2.1.5 " if goes else "550 5.7.1 " if found == "foreign" else "550 5.1.1 ")
    routes = {d["route"] for d in said["delivers_to"]}
    assert said["route"] == (routes.pop() if len(routes) == 1 else None)
    text = pt.run("policy", "test", address).expect(DONE).out
    assert said["reply"] in text and all(g in text for g in goes) and (not recipient or recipient in text)


def test_explain_gives_final_addresses(pt, pop3):
    strict(pt)
    staff(pt)
    pt.account("contoso", pop3().port)
    mail = pt.dir / "m.eml"
    mail.write_bytes(message(to="sales@contoso.test, ann@contoso.test, zoe@contoso.test"))
    said = pt.ask("explain", mail, "--account", "contoso")
    assert [r["address"] for r in said["recipients"]] == ["Ann.Lee@contoso.test", "x@nwtraders.test", "Cid.Orr@contoso.test"]
    assert said["recipients"][2]["asked"] == "sales@contoso.test" and said["recipients"][0]["route"] == "drop"
    assert said["refused"] == [{"address": "zoe@contoso.test", "reply": "550 5.1.1 User unknown zoe@contoso.test"}]


def test_dry_run_tells_what_would_change(pt):
    strict(pt)
    staff(pt, STAFF + "z,Ann,Lee,,,,\n")
    pt.run("policy", "apply").expect(DONE)
    pt.run("policy", "add", "kept.test", "--policy", "kept").expect(DONE)
    pt.policy("contoso", addresses=[{"primary": "%m@contoso.test"}, "%s@new.test"], domains={"contoso.test": {}})
    pt.policy("fresh", "fresh.test")
    said = pt.ask("policy", "apply", "--dry-run")
    assert {p["name"]: p["change"] for p in said["policies"]} == {"contoso": "changed", "fresh": "added", "kept": "left"}
    assert {d["domain"]: d["change"] for d in said["domains"]} == \
        {"new.test": "added", "fresh.test": "added", "fabrikam.test": "removed"}
    ann = next(r for r in said["recipients"] if r["alias"] == "ann")
    assert ann["old"] == {"primary": "Ann.Lee@contoso.test", "proxies": ["ann@contoso.test"]}
    assert ann["new"] == {"primary": "ann@contoso.test", "proxies": ["Lee@new.test"]}
    assert said["collisions"] == [{"alias": "z", "wanted": "Lee@new.test", "holder": "ann", "got": "Lee2@new.test"}]
    text = pt.run("policy", "apply", "--dry-run").expect(DONE).out
    assert "recipient ann: Ann.Lee@contoso.test, ann@contoso.test -> ann@contoso.test, Lee@new.test" in text
    assert "Nothing was changed" in text
    assert pt.ask("recipient", "show", "ann")["primary"] == "Ann.Lee@contoso.test"
    assert pt.ask("policy", "test", "x@fresh.test")["accepted"] is False


def test_policy_show_and_broken_templates(pt):
    strict(pt, subaddress="+-")
    pt.run("policy", "apply").expect(DONE)
    shown = pt.ask("policy", "show", "contoso")
    assert shown["addresses"][0] == {"template": "%g.%s@contoso.test", "primary": True}
    assert {d["domain"]: d["subaddress"] for d in shown["domains"]} == {"contoso.test": "+-", "fabrikam.test": "+"}
    text = pt.run("policy", "show", "contoso").expect(DONE).out
    assert "%g.%s@contoso.test" in text and "by +-" in text and "rejects who is unknown" in text
    (pt.dir / "policies" / "bad.yaml").write_text("name: bad\naddresses: [ '%m@a.test', '%q@a.test' ]\n")
    said = pt.run("check").expect(BAD_CONFIG)
    assert "bad.yaml:2:27: error: addresses[2]: no code of a template" in said.out


def test_without_a_state_words_answer_from_the_files(pt):
    strict(pt)
    assert pt.ask("recipient", "list") == []
    assert pt.ask("policy", "test", "ann@contoso.test")["reply"] == "550 5.1.1 User unknown ann@contoso.test"
    assert pt.run("policy", "apply", "--dry-run").expect(DONE).out.startswith("policy contoso: added")
    assert not (pt.state / "postern.db").exists()
