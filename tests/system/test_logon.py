"""Logging in: every mechanism over every connection, nothing weaker than
configured, no secret before verified TLS, and none of it written down anywhere."""
import base64
import json
import subprocess

import pytest
from harness.dovecot import jwt
from harness.message import message
from harness.postern import BAD_CONFIG, DONE, FAILED

PASSWORD = "canary-pass-8Rk2vq"
TOKEN = "ya29.canary-token-Zx81kQ"
BY_PASSWORD = ["user", "plain", "login", "cram-md5", "apop"]
BY_TOKEN = ["xoauth2", "oauthbearer"]
WAYS = {"none": "none", "starttls": "stls", "implicit": "implicit"}


def encoded(secret):
    """The secret in base64, wherever in a longer text it begins."""
    for before, unsure in ((0, 0), (1, 2), (2, 3)):
        yield base64.b64encode(b"x" * before + secret.encode()).decode().rstrip("=")[unsure:-1]


@pytest.fixture
def world(pt, pop3_sasl, certs):
    return World(pt, pop3_sasl, certs)


class World:
    """One account at one server."""

    def __init__(self, pt, pop3_sasl, certs):
        self.pt, self.make, self.certs = pt, pop3_sasl, certs

    def open(self, auth, way="none", password=PASSWORD, token=None, cert=None, server=None, **more):
        pt = self.pt
        pt.conf["log"] = {"level": 3}
        if server is None:
            server = self.make(users={"global": PASSWORD}, tls=WAYS[way], cert=cert or self.certs.good,
                               tokens=[TOKEN], **more)
        self.server = server
        server.put(message())
        entry = {"auth": auth, "tls": way, "server": f"localhost:{server.port}"}
        if way != "none":
            entry["tls_ca"] = str(self.certs.ca.pem)
        pt.account("contoso", server.port, password=password, **entry)
        self.entry = pt.conf["accounts"]["contoso"]
        if token is not None:
            del self.entry["password"]
            self.entry["token"] = token
        elif auth in BY_TOKEN:
            del self.entry["password"]
            self.entry["token"] = {"file": self.file("token", TOKEN)}
        return server

    def file(self, name, text, mode=0o600):
        p = self.pt.dir / name
        p.write_text(text + "\n")
        p.chmod(mode)
        return str(p)

    def command(self, *lines):
        """A token command that says these lines one run after the other, then the last
        one for ever; "!" fails. And the file that counts its runs."""
        count = self.pt.dir / "count"
        for i, line in enumerate(lines):
            self.file(f"token-{i}", line)
        p = self.pt.dir / "mytoken"
        p.write_text(f"""#!/bin/sh
echo run >> {count}
n=$(($(wc -l < {count}) - 1))
[ $n -lt {len(lines)} ] || n={len(lines) - 1}
read -r line < {self.pt.dir}/token-$n
[ "$line" != "!" ] || {{ echo {TOKEN}; exit 3; }}
echo "$line"
""")
        p.chmod(0o700)
        return {"command": [str(p)]}

    def runs(self):
        p = self.pt.dir / "count"
        return len(p.read_text().splitlines()) if p.exists() else 0

    def once(self, status=DONE):
        result = self.pt.run("once", "--json").expect(status)
        self.said = result.out + result.err
        return result

    def event(self, number):
        [event] = self.pt.events(number)
        return event

    def numbers(self):
        return [e["id"] for e in self.pt.events()]

    def lies_about(self, text):
        """The files of the state directory that hold it."""
        return [p for p in self.pt.state.rglob("*") if p.is_file() and text.encode() in p.read_bytes()]

    def nothing_lies_about(self, *secrets):
        """Not in what was said, and not in any file of the state directory."""
        said = self.said + self.pt.run("events", "--json").out + self.pt.run("trace", "--json", "x").out
        for secret in (PASSWORD, TOKEN, *secrets):
            for form in (secret, *encoded(secret)):
                assert form not in said
                assert not self.lies_about(form), f"{form} is in {self.lies_about(form)}"


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("auth", BY_PASSWORD + BY_TOKEN)
def test_every_mechanism_over_every_connection(world, auth, way):
    server = world.open(auth, way)
    if (auth, way) == ("apop", "starttls"):
        # Its timestamp came in clear: anybody may have chosen it.
        world.once(FAILED)
        assert "greeting comes in clear" in world.event(4003)["text"]
        assert server.silent() and len(server.left()) == 1
        return
    world.once()
    assert len(world.pt.drop()) == 1 and server.left() == []
    assert [(p.mechanism, p.user, p.tls, p.good) for p in server.proofs()] == \
        [(auth.upper(), "global", way != "none", True)]
    world.nothing_lies_about()
    # The record of the session has the words, without the secret.
    said = {"user": "C: PASS ***", "plain": "C: AUTH PLAIN ***", "apop": "C: APOP global ***"}
    assert world.lies_about(said.get(auth, f"C: AUTH {auth.upper()}\n"))


