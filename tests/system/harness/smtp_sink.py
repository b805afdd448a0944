"""A next hop with a ledger, and bad manners on request.

`answers` maps "GREETING", "EHLO", "MAIL", "RCPT", "RCPT <address>", "DATA",
"EOD" (the reply after the final dot, or after BDAT LAST), "QUIT" to a reply
line, to CUT, HANG, or to a list of these, of which one is used up each time."""
import contextlib
import re
import socket
import threading
from dataclasses import dataclass

CUT = object()
HANG = object()


@dataclass
class Mail:
    sender: str
    parameters: str
    recipients: list
    data: bytes
    session: int


class Gone(Exception):
    pass


class Talk:
    def __init__(self, sink, sock, number):
        self.sink, self.sock, self.number = sink, sock, number
        self.buffer = b""
        self.done = False
        self.reset()

    def reset(self):
        self.sender, self.parameters, self.recipients, self.chunks = None, "", [], b""

    def fill(self):
        got = self.sock.recv(262144)
        if not got:
            raise Gone
        self.buffer += got

    def line(self):
        while b"\r\n" not in self.buffer:
            self.fill()
        line, self.buffer = self.buffer.split(b"\r\n", 1)
        self.sink.commands.append(line.decode("latin-1"))
        return line.decode("latin-1")

    def say(self, key, proper, *more):
        """True when the answer is a success."""
        reply = self.sink.answer(key, *more)
        if reply is None:
            reply = proper
        if reply is CUT:
            raise Gone
        if reply is HANG:
            self.sink.stopping.wait(120)
            raise Gone
        self.sock.sendall(reply.encode("latin-1") + b"\r\n")
        if reply.startswith("421"):
            raise Gone
        return reply[0] in "23"

    def run(self):
        self.say("GREETING", "220 sink.test ESMTP")
        while True:
            line = self.line()
            verb = line.split(" ")[0].upper()
            if verb in ("EHLO", "LHLO"):
                self.reset()
                names = ["sink.test", *self.sink.extensions]
                self.say("EHLO", "\r\n".join(f"250{'-' if i + 1 < len(names) else ' '}{n}" for i, n in enumerate(names)))
            elif verb == "HELO":
                self.say("HELO", "250 sink.test")
            elif verb == "MAIL":
                m = re.match(r"MAIL FROM:<(.*?)>\s*(.*)$", line, re.I)
                if self.sink.once and self.done:
                    self.sock.sendall(b"503 5.5.1 out of order\r\n")
                    continue
                if self.sink.refuse and self.sink.refuse[0] in line:
                    self.sock.sendall(self.sink.refuse[1].encode() + b"\r\n")
                    continue
                if self.say("MAIL", "250 2.1.0 ok" if m else "501 5.5.4 bad"):
                    self.sender, self.parameters = m[1], m[2]
            elif verb == "RCPT":
                m = re.match(r"RCPT TO:<(.*?)>\s*(.*)$", line, re.I)
                address = m[1] if m else ""
                if self.say(f"RCPT {address}", "250 2.1.5 ok" if m and self.sender is not None else "503 5.5.1 no", "RCPT"):
                    self.recipients.append(address)
            elif verb == "DATA":
                self.data()
            elif verb == "BDAT":
                self.bdat(line)
            elif verb == "RSET":
                self.reset()
                self.say("RSET", "250 2.0.0 ok")
            elif verb == "NOOP":
                self.say("NOOP", "250 2.0.0 ok")
            elif verb == "QUIT":
                self.say("QUIT", "221 2.0.0 bye")
                return
            else:
                self.say(verb, "502 5.5.1 no")

    def data(self):
        if not self.recipients:
            self.say("DATA", "554 5.5.1 no valid recipients")
            return
        if not self.say("DATA", "354 go ahead"):
            return
        while not (self.buffer.startswith(b".\r\n") or b"\r\n.\r\n" in self.buffer):
            self.fill()
        if self.sink.swallow and not self.buffer.endswith(b"\r\n.\r\n"):
            self.sink.swallowed += 1
            raise Gone  # it waits for an end that came already, and gives up
        if self.buffer.startswith(b".\r\n"):
            body, self.buffer = b"", self.buffer[3:]
        else:
            body, self.buffer = self.buffer.split(b"\r\n.\r\n", 1)
            body += b"\r\n"
        body = re.sub(rb"(\A|\r\n)\.", rb"\1", body)
        self.end(body)

    def bdat(self, line):
        words = line.split()
        size = int(words[1])
        while len(self.buffer) < size:
            self.fill()
        self.chunks += self.buffer[:size]
        self.buffer = self.buffer[size:]
        if not self.recipients:
            self.say("BDAT", "503 5.5.1 no valid recipients")
        elif words[-1].upper() == "LAST":
            self.end(self.chunks)
        else:
            self.say("BDAT", "250 2.0.0 ok")

    def end(self, body):
        if self.sink.lmtp:
            taken = [r for r in self.recipients if self.say(f"EOD {r}", "250 2.0.0 stored", "EOD")]
        else:
            taken = self.recipients if self.say("EOD", "250 2.0.0 stored") else []
        if taken:
            self.done = True
            self.sink.keep(Mail(self.sender, self.parameters, taken, body, self.number))
        self.reset()


class SmtpSink:
    def __init__(self, lmtp=False, extensions=("PIPELINING", "8BITMIME", "ENHANCEDSTATUSCODES", "SIZE 104857600")):
        self.lmtp, self.extensions = lmtp, list(extensions)
        self.answers, self.mails, self.commands = {}, [], []
        self.sessions = 0
        self.once = self.swallow = False  # one message a connection; no pipelining past the dot
        self.swallowed = 0
        self.refuse = None  # (what stands in MAIL, the reply to it)
        self.lock = threading.Condition()
        self.stopping = threading.Event()
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self.listener.getsockname()[1]
        self.route = f"{'lmtp' if lmtp else 'smtp'}:127.0.0.1:{self.port}"
        threading.Thread(target=self._accept, daemon=True).start()

    def answer(self, *keys):
        with self.lock:
            for key in keys:
                reply = self.answers.get(key)
                if isinstance(reply, list):
                    reply = reply.pop(0) if reply else None
                if reply is not None:
                    return reply
        return None

    def keep(self, mail):
        with self.lock:
            self.mails.append(mail)
            self.lock.notify_all()

    def wait(self, count, seconds=15):
        """The ledger, once it holds `count` mails."""
        with self.lock:
            assert self.lock.wait_for(lambda: len(self.mails) >= count, seconds), \
                f"{len(self.mails)} of {count} mails came; said to the sink: {self.commands[-20:]}"
            return list(self.mails)

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                sock, _ = self.listener.accept()
                self.sessions += 1
                threading.Thread(target=self._serve, args=(sock, self.sessions), daemon=True).start()

    def _serve(self, sock, number):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with contextlib.suppress(Gone, OSError):
            Talk(self, sock, number).run()
        sock.close()

    def close(self):
        self.stopping.set()
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)  # wakes the thread that accepts
        self.listener.close()
