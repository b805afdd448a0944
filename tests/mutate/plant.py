"""Finds places for faults in the source and writes a copy of it in which each is
there behind a switch (switch.h), so that one build serves for all of them.

A fault is one of these, and changes nothing else:
  call      a call that may fail is left out and counts as done (the list names them)
  drop      a statement is left out
  negate    a condition is turned round
  ignore    one half of an "and" or "or" is ignored
  border    a comparison is off by one
  return    a function says the opposite
Places inside macros are left alone: they have no text of their own."""
import fnmatch
import json
import re
import shlex
from dataclasses import dataclass
from pathlib import Path

from clang import cindex
from clang.cindex import CursorKind as K
from clang.cindex import TypeKind as T

WHOLE = {T.INT, T.UINT, T.LONG, T.ULONG, T.LONGLONG, T.ULONGLONG, T.SHORT, T.USHORT, T.SCHAR, T.UCHAR, T.CHAR_S,
         T.BOOL, T.ENUM}


@dataclass
class Fault:
    file: str
    line: int
    function: str
    kind: str
    text: str
    start: int
    end: int
    before: str  # with {n} for its number
    after: str
    durable: bool
    n: int = 0

    def key(self):
        """The same in the next version of the file, as long as the line says the same."""
        return f"{self.file} {self.function} {self.kind}: {self.text}"


class Points:
    """The list of durability points: calls with the answer that stands for success, and
    functions all of which count; and calls whose absence no test can or need see."""

    def __init__(self, path):
        self.calls, self.functions, self.excepted, self.skipped = [], [], [], []
        for line in path.read_text().splitlines():
            words = line.split("#")[0].split()
            if not words:
                continue
            if words[0] == "call":
                self.calls.append((words[1], words[2], words[3] if len(words) > 3 else "*"))
            elif words[0] == "skip":
                self.skipped.append(words[1])
            elif words[0] == "except":
                self.excepted.append((words[1], words[2]))
            else:
                self.functions.append((words[1], words[2]))

    def call(self, file, name):
        return next((value for n, value, where in self.calls if n == name and fnmatch.fnmatch(file, where)), None)

    def skips(self, words):
        name = re.sub(r"^\(void\) ?!?", "", words).split("(")[0]
        return any(fnmatch.fnmatch(name, s) for s in self.skipped)

    def function(self, file, name):
        return any(fnmatch.fnmatch(file, f) and fnmatch.fnmatch(name, n) for f, n in self.functions) \
            and not any(fnmatch.fnmatch(file, f) and fnmatch.fnmatch(name, n) for f, n in self.excepted)


