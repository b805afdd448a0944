"""The corpus in one global mailbox, and the count afterwards: every message in
Drop or in Badmail, as E15 allows, for each recipient once."""
import hashlib
from collections import Counter, defaultdict

from . import dovecot as dovecot_module
from .message import check_same, essence, message

USER = "global"
# Domains that the corpus writes to. All are dropped here; none is ever contacted.
LISTED = ["contoso.test", "test.ex", "vger.kernel.org", "example.com", "notmuchmail.org", "kernel.org",
          "alsa-project.org", "a.mox.example", "bugs.debian.org", "domain.tld"]
UNLISTED = ["netscape.com", "perches.com", "suse.de"]


def key(data):
    return hashlib.sha256(essence(data)).digest()


class Mailbox:
    """A Dovecot whose global mailbox can be filled with the corpus again and again."""

    def __init__(self, make_dovecot, corpus_dir):
        self.files = sorted((corpus_dir / "msg").glob("*.eml"))
        self.server = make_dovecot([USER])
        self.fill()
        self.server.start()
        self.originals = defaultdict(list)
        for data in dovecot_module.contents(self.server.port, USER).values():
            self.originals[key(data)].append(data)

    def fill(self):
        self.server.empty(USER)
        # Ten for nobody at the beginning would hold the account (4018).
        self.server.put(USER, message("ann@contoso.test", subject="this one is for somebody"))
        for f in self.files:
            self.server.put(USER, f.read_bytes())

    def left(self):
        return len(self.server.messages(USER))

    def set_up(self, pt):
        pt.policy("corpus", *LISTED)
        pt.account("corpus", self.server.port, user=USER, domains=LISTED + UNLISTED, max_per_session=5000,
                   dedup=False)  # some projects have the same message

    def count(self, pt):
        """(messages in Drop, messages in Badmail), after all checks."""
        assert self.left() == 0, f"{self.left()} messages are still at the provider"
        served = defaultdict(list)  # key: the recipients of each copy
        kinds = Counter()
        for dropped in pt.drop():
            kinds["drop"] += 1
            served[self._known(dropped.data, dropped.path.name)].append(("drop", frozenset(dropped.recipients)))
        for bad in pt.badmail():
            kinds["badmail"] += 1
            assert bad.reason.strip(), f"{bad.id}.BDR gives no reason"
            assert bad.record.get("recipients") is not None, f"{bad.id}.BDP: {bad.record}"
            served[self._known(bad.data, bad.id)].append(("badmail", frozenset([bad.id])))
        lost = [k for k in self.originals if k not in served]
        assert not lost, f"{len(lost)} messages are nowhere, such as {self.originals[lost[0]][0][:300]!r}"
        for k, places in served.items():
            copies = len(self.originals[k])  # the corpus holds a few messages more than once
            for place, n in Counter(p for p, _ in places).items():
                assert n <= copies, f"{n} copies of {copies} in {place}: {self.originals[k][0][:300]!r}"
        return kinds["drop"], kinds["badmail"]

    def _known(self, data, name):
        k = key(data)
        assert k in self.originals, f"{name} is none of the corpus, or was changed: {data[:600]!r}"
        errors = []
        for original in self.originals[k]:
            try:
                check_same(original, data)
                return k
            except AssertionError as e:
                errors.append(str(e))
        raise AssertionError(f"{name}: {errors[0]}")
