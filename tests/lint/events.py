"""Checks what the sources say of events: the enum is the catalogue, nobody writes a bare number, and the
fields of an event are those of its text. Usage: events.py SOURCE_ROOT"""
import pathlib
import re
import sys

root = pathlib.Path(sys.argv[1])
ENUM = root / "include/postern/event_id.h"
CATALOGUE = root / "src/log/catalogue.c"
EVERYWHERE = {"account", "id", "err"}  # every event may have these
MORE = {  # what programs are told and the text does not say
    "EVENT_COPY_SUPPRESSED": {"first"}, "EVENT_PICKUP_UNPARSABLE": {"badmail"}, "EVENT_NDR_COPIED": {"notice"},
    "EVENT_DEFERRED": {"host"}, "EVENT_DELIVERY_REFUSED": {"recipient", "host"},
}
NUMBERS = {1000}  # an id that is a plain number, too
faults = []

ids = {name: int(n) for name, n in re.findall(r"(EVENT_\w+) = (\d+),", ENUM.read_text())}
rows = {}
for row in re.findall(r"\{ (EVENT_\w+), '.', \d, (.*?) \},\n", CATALOGUE.read_text(), re.S):
    pieces = re.split(r'"\s*,\s*"', row[1].strip())
    name, text = pieces[0].strip('"'), "".join(re.split(r'"\s*"', pieces[1]))
    rows[row[0]] = text
    if row[0] != "EVENT_" + name.upper().replace("-", "_"):
        faults.append(f"{CATALOGUE.name}: {row[0]} is called {name}")
for name in sorted(ids.keys() - {"EVENT_NONE"} ^ rows.keys()):
    faults.append(f"{name} is in the enum or in the catalogue, not in both")


def blanked(text):
    """Without comments, strings and characters; every place stays where it is."""
    return re.sub(r'/\*.*?\*/|"(?:\\.|[^"\\])*"|\'(?:\\.|[^\'\\])*\'', lambda m: re.sub(r"[^\n]", " ", m[0]), text, flags=re.S)


def argument(text, at):
    """From the open bracket at `at` to the one that closes it."""
    depth = 0
    for i in range(at, len(text)):
        depth += (text[i] == "(") - (text[i] == ")")
        if depth == 0:
            return at, i
    return at, len(text)


numbers = set(ids.values()) - NUMBERS
for path in sorted(root.glob("src/**/*.[ch]")) + sorted(root.glob("include/postern/*.h")):
    if path in (ENUM, CATALOGUE):
        continue
    text = path.read_text()
    plain, where = blanked(text), path.relative_to(root)
    for m in re.finditer(r"(?<![\w.])(\d{3,4})(?![\w.])", plain):
        if int(m[1]) in numbers:
            faults.append(f"{where}:{plain.count(chr(10), 0, m.start()) + 1}: {m[1]} is an event: write its name")
    for m in re.finditer(r"\b(?:log_event|log_event_at|log_words)\s*(\()", plain):
        at, end = argument(plain, m.start(1))
        event = re.search(r"EVENT_\w+", plain[at:end])
        if not event or event[0] not in rows:
            continue
        known = set(re.findall(r"%(\w+)", rows[event[0]])) | EVERYWHERE | MORE.get(event[0], set())
        for f in re.finditer(r"\bf_(?:str|span|num|lines)\(\s*\"(\w+)\"", text[at:end]):
            if f[1] not in known:
                faults.append(f"{where}: {event[0]} has no field {f[1]}")

print("\n".join(faults))
sys.exit(bool(faults))
