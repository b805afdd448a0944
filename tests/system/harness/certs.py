"""A private CA and server certificates, good and bad, by the openssl program."""
import subprocess
from pathlib import Path

EC = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]


def _openssl(*words):
    subprocess.run(["openssl", *map(str, words)], check=True, capture_output=True)


class Cert:
    def __init__(self, pem, key):
        self.pem, self.key = Path(pem), Path(key)


class Certs:
    """good: localhost and 127.0.0.1; wrong_name: another.test; expired: good,
    but yesterday; strange: localhost, from a CA that nobody knows."""

    def __init__(self, d):
        self.dir = Path(d)
        self.ca = self._authority("ca", "Test CA")
        other = self._authority("other", "Unknown CA")
        here = "DNS:localhost,IP:127.0.0.1"
        self.good = self._issue("good", here, self.ca)
        self.wrong_name = self._issue("wrong", "DNS:another.test", self.ca)
        self.expired = self._issue("expired", here, self.ca, days=-1)
        self.strange = self._issue("strange", here, other)

    def _authority(self, name, title):
        c = Cert(self.dir / f"{name}.pem", self.dir / f"{name}.key")
        _openssl("req", "-x509", *EC, "-keyout", c.key, "-out", c.pem, "-days", 30,
                 "-subj", f"/CN={title}")
        return c

    def odd(self, name):
        """nul_name: "localhost" NUL ".evil.test"; only_common_name: localhost, but the
        alternative name is another; only_address: 127.0.0.1."""
        nul = b"localhost\0.evil.test"
        der = bytes([0x30, len(nul) + 2, 0x82, len(nul)]) + nul
        names, subject = {
            "nul_name": ("DER:" + der.hex(":"), "nul"),
            "only_common_name": ("DNS:another.test", "localhost"),
            "only_address": ("IP:127.0.0.1", "address"),
        }[name]
        return self._issue(name, names, self.ca, subject=subject)

    def _issue(self, name, names, ca, days=30, subject=None):
        c = Cert(self.dir / f"{name}.pem", self.dir / f"{name}.key")
        request, ext = self.dir / f"{name}.csr", self.dir / f"{name}.ext"
        ext.write_text(f"subjectAltName={names}\nextendedKeyUsage=serverAuth\n")
        _openssl("req", *EC, "-keyout", c.key, "-out", request, "-subj", f"/CN={subject or name}")
        _openssl("x509", "-req", "-in", request, "-CA", ca.pem, "-CAkey", ca.key,
                 "-CAcreateserial", "-out", c.pem, "-days", days, "-extfile", ext)
        c.key.chmod(0o644)
        return c
