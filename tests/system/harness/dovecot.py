"""A private Dovecot: POP3 (plain, STLS, implicit TLS) and LMTP on free ports, as
an ordinary process below one short directory. Works as root and as any user."""
import base64
import contextlib
import getpass
import grp
import hmac
import json
import os
import pwd
import shutil
import socket
import subprocess
import time
from pathlib import Path

from . import net

PROGRAM = shutil.which("dovecot", path="/usr/sbin:/usr/local/sbin:/usr/bin")
PASSWORD = "secret"
JWT_KEY = b"a key for nothing but tests, 32 octets and more"


def missing():
    """Why there can be no Dovecot here, or None."""
    if not PROGRAM:
        return "dovecot is not installed"
    for protocol in ("pop3", "lmtp"):
        if not Path(f"/usr/lib/dovecot/{protocol}").exists():
            return f"dovecot-{protocol}d is not installed"
    return None


def jwt(user, seconds=3600):
    """An access token that expires in so many seconds."""
    def part(data):
        return base64.urlsafe_b64encode(data).rstrip(b"=")
    now = int(time.time())
    head = part(json.dumps({"alg": "HS256", "typ": "JWT"}).encode())
    body = part(json.dumps({"sub": user, "iat": now - 7200, "nbf": now - 7200, "exp": now + seconds}).encode())
    return b".".join((head, body, part(hmac.digest(JWT_KEY, head + b"." + body, "sha256")))).decode()


class Dovecot:
    def __init__(self, users, certs=None, lmtp=False, mechanisms="plain", oauth=False):
        self.dir = net.short_dir("dc-")
        self.users = list(users)
        self.certs = certs
        self.lmtp, self.mechanisms, self.oauth = lmtp, mechanisms, oauth
        self.port, self.tls_port, self.lmtp_port = net.free_port(), net.free_port(), net.free_port()
        self.lmtp_socket = self.dir / "lmtp"
        root = os.geteuid() == 0
        owner = pwd.getpwnam("nobody") if root else pwd.getpwuid(os.geteuid())
        self.uid, self.gid = owner.pw_uid, owner.pw_gid
        self.inner = "" if root else (
            f"default_internal_user = {getpass.getuser()}\n"
            f"default_login_user = {getpass.getuser()}\n"
            f"default_internal_group = {grp.getgrgid(os.getegid()).gr_name}\n")
        self.proc = None
        self._serial = 0
        for u in self.users:
            for sub in ("cur", "new", "tmp"):
                self._own_dirs(self.dir / "mail" / u / sub)
        self._write()

    def _own_dirs(self, d):
        d.mkdir(parents=True, exist_ok=True)
        if os.geteuid() == 0:
            for p in (d, d.parent, d.parent.parent):
                os.chown(p, self.uid, self.gid)

    def _write(self):
        d = self.dir
        (d / "run").mkdir()
        (d / "users").write_text("".join(f"{u}:{{PLAIN}}{PASSWORD}\n" for u in self.users))
        (d / "users").chmod(0o644)
        tls = (f"ssl = yes\nssl_cert = <{self.certs.good.pem}\nssl_key = <{self.certs.good.key}\n"
               if self.certs else "ssl = no\n")
        chroot = "" if os.geteuid() == 0 else "chroot =\n"
        (d / "dovecot.conf").write_text(f"""
base_dir = {d}/run
state_dir = {d}/run
log_path = {d}/log
protocols = pop3{' lmtp' if self.lmtp else ''}
listen = 127.0.0.1
hostname = dovecot.test
postmaster_address = postmaster@contoso.test
disable_plaintext_auth = no
auth_mechanisms = {self.mechanisms}
auth_username_format = %Ln
auth_failure_delay = 0
first_valid_uid = 1
first_valid_gid = 1
mail_location = maildir:{d}/mail/%n
mail_fsync = never
maildir_very_dirty_syncs = yes
pop3_no_flag_updates = yes
mail_max_userip_connections = 0
{self.inner}{tls}{self._oauth() if self.oauth else ""}
passdb {{
  driver = passwd-file
  args = username_format=%n {d}/users
}}
userdb {{
  driver = static
  args = uid={self.uid} gid={self.gid} home={d}/mail/%n
}}
service anvil {{
  {chroot}}}
service stats {{
  {chroot}}}
service pop3-login {{
  {chroot}  service_count = 0
  inet_listener pop3 {{
    address = 127.0.0.1
    port = {self.port}
  }}
  inet_listener pop3s {{
    address = 127.0.0.1
    port = {self.tls_port if self.certs else 0}
    ssl = yes
  }}
}}
service pop3 {{
  service_count = 1000
}}
""" + (f"""
service lmtp {{
  {chroot}  unix_listener {self.lmtp_socket} {{
    mode = 0666
  }}
  inet_listener lmtp {{
    address = 127.0.0.1
    port = {self.lmtp_port}
  }}
}}
""" if self.lmtp else ""))

    def _oauth(self):
        """Tokens are JWT that Dovecot judges by itself."""
        key = self.dir / "keys" / "default" / "HS256" / "default"
        key.parent.mkdir(parents=True)
        key.write_bytes(base64.b64encode(JWT_KEY))
        for p in (key, key.parent, key.parent.parent, key.parent.parent.parent):
            p.chmod(0o755)
        (self.dir / "oauth2").write_text(
            f"introspection_mode = local\nlocal_validation_key_dict = fs:posix:prefix={self.dir}/keys/\n"
            "username_attribute = sub\n")
        return f"""
passdb {{
  driver = oauth2
  mechanisms = xoauth2 oauthbearer
  args = {self.dir}/oauth2
}}
"""

    @staticmethod
    def login(user):
        return user

    def put(self, user, data, link=None):
        """One more message in the user's mailbox: these bytes as they are, or a
        link to a file that has CRLF at each end of line, so that its size is known."""
        self._serial += 1
        box = self.dir / "mail" / user
        size = f",S={link.stat().st_size},W={link.stat().st_size}" if link else ""
        p = box / "cur" / f"{1700000000 + self._serial}.M{self._serial:07d}.test{size}:2,"
        if link:
            os.link(link, p)
        else:
            p.write_bytes(data)
        if os.geteuid() == 0:
            os.chown(p, self.uid, self.gid)
        return p

    def empty(self, user):
        """As if the mailbox had just been made."""
        box = self.dir / "mail" / user
        shutil.rmtree(box)
        for sub in ("cur", "new", "tmp"):
            self._own_dirs(box / sub)

    def messages(self, user):
        """The files now in the user's mailbox, oldest first."""
        box = self.dir / "mail" / user
        return sorted([*(box / "cur").iterdir(), *(box / "new").iterdir()])

    def start(self):
        out = open(self.dir / "out", "wb")
        self.proc = subprocess.Popen([PROGRAM, "-F", "-c", self.dir / "dovecot.conf"],
                                     stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                                     preexec_fn=net.end_with_us)
        try:
            net.wait_banner(self.port, b"+OK", 20, self.proc)
        except AssertionError as e:
            raise AssertionError(f"dovecot: {e}\n{(self.dir / 'out').read_text()}\n{self.log()}")
        return self

    def log(self):
        p = self.dir / "log"
        return p.read_text(errors="replace") if p.exists() else ""

    def stop(self):
        if self.proc:
            self.proc.terminate()
            try:
                self.proc.wait(10)
            except subprocess.TimeoutExpired:
                self.proc.kill()
                self.proc.wait()
        net.remove(self.dir)


