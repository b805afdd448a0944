"""POP3 servers of Debian's other than Dovecot and mailutils, each as a private process: what
contrib/packages.sh unpacked, with its libraries, becomes the root of its world. They are started
for each connection as inetd would. All of them take PASSWORD, or any password where PAM says so."""
import contextlib
import os
import shutil
import smtplib
import socket
import subprocess
import threading
from pathlib import Path

from . import dovecot, mailutils, net
from .message import fields, message

WHERE = Path(os.environ.get("POSTERN_SERVERS") or Path(__file__).resolve().parents[3] / "build" / "servers")
PASSWORD = "secret"
USER = 4711  # uid and gid of whom the mail belongs to


def missing(name):
    """Why there can be no such server here, or None."""
    if not (WHERE / name / ".whole").exists():
        return f"{name} is not unpacked in {WHERE} (contrib/test does that, or POSTERN_SERVERS names another folder)"
    if os.geteuid() != 0:
        return f"{name} needs a root of its own, which only root can give it"
    return None


class Server:
    """One of them, below a short directory, with the mailboxes of these users."""
    tree = None
    command = ()
    environment = {}

    def __init__(self, users):
        self.dir = net.short_dir("ds-")
        self.root = self.dir / "root"
        self.users = list(users)
        self.serial = 0
        self.children = []
        self.listener = self.said = None
        # Links where that can be: the tree is only read, and what is ours is written anew.
        if subprocess.run(["cp", "-al", WHERE / self.tree / "root", self.root], stderr=subprocess.DEVNULL).returncode:
            shutil.rmtree(self.root, ignore_errors=True)
            subprocess.run(["cp", "-a", WHERE / self.tree / "root", self.root], check=True)
        self.root.chmod(0o755)
        for d in ("dev", "tmp", "run", "var/mail", "var/log", "home", "etc/pam.d", "var/empty", "var/lib/popa3d"):
            (self.root / d).mkdir(parents=True, exist_ok=True)
        (self.root / "tmp").chmod(0o1777)
        for name, minor in (("null", 3), ("zero", 5), ("random", 8), ("urandom", 9)):
            os.mknod(self.root / "dev" / name, 0o020666, os.makedev(1, minor))
            (self.root / "dev" / name).chmod(0o666)
        system = "root:x:0:0::/root:/bin/sh\nmail:x:8:8::/var/mail:/bin/sh\npopa3d:x:4712:4712::/var/empty:/bin/sh\n" \
                 "spop3d:x:4713:4713::/var/empty:/bin/sh\ncourier:x:4714:4714::/var/empty:/bin/sh\ncyrus:x:4715:8::/var/empty:/bin/sh\n" \
                 "nobody:x:65534:65534::/:/bin/sh\n"
        self.write("etc/passwd", system + "".join(f"{u}:x:{USER}:{USER}::/home/{u}:/bin/sh\n" for u in users))
        self.write("etc/group", f"root:x:0:\nmail:x:8:\npopa3d:x:4712:\nspop3d:x:4713:\ncourier:x:4714:\nusers:x:{USER}:\nnogroup:x:65534:\n")
        self.write("etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files\nservices: files\nprotocols: files\n")
        self.write("etc/hosts", "127.0.0.1 localhost\n")
        self.write("etc/services", "pop3 110/tcp\npop3s 995/tcp\nimap2 143/tcp\n")
        self.write("etc/protocols", "tcp 6 TCP\n")
        for service in ("popa3d", "solid-pop3d", "spop3d", "pop3", "perdition", "other"):
            self.write(f"etc/pam.d/{service}", "auth required pam_permit.so\naccount required pam_permit.so\nsession required pam_permit.so\n")
        self.prepare()

    def write(self, name, text, mode=0o644):
        """A file of its own, also where the tree has one."""
        p = self.root / name
        p.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            p.unlink()
        p.write_text(text)
        p.chmod(mode)
        return p

    def own(self, *paths):
        for p in paths:
            os.chown(p, USER, USER)

    def prepare(self):
        pass

    def enter(self):
        net.end_with_us()
        os.chroot(self.root)
        os.chdir("/")

    def spawn(self, words, **more):
        """A process in the server's world."""
        p = subprocess.Popen(words, env={"PATH": "/usr/sbin:/usr/bin", **self.environment}, preexec_fn=self.enter,
                             **{"stdin": subprocess.DEVNULL, "stdout": self.said, "stderr": self.said, **more})
        self.children.append(p)
        return p

    def login(self, user):
        return user

    def start(self):
        self.said = open(self.dir / "said", "ab")
        self.begin()
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def begin(self):
        """What has to run beside it."""

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                sock, (_, port) = self.listener.accept()
                with sock:
                    self.environment = {**self.environment, "TCPREMOTEIP": "127.0.0.1", "TCPREMOTEPORT": str(port),
                                        "TCPLOCALIP": "127.0.0.1", "TCPLOCALPORT": str(self.port)}
                    p = self.spawn(self.command, stdin=sock, stdout=sock)
                threading.Thread(target=p.wait, daemon=True).start()

    def log(self):
        return (self.dir / "said").read_text(errors="replace")

    def stop(self):
        if self.listener:
            self.listener.close()
        if self.said:
            self.said.close()
        for p in self.children:
            with contextlib.suppress(ProcessLookupError):
                p.terminate()
        for p in self.children:
            try:
                p.wait(5)
            except subprocess.TimeoutExpired:
                p.kill()
                p.wait()
        net.remove(self.dir)