@pytest.mark.parametrize("way", WAYS)
def test_auto(world, way):
    server = world.open("auto", way)
    world.once()
    assert [p.mechanism for p in server.proofs()] == ["USER" if way == "none" else "PLAIN"]


@pytest.mark.parametrize("offers, takes", [
    (("PLAIN", "XOAUTH2", "OAUTHBEARER"), "OAUTHBEARER"), (("PLAIN", "XOAUTH2"), "XOAUTH2"), ((), "XOAUTH2")])
def test_auto_with_a_token(world, offers, takes):
    server = world.open("auto", "implicit", token={"env": "POP_TOKEN"}, mechanisms=offers, accepts=(takes,))
    world.pt.once(env={"POP_TOKEN": TOKEN})
    assert [p.mechanism for p in server.proofs()] == [takes]


@pytest.mark.parametrize("way", ["none", "implicit"])
@pytest.mark.parametrize("auth", BY_PASSWORD)
def test_wrong_password(world, auth, way):
    server = world.open(auth, way, password="canary-wrong-Yb5w")
    world.once(FAILED)
    assert "[AUTH] wrong password" in world.event(4003)["text"]
    assert [p.good for p in server.proofs()] == [False], "asked once, and by one mechanism"
    assert len(server.left()) == 1 and world.pt.drop() == []
    world.nothing_lies_about("canary-wrong-Yb5w")


@pytest.mark.parametrize("auth, offers", [
    ("cram-md5", ("PLAIN",)), ("cram-md5", ("LOGIN", "PLAIN", "NTLM")), ("login", ("PLAIN",)),
    ("plain", ("CRAM-MD5",)), ("plain", ("NTLM",)), ("xoauth2", ("PLAIN", "OAUTHBEARER")),
    ("oauthbearer", ("PLAIN", "XOAUTH2")), ("auto", ("NTLM", "GSSAPI"))])
@pytest.mark.parametrize("way", ["none", "implicit"])
def test_no_downgrade(world, auth, offers, way):
    server = world.open(auth, way, mechanisms=offers, caps=("UIDL", "TOP"))
    world.once(FAILED)
    text = world.event(4003)["text"]
    assert "does not offer" in text or "no way to log on" in text
    assert server.silent()


@pytest.mark.parametrize("auth", ["cram-md5", "login", "xoauth2"])
def test_refused_mechanism_is_not_replaced(world, auth):
    """It is in the list, or there is no list, and then it is unknown."""
    server = world.open(auth, mechanisms=(), accepts=("PLAIN",))
    world.once(FAILED)
    assert "unknown mechanism" in world.event(4003)["text"]
    assert server.proofs() == []


@pytest.mark.parametrize("timestamp", [b"", b"<>", b"<no at>", b"<a\x80\x81@b.c>", b"<two words@b.c>", b"<a@b@c>"])
def test_apop_wants_a_timestamp_nobody_chose(world, timestamp):
    """CVE-2007-1558."""
    server = world.open("apop", timestamp=timestamp)
    world.once(FAILED)
    assert "timestamp" in world.event(4003)["text"] and server.silent()


