"""A POP3 server that does what it is told, right or wrong, and keeps a ledger.

Every reply can be replaced: `answers` maps "VERB", or "VERB ARG", to bytes sent
as they are, to CUT (the connection is reset instead), to HANG, or to a function
of (session, argument) that returns one of these. `cut_at` closes the session
after that many octets have been sent, in the middle of whatever it was."""
import contextlib
import select
import socket
import ssl
import struct
import threading
from dataclasses import dataclass, field

CUT = object()
HANG = object()


def stuffed(data):
    """A message as RETR sends it: lines that begin with a dot get another, the
    end is CRLF.CRLF. Only CRLF ends a line, as in RFC 1939."""
    body = data.replace(b"\r\n.", b"\r\n..")
    if body.startswith(b"."):
        body = b"." + body
    return body + (b"" if body.endswith(b"\r\n") else b"\r\n") + b".\r\n"


@dataclass
class Ledger:
    """What one session asked for and got."""
    commands: list = field(default_factory=list)
    retrieved: list = field(default_factory=list)
    deleted: list = field(default_factory=list)
    updated: bool = False
    sent: int = 0
    pipelined: bool = False
    tls: bool = False
    logins: list = field(default_factory=list)

    def verbs(self):
        return [c.split(" ")[0].upper() for c in self.commands]


class Cut(Exception):
    pass


