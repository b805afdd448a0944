"""Messages, and RECIPIENTS.md E15: what may differ between a message at the
provider and the same message here."""
import re

# Header fields that Postern may rename or remove (E10, E12, E15).
MOVABLE = {b"return-path", b"delivered-to", b"bcc", b"resent-bcc", b"x-envelope-to", b"x-original-to", b"envelope-to",
           b"x-rcpt-to", b"x-delivered-to", b"x-real-to", b"x-gm-original-to"}


def message(to="ann@contoso.test", sender="max@nwtraders.test", subject="hello", body=b"Good morning.\r\n",
            headers=(), message_id=None):
    """A plain message with CRLF."""
    fields = [*headers, f"From: {sender}", f"To: {to}", f"Subject: {subject}",
              f"Message-ID: <{message_id or re.sub('[^a-z0-9]', '', subject.lower())}@nwtraders.test>",
              "Date: Mon, 05 Jan 2026 10:00:00 +0000"]
    return "".join(f + "\r\n" for f in fields).encode() + b"\r\n" + body


def fields(data):
    """[(lower-case name, bytes)] of the header, and the rest with its empty
    line. A line that is no field is given under the name b''."""
    out, at = [], 0
    while at < len(data):
        end = data.find(b"\n", at) + 1 or len(data)
        if data[at:end] in (b"\r\n", b"\n"):
            break
        while data[end:end + 1] in (b" ", b"\t"):
            end = data.find(b"\n", end) + 1 or len(data)
        m = re.match(rb"([!-9;-~]+)[ \t]*:", data[at:end])
        out.append((m[1].lower() if m else b"", data[at:end]))
        at = end
    return out, data[at:]


def ours(name, field):
    return name.startswith(b"x-postern-") or name == b"received" and b"(Postern)" in field


def essence(data):
    """The bytes that no one may change: every field but ours and the movable
    ones, in order, and the whole rest."""
    head, rest = fields(data)
    return b"".join(f for n, f in head if not ours(n, f) and n not in MOVABLE) + rest


def movable(data):
    return [f for n, f in fields(data)[0] if n in MOVABLE]


def check_same(original, delivered):
    """E15, with the reason when it does not hold."""
    assert essence(delivered) == essence(original), first_difference(essence(original), essence(delivered))
    extra = [f for f in movable(delivered) if f not in movable(original)]
    assert not extra, f"fields that were not there: {extra}"
    head, _ = fields(delivered)
    kept = b"".join(f for n, f in head)
    for name in (b"return-path", b"delivered-to"):
        for n, f in fields(original)[0]:
            if n == name:
                value = f.split(b":", 1)[1].strip()
                assert value in kept, f"{name.decode()} is lost: {value!r}"


def first_difference(a, b):
    at = next((i for i, (x, y) in enumerate(zip(a, b)) if x != y), min(len(a), len(b)))
    return f"differs at {at} of {len(a)}/{len(b)}: {a[max(0, at - 40):at + 40]!r} became {b[max(0, at - 40):at + 40]!r}"