@pytest.mark.parametrize("auth", BY_PASSWORD + BY_TOKEN)
@pytest.mark.parametrize("how", ["no STLS", "wrong certificate"])
def test_nothing_before_verified_tls(world, auth, how):
    server = world.make(users={"global": PASSWORD}, tls="none" if how == "no STLS" else "stls",
                        cert=world.certs.strange)
    world.open(auth, "starttls", server=server)
    world.once(FAILED)
    assert {8003, 8004} & set(world.numbers())
    assert server.silent() and not any("USER" in s.verbs() for s in server.sessions)


@pytest.mark.parametrize("auth", ["plain", "login", "cram-md5", "xoauth2", "oauthbearer"])
def test_endless_continuation(world, auth):
    server = world.open(auth)
    lines = []

    def endless(session, _):
        while True:
            session.send(b"+ " + base64.b64encode(b'{"status":"400"}') + b"\r\n")
            lines.append(session.line())
    server.answers["AUTH"] = endless
    world.once(FAILED)
    assert "asks" in world.event(4005)["text"] and len(lines) <= 5
    assert len(server.sessions) == 1


@pytest.mark.parametrize("auth", ["user", "plain", "xoauth2"])
@pytest.mark.parametrize("code, number", [
    ("[AUTH] no", 4003), ("no", 4003), ("[IN-USE] locked", 4004), ("[LOGIN-DELAY] wait", 4004),
    ("[SYS/TEMP] later", 4002)])
def test_refusal_codes(world, auth, code, number):
    token = world.command(TOKEN) if auth == "xoauth2" else None
    server = world.open(auth, token=token)
    server.tokens.clear()
    server.refusal = lambda _: f"-ERR {code}\r\n".encode()
    server.answers["PASS" if auth == "user" else "AUTH PLAIN"] = server.refusal("")
    if auth == "plain":
        server.answers["AUTH"] = server.refusal("")
    world.once(FAILED)
    assert code.split("]")[0] in world.event(number)["text"]
    # Only a token that is no good is a reason to ask for another.
    assert world.runs() == (0 if auth != "xoauth2" else 2 if number == 4003 else 1)


@pytest.mark.parametrize("auth", BY_TOKEN)
def test_expired_token_is_asked_for_again(world, auth):
    expired = "canary-expired-Qw7"
    server = world.open(auth, "implicit", token=world.command(expired, TOKEN))
    world.once()
    assert [(p.secret, p.good) for p in server.proofs()] == [(expired, False), (TOKEN, True)]
    assert len(server.sessions) == 1, "in one session"
    assert server.last.answers == ["" if auth == "xoauth2" else "AQ=="]
    assert world.runs() == 2 and len(world.pt.drop()) == 1
    assert world.event(8007)["account"] == "contoso"
    assert not {8008, 4003} & set(world.numbers())
    world.nothing_lies_about(expired)


@pytest.mark.parametrize("auth", BY_TOKEN)
@pytest.mark.parametrize("reason", [True, False])
def test_token_refused_twice(world, auth, reason):
    server = world.open(auth, token=world.command("canary-first-Aa1", "canary-second-Bb2", TOKEN))
    if not reason:
        server.reason = None
    world.once(FAILED)
    assert [p.secret for p in server.proofs()] == ["canary-first-Aa1", "canary-second-Bb2"]
    failed, refused = world.event(8008), world.event(4003)
    for event in (failed, refused):
        assert "token refused" in event["text"] and ("invalid_token" in event["text"]) == reason
    assert world.runs() == 2 and world.pt.drop() == []
    world.nothing_lies_about("canary-first-Aa1", "canary-second-Bb2")


def test_token_command_fails(world):
    server = world.open("xoauth2", token=world.command("!"))
    world.once(FAILED)
    assert "failed with status 3" in world.event(8008)["text"]
    assert "failed with status 3" in world.event(4003)["text"]
    assert server.silent()
    world.nothing_lies_about()