class Session:
    def __init__(self, server, sock):
        self.server, self.sock = server, sock
        self.ledger = Ledger()
        self.user = None
        self.authorized = False
        self.doomed = set()
        self.left = server.cut_at
        self.buffer = b""

    def send(self, data):
        if self.left is not None and len(data) >= self.left:
            self.sock.sendall(data[:self.left])
            self.ledger.sent += self.left
            raise Cut
        if self.server.piece:
            for i in range(0, len(data), self.server.piece):
                self.sock.sendall(data[i:i + self.server.piece])
        else:
            self.sock.sendall(data)
        self.ledger.sent += len(data)
        if self.left is not None:
            self.left -= len(data)

    def line(self):
        while b"\n" not in self.buffer:
            got = self.sock.recv(65536)
            if not got:
                raise Cut
            self.buffer += got
        line, self.buffer = self.buffer.split(b"\n", 1)
        return line.rstrip(b"\r").decode("latin-1")

    def more(self):
        """Bytes wait that are not the connection's end."""
        if isinstance(self.sock, ssl.SSLSocket):
            return self.sock.pending() > 0
        return select.select([self.sock], [], [], 0)[0] and self.sock.recv(1, socket.MSG_PEEK) != b""

    def start_tls(self):
        self.sock = self.server.context.wrap_socket(self.sock, server_side=True)
        self.ledger.tls = True
        self.buffer = b""

    def run(self):
        if self.server.tls == "implicit":
            self.start_tls()
        self.reply("GREETING", "", lambda: b"+OK ready\r\n")
        while True:
            line = self.line()
            self.ledger.commands.append("PASS ***" if line.upper().startswith("PASS") else line)
            verb, _, arg = line.partition(" ")
            verb = verb.upper()
            if self.buffer or self.more():
                self.ledger.pipelined = True
            handler = getattr(self, "do_" + verb.lower(), None)
            self.reply(verb, arg, (lambda: handler(arg)) if handler else lambda: b"-ERR what?\r\n")
            if verb == "STLS" and self.server.tls == "stls" and "STLS" not in self.server.answers:
                self.start_tls()
            if verb == "QUIT":
                return

    def reply(self, verb, arg, proper):
        answers = self.server.answers
        answer = answers.get(f"{verb} {arg}".strip(), answers.get(verb))
        if callable(answer):
            answer = answer(self, arg)
        if answer is None:
            answer = proper()
        if answer is CUT:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            raise Cut
        if answer is HANG:
            self.server.stopping.wait(120)
            raise Cut
        self.send(answer)

    # The commands, done properly.
    def do_capa(self, _):
        caps = list(self.server.caps)
        if self.server.tls == "stls" and not self.ledger.tls and "STLS" not in caps:
            caps.append("STLS")
        return b"".join(b"%s\r\n" % c.encode() for c in ["+OK", *caps, "."])

    def do_stls(self, _):
        return b"+OK begin\r\n" if self.server.tls == "stls" else b"-ERR no\r\n"

    def do_user(self, arg):
        self.user = arg
        return b"+OK\r\n"

    def do_pass(self, arg):
        self.ledger.logins.append((self.user, self.ledger.tls))
        self.authorized = self.server.users.get(self.user) == arg
        if not self.authorized:
            return b"-ERR [AUTH] wrong password\r\n"
        return b"+OK maildrop ready\r\n"

    def _box(self):
        return list(enumerate(self.server.boxes[self.user], 1))

    def do_stat(self, _):
        if not self.authorized:
            return b"-ERR log in first\r\n"
        here = [m for n, m in self._box() if n not in self.doomed]
        return b"+OK %d %d\r\n" % (len(here), sum(len(m.data) for m in here))

    def _listing(self, arg, word):
        if not self.authorized:
            return b"-ERR log in first\r\n"
        rows = [(n, word(m)) for n, m in self._box() if n not in self.doomed]
        if arg:
            row = [r for r in rows if str(r[0]) == arg]
            return f"+OK {row[0][0]} {row[0][1]}\r\n".encode() if row else b"-ERR no such message\r\n"
        return "".join(["+OK\r\n", *(f"{n} {w}\r\n" for n, w in rows), ".\r\n"]).encode()

    def do_list(self, arg):
        return self._listing(arg, lambda m: len(m.data))

    def do_uidl(self, arg):
        return self._listing(arg, lambda m: m.uidl)

    def message(self, arg):
        return dict(self._box()).get(int(arg)) if self.authorized and arg.isdigit() else None

    def do_retr(self, arg):
        m = self.message(arg)
        if not m or int(arg) in self.doomed:
            return b"-ERR no such message\r\n"
        self.ledger.retrieved.append(m.uidl)
        return b"+OK\r\n" + (m.wire if m.wire is not None else stuffed(m.data))

    def do_top(self, arg):
        m = self.message(arg.split(" ")[0])
        return b"+OK\r\n" + stuffed(m.data.split(b"\r\n\r\n")[0] + b"\r\n\r\n") if m else b"-ERR\r\n"

    def do_dele(self, arg):
        m = self.message(arg)
        if not m:
            return b"-ERR no such message\r\n"
        self.doomed.add(int(arg))
        self.ledger.deleted.append(m.uidl)
        return b"+OK\r\n"

    def do_noop(self, _):
        return b"+OK\r\n"

    def do_rset(self, _):
        self.doomed.clear()
        self.ledger.deleted.clear()
        return b"+OK\r\n"

    def do_quit(self, _):
        if self.authorized:
            box = self.server.boxes[self.user]
            box[:] = [m for n, m in enumerate(box, 1) if n not in self.doomed]
        self.ledger.updated = True
        return b"+OK bye\r\n"


class Forgetful(Session):
    """As Courier and Perdition do: whoever takes over after PASS never sees what stood
    behind it in the same packet."""

    def do_pass(self, arg):
        reply = super().do_pass(arg)
        while self.more():
            self.sock.recv(65536)
        self.buffer = b""
        return reply


