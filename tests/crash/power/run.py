"""The run that is recorded: mail by POP3, by SMTP and by Pickup, to Drop, a Maildir, a
next hop and Badmail, small and large, through several processes."""
import os
import random
import re
import signal
import smtplib
from dataclasses import dataclass
from pathlib import Path

from harness import net
from harness.message import message
from harness.pop3_server import Pop3Server, Session
from harness.postern import DONE, FAILED, Postern, program
from harness.smtp_sink import SmtpSink, Talk

from . import disk

DROP, MAILDIR, HOP, AWAY, GONE = ("ann@contoso.test", "ann@box.test", "ann@hop.test", "ann@away.test", "gone@hop.test")
BADMAIL = (AWAY, GONE)  # no policy has the one, the hop refuses the other
DOMAINS = ["contoso.test", "box.test", "hop.test", "away.test"]


@dataclass
class Sent:
    """A mail of the test."""
    token: str
    how: str  # "pop3", "smtp", "pickup"
    recipients: tuple
    body: bytes
    data: bytes
    uidl: str = ""
    put: int = -1  # index in the trace: from here it is at the provider, or in Pickup
    promised: int = disk.NEVER  # from here nobody else has it


class Box(Session):
    """What was deleted goes into the trace before it is."""

    def do_quit(self, arg):
        if self.authorized and self.doomed and self.server.trace:
            gone = [m.uidl for n, m in self._box() if n in self.doomed]
            disk.mark(self.server.trace, deleted=gone, port=self.sock.getpeername()[1])
        return super().do_quit(arg)


class Provider(Pop3Server):
    session = Box
    trace = None


class HopTalk(Talk):
    def end(self, body):
        if self.sink.trace:
            disk.mark(self.sink.trace, hop=self.recipients, token=token_of(body))
        super().end(body)


class Hop(SmtpSink):
    trace = None

    def _serve(self, sock, number):
        try:
            HopTalk(self, sock, number).run()
        except Exception:  # its client was cut off
            pass
        sock.close()


def token_of(data):
    """The mail's name; every body begins with it. A torn one may have none."""
    m = re.search(rb"token=(m\d+)\.", data)
    return m[1].decode() if m else ""


def shim():
    return Path(program()).resolve().parents[2] / "tests" / "crash" / "power_shim.so"


