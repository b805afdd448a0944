"""A private Postfix as next hop: own configuration, queue and port. It takes
mail for one domain into a maildir. Its master must start as root."""
import os
import pwd
import shutil
import subprocess
from pathlib import Path

from . import net

MASTER = Path("/usr/lib/postfix/sbin/master")


def missing():
    if not MASTER.exists():
        return "postfix is not installed"
    if os.geteuid() != 0:
        return "postfix can only be started by root"
    return None


class Postfix:
    def __init__(self, domain="contoso.test"):
        self.dir = net.short_dir("pf-")
        self.port = net.free_port()
        self.domain = domain
        self.proc = None
        conf, queue, data = (self.dir / n for n in ("conf", "queue", "data"))
        for d in (conf, queue, data):
            d.mkdir(mode=0o755)
        os.chown(data, pwd.getpwnam("postfix").pw_uid, 0)
        self.mail = self.dir / "mail"
        self.mail.mkdir()
        owner = pwd.getpwnam("nobody")
        os.chown(self.mail, owner.pw_uid, owner.pw_gid)
        (conf / "main.cf").write_text(f"""
compatibility_level = 3.6
queue_directory = {queue}
data_directory = {data}
command_directory = /usr/sbin
daemon_directory = {MASTER.parent}
mail_owner = postfix
setgid_group = postdrop
myhostname = mx.{domain}
mydestination =
alias_maps =
alias_database =
virtual_mailbox_domains = {domain}
virtual_mailbox_base = {self.mail}
virtual_mailbox_maps = static:all/
virtual_uid_maps = static:{owner.pw_uid}
virtual_gid_maps = static:{owner.pw_gid}
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks =
disable_dns_lookups = yes
smtpd_peername_lookup = no
smtpd_relay_restrictions = reject_unauth_destination
smtpd_forbid_bare_newline = yes
in_flow_delay = 0
maillog_file_prefixes = {self.dir}
maillog_file = {self.dir}/log
""")
        (conf / "master.cf").write_text(f"""
127.0.0.1:{self.port} inet n - n - - smtpd
cleanup   unix  n - n - 0 cleanup
qmgr      unix  n - n 300 1 qmgr
rewrite   unix  - - n - - trivial-rewrite
bounce    unix  - - n - 0 bounce
defer     unix  - - n - 0 bounce
trace     unix  - - n - 0 bounce
proxymap  unix  - - n - - proxymap
virtual   unix  - n n - - virtual
error     unix  - - n - - error
retry     unix  - - n - - error
anvil     unix  - - n - 1 anvil
postlog   unix-dgram n - n - 1 postlogd
""")

    def start(self):
        conf = self.dir / "conf"
        subprocess.run(["/usr/sbin/postfix", "-c", conf, "check"], check=True, capture_output=True)
        out = open(self.dir / "out", "wb")
        self.proc = subprocess.Popen([MASTER, "-c", conf, "-d"], stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                                     preexec_fn=net.end_with_us)
        net.wait_banner(self.port, b"220", 20, self.proc)
        return self

    def delivered(self):
        box = self.mail / "all" / "new"
        return [p.read_bytes() for p in sorted(box.iterdir())] if box.exists() else []

    def log(self):
        p = self.dir / "log"
        return p.read_text(errors="replace") if p.exists() else ""

    def stop(self):
        if self.proc:
            self.proc.terminate()
            self.proc.wait(15)
        shutil.rmtree(self.dir, ignore_errors=True)
