"""A plugin for pytest: each test's programs write into a file of its own which faults
they passed by, and how long the test took."""
import json
import os
from pathlib import Path

import pytest


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_protocol(item):
    folder, size = Path(os.environ["MUTATE_FOLDER"]), int(os.environ["MUTATE_SIZE"])
    name = f"{abs(hash(item.nodeid)):x}-{os.getpid()}"
    file = folder / f"{name}.reached"
    file.write_bytes(bytes(size))
    os.environ["POSTERN_REACHED"] = str(file)
    item.mutate = [name, 0.0, True]
    yield
    _, seconds, good = item.mutate
    (folder / f"{name}.json").write_text(json.dumps({"test": item.nodeid, "seconds": seconds, "good": good}))


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    got = yield
    report = got.get_result()
    if hasattr(item, "mutate"):
        item.mutate[1] += call.duration
        item.mutate[2] = item.mutate[2] and report.outcome == "passed"
