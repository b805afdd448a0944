"""What passed and what failed, for contrib/test.

  count.py meson NAME testlog.json   one line "PASSED FAILED NAME": cmocka's cases
  count.py pytest NAME junit.xml     the same; an absent file is one failure
  count.py sum FILE                  adds such lines, names what failed, and ends
                                     with "N passed, N failed"; status 1 if any did"""
import json
import re
import sys
import xml.etree.ElementTree as ET


def meson(path):
    passed = failed = 0
    for line in open(path, encoding="utf-8", errors="replace"):
        test = json.loads(line)
        said = test.get("stdout", "") + test.get("stderr", "")
        good = sum(map(int, re.findall(r"\[  PASSED  \] (\d+) test", said)))
        bad = sum(map(int, re.findall(r"\[  FAILED  \] .*?(\d+) test\(s\), listed", said)))
        if test["result"] == "SKIP":
            continue
        if test["result"] in ("OK", "EXPECTEDFAIL"):
            passed += good or 1
        else:
            print(f"FAILED: {test['name']}", file=sys.stderr)
            passed += good
            failed += bad or 1
    return passed, failed


def junit(path):
    passed = failed = 0
    for case in ET.parse(path).iter("testcase"):
        kinds = {child.tag for child in case}
        failed += bool(kinds & {"failure", "error"})
        passed += not kinds & {"failure", "error", "skipped"}
    return passed, failed


def main():
    how, name = sys.argv[1:3]
    if how == "sum":
        rows = [line.split(" ", 2) for line in open(name, encoding="utf-8")]
        print()
        for good, bad, what in rows:
            if int(bad):
                print(f"failed: {what.strip()}" + (f" ({bad} of {int(good) + int(bad)})" if int(good) + int(bad) > 1 else ""))
        good, bad = (sum(int(r[i]) for r in rows) for i in (0, 1))
        print(f"{good} passed, {bad} failed")
        return 1 if bad else 0
    try:
        passed, failed = (meson if how == "meson" else junit)(sys.argv[3])
    except (OSError, ValueError, ET.ParseError) as e:
        print(f"{name}: {e}", file=sys.stderr)
        passed, failed = 0, 1
    print(passed, failed, f"{'unit' if how == 'meson' else 'system'} tests, {name}")
    return 0


sys.exit(main())
