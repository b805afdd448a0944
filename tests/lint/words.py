"""Checks that every `postern WORD` that a message or the README advises is a word of the
command line. Usage: words.py SOURCE_ROOT"""
import pathlib
import re
import sys

root = pathlib.Path(sys.argv[1])
table = (root / "src/cli/main.c").read_text()
table = table[table.index("struct cli_word words[]"):table.index("enum { WORDS")]
words = set(re.findall(r'\{ "([a-z ]+)",', table))
groups = {word.split()[0] for word in words}
faults = []
advised = 0


def look(where, text):
    global advised
    for first, second in re.findall(r"\bpostern (?:-c \S+ )?([a-z]+)(?: ([a-z]+))?", text):
        advised += 1
        if first not in words and f"{first} {second}" not in words:
            faults.append(f"{where}: there is no word: {first} {second}")


for path in sorted(root.glob("src/*/*.c")):
    # Comments go, strings that stand side by side are one.
    code = re.sub(r"/\*.*?\*/", "", path.read_text(), flags=re.S)
    for run in re.findall(r'"(?:[^"\\\n]|\\.)*"(?:\s*"(?:[^"\\\n]|\\.)*")*', code):
        look(path.relative_to(root), re.sub(r'"\s*"', "", run))
readme = (root / "README.md").read_text()
for span in re.findall(r"`(postern [^`]+)`|^    +(postern .*)$", readme, re.M):
    look("README.md", "".join(span))

if len(words) < 30 or advised < 60:
    faults.append(f"only {len(words)} words and {advised} uses of them were found")
print("\n".join(faults), end="\n" if faults else "")
sys.exit(bool(faults))
