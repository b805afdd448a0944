"""Next hops that people have: Postfix, Exim, OpenSMTPD and Sendmail by SMTP, Dovecot and Cyrus by
LMTP, each as a private process on 127.0.0.1. Those that are unpacked only have a root of their
own, as the POP3 servers of debian.py. All of them take mail for ann@contoso.test and refuse nobody@."""
import os
import re
import subprocess

from . import debian, dovecot, message, net, postfix


class Unpacked(debian.Server):
    """One that listens by itself. Its users are those that its package would make."""
    names = ()

    def __init__(self):
        super().__init__(["ann"])
        self.route = f"smtp:127.0.0.1:{self.port}"

    def prepare(self):
        self.port = net.free_port()
        for name, uid in self.names:
            with open(self.root / "etc/passwd", "a", encoding="ascii") as f:
                f.write(f"{name}:x:{uid}:{uid}::/var/empty:/bin/sh\n")
            with open(self.root / "etc/group", "a", encoding="ascii") as f:
                f.write(f"{name}:x:{uid}:\n")
        self.folder("home/ann", debian.USER, debian.USER)
        self.configure()

    def folder(self, name, uid=0, gid=0, mode=0o755):
        p = self.root / name
        p.mkdir(parents=True, exist_ok=True)
        os.chown(p, uid, gid)
        p.chmod(mode)

    def start(self):
        self.said = open(self.dir / "said", "ab")
        self.spawn(self.command)
        net.wait_banner(self.port, b"220", 20, self.children[0])
        return self

    def tools(self, *names):
        """What a shell script needs, with its libraries."""
        for name in names:
            path = f"/bin/{name}"
            said = subprocess.run(["ldd", path], capture_output=True, text=True, check=True).stdout
            for one in (path, *re.findall(r"(/\S+) \(0x", said)):
                to = self.root / one.lstrip("/")
                if not to.exists():
                    to.parent.mkdir(parents=True, exist_ok=True)
                    subprocess.run(["cp", "-L", one, to], check=True)

    def got(self):
        """What lies in ann's Maildir."""
        return [p.read_bytes() for p in self.root.glob("home/ann/Maildir/new/*")]


class Exim(Unpacked):
    tree = "exim"
    names = (("Debian-exim", 4716),)

    def configure(self):
        self.command = ("/usr/sbin/exim4", "-bdf", "-oP", "/run/exim.pid")
        self.folder("var/spool/exim4", 4716, 4716, 0o750)
        self.folder("var/log/exim4", 4716, 4716, 0o750)
        self.write("etc/exim4/exim4.conf", f"""
primary_hostname = mx.contoso.test
spool_directory = /var/spool/exim4
log_file_path = /var/log/exim4/%slog
local_interfaces = 127.0.0.1
daemon_smtp_ports = {self.port}
domainlist ours = contoso.test
acl_smtp_rcpt = rcpt
host_lookup =
rfc1413_query_timeout = 0s
keep_environment =
begin acl
rcpt:
  deny local_parts = nobody
       message = no such user here
  accept domains = +ours
  deny message = relay not permitted
begin routers
box:
  driver = accept
  transport = box
begin transports
box:
  driver = appendfile
  directory = /home/ann/Maildir
  maildir_format
  create_directory
  user = ann
  group = users
begin retry
""")


class OpenSmtpd(Unpacked):
    tree = "opensmtpd"
    names = (("opensmtpd", 4717), ("opensmtpq", 4718))

    def configure(self):
        self.command = ("/usr/sbin/smtpd", "-d", "-f", "/etc/smtpd.conf")
        self.folder("var/lib/opensmtpd/empty")
        self.folder("var/run")
        self.folder("var/spool/smtpd", mode=0o711)
        self.tools("sh")
        self.write("etc/mailname", "mx.contoso.test\n")
        self.write("etc/smtpd.conf", f"""
table people {{ "ann@contoso.test" = "ann" }}
listen on 127.0.0.1 port {self.port} hostname mx.contoso.test
action "box" maildir "/home/ann/Maildir" virtual <people>
match from any for domain "contoso.test" action "box"
""")