class Mbox(Server):
    """A server that keeps each mailbox in one file below /var/mail."""

    def prepare(self):
        mail = self.root / "var/mail"
        mail.chmod(0o1777)
        for u in self.users:
            (mail / u).write_bytes(b"")
            (mail / u).chmod(0o600)
            self.own(mail / u)

    def put(self, user, data):
        """LF, and lines that begin with From are quoted by us."""
        text = data.replace(b"\r\n", b"\n").replace(b"\nFrom ", b"\n>From ")
        with open(self.root / "var/mail" / user, "ab") as f:
            f.write(b"From max@nwtraders.test Mon Jan  5 10:00:00 2026\n" + text + b"\n")


class Popa3d(Mbox):
    tree = "popa3d"
    command = ("/usr/sbin/popa3d",)


class Solid(Mbox):
    tree = "solid"
    command = ("/usr/sbin/solid-pop3d",)

    def prepare(self):
        super().prepare()
        self.write("etc/spop3d.conf", "<Global>\n\tMailDropName \"/var/mail/%s\"\n\tMailDropType mailbox\n</Global>\n")


class Courier(Server):
    tree = "courier"
    command = ("/usr/lib/courier/courier/courierpop3login", "/usr/lib/courier/courier/courierpop3d", "Maildir")
    environment = {"PREFIX": "POP3", "POP3AUTH": "LOGIN PLAIN", "MAXPERIP": "40"}

    def prepare(self):
        self.write("etc/courier/authdaemonrc", 'authmodulelist="authpam"\nauthmodulelistorig="authpam"\ndaemons=2\n'
                   "authdaemonvar=/run/courier/authdaemon\nDEBUG_LOGIN=0\nDEFAULTOPTIONS=\"\"\nLOGGEROPTS=\"\"\n")
        (self.root / "run/courier/authdaemon").mkdir(parents=True)
        for u in self.users:
            for d in ("", "Maildir", "Maildir/cur", "Maildir/new", "Maildir/tmp"):
                (self.root / "home" / u / d).mkdir()
                self.own(self.root / "home" / u / d)

    def begin(self):
        self.spawn(["/usr/lib/courier/courier-authlib/authdaemond"])
        socket_ = self.root / "run/courier/authdaemon/socket"
        net.wait_for(socket_.exists, 20, "the socket of authdaemond")

    def put(self, user, data):
        self.serial += 1
        p = self.root / "home" / user / "Maildir/new" / f"{1700000000 + self.serial}.M{self.serial:07d}.test"
        p.write_bytes(data.replace(b"\r\n", b"\n"))
        self.own(p)


class Perdition(Server):
    """A proxy: the mail is at another one."""
    tree = "perdition"

    def __init__(self, behind):
        self.behind = behind
        super().__init__(behind.users)

    def begin(self):
        self.behind.start()
        self.command = ("/usr/sbin/perdition.pop3", "--inetd_mode", "--no_daemon", "--no_lookup", "--ssl_mode", "none",
                        "-s", "127.0.0.1", "-p", str(self.behind.port), "--config_file", "/dev/null")

    def put(self, user, data):
        self.behind.put(user, data)


    def stop(self):
        super().stop()
        self.behind.stop()


