"""A line that is long: tests/bench/delay_proxy.c in front of a port, so many milliseconds each way.
TCP itself is accepted at once, so the round trip of the handshake is not in it."""
import subprocess
import tempfile
from pathlib import Path

from . import net

SOURCE = Path(__file__).resolve().parents[2] / "bench" / "delay_proxy.c"


class Line:
    program = None

    def __init__(self, port, milliseconds=25):
        if not Line.program:
            Line.program = Path(tempfile.mkdtemp()) / "delay_proxy"
            subprocess.run(["cc", "-O2", "-D_GNU_SOURCE", "-o", Line.program, SOURCE], check=True)
        self.port = net.free_port()
        self.p = subprocess.Popen([Line.program, str(self.port), str(port), str(milliseconds)], stdin=subprocess.PIPE,
                                  stdout=subprocess.PIPE)
        assert self.p.stdout.readline() == b"ready\n"

    def close(self):
        self.p.kill()
        self.p.wait()
