"""A killed process keeps its page cache, so no kill can see a sync that is missing. Here the
power is cut: tests/crash/README.md. POSTERN_CUTS says at how many states to look (a
million is for tests/crash/powercut), POSTERN_SEED repeats a recording."""
import os
import random

import pytest
from harness.postern import program
from power import cuts, disk
from power.run import Run, shim

STATES = int(os.environ.get("POSTERN_CUTS", "2000"))
SEED = int(os.environ.get("POSTERN_SEED", str(random.randrange(1 << 30))))
RESTARTS = 12  # of each recording; each is a run of the program


@pytest.fixture
def recorded(request):
    if not program() or not shim().exists():
        pytest.skip("POSTERN does not name a built postern with tests/crash/power_shim.so beside it")
    run = Run(request.param)
    try:
        yield run.record()
    finally:
        run.close()


def fair(count):
    return "\n".join(f"{how}: {what}" for how, what in count.first)


@pytest.mark.limit(240 + STATES // 10)
@pytest.mark.parametrize("recorded", [SEED, SEED + 1], indirect=True, ids=["first", "second"])
def test_a_power_cut_loses_nothing_and_doubles_nothing(recorded):
    trace = recorded.load()
    states = STATES // 2
    count = cuts.replay(recorded, trace, states, restart_each=max(1, states // RESTARTS))
    print(f"{count.states} states, {len(count.distinct)} different, {count.restarts} restarts")
    assert count.states == states and count.restarts >= min(states, RESTARTS)
    assert not count.faults, f"{dict(count.faults)} of {count.states}\n{fair(count)}"


# What a sync that is left out leads to: mail is lost, unless another kind stands here.
OTHERWISE = {"database log": {"lost", "damaged"}, "database at a checkpoint": {"lost", "damaged"},
             "claims of Pickup": {"doubled"}}


@pytest.mark.limit(240)
@pytest.mark.parametrize("recorded", [SEED + 2], indirect=True, ids=["third"])
def test_each_sync_that_is_left_out_is_seen(recorded):
    before = cuts.replay(recorded, recorded.load(), 300)
    assert not before.faults, fair(before)
    blind = {}
    for name, forget in cuts.CONTROLS.items():
        want = OTHERWISE.get(name, {"lost"})
        count = cuts.replay(recorded, recorded.load(forget), 3000, until=want)
        if not want & set(count.faults):
            blind[name] = dict(count.faults)
    assert not blind


def test_the_disk_of_the_model():
    """What a sync covers is there; the rest may be missing, and names go by themselves."""
    top = disk.Dir("")
    f, old = disk.File("new"), disk.File("old")
    other = disk.Dir("box")
    top.change(-1, [("old", old), ("box", other)])
    old.write(-1, 0, b"was")
    f.write(1, 0, b"a" * 600)
    top.change(0, [("new", f)])
    f.write(3, 600, b"b" * 600)
    top.change(4, [("old", None)], other)
    other.change(4, [("moved", old)], other)
    for node, syncs in ((top, [(-1, 0)]), (f, [(2, 2)]), (old, [(-1, 0)]), (other, [(-1, 0)])):
        node.ended, node.covers = [e for e, _ in syncs], [sum(at < b for at in node.at) for _, b in syncs]
    trace = disk.Trace("", top, [top, f, old, other], 5)

    def left(names, data, seed=0):
        files, _ = disk.lookup(trace, 5, disk.Choice(random.Random(seed), names, data))
        return {path: disk.content(e) for path, e in files.items()}
    assert left("none", "none") == {"old": b"was"}  # new was synced, its name was not
    assert left("all", "none") == {"new": b"a" * 600, "box/moved": b"was"}
    assert left("all", "all")["new"] == b"a" * 600 + b"b" * 600
    assert left("all", "zeros")["new"] == b"a" * 600 + bytes(600)
    seen = [left("coin", "torn", seed) for seed in range(60)]
    assert all(("old" in s) != ("box/moved" in s) for s in seen)  # a rename is one change
    assert all(s["new"].startswith(b"a" * 600) for s in seen if "new" in s)
    assert {"old" in s for s in seen} == {"new" in s for s in seen} == {True, False}
    assert len({s["new"] for s in seen if "new" in s}) > 2