class Hasty(Session):
    """As WildDuck does where RETRs come in one packet: the answer to the next command goes
    out before the end of the message, and behind QUIT the end never comes."""
    owed = b""

    def run(self):
        try:
            super().run()
        finally:
            self.owed = b""

    def send(self, data):
        data, self.owed = data + self.owed, b""
        super().send(data)

    def reply(self, verb, arg, proper):
        if verb != "RETR" or not (self.buffer or self.more()):
            return super().reply(verb, arg, proper)
        data = proper()
        if data.startswith(b"+OK"):
            super().reply(verb, arg, lambda: data[:-3])
            self.owed = data[-3:]
        else:
            super().reply(verb, arg, lambda: data)

    def do_quit(self, arg):
        reply = super().do_quit(arg)
        self.owed = b""
        return reply

    def do_retr(self, arg):
        reply = super().do_retr(arg)
        if not self.owed or not reply.startswith(b"+OK"):
            return reply
        # Between its own status line and its text comes the end of the one before.
        status, text = reply.split(b"\r\n", 1)
        owed, self.owed = self.owed, b""
        return status + b"\r\n" + owed + text


class HeaderAlone(Session):
    """As mailutils does: the first RETR after TOP of a message gives its header alone."""

    def __init__(self, server, sock):
        super().__init__(server, sock)
        self.topped = set()

    def do_top(self, arg):
        self.topped.add(arg.split(" ")[0])
        return super().do_top(arg)

    def do_retr(self, arg):
        if arg not in self.topped:
            return super().do_retr(arg)
        self.topped.remove(arg)
        return super().do_top(arg + " 0")


class Utf8(Session):
    """As Courier does with what has raw UTF-8 in its header: whoever has not said UTF8
    gets a notice of its own in its place (RFC 6856)."""
    utf8 = False

    def do_utf8(self, _):
        self.utf8 = not self.authorized
        return b"+OK UTF8 enabled\r\n" if self.utf8 else b"-ERR too late\r\n"

    def do_retr(self, arg):
        m = self.message(arg)
        if not m or self.utf8 or m.data.split(b"\r\n\r\n")[0].isascii():
            return super().do_retr(arg)
        self.ledger.retrieved.append(m.uidl)
        return b"+OK\r\n" + stuffed(
            b"From: Mail Delivery Subsystem <postmaster>\r\nSubject: Cannot display Unicode content\r\n"
            b"Mime-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=\"=_1\"\r\n\r\n\r\n--=_1\r\n"
            b"Content-Type: text/plain\r\n\r\nYour reader does not support it.\r\n\r\n--=_1\r\n"
            b"Content-Type: message/global\r\n\r\n" + m.data + b"\r\n--=_1--\r\n")


@dataclass
class Message:
    uidl: str
    data: bytes
    wire: bytes = None  # what RETR sends after +OK, where it is not `data` stuffed


class Pop3Server:
    session = Session

    def __init__(self, users=None, tls="none", cert=None, caps=("UIDL", "TOP", "USER", "PIPELINING"), session=None, nagle=False):
        self.nagle = nagle
        self.session = session or self.session
        self.users = users or {"global": "secret"}
        self.boxes = {u: [] for u in self.users}
        self.tls, self.caps = tls, caps
        self.context = None
        if cert:
            self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.context.load_cert_chain(cert.pem, cert.key)
        self.answers = {}
        self.cut_at = None
        self.piece = None
        self.sessions = []
        self.stopping = threading.Event()
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self.listener.getsockname()[1]
        self._serial = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def put(self, data, user=None, uidl=None, wire=None):
        user = user or next(iter(self.users))
        self._serial += 1
        m = Message(uidl if uidl is not None else f"uid-{self._serial:05d}", data, wire)
        self.boxes[user].append(m)
        return m.uidl

    def left(self, user=None):
        return [m.uidl for m in self.boxes[user or next(iter(self.users))]]

    @property
    def last(self):
        return self.sessions[-1]

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                sock, _ = self.listener.accept()
                threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, not self.nagle)
        session = self.session(self, sock)
        self.sessions.append(session.ledger)
        with contextlib.suppress(Cut, OSError, ssl.SSLError):
            session.run()
        with contextlib.suppress(OSError):
            session.sock.close()

    def close(self):
        self.stopping.set()
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)  # wakes the thread that accepts
        self.listener.close()