class Sendmail(Unpacked):
    """Its local mailer is a script that writes what it is given into the Maildir."""
    tree = "sendmail"
    names = (("smmta", 4719), ("smmsp", 4720))

    def configure(self):
        self.command = ("/usr/libexec/sendmail/sendmail", "-bD", "-C/etc/mail/sendmail.cf")
        self.folder("var/spool/mqueue", mode=0o700)
        self.folder("var/run/sendmail")
        for d in ("", "/new", "/tmp"):
            self.folder(f"home/ann/Maildir{d}", debian.USER, debian.USER)
        self.write("bin/box", "#!/bin/sh\nn=$$.$(/bin/date +%s%N)\ncd /home/ann/Maildir && /bin/cat >tmp/$n && /bin/mv tmp/$n new/$n\n", 0o755)
        self.write("etc/mail/local-host-names", "contoso.test\n")
        (self.root / "etc/mail").chmod(0o755)
        self.tools("sh", "cat", "date", "mv")
        mc = f"""
define(`_CF_DIR_', `/usr/share/sendmail/cf/')dnl
include(`/usr/share/sendmail/cf/m4/cf.m4')dnl
OSTYPE(`debian')dnl
DOMAIN(`generic')dnl
undefine(`confHOST_STATUS_DIRECTORY')dnl
define(`confDOMAIN_NAME', `mx.contoso.test')dnl
define(`confPID_FILE', `/run/sendmail.pid')dnl
define(`confDONT_PROBE_INTERFACES', `true')dnl
define(`confTO_IDENT', `0')dnl
define(`confEIGHT_BIT_HANDLING', `pass8')dnl
define(`confDONT_BLAME_SENDMAIL', `GroupWritableDirPathSafe')dnl
define(`LOCAL_MAILER_PATH', `/bin/box')dnl
define(`LOCAL_MAILER_ARGS', `box $u')dnl
define(`LOCAL_MAILER_FLAGS', `lsDFMw89n')dnl
define(`LOCAL_MAILER_EOL', `\\n')dnl
FEATURE(`no_default_msa')dnl
FEATURE(`nocanonify')dnl
FEATURE(`use_cw_file')dnl
FEATURE(`accept_unresolvable_domains')dnl
DAEMON_OPTIONS(`Family=inet, Name=MTA, Addr=127.0.0.1, Port={self.port}')dnl
MAILER(`local')dnl
MAILER(`smtp')dnl
"""
        self.write("etc/mail/sendmail.mc", mc)
        cf = subprocess.run(["chroot", self.root, "/usr/bin/m4", "/etc/mail/sendmail.mc"], capture_output=True, text=True, check=True).stdout
        self.write("etc/mail/sendmail.cf", cf)
        self.write("etc/mail/aliases", "postmaster: ann\n")
        subprocess.run(["chroot", self.root, self.command[0], "-bi", self.command[2]], capture_output=True, check=True)


class CyrusLmtp(debian.Cyrus):
    def prepare(self):
        super().prepare()
        # Otherwise it writes X for each octet over 127 in a header, or refuses the message.
        with open(self.root / "etc/imapd.conf", "a", encoding="ascii") as f:
            f.write("munge8bit: no\nreject8bit: no\n")

    def __init__(self):
        super().__init__(["ann"])
        self.route = f"lmtp:127.0.0.1:{self.lmtp}"

    def start(self):
        super().start()
        net.wait_banner(self.lmtp, b"220", 20, self.children[0])
        return self

    def got(self):
        return [p.read_bytes() for p in (self.root / "var/spool/cyrus").rglob("[0-9]*.")]


class DovecotLmtp(dovecot.Dovecot):
    def __init__(self):
        super().__init__(["ann"], lmtp=True)
        self.route = f"lmtp:{self.lmtp_socket}"

    def got(self):
        return [p.read_bytes() for p in self.messages("ann")]


class PostfixSmtp(postfix.Postfix):
    def __init__(self):
        super().__init__()
        self.route = f"smtp:127.0.0.1:{self.port}"

    def got(self):
        return [d if isinstance(d, bytes) else d.encode() for d in self.delivered()]


HOPS = {"postfix": PostfixSmtp, "exim": Exim, "opensmtpd": OpenSmtpd, "sendmail": Sendmail, "dovecot": DovecotLmtp, "cyrus": CyrusLmtp}


# Whom they refuse, though Postern would take him; Cyrus for a while only (451).
STRANGERS = {"sendmail": "stranger@contoso.test", "cyrus": "no%body@contoso.test"}


def stranger(name):
    return STRANGERS.get(name, "nobody@else.contoso.test")


def why_not(name):
    """Why this one cannot run here, or None."""
    known = {"postfix": postfix.missing, "dovecot": dovecot.missing}
    return known[name]() if name in known else debian.missing(name)


def as_sent(data):
    """Without what the hop wrote above our own Received field, with the line ends of the wire."""
    data = data.replace(b"\r\n", b"\n")
    head, body = message.fields(data)
    own = [i for i, (name, field) in enumerate(head) if name == b"received" and b"(Postern)" in field]
    return (b"".join(f for _, f in head[own[0] if own else 0:]) + body).replace(b"\n", b"\r\n")


# What a hop changes by itself in a message, whoever sends it: its own manual says so.
MENDS = {
    "sendmail": lambda d: re.sub(rb"(?m)^([^\r\n]{2040,})\r$", lambda m: m[0].replace(b" ", b""), d),
}


def check_as(name, sent, came):
    """E15, but for what this hop changes itself."""
    mend = MENDS.get(name, lambda d: d)
    message.check_same(mend(sent), mend(came))