class Cyrus(Server):
    """Its master listens by itself; mail comes in by LMTP, users are made at the first."""
    tree = "cyrus"

    def prepare(self):
        self.lmtp = net.free_port()
        self.port = net.free_port()
        self.write("etc/imapd.conf", f"""
configdirectory: /var/lib/cyrus
proc_path: /run/proc
mboxname_lockpath: /run/lock
lmtpsocket: /run/lmtp
idlesocket: /run/idle
notifysocket: /run/notify
defaultpartition: default
partition-default: /var/spool/cyrus
admins: cyrus
cyrus_user: cyrus
allowplaintext: yes
sasl_pwcheck_method: alwaystrue
sasl_auto_transition: no
autocreate_quota: 0
autocreate_post: yes
lmtp_over_quota_perm_failure: no
popminpoll: 0
expunge_mode: immediate
delete_mode: immediate
poptimeout: 10
skiplist_always_checkpoint: no
duplicatesuppression: no
""")
        self.write("etc/cyrus.conf", f"""
START {{
  recover cmd="/usr/lib/cyrus/bin/ctl_cyrusdb -r"
}}
SERVICES {{
  pop3 cmd="/usr/lib/cyrus/bin/pop3d" listen="127.0.0.1:{self.port}" prefork=0 maxchild=20
  lmtp cmd="/usr/lib/cyrus/bin/lmtpd -a" listen="127.0.0.1:{self.lmtp}" prefork=0
}}
EVENTS {{
}}
""")
        for d in ("var/lib/cyrus", "var/spool/cyrus", "run", "run/proc", "run/lock", "var/lib/cyrus/db", "var/lib/cyrus/socket"):
            (self.root / d).mkdir(parents=True, exist_ok=True)
            os.chown(self.root / d, 4715, 8)

    def start(self):
        self.said = open(self.dir / "said", "ab")
        self.spawn(["/usr/lib/cyrus/bin/master", "-p", "/run/master.pid"])
        net.wait_banner(self.port, b"+OK", 20, self.children[0])
        return self

    def put(self, user, data):
        """While it runs."""
        with smtplib.LMTP("127.0.0.1", self.lmtp) as lmtp:
            lmtp.sendmail("max@nwtraders.test", [user], data)


SERVERS = {
    "courier": Courier,
    "cyrus": Cyrus,
    "perdition": lambda users: Perdition(Courier(users)),
    "mailutils": mailutils.Mailutils,
    "popa3d": Popa3d,
    "solid": Solid,
    "dovecot": dovecot.Dovecot,
}


def why_not(name):
    """Why this server cannot run here, or None."""
    if name in ("dovecot", "mailutils"):
        return {"dovecot": dovecot, "mailutils": mailutils}[name].missing()
    return missing(name) or (missing("courier") if name == "perdition" else None)


def filled(name, messages):
    """A server that runs, with these in the mailbox of `global`."""
    server = SERVERS[name](["global"])
    if name == "cyrus":
        server.start()
    for m in messages:
        server.put("global", m)
    return server if name == "cyrus" else server.start()


def enter(server, user):
    """A session, as soon as the mailbox is free."""
    def session():
        with contextlib.suppress(AssertionError):
            return dovecot.Pop3(server.port, server.login(user), PASSWORD, utf8=True)
    return net.wait_for(session, 20, "a session")


def left(server, user="global"):
    """How many messages the server has."""
    p = enter(server, user)
    n = p.count()
    p.quit()
    return n


def handed_out(server, user="global"):
    """{Message-ID: message} as the server itself gives them, to the octet; twice, since
    some write their marks into the mailbox the first time."""
    for _ in range(2):
        p = enter(server, user)
        got = [p.retr(n) for n in range(1, p.count() + 1)]
        p.quit()
    return {message_id(m): m for m in got}


# What some write into a mailbox while it is used.
MARKS = (b"x-uidl", b"x-uid", b"x-imapbase", b"status")


def plain(data):
    """Without those marks."""
    head, rest = fields(data)
    return b"".join(f for name, f in head if name not in MARKS) + rest


def message_id(data):
    [line] = [x for x in data.split(b"\r\n\r\n")[0].split(b"\r\n") if x.lower().startswith(b"message-id:")]
    return line.split(b":", 1)[1].strip()


def varied(count):
    """Messages of many kinds: sizes, dots, raw UTF-8, long lines, no body, lines of mbox."""
    bodies = [
        b"Good morning.\r\n", b"", b".\r\n..\r\n...x\r\n\r\n.\r\n", b"From here on\r\nFrom there\r\n>From me\r\n",
        b"y" * 5000 + b"\r\n", "Gr\u00fc\u00dfe, \u6f22\u5b57\r\n".encode(), b"+OK\r\n-ERR\r\n+OK 3 octets\r\n",
        b"line\r\n" * 3000, b"\r\n\r\n\r\n", b"\ttab \r\n \r\n", b"\xff\xfe octets\r\n", b"z" * 70 + b"\r\n" + b"Q29udGVudA==\r\n" * 20000,
    ]
    for i in range(count):
        subject = f"Gr\u00fc\u00dfe {i}" if i % 10 == 3 else f"number {i}"
        headers = [f"X-Long: {'a, ' * 300}"] if i % 7 == 5 else []
        yield message(subject=subject, message_id=f"v{i}", headers=headers, body=bodies[i % len(bodies)])
