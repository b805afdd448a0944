"""What was on the disk: the trace of power_shim.c, read, and the states that a power cut
may leave of it.

The model is weaker than any journaling filesystem. What a sync covers (it was recorded
before the sync began, and the sync ended before the cut) is there. Of the rest:

data    any write may be missing, cut short or torn at sectors of 512 or pages of 4096
        octets; what is missing below the size is zeros or what was there before; the
        size is the old one or the new.
names   a name is only as durable as its directory: the sync of a file does not cover
        it. Changes of one directory may be missing one by one. A rename is one change,
        also between two directories; it is durable when the one it leads to is synced.
mapped  a file that was mapped for writing holds nothing (zeros), or is missing."""
import json
import os
import struct
from bisect import bisect_left
from dataclasses import dataclass, field

HEAD = struct.Struct("=IHHQQQ")
PAGE = 4096
(MAKE, MAKE_DIR, WRITE, SIZE, MOVE, LINK, REMOVE, SYNC_BEGIN, SYNC_END, SAY, MAPPED, BLIND) = range(1, 13)
MARK = 20  # ours: what the world around saw, as JSON
NEVER = 1 << 60


class Blind(Exception):
    """The program did what the shim does not follow."""


class File:
    def __init__(self, path):
        self.path = path  # where it was first, for people and for `forget`
        self.at, self.ops = [], []  # index in the trace; (offset, bytes) or (size, None)
        self.syncs = []  # (ended, began)
        self.mapped = NEVER
        self.images = {}

    def write(self, at, offset, data):
        self.at.append(at)
        self.ops.append((offset, data))

    def image(self, durable, variant=()):
        """Its bytes and its size, which ends in zeros where it is larger: so many operations,
        then those of the variant, (operation, from, to) with offsets in its data, or
        (None, size, 0) for a size."""
        key = durable, variant
        if key not in self.images:
            if len(self.images) > 64:
                self.images.clear()
            data, size = self._base(durable)
            if variant:
                data = bytearray(data)
            for i, first, end in variant:
                if i is None:
                    size = max(size, first)
                    continue
                offset, piece = self.ops[i]
                size = resize(data, offset) if piece is None else max(size, put(data, offset + first, piece[first:end]))
            self.images[key] = bytes(data), size
        return self.images[key]

    def _base(self, durable):
        """The durable part alone; grown from the last one asked for."""
        done, data, size = self.__dict__.get("_last", (0, bytearray(), 0))
        if done > durable:
            done, data, size = 0, bytearray(), 0
        for offset, piece in self.ops[done:durable]:
            size = resize(data, offset) if piece is None else max(size, put(data, offset, piece))
        self._last = durable, data, size
        return data, size


def put(data, offset, piece):
    """Its end."""
    if offset > len(data):
        data.extend(bytes(offset - len(data)))
    data[offset:offset + len(piece)] = piece
    return offset + len(piece)


def resize(data, size):
    """The new size; zeros at the end are not kept."""
    del data[size:]
    return size


class Dir:
    def __init__(self, path):
        self.path = path
        self.at, self.ops = [], []  # index; [(name, node or None)...]
        self.went = {}  # operation of a name that went away: the directory it went to
        self.syncs = []

    def change(self, at, names, to=None):
        if to:
            self.went[len(self.ops)] = to
        self.at.append(at)
        self.ops.append(names)


@dataclass
class Trace:
    root: str
    top: Dir
    nodes: list
    length: int
    edges: list = field(default_factory=list)  # where a sync ends, and the end
    says: list = field(default_factory=list)  # (index, peer's port, our port, bytes)
    marks: list = field(default_factory=list)  # (index, object)


def records(path):
    with open(path, "rb") as f:
        f.seek(PAGE)
        data = f.read()
    at = 0
    while at < len(data):
        size, kind, n, a, b, c = HEAD.unpack_from(data, at)
        at += HEAD.size
        yield kind, n, a, b, c, data[at:at + size]
        at += size


def append(path, kind, payload, n=0, a=0, b=0, c=0):
    """A record of our own."""
    with open(path, "ab", buffering=0) as f:
        f.write(HEAD.pack(len(payload), kind, n, a, b, c) + payload)


def mark(path, **what):
    append(path, MARK, json.dumps(what).encode())


def scan(root):
    """What is there before the recording begins, as durable: {inode: node}, and the top."""
    by_number = {}

    def walk(path):
        d = by_number[os.stat(path).st_ino] = Dir(os.path.relpath(path, root))
        for e in sorted(os.scandir(path), key=lambda e: e.name):
            if e.is_dir(follow_symlinks=False):
                d.change(-1, [(e.name, walk(e.path))])
            elif e.is_file(follow_symlinks=False):
                f = by_number[e.inode()] = File(os.path.relpath(e.path, root))
                f.write(-1, 0, open(e.path, "rb").read())
                d.change(-1, [(e.name, f)])
        return d
    return by_number, walk(root)


