"""A sample of the sweep of failing calls. POSTERN_SWEEP says how many points are tried (24),
POSTERN_SEED repeats a choice; all of it: tests/crash/sweep."""
import os
import random

import pytest
import sweeping

POINTS = int(os.environ.get("POSTERN_SWEEP", "24"))
SEED = int(os.environ.get("POSTERN_SEED", str(random.randrange(1 << 30))))


@pytest.mark.limit(POINTS * 15 + 120)
def test_a_call_that_fails_loses_doubles_and_hides_nothing(new_postern):
    print(f"POSTERN_SEED={SEED}")
    if not sweeping.shim().exists():
        pytest.skip("POSTERN is of a build with sanitizers: nothing can be preloaded")
    report = sweeping.sweep(most=POINTS, seed=SEED)
    print(report.figures())
    assert len(report.outcomes) == POINTS, report.figures()
    assert len(report.by("unreached")) <= POINTS // 2, report.figures()
    assert not report.bad(), "\n".join(f"tests/crash/sweep --only '{o.point}'\n  at {o.site}\n  {o.why}" for o in report.bad())
