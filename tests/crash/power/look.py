"""What was promised is looked for on a disk, without the program: the folders by their
bytes, the database by SQLite, opened as the program would open it."""
import fnmatch
import json
import os
import re
import shutil
import sqlite3
import tempfile

from . import disk
from .run import DROP, HOP, MAILDIR, token_of

DIGITS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
DELIVERABLE = 3  # enum queue_state: states below are still tried; 3 is held


def qid(number):
    return "".join(DIGITS[number >> 5 * i & 31] for i in range(12, -1, -1))


class Database:
    """The facts of one image: what is wrong with it; the messages with their open
    recipients; whether each body is whole, or the spool file it should be in."""

    FILES = ("p.db", "p.db-wal", "p.db-journal")

    def __init__(self, entries, mails, scratch):
        self.wrong, self.there = None, bool(entries[0] and disk.image(entries[0])[1])
        self.claims = set()  # files of Pickup whose message is here
        self.messages = []  # (token, queue id, {recipient: state}, True, False or the file's size)
        if not self.there:
            return
        for name in os.listdir(scratch):
            os.unlink(f"{scratch}/{name}")
        for name, entry in zip(self.FILES, entries):
            if entry:
                disk.store(f"{scratch}/{name}", entry)
        try:
            self._read(f"{scratch}/p.db", mails)
        except sqlite3.DatabaseError as e:
            self.wrong = f"the database cannot be read: {e}"

    def _read(self, path, mails):
        c = sqlite3.connect(path)
        try:
            said = c.execute("PRAGMA integrity_check").fetchall()
            if said != [("ok",)]:
                self.wrong = f"integrity_check says {said[:3]}"
                return
            if not c.execute("SELECT 1 FROM sqlite_schema WHERE name = 'message'").fetchone():
                return
            self.claims = {name for name, in c.execute(
                "SELECT uidl FROM origin WHERE account = (SELECT id FROM account WHERE name = ':pickup')")}
            people = {}
            for number, address, state in c.execute("SELECT message, address, state FROM recipient"):
                people.setdefault(number, {})[address or ""] = state
            for number, mid, size, whole in c.execute(
                    "SELECT m.id, m.message_id, b.size - length(b.top), b.bytes FROM message m LEFT JOIN body b ON b.id = m.id"):
                m = mails.get((mid or "").strip("<>").split("@")[0])
                if m:
                    body = size if size is not None and whole is None else whole is not None and m.body in whole
                    self.messages.append((m.token, qid(number), people.get(number, {}), body))
        finally:
            c.close()


