"""Checks that the files of a room call downwards: no file of it leads back to itself by the
functions that the others call. Usage: circles.py ROOM...; each is a room's library, or its program."""
import collections
import pathlib
import re
import subprocess
import sys

DEFINED = set("TDBRVW")  # functions and data that others may name


def symbols(room):
    """What each object of a room defines, and what it names."""
    defines, names = {}, collections.defaultdict(set)
    objects = [room] if room.endswith(".a") else sorted(pathlib.Path(room + ".p").glob("*.o"))
    out = subprocess.run(["nm", "-A", "-P", *objects], check=True, capture_output=True, text=True).stdout
    for line in out.splitlines():
        m = re.match(r".*[\[/]([^/]+)\.c\.o\]?: (\S+) (\S)", line)
        if not m:
            continue
        file, symbol, kind = m.groups()
        if kind in DEFINED:
            defines[symbol] = file
        elif kind in "Uw":
            names[file].add(symbol)
    return defines, names


def circles(calls):
    """The strongly connected parts with more than one file (Tarjan), each sorted."""
    index, low, stack, found = {}, {}, [], []

    def visit(file):
        index[file] = low[file] = len(index)
        stack.append(file)
        for other in sorted(calls[file]):
            if other not in index:
                visit(other)
                low[file] = min(low[file], low[other])
            elif other in stack:
                low[file] = min(low[file], index[other])
        if low[file] == index[file]:
            part = []
            while not part or part[-1] != file:
                part.append(stack.pop())
            if len(part) > 1:
                found.append(sorted(part))

    for file in sorted(calls):
        if file not in index:
            visit(file)
    return found


faults = []
for library in sys.argv[1:]:
    room = pathlib.Path(library).name.removeprefix("lib").removesuffix(".a")
    defines, names = symbols(library)
    if not defines:
        faults.append(f"{library}: no symbols")
    calls = {file: {defines[s] for s in names[file] if s in defines and defines[s] != file}
             for file in set(defines.values()) | set(names)}
    for part in circles(calls):
        faults.append(f"{room}: a circle of {len(part)} files: {' '.join(part)}")
        for file in part:
            for other in sorted(calls[file] & set(part)):
                by = sorted(s for s in names[file] if defines.get(s) == other)
                faults.append(f"  {file}.c calls {other}.c: {' '.join(by)}")
print("\n".join(faults))
sys.exit(bool(faults))