class Run:
    """Records once; afterwards its Postern is started again on any disk."""

    def __init__(self, seed, mails=14):
        self.chance = random.Random(seed)
        self.seed, self.mails = seed, {}
        self.pop3, self.hop = Provider(), Hop()
        self.hop.answers["RCPT gone@hop.test"] = "550 5.1.1 no such user"
        where = "/dev/shm" if os.access("/dev/shm", os.W_OK) else "/tmp"
        self.pt = Postern(where=where)
        self.trace = str(self.pt.dir) + ".trace"
        with open(self.trace, "wb") as f:
            f.write(bytes(disk.PAGE))
        self.count, self.compared = mails, False
        self.pt.policy("contoso", "contoso.test", "box.test", "hop.test")
        self.pt.account("isp", self.pop3.port, domains=DOMAINS)
        self.pt.route("hop.test", self.hop.route).route("box.test", f"maildir:{self.pt.dir}/mail/%u")
        self.pt.write()

    def close(self):
        self.pt.close()
        self.pop3.close()
        self.hop.close()
        for p in (self.trace,):
            os.unlink(p)

    # ---- recording ----

    def mail(self, how, large=False, recipients=None):
        token = f"m{len(self.mails):04d}"
        if recipients is None:
            most = (DROP, MAILDIR, HOP) if how == "smtp" else (DROP, MAILDIR, HOP, AWAY, GONE)
            recipients = self.chance.sample(most, self.chance.choice((1, 1, 2, 3)))
        lines = self.chance.randrange(1300, 2600) if large else self.chance.randrange(1, 60)
        noise = self.chance.randbytes(30 * lines).hex()
        body = f"token={token}.\r\n".encode() + "".join(
            noise[i:i + 60] + "\r\n" for i in range(0, len(noise), 60)).encode()
        data = message(to=", ".join(recipients), subject=token, message_id=token, body=body)
        m = self.mails[token] = Sent(token, how, tuple(recipients), body, data)
        return m

    def put_pop3(self, n, large=1):
        for i in range(n):
            self.offer(self.mail("pop3", large=i < large))

    def offer(self, m):
        m.uidl = m.token
        disk.mark(self.trace, put=m.token)
        self.pop3.put(m.data, uidl=m.uidl)

    def put_pickup(self, n, bad=1):
        """Files that were there, on disk, before anybody looked. The last has nobody to go
        to, for Badmail for another reason."""
        d = self.pt.state / "Pickup"
        for i in range(n):
            m = self.mail("pickup", recipients=() if n - i <= bad else None)
            envelope = "".join(f"X-Receiver: {r}\r\n" for r in m.recipients)
            m.data = f"X-Sender: max@nwtraders.test\r\n{envelope}".encode() + m.data if m.recipients else \
                b"\r\n" + m.body
            path = d / f"{m.token}.eml"
            new = self.pt.dir / "being written"
            new.write_bytes(m.data)
            above, file = os.stat(d).st_ino, os.stat(new).st_ino
            for kind, payload, a, b in ((disk.MAKE, path.name.encode(), above, file), (disk.WRITE, m.data, file, 0),
                                        (disk.SYNC_BEGIN, b"", file, (1 << 40) + 2 * file),
                                        (disk.SYNC_END, b"", 0, (1 << 40) + 2 * file),
                                        (disk.SYNC_BEGIN, b"", above, (1 << 40) + 2 * file + 1),
                                        (disk.SYNC_END, b"", 0, (1 << 40) + 2 * file + 1)):
                disk.append(self.trace, kind, payload, a=a, b=b)
            disk.mark(self.trace, put=m.token)
            new.rename(path)

    def send(self, m):
        with smtplib.SMTP("127.0.0.1", self.pt.port, timeout=30) as c:
            c.sendmail("max@nwtraders.test", list(m.recipients), m.data)

    def record(self):
        self.before = disk.scan(self.pt.dir)
        self.pop3.trace = self.hop.trace = self.trace
        self.pt.prefix = ["/usr/bin/env", f"LD_PRELOAD={shim()}", f"POSTERN_POWER_ROOT={self.pt.dir.resolve()}",
                          f"POSTERN_POWER_TRACE={self.trace}"]
        third = max(2, self.count // 3)
        self.put_pop3(self.count)
        self.killed(self.anywhere(), self.anywhere())
        self.pt.once(status=(DONE, FAILED))
        for recipient, renames in ((DROP, 1), (MAILDIR, 1), (AWAY, 3)):
            self.renamed(recipient, renames)
        self.put_pickup(1, bad=0)
        self.killed((disk.MOVE, 1))  # claimed, and the claim is not synced
        self.pt.once(status=(DONE, FAILED))
        # More than a handful: one sync for the whole filesystem instead of one a file.
        self.put_pop3(3, large=3)
        self.put_pickup(third)
        self.pt.run("policy", "add", "later", "--domain", "later.test", write=False)
        self.killed(self.anywhere(), (disk.MOVE, self.chance.randrange(1, 12)))
        self.pt.once(status=(DONE, FAILED))
        self.put_pop3(third)
        self.put_pickup(2)
        self.pt.start(write=False)
        for i in range(third):
            self.send(self.mail("smtp", large=i == 1))
        self.wait_empty()
        self.pt.terminate()
        self.put_pop3(2, large=0)
        self.pt.once(status=(DONE, FAILED))
        self.pt.prefix = []
        self.pop3.trace = self.hop.trace = None
        return self

    def killed(self, *ends):
        """`once`, cut off after that many records, each (kind or 0, number): what is on the disk
        then was not all synced, and the next one must not take it for durable."""
        for kind, number in ends:
            self.pt.run("once", env={"POSTERN_POWER_KILL": f"{kind}:{number}"}, write=False).expect(
                DONE, FAILED, -signal.SIGKILL)
            with open(self.trace, "r+b") as f:
                f.write(bytes(4))  # the lock that it held

    def anywhere(self):
        return 0, self.chance.randrange(60, 600)

    def renamed(self, recipient, renames):
        """One mail, cut off between its last rename and the sync of that."""
        m = self.mail("pop3", recipients=(recipient,))
        self.offer(m)
        self.killed((disk.MOVE, renames))
        self.pt.once(status=(DONE, FAILED))

    def wait_empty(self):
        d = self.pt.state

        def done():
            return not self.pop3.left() and not any(d.joinpath("Pickup").iterdir()) \
                and not any(d.joinpath("run/pickup").iterdir()) and self.pt.queue() == []
        prefix, self.pt.prefix = self.pt.prefix, []
        try:
            net.wait_for(done, 60, "the mail's end")
        finally:
            self.pt.prefix = prefix

    def complete(self, trace):
        """All of the trace gives the folders as they are, or the shim missed something."""
        if self.compared:
            return
        self.compared = True
        files, _ = disk.lookup(trace, trace.length, disk.Choice(self.chance, "all", "all"))
        real = {str(p.relative_to(self.pt.dir)): p for p in self.pt.dir.rglob("*") if p.is_file()}
        mapped = {path for path, (f, _, _) in files.items() if f.mapped < trace.length}
        assert set(real) - mapped == set(files) - mapped, set(real) ^ set(files)
        wrong = [p for p in real if p in files and p not in mapped and disk.content(files[p]) != real[p].read_bytes()]
        assert not wrong, f"the trace does not tell all of {wrong}"

    def load(self, forget=None):
        """The trace, with what was promised when."""
        trace = disk.load(self.trace, self.pt.dir, self.before, forget)
        self.hops = []  # (index, token, recipients)
        self.deleted = []  # (index, uidl)
        for at, what in trace.marks:
            if "put" in what:
                m = self.mails[what["put"]]
                m.put = at
                if m.how == "pickup":
                    m.promised = at
            elif "hop" in what:
                self.hops += [(at, what["token"], r) for r in what["hop"]]
            else:
                said = [i for i, peer, own, data in trace.says
                        if i < at and own == what["port"] and b"QUIT\r\n" in data]
                for uidl in what["deleted"]:
                    self.mails[uidl].promised = said[-1] if said else at
                    self.deleted.append((at, uidl))
        for at, _, own, data in trace.says:
            if own == self.pt.port and b"Queued mail for delivery" in data:
                token = data.split(b"<", 1)[1].split(b"@", 1)[0].decode()
                self.mails[token].promised = min(at, self.mails[token].promised)
        self.complete(trace)
        lacking = [m.token for m in self.mails.values() if m.promised == disk.NEVER]
        assert not lacking, f"nobody was promised {lacking}"
        return trace