class Look:
    """Looks at the states of one recording."""

    def __init__(self, run, trace):
        self.run, self.trace = run, trace
        self.scratch = tempfile.mkdtemp(prefix="power-", dir=run.pt.dir.parent)
        self.databases, self.letters = {}, {}

    def close(self):
        shutil.rmtree(self.scratch, ignore_errors=True)

    def database(self, files):
        key = tuple(files.get(f"state/postern{name[1:]}") for name in Database.FILES)
        if key not in self.databases:
            if len(self.databases) > 500:
                self.databases.clear()
            self.databases[key] = Database(key, self.run.mails, self.scratch)
        return self.databases[key]

    def letter(self, path, entry):
        """(token, recipients, whole) of a file with a mail in it, or of a Badmail record."""
        if entry not in self.letters:
            if len(self.letters) > 5000:
                self.letters.clear()
            data = disk.content(entry)
            if path.endswith(".BDP"):
                self.letters[entry] = record(data)
            else:
                token = token_of(data)
                m = self.run.mails.get(token)
                receivers = [r.decode() for r in re.findall(rb"^X-Receiver: *(\S+)\r$", data.split(b"\r\n\r\n", 1)[0], re.M)]
                self.letters[entry] = token, receivers, bool(m and data.endswith(m.body))
        return self.letters[entry]

    def places(self, files, db, cut):
        """{token: [(place, recipient)]} of all that is whole, and what is wrong."""
        found, wrong = {}, []

        def here(place, token, recipient):
            found.setdefault(token, []).append((place, recipient))
        for path, entry in files.items():
            if fnmatch.fnmatch(path, "state/Drop/[!.]*.eml") or fnmatch.fnmatch(path, "mail/*/new/*"):
                token, receivers, whole = self.letter(path, entry)
                if not whole and not notice(disk.content(entry)):
                    wrong.append(("torn", f"{path} is not whole"))
                for r in receivers if path.startswith("state/Drop") else [MAILDIR]:
                    if whole:
                        here("drop" if path.startswith("state/Drop") else "maildir", token, r)
            elif path.startswith("state/Badmail/") and path.endswith(".BDP"):
                _, rows, good = self.letter(path, entry)
                bad = files.get(path[:-3] + "BAD")
                token, _, whole = self.letter(path[:-3] + "BAD", bad) if bad else ("", (), False)
                # An item that is not whole is nowhere: then its message must be in the queue.
                for r in (rows or [""]) if good and whole and path[:-3] + "BDR" in files else ():
                    here("badmail", token, r)
            elif path.startswith(("state/Pickup/", "state/run/pickup/")):
                m = self.run.mails.get(path.rsplit("/", 1)[1].split(".")[-2])
                if m and disk.content(entry) == m.data:
                    for r in m.recipients or [""]:
                        here("pickup" if path.startswith("state/Pickup/") else "claim", m.token, r)
        for token, number, people, body in db.messages:
            whole = body
            if body is not True and body is not False:
                entry = files.get(f"state/spool/{number}")
                data = disk.content(entry) if entry else b""
                whole = len(data) == body and self.run.mails[token].body in data
            for r, state in people.items():
                if state <= DELIVERABLE:
                    if whole:
                        here("queue", token, r)
                    elif body is not False or state < DELIVERABLE:
                        wrong.append(("torn", f"the body of {token} is not whole in the queue"))
        for at, token, r in self.run.hops:
            if at < cut:
                here("hop", token, r)
        return found, wrong

    def faults(self, cut, files):
        """[(kind, words)]: what a power cut may not do."""
        db = self.database(files)
        if db.wrong:
            return [("damaged", db.wrong)]
        found, wrong = self.places(files, db, cut)
        if not db.there and any(re.fullmatch(r"state/spool/[0-9A-Z]{13}", p) for p in files):
            wrong.append(("refuses", "a spool beside no database: the next start would refuse"))
        rows = {}
        for token, number, _, _ in db.messages:
            rows.setdefault(token, []).append(number)
        for path in files:
            name = path.rsplit("/", 1)[1] if path.startswith("state/run/pickup/") else None
            if name and name.split(".")[1] in rows and name not in db.claims:
                wrong.append(("doubled", f"{name} is queued, and its file would be again"))
        for m in self.run.mails.values():
            if m.put >= cut and m.how != "smtp":
                continue
            places = found.get(m.token, [])
            if m.promised < cut:
                for r in m.recipients or [""]:
                    if not any(who == r and fits(place, r) for place, who in places):
                        wrong.append(("lost", f"{m.token} ({m.how}) for {r or 'nobody'} is nowhere"))
            if len(rows.get(m.token, ())) > 1:
                wrong.append(("doubled", f"{m.token} is queued as {rows[m.token]}"))
            for r in {r for p, r in places if p == "drop"}:
                if places.count(("drop", r)) > 1:
                    wrong.append(("doubled", f"{m.token} lies twice in Drop for {r}"))
            if any(p == "pickup" for p, _ in places) and (
                    m.token in rows or any(p in ("badmail", "drop", "maildir", "hop", "claim") for p, _ in places)):
                wrong.append(("doubled", f"{m.token} is here and in Pickup again"))
        return wrong


def fits(place, recipient):
    """Would this recipient's mail be there?"""
    ends = {DROP: "drop", MAILDIR: "maildir", HOP: "hop"}.get(recipient, "badmail")
    return place in ("queue", "pickup", "claim", ends)


def record(data):
    """Of Badmail: the recipients, and whether it can be read."""
    try:
        return "", [r["address"] for r in json.loads(data)["recipients"]], True
    except (ValueError, KeyError, UnicodeDecodeError):
        return "", [], False


def notice(data):
    """A letter of our own to the postmaster, whole: it has no token of a mail's, or only
    quotes one."""
    return b"postmaster@contoso.test" in data[:400] and data.endswith(b"\n")


