"""The POP3 server with AUTH and APOP: what was proved how, and whether over TLS."""
import base64
import hashlib
import hmac
from dataclasses import dataclass

from .pop3_server import Pop3Server, Session

MECHANISMS = ("PLAIN", "LOGIN", "CRAM-MD5", "XOAUTH2", "OAUTHBEARER")
TIMESTAMP = b"<1896.697170952@dbc.mtview.ca.us>"
REASON = b'{"status":"invalid_token","scope":"pop"}'


@dataclass
class Proof:
    """What a client said to be let in; secret is what could be read of it."""
    mechanism: str
    user: str
    secret: str
    tls: bool
    good: bool


class AuthSession(Session):
    def __init__(self, server, sock):
        super().__init__(server, sock)
        self.ledger.proofs = []
        self.ledger.answers = []  # to a reason

    def ask(self, challenge=b""):
        self.send(b"+ " + base64.b64encode(challenge) + b"\r\n")
        line = self.line()
        self.ledger.commands.append(f"(answer of {len(line)})")
        return line

    def settle(self, mechanism, user, secret, good):
        self.ledger.proofs.append(Proof(mechanism, user, secret, self.ledger.tls, good))
        self.user, self.authorized = user, good
        return b"+OK in\r\n" if good else b"-ERR [AUTH] wrong password\r\n"

    def do_pass(self, arg):
        self.ledger.logins.append((self.user, self.ledger.tls))
        return self.settle("USER", self.user, arg, self.server.users.get(self.user) == arg)

    def do_apop(self, arg):
        user, _, digest = arg.rpartition(" ")
        want = hashlib.md5(TIMESTAMP + self.server.users.get(user, "").encode()).hexdigest()
        return self.settle("APOP", user, digest, digest == want)

    def do_capa(self, _):
        lines = super().do_capa(_)
        offered = self.server.mechanisms
        return lines[:-3] + (b"SASL %s\r\n" % " ".join(offered).encode() if offered else b"") + b".\r\n"

    def do_auth(self, arg):
        mechanism, _, initial = arg.partition(" ")
        mechanism = mechanism.upper()
        if mechanism not in (self.server.accepts or self.server.mechanisms):
            return b"-ERR unknown mechanism\r\n"
        return getattr(self, "auth_" + mechanism.lower().replace("-", "_"))(initial)

    def auth_plain(self, initial):
        _, user, password = base64.b64decode(initial or self.ask()).decode().split("\0")
        return self.settle("PLAIN", user, password, self.server.users.get(user) == password)

    def auth_login(self, initial):
        assert not initial
        user = base64.b64decode(self.ask(b"User Name")).decode()
        password = base64.b64decode(self.ask(b"Password")).decode()
        return self.settle("LOGIN", user, password, self.server.users.get(user) == password)

    def auth_cram_md5(self, initial):
        assert not initial
        user, _, digest = base64.b64decode(self.ask(TIMESTAMP)).decode().rpartition(" ")
        want = hmac.new(self.server.users.get(user, "").encode(), TIMESTAMP, "md5").hexdigest()
        return self.settle("CRAM-MD5", user, digest, digest == want)

    def token(self, mechanism, user, token, good):
        reply = self.settle(mechanism, user, token, good)
        if good:
            return reply
        if self.server.reason is not None:
            self.ledger.answers.append(self.ask(self.server.reason(token)))
        return self.server.refusal(token)

    def auth_xoauth2(self, initial):
        assert not initial, "a token in the command"
        user, bearer, end, more = base64.b64decode(self.ask()).decode().split("\1")
        assert user.startswith("user=") and bearer.startswith("auth=Bearer ") and end == more == ""
        token = bearer[12:]
        return self.token("XOAUTH2", user[5:], token, token in self.server.tokens)

    def auth_oauthbearer(self, initial):
        assert not initial, "a token in the command"
        head, host, port, bearer, end, more = base64.b64decode(self.ask()).decode().split("\1")
        assert head.startswith("n,a=") and head.endswith(",") and end == more == ""
        assert host in ("host=127.0.0.1", "host=localhost") and port == f"port={self.server.port}"
        token = bearer.removeprefix("auth=Bearer ")
        return self.token("OAUTHBEARER", head[4:-1], token, token in self.server.tokens)


class AuthServer(Pop3Server):
    session = AuthSession

    def __init__(self, mechanisms=MECHANISMS, accepts=None, tokens=(), timestamp=TIMESTAMP, **more):
        self.mechanisms, self.accepts, self.tokens = mechanisms, accepts, set(tokens)
        self.reason = lambda token: REASON
        self.refusal = lambda token: b"-ERR [AUTH] token refused\r\n"
        super().__init__(**more)
        self.answers["GREETING"] = b"+OK ready " + timestamp + b"\r\n"

    def proofs(self):
        return [p for s in self.sessions for p in s.proofs]

    def silent(self):
        """Nothing that proves anything was said to it."""
        return not self.proofs() and not {"PASS", "APOP", "AUTH"} & {v for s in self.sessions for v in s.verbs()}
