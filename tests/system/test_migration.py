"""A state directory of the schema before this one (version 2): the present program opens
it, and nothing is lost, nothing comes twice, nothing has to be set up again."""
import sqlite3

from harness.message import check_same, message
from harness.postern import DONE, FAILED

TO_5 = """
ALTER TABLE policy DROP COLUMN source; ALTER TABLE policy DROP COLUMN file; ALTER TABLE policy DROP COLUMN german;
ALTER TABLE policy_domain DROP COLUMN by_hand; DROP TABLE resumed; DROP TABLE retry;
"""
TO_4 = TO_5 + """
DROP TABLE mark; DELETE FROM meta WHERE key LIKE 'steady%';
ALTER TABLE body DROP COLUMN sum; ALTER TABLE body DROP COLUMN damage; ALTER TABLE body DROP COLUMN damage_told;
"""
TO_2 = TO_4 + """
DROP TABLE directory_member; DROP TABLE directory_group; DROP TABLE directory; DROP TABLE alias_rule;
DROP TABLE notice; DROP TABLE notice_about; DROP TABLE ledger; DROP TABLE secret;
ALTER TABLE recipient DROP COLUMN asked; ALTER TABLE recipient DROP COLUMN asked_list;
ALTER TABLE policy_domain DROP COLUMN subaddress;
PRAGMA user_version = 2;
"""


def database(pt):
    return sqlite3.connect(pt.state / "postern.db", isolation_level=None)


def test_a_queue_and_origins_of_version_2(pt, pop3, sink):
    hop, server = sink(), pop3()
    hop.answers["RCPT later@contoso.test"] = "451 4.2.1 later"
    hop.answers["RCPT never@contoso.test"] = "550 5.1.1 never"
    pt.route("contoso.test", hop.route)
    pt.account("contoso", server.port, domains=["contoso.test", "else.test"])
    pt.conf["delivery"]["retry"] = ["1s"]
    small = message(to="later@contoso.test, ann@contoso.test")
    large = message(to="later@contoso.test", subject="large", body=b"0123456789abcde\r\n" * 10000)
    bad = message(to="never@contoso.test, eve@else.test", subject="bad")
    for uidl, data in [("a", small), ("b", large), ("c", bad)]:
        server.put(data, uidl=uidl)
    pt.once(status=FAILED)
    assert len(pt.queue()) == 2 and len(pt.badmail()) == 1 and server.left() == []

    db = database(pt)
    db.executescript(TO_2)
    db.close()
    # Their DELE was lost, as the provider sees it; and there is a new one.
    for uidl, data in [("a", small), ("b", large), ("c", bad)]:
        server.put(data, uidl=uidl)
    server.put(message(to="bob@contoso.test", subject="new"), uidl="d")
    del hop.answers["RCPT later@contoso.test"]
    pt.run("queue", "retry").expect(DONE)  # a word of the command line migrates too
    pt.once()
    assert pt.queue() == [] and server.left() == []
    late = [m for m in hop.mails if "later@contoso.test" in m.recipients]
    assert sorted(len(m.data) > 100000 for m in late) == [False, True]
    for m in late:
        check_same(large if len(m.data) > 100000 else small, m.data)
    assert sorted(r for m in hop.mails for r in m.recipients if r not in ("later@contoso.test",)) == [
        "ann@contoso.test", "bob@contoso.test", "postmaster@contoso.test"]  # the last: told of never@, once
    # Badmail is files, and is replayed as ever.
    [item] = pt.badmail()
    del hop.answers["RCPT never@contoso.test"]
    pt.run("badmail", "replay", item.id, "--to", "never@contoso.test").expect(DONE, FAILED)
    pt.once()
    assert ["never@contoso.test"] in [m.recipients for m in hop.mails]
    db = database(pt)
    assert db.execute("PRAGMA user_version").fetchone() == (6,)
    assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    db.close()


def test_a_ledger_of_version_3(pt, pop3):
    """Copies of what came before the change are copies after it."""
    server = pop3()
    pt.account("contoso", server.port)
    server.put(message(to="ann@contoso.test, bob@contoso.test"))
    pt.once()
    db = database(pt)
    db.executescript(TO_4 + "ALTER TABLE ledger DROP COLUMN seq; PRAGMA user_version = 3;")
    db.close()
    server.put(message(to="ann@contoso.test, bob@contoso.test"))
    server.put(message(to="ann@contoso.test", subject="another"))
    said = pt.run("once").expect(DONE).err
    assert "event=9006" in said and "from version 3 to 6" in said
    assert sorted(d.recipients for d in pt.drop()) == [["ann@contoso.test"], ["ann@contoso.test", "bob@contoso.test"]]
    assert server.left() == []


def test_a_database_that_cannot_be_migrated_is_said_so(pt, pop3):
    """What is in the way stands in the words; nothing is collected, and nothing changes."""
    server = pop3()
    pt.account("contoso", server.port)
    pt.once()
    db = database(pt)
    db.executescript("PRAGMA user_version = 4;")  # but the tables are those of 5
    db.close()
    server.put(message(to="ann@contoso.test"))
    got = pt.run("once").expect(FAILED)
    assert "cannot be brought from schema version 4 to 6" in got.err and "event=9006" not in got.err
    assert len(server.left()) == 1
    db = database(pt)
    db.executescript("PRAGMA user_version = 99;")
    db.close()
    assert "knows versions up to 6" in pt.run("queue", "list").expect(FAILED).err