class File:
    def __init__(self, root, path, arguments, points):
        self.name = str(path.relative_to(root / "src"))
        self.text = path.read_bytes()
        self.points = points
        self.faults = []
        index = cindex.Index.create()
        tu = index.parse(str(path), arguments, options=cindex.TranslationUnit.PARSE_DETAILED_PROCESSING_RECORD)
        bad = [d for d in tu.diagnostics if d.severity >= cindex.Diagnostic.Error]
        if bad:
            raise RuntimeError(f"{path}: {bad[0].spelling}")
        self.macros = []
        for c in tu.cursor.get_children():
            if c.location.file is None or c.location.file.name != str(path):
                continue
            if c.kind == K.MACRO_INSTANTIATION:
                self.macros.append((c.extent.start.offset, c.extent.end.offset))
        for c in tu.cursor.get_children():
            if c.kind == K.FUNCTION_DECL and c.is_definition() and c.location.file \
                    and c.location.file.name == str(path):
                self.function(c)

    def span(self, c):
        return c.extent.start.offset, c.extent.end.offset

    def plain(self, c):
        """It has a text of its own, outside of every macro's arguments."""
        a, b = self.span(c)
        return b > a and not any(m <= a and b <= n or m < a < n or m < b < n for m, n in self.macros)

    def words(self, c):
        a, b = self.span(c)
        return re.sub(r"\s+", " ", self.text[a:b].decode(errors="replace"))[:100]

    def add(self, kind, c, before, after):
        if not self.plain(c):
            return
        a, b = self.span(c)
        durable = kind == "call" or kind != "border" and self.points.function(self.name, self.here)
        self.faults.append(Fault(self.name, c.extent.start.line, self.here, kind, self.words(c), a, b, before, after,
                                 durable))

    def function(self, f):
        self.here = f.spelling
        self.truth = f.result_type.get_canonical().kind == T.BOOL
        for c in f.get_children():
            if c.kind == K.COMPOUND_STMT:
                self.statement(c)

    def statement(self, c):
        children = list(c.get_children())
        bodies = children if c.kind == K.COMPOUND_STMT else children[1:] if c.kind == K.IF_STMT else children[-1:]
        for child in children:
            if child in bodies:
                self.drop(child)
            self.node(child)

    def drop(self, c):
        a, b = self.span(c)
        if not self.text[b:].lstrip().startswith(b";"):
            return
        assigns = c.kind in (K.BINARY_OPERATOR, K.COMPOUND_ASSIGNMENT_OPERATOR) and not self.words(c).startswith("(void)")
        if c.kind == K.CALL_EXPR or assigns or (c.kind == K.CSTYLE_CAST_EXPR and self.words(c).startswith("(void)")) \
                or (c.kind == K.UNARY_OPERATOR and re.search(r"\+\+|--", self.words(c))):
            if not self.points.skips(self.words(c)):
                self.add("drop", c, "(mutate_on({n}) ? (void)0 : (void)(", "))")

    def negate(self, c):
        self.add("negate", c, "(mutate_on({n}) != !!(", "))")

    def node(self, c):
        children = list(c.get_children())
        if c.kind in (K.IF_STMT, K.WHILE_STMT) and children:
            self.negate(children[0])
        elif c.kind == K.CONDITIONAL_OPERATOR and len(children) == 3:
            self.negate(children[0])
        elif c.kind == K.RETURN_STMT and self.truth and children:
            self.add("return", children[0], "(mutate_on({n}) != !!(", "))")
        elif c.kind == K.BINARY_OPERATOR and len(children) == 2:
            self.operator(children)
        elif c.kind == K.CALL_EXPR:
            value = self.points.call(self.name, c.spelling)
            if value is not None and c.type.kind != T.VOID and self.words(c).startswith(c.spelling):
                self.add("call", c, "(mutate_on({n}) ? (" + value + ") : ", ")")
        if c.kind == K.CASE_STMT:
            children = children[1:]
        if c.kind in (K.COMPOUND_STMT, K.IF_STMT, K.FOR_STMT, K.WHILE_STMT):
            self.statement(c)
            return
        if c.kind == K.DECL_STMT and b"static" in self.text[self.span(c)[0]:self.span(c)[0] + 10]:
            return
        for child in children:
            self.node(child)

    def operator(self, children):
        left, right = children
        a, b = left.extent.end.offset, right.extent.start.offset
        sign = self.text[a:b].decode(errors="replace").strip() if 0 < b - a < 40 else ""
        if sign == "&&":
            for half in children:
                self.add("ignore", half, "(mutate_on({n}) || (", "))")
        elif sign == "||":
            for half in children:
                self.add("ignore", half, "(!mutate_on({n}) && (", "))")
        elif sign in ("<", ">=", ">", "<=") and self.words(right) != "0" and all(x.type.get_canonical().kind in WHOLE for x in children):
            self.add("border", right, "((", ") + mutate_on({n}))" if sign in ("<", ">=") else ") - mutate_on({n}))")


def planted(text, faults):
    """The text with all of them in it. What is outside comes first where two begin alike."""
    notes = []
    for f in faults:
        notes.append((f.start, 1, -f.end, f.n, f.before.format(n=f.n)))
        notes.append((f.end, 0, -f.start, -f.n, f.after.format(n=f.n)))
    out, at = [], 0
    for place, _, _, _, words in sorted(notes):
        out.append(text[at:place])
        out.append(words.encode())
        at = place
    out.append(text[at:])
    return b"".join(out)


def arguments_of(build):
    """The compiler's arguments for each source file."""
    args = {}
    for row in json.loads((build / "compile_commands.json").read_text()):
        words, keep = shlex.split(row["command"]), []
        for w in words:
            if re.match(r"-[DIU]", w) or w.startswith("-std="):
                keep.append("-I" + str((Path(row["directory"]) / w[2:]).resolve()) if w.startswith("-I") else w)
        args[str((Path(row["directory"]) / row["file"]).resolve())] = keep + ["-isystem", "/usr/lib/llvm-14/lib/clang/14.0.6/include"]
    return args


def find(root, build, rooms, points):
    args, all_faults = arguments_of(build), []
    for room in rooms:
        for path in sorted((root / "src" / room).glob("*.c")):
            if str(path.resolve()) in args:
                all_faults += File(root, path.resolve(), args[str(path.resolve())], points).faults
    seen = {}
    for n, f in enumerate(all_faults, 1):
        f.n = n
        k = f.key()
        seen[k] = seen.get(k, 0) + 1
        if seen[k] > 1:
            f.text += f" ({seen[k]})"
    return all_faults