class Pop3:
    """A small POP3 reader for tests: says what the server holds, to the byte."""

    def __init__(self, port, user, password=PASSWORD, utf8=False):
        self.s = socket.create_connection(("127.0.0.1", port), 30)
        self.f = self.s.makefile("rwb")
        self._ok()
        if utf8:
            self.offer("UTF8")
        self.say(f"USER {user}")
        self.say(f"PASS {password}")
        if utf8:
            self.offer("UTF8")

    def offer(self, line):
        """It may be refused."""
        with contextlib.suppress(AssertionError):
            self.say(line)

    def _ok(self):
        # Servers that write in pieces wait for an acknowledgement between them.
        self.s.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
        line = self.f.readline()
        if not line.startswith(b"+OK"):
            raise AssertionError(f"POP3 answered {line!r}")
        return line

    def say(self, line):
        self.f.write(line.encode() + b"\r\n")
        self.f.flush()
        return self._ok()

    def lines(self):
        self.s.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
        while (line := self.f.readline()) not in (b".\r\n", b""):
            yield line[1:] if line.startswith(b".") else line

    def count(self):
        return int(self.say("STAT").split()[1])

    def uidl(self):
        """{uidl: number}"""
        self.say("UIDL")
        pairs = (line.decode().split(None, 1) for line in self.lines())
        return {uid.strip(): int(n) for n, uid in pairs}

    def retr(self, n):
        self.say(f"RETR {n}")
        return b"".join(self.lines())

    def quit(self):
        self.say("QUIT")
        self.f.close()
        self.s.close()


def contents(port, user):
    """{uidl: bytes} of a mailbox, nothing deleted."""
    p = Pop3(port, user)
    got = {uid: p.retr(n) for uid, n in p.uidl().items()}
    p.quit()
    return got
