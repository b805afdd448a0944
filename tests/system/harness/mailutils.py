"""A private GNU mailutils pop3d: another POP3 server of Debian's, quite unlike Dovecot.
It keeps mbox files, adds X-UIDL fields that LIST does not count, and has no TLS here."""
import os
import shutil
import subprocess
from pathlib import Path

from . import net

PROGRAM = shutil.which("pop3d", path="/usr/sbin:/usr/local/sbin:/usr/bin")
PASSWORD = "secret"
DOMAIN = "box.test"


def missing():
    if not PROGRAM:
        return "mailutils-pop3d is not installed"
    if os.geteuid() != 0:
        return "mailutils-pop3d becomes the mailbox's owner, which only root can"
    return None


class Mailutils:
    def __init__(self, users):
        self.dir = net.short_dir("mu-")
        self.port = net.free_port()
        self.proc = None
        d = self.dir
        d.chmod(0o755)
        (d / "pw").mkdir()
        (d / "mail").mkdir()
        crypt = subprocess.run(["openssl", "passwd", "-6", PASSWORD], check=True, capture_output=True,
                               text=True).stdout.strip()
        (d / "pw" / DOMAIN).write_text("".join(
            f"{u}:{crypt}:65534:65534:x:{d}/mail/{u}:/bin/false\n" for u in users))
        for u in users:
            (d / "mail" / u).mkdir()
            (d / "mail" / u / "INBOX").write_bytes(b"")
        (d / "conf").write_text(f"""
auth {{ authentication generic; authorization virtdomain; }}
virtdomain {{ passwd-dir {d}/pw; }}
mailbox {{ mailbox-pattern "mbox:{d}/mail/${{user}}/INBOX"; }}
pidfile {d}/pid;
server 127.0.0.1:{self.port} {{ single-process no; }}
""")
        self._own()

    def _own(self):
        for p in [self.dir / "mail", *self.dir.glob("mail/**/*")]:
            os.chown(p, 65534, 65534)

    @staticmethod
    def login(user):
        return f"{user}@{DOMAIN}"

    def put(self, user, data):
        """One more message; mbox: LF, and lines that begin with From are quoted by us."""
        text = data.replace(b"\r\n", b"\n").replace(b"\nFrom ", b"\n>From ")
        with open(self.dir / "mail" / user / "INBOX", "ab") as f:
            f.write(b"From max@nwtraders.test Mon Jan  5 10:00:00 2026\n" + text + b"\n")
        self._own()

    def start(self):
        out = open(self.dir / "out", "wb")
        self.proc = subprocess.Popen(
            [PROGRAM, f"--config-file={self.dir}/conf", "--daemon=20", "--foreground"],
            stdin=subprocess.DEVNULL, stdout=out, stderr=out, preexec_fn=net.end_with_us)
        net.wait_banner(self.port, b"+OK", 20, self.proc)
        return self

    def inbox(self, user):
        return Path(self.dir / "mail" / user / "INBOX").read_bytes()

    def stop(self):
        if self.proc:
            self.proc.terminate()
            try:
                self.proc.wait(10)
            except subprocess.TimeoutExpired:
                self.proc.kill()
                self.proc.wait()
        net.remove(self.dir)
