"""For contrib/try: a private Dovecot, filled from a folder. DIR/USER/*.eml become
USER's mailbox. Prints the POP3 port, then serves until its standard input ends."""
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "system"))
from harness.dovecot import Dovecot  # noqa: E402

boxes = sorted(p for p in Path(sys.argv[1]).iterdir() if p.is_dir())
server = Dovecot([p.name for p in boxes])
try:
    for box in boxes:
        for mail in sorted(box.glob("*.eml")):
            server.put(box.name, mail.read_bytes())
    server.start()
    print(server.port, flush=True)
    sys.stdin.read()
finally:
    server.stop()