def load(path, root, before, forget=None):
    """The trace. forget(node) says of what no sync counts: the negative controls."""
    number, top = before
    number = dict(number)
    trace = Trace(str(root), top, list(number.values()), 0)
    begun = {}
    for node in trace.nodes:
        node.syncs.append((-1, 0))
    at = -1
    for at, (kind, n, a, b, c, data) in enumerate(records(path)):
        if kind in (MAKE, MAKE_DIR):
            name = data.decode()
            above = number[a]
            node = number[b] = (Dir if kind == MAKE_DIR else File)(os.path.normpath(f"{above.path}/{name}"))
            trace.nodes.append(node)
            above.change(at, [(name, node)])
        elif kind == WRITE:
            number[a].write(at, b, data)
        elif kind == SIZE:
            number[a].write(at, b, None)
        elif kind == MOVE:
            old, new, node = data[:n].decode(), data[n:].decode(), number[c]
            if a == b:
                number[a].change(at, [(old, None), (new, node)])
            else:
                number[b].change(at, [(new, node)], number[b])
                number[a].change(at, [(old, None)], number[b])
        elif kind == LINK:
            number[a].change(at, [(data.decode(), number[b])])
        elif kind == REMOVE:
            number[a].change(at, [(data.decode(), None)])
        elif kind == SYNC_BEGIN:
            if a == 0 or a in number:
                begun[b] = at, number.get(a)
        elif kind == SYNC_END and b in begun:
            began, node = begun.pop(b)
            trace.edges.append(at)
            for each in [node] if node else trace.nodes:
                if not forget or not forget(each):
                    each.syncs.append((at, began))
        elif kind == SAY:
            trace.says.append((at, a, b, data))
        elif kind == MAPPED and a in number:
            number[a].mapped = min(number[a].mapped, at)
        elif kind == MARK:
            trace.marks.append((at, json.loads(data)))
        elif kind == BLIND:
            raise Blind(data.decode())
    trace.length = at + 1
    trace.edges.append(trace.length)
    for node in trace.nodes:
        # ended in order; what the best of those before covers
        ended, best, covers = [], 0, []
        for end, began in sorted(node.syncs):
            best = max(best, began)
            ended.append(end)
            covers.append(bisect_left(node.at, best))
        node.ended, node.covers = ended, covers
    return trace


def durable(node, cut):
    i = bisect_left(node.ended, cut)
    return node.covers[i - 1] if i else 0


# ---- what a cut leaves ----

class Choice:
    """One way in which a cut may fall out: for names and for data, by chance."""
    NAMES = ("none", "all", "journal", "coin", "coin")
    DATA = ("none", "all", "mixed", "mixed", "torn", "torn", "zeros")

    def __init__(self, chance, names=None, data=None):
        self.chance = chance
        self.names = names or chance.choice(self.NAMES)
        self.data = data or chance.choice(self.DATA)
        self.until = int(chance.expovariate(1 / 12))  # "journal": so many records are missing

    def name(self, at, cut):
        """Is the change of that index there, though nothing has synced it?"""
        if self.names == "coin":
            return self.chance.random() < 0.5
        return self.names == "all" or self.names == "journal" and at < cut - self.until

    def pieces(self, f, first, end):
        """The variant of a file: see File.image."""
        how = self.data
        if how == "mixed":
            how = self.chance.choice(("none", "all", "prefix", "torn", "zeros"))
        if first == end or how == "none":
            return ()
        if how == "all":
            return tuple((i, 0, len(f.ops[i][1] or b"")) for i in range(first, end))
        sizes = [o + len(d) for o, d in f.ops[first:end] if d is not None]
        if how == "zeros":
            return ((None, max(sizes, default=0), 0),)
        # Few different ones for each cut, so that what was found can be used again.
        chance = type(self.chance)(f"{first} {end} {self.chance.randrange(8)}")
        sector = chance.choice((512, 4096))
        if how == "prefix":
            last = chance.randrange(first, end)
            whole = tuple((i, 0, len(f.ops[i][1] or b"")) for i in range(first, last))
            data = f.ops[last][1]
            return whole + ((last, 0, chance.randrange(0, len(data) + sector, sector)),) if data else whole
        keep, out = chance.choice((0.2, 0.5, 0.8)), []
        if sizes and chance.random() < 0.5:
            out.append((None, max(sizes), 0))
        for i in range(first, end):
            offset, data = f.ops[i]
            if data is None:
                if chance.random() < keep:
                    out.append((i, 0, 0))
                continue
            edge = 0
            while edge < len(data):  # up to the next sector of the disk
                upto = min(len(data), edge + sector - (offset + edge) % sector)
                if chance.random() < keep:
                    out.append((i, edge, upto))
                edge = upto
        return tuple(out)


def lookup(trace, cut, choice):
    """{path: (file, operations that are durable, variant)} and the directories' paths, as
    a cut before the record of that index leaves them. A file's state is chosen when it
    is met."""
    met, renames = {}, {}

    def there(d, i, synced):
        at, to = d.at[i], d.went.get(i)
        if to is None:
            return synced or choice.name(at, cut)
        if at not in renames:
            renames[at] = durable(to, cut) > bisect_left(to.at, at) or choice.name(at, cut)
        return renames[at]

    files, dirs = {}, []

    def walk(d, path):
        synced, entries = durable(d, cut), {}
        for i in range(bisect_left(d.at, cut)):
            if not there(d, i, i < synced):
                continue
            for name, node in d.ops[i]:
                if node is None:
                    entries.pop(name, None)
                else:
                    entries[name] = node
        for name, node in entries.items():
            where = f"{path}/{name}" if path else name
            if isinstance(node, Dir):
                dirs.append(where)
                walk(node, where)
                continue
            if node not in met:
                was, now = durable(node, cut), bisect_left(node.at, cut)
                if node.mapped < cut:
                    met[node] = None if choice.chance.random() < 0.5 else (node, 0, ((None, 4096, 0),))
                else:
                    met[node] = node, was, choice.pieces(node, was, now)
            if met[node]:
                files[where] = met[node]
    walk(trace.top, "")
    return files, dirs


def content(entry):
    data, size = image(entry)
    return data + bytes(size - len(data))


def image(entry):
    """The same as bytes and size: the log of the database is allocated far ahead."""
    f, was, variant = entry
    return f.image(was, variant)


def store(path, entry):
    data, size = image(entry)
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with open(fd, "wb") as f:
        f.write(data)
        f.truncate(size)