def test_token_command_fails_the_second_time(world):
    server = world.open("xoauth2", token=world.command("canary-first-Aa1", "!"))
    world.once(FAILED)
    assert "failed with status 3" in world.event(8008)["text"]
    assert "token refused" in world.event(4003)["text"]
    assert len(server.proofs()) == 1


def test_what_is_no_token_is_not_sent(world):
    server = world.open("xoauth2", token=world.command("Error: please log in at https://x.test/"))
    world.once(FAILED)
    assert "no token" in world.event(8008)["text"] and server.silent()


def test_token_in_a_file_is_read_again(world):
    """Once more only when it has changed in the meantime."""
    server = world.open("xoauth2", token={"file": world.file("token", "canary-old-Cc3")})
    world.once(FAILED)
    assert "still the same" in world.event(8008)["text"] and len(server.proofs()) == 1

    def renewed(token):
        world.file("token", TOKEN)
        return b"-ERR [AUTH] token refused\r\n"
    server.refusal = renewed
    world.once()
    assert [p.secret for p in server.proofs()][1:] == ["canary-old-Cc3", TOKEN]
    assert 8007 in world.numbers()


@pytest.mark.parametrize("auth", BY_TOKEN)
@pytest.mark.parametrize("way", ["none", "implicit"])
def test_token_of_16_kilobytes(world, auth, way):
    long = ("0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_" * 256)[:16384]
    server = world.open(auth, way, token=world.command(long))
    server.tokens.add(long)
    world.once()
    assert [p.secret for p in server.proofs()] == [long] and len(world.pt.drop()) == 1
    world.file("token-0", long + "x")
    server.put(message())
    world.once(FAILED)
    assert "16384" in world.event(8008)["text"] and len(server.proofs()) == 1


@pytest.mark.parametrize("auth", BY_TOKEN + ["user", "plain", "login"])
def test_server_that_repeats_the_secret(world, auth):
    secret = "canary-refused-token-Dd4" if auth in BY_TOKEN else PASSWORD
    server = world.open(auth, token=world.command(secret) if auth in BY_TOKEN else None)
    server.reason = lambda token: json.dumps({"token": token}).encode()
    server.refusal = lambda token: f"-ERR cannot take {token}\r\n".encode()
    server.users["global"] = "another"

    class Repeats(server.session):
        def settle(self, mechanism, user, given, good):
            super().settle(mechanism, user, given, good)
            return server.refusal(given)
    server.session = Repeats
    world.once(FAILED)
    assert "repeats the secret" in world.event(4003)["text"]
    world.nothing_lies_about(secret)


def pin(cert):
    """What `openssl` says the pin is."""
    der = subprocess.run(f"openssl x509 -in {cert.pem} -pubkey -noout | openssl pkey -pubin -outform der"
                         " | openssl dgst -sha256 -binary", shell=True, check=True, capture_output=True).stdout
    return "sha256//" + base64.b64encode(der).decode()


# certificate of the server, certificate pinned, is tls_ca set; the event, None: it works
PINS = [
    ("strange", "strange", False, None), ("wrong_name", "wrong_name", False, None), ("good", "good", True, None),
    ("good", "strange", False, 8005), ("good", "strange", True, 8005), ("strange", "good", False, 8005),
    ("strange", "strange", True, 8004), ("expired", "expired", True, 8004),
]


@pytest.mark.parametrize("way", ["starttls", "implicit"])
@pytest.mark.parametrize("has, pinned, ca, number", PINS)
def test_pins(world, way, has, pinned, ca, number):
    server = world.open("auto", way, cert=getattr(world.certs, has))
    world.entry["tls_pin"] = pin(getattr(world.certs, pinned))
    if not ca:
        del world.entry["tls_ca"]
    if number is None:
        world.once()
        assert len(world.pt.drop()) == 1 and [p.tls for p in server.proofs()] == [True]
        return
    world.once(FAILED)
    event = world.event(number)
    assert server.silent() and len(server.left()) == 1
    if number == 8005:
        assert pin(getattr(world.certs, has)) in event["text"], "the key it has now"


