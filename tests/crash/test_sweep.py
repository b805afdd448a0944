"""A sample of the sweep of failing calls. POSTERN_SWEEP says for how many seconds (30),
POSTERN_SEED repeats a choice; all of it: tests/crash/sweep."""
import os
import random

import pytest
import sweeping

SECONDS = float(os.environ.get("POSTERN_SWEEP", "30"))
SEED = int(os.environ.get("POSTERN_SEED", str(random.randrange(1 << 30))))


@pytest.mark.limit(int(SECONDS) + 120)
def test_a_call_that_fails_loses_doubles_and_hides_nothing(new_postern):
    print(f"POSTERN_SEED={SEED}")
    if not sweeping.shim().exists():
        pytest.skip("POSTERN is of a build with sanitizers: nothing can be preloaded")
    report = sweeping.sweep(seconds=SECONDS, seed=SEED)
    print(report.figures())
    assert len(report.outcomes) - len(report.by("unreached")) >= 20, report.figures()
    assert not report.bad(), "\n".join(f"tests/crash/sweep --only '{o.point}'\n  at {o.site}\n  {o.why}" for o in report.bad())