def test_two_pins_for_a_change_of_key(world):
    server = world.open("auto", "implicit")
    del world.entry["tls_ca"]
    world.entry["tls_pin"] = f"{pin(world.certs.strange)}; {pin(world.certs.good)}"
    world.once()
    assert server.left() == []


def check(pt, **entry):
    pt.account("contoso", 0, server="pop.isp.test", tls="implicit", **entry)
    if "token" in entry:
        del pt.conf["accounts"]["contoso"]["password"]
    return pt.run("check")


def test_check_knows_what_belongs_together(pt):
    assert '"token" is missing' in check(pt, auth="xoauth2").expect(BAD_CONFIG).out
    assert "has no use" in check(pt, auth="plain", token={"env": "T"}).expect(BAD_CONFIG).out
    assert "sha256//" in check(pt, tls_pin="sha256//short").expect(BAD_CONFIG).out
    missing = check(pt, auth="xoauth2", token={"file": str(pt.dir / "none")}).expect(BAD_CONFIG).out
    assert "account contoso" in missing and "the token is read from there" in missing
    check(pt, auth="xoauth2", token={"command": ["/bin/false"]}).expect(DONE)


def test_check_online_logs_on(world):
    server = world.open("oauthbearer", "implicit", token=world.command("canary-expired-Qw7", TOKEN))
    world.pt.run("check", "--online").expect(DONE)
    assert [p.good for p in server.proofs()] == [False, True] and len(server.left()) == 1
    server.tokens.clear()
    said = world.pt.run("check", "--online").expect(FAILED)
    assert "token refused" in said.out and TOKEN not in said.out + said.err


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("auth", ["auto", "user", "plain", "login", "cram-md5", "apop"])
def test_dovecot(pt, dovecot, certs, auth, way):
    server = dovecot(["global"], certs=certs, mechanisms="plain login cram-md5 apop")
    server.put("global", message().replace(b"\r\n", b"\n"))
    server.start()
    port = server.tls_port if way == "implicit" else server.port
    more = {} if way == "none" else {"tls_ca": str(certs.ca.pem)}
    pt.account("contoso", 0, server=f"localhost:{port}", tls=way, auth=auth, **more)
    if (auth, way) == ("apop", "starttls"):
        pt.once(status=FAILED)
        assert len(server.messages("global")) == 1
        return
    pt.once()
    assert len(pt.drop()) == 1 and server.messages("global") == []
    word = {"user": "PLAIN", "auto": "PLAIN"}.get(auth, auth.upper())
    assert f"method={word}" in server.log()


def test_dovecot_refuses(pt, dovecot, certs):
    server = dovecot(["global"], certs=certs, mechanisms="plain login cram-md5 apop")
    server.start()
    for auth in BY_PASSWORD:
        pt.account(auth, server.port, password="wrong", auth=auth)
    pt.once(status=FAILED)
    assert sorted(e["account"] for e in pt.events(4003)) == sorted(BY_PASSWORD)


@pytest.mark.parametrize("auth", BY_TOKEN + ["auto"])
def test_dovecot_takes_a_token(world, dovecot, auth):
    """One that expired, then one that did not."""
    server = dovecot(["global"], certs=world.certs, mechanisms="plain xoauth2 oauthbearer", oauth=True)
    server.put("global", message().replace(b"\r\n", b"\n"))
    server.start()
    expired, fresh = jwt("global", -600), jwt("global")
    world.pt.conf["log"] = {"level": 3}
    world.pt.account("contoso", 0, server=f"localhost:{server.tls_port}", tls="implicit", auth=auth,
                     tls_ca=str(world.certs.ca.pem), token=world.command(expired, fresh))
    world.entry = world.pt.conf["accounts"]["contoso"]
    del world.entry["password"]
    world.once()
    assert len(world.pt.drop()) == 1 and server.messages("global") == []
    assert world.runs() == 2 and 8007 in world.numbers()
    assert f"method={'OAUTHBEARER' if auth == 'auto' else auth.upper()}" in server.log()
    world.nothing_lies_about(expired, fresh)
