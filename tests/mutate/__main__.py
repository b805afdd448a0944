"""How many planted faults do the tests find?

  /usr/bin/python3 tests/mutate [--durable 150] [--random 150] [--seed N] [--rooms store,folder,hub,inbound,outbound,relay,fetch]
                                [--system SECONDS] [--again] [--list] [--only FILE] [--work DIR]

Plants faults (plant.py says which kinds) at the durability points of points.txt, and at random
places, all in one build; runs all tests once to learn which of them pass by which fault;
then, for each fault of the sample, those that do, until one fails. Unit tests all run; of the
system tests as many as take SECONDS (60) without a fault, the most specific first (0: none), then those
of tests/crash where a durability point was left out. What no test finds is listed, with the
reason where survivors.txt knows one; status 1 when the rates are below 90 and 85 percent.

--again keeps the build, what was learnt and what was found: a run that was ended goes on, and one with --system 0 (six minutes) goes on
with the system tests; what survived is tried again. --only FILE tries the faults named there, a line each as in the report. Needs python3-clang-14 and what contrib/test installs. About two hours on two cores.
A system test that failed is asked again by itself, since it may have been late only."""
import argparse
import concurrent.futures
import json
import os
import random
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(HERE))
import plant  # noqa: E402

CRASH = "crash/"  # where pytest.ini is, names of tests begin


def run(words, **more):
    return subprocess.run(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **more)


def must(words, **more):
    got = run(words, **more)
    if got.returncode != 0:
        sys.exit(f"{' '.join(map(str, words))}\n{got.stdout.decode(errors='replace')[-6000:]}")
    return got.stdout


def limits(seconds, octets=2 << 30):
    """A fault may loop, or write without end."""
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))
    resource.setrlimit(resource.RLIMIT_FSIZE, (octets, octets))


class Work:
    def __init__(self, folder):
        self.folder = folder
        self.tree, self.build, self.learnt = folder / "tree", folder / "build", folder / "learnt"
        self.binary = self.build / "src/cli/postern"

    def copy(self):
        shutil.rmtree(self.folder, ignore_errors=True)
        for name in must(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT).decode().splitlines():
            if (ROOT / name).is_file():
                (self.tree / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, self.tree / name)
        for name in ("switch.c", "switch.h"):
            shutil.copy(HERE / name, self.tree / "src/base" / name)
        rooms = self.tree / "src/base/meson.build"
        rooms.write_text(rooms.read_text().replace("files(", "files('switch.c',", 1))
        must(["meson", "setup", self.build, self.tree, "-Doptimization=1", "-Dwarning_level=0",
              f"-Dc_args=-include{self.tree}/src/base/switch.h -w"])

    def plant(self, rooms):
        faults = plant.find(self.tree, self.build, rooms, plant.Points(HERE / "points.txt"))
        for name in {f.file for f in faults}:
            path = self.tree / "src" / name
            path.write_bytes(plant.planted(path.read_bytes(), [f for f in faults if f.file == name]))
        must(["ninja", "-C", self.build])
        return faults

    def unit_tests(self):
        rows = json.loads(must(["meson", "introspect", "--tests", self.build]))
        return {r["name"]: r["cmd"] for r in rows if "unit" in r["suite"] or any("unit" in s for s in r["suite"])}

    def unit(self, command, fault=0, reached=None, seconds=30.0):
        """Found when it fails, burns four times the processor time, or sleeps for ever."""
        env = {**os.environ, "POSTERN_ORDERS": "30", "POSTERN_MUTANT": str(fault), **({"POSTERN_REACHED": str(reached)} if reached else {})}
        burn = int(5 + 4 * seconds)
        p = subprocess.Popen(command, env=env, cwd=self.tree, start_new_session=True,
                             stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                             preexec_fn=lambda: limits(burn))
        try:
            return p.wait(60 + 20 * seconds) == 0
        except subprocess.TimeoutExpired:
            os.killpg(p.pid, 9)
            p.wait()
            return False

    def system(self, tests, fault=0, limit=600, more=(), env=None):
        words = ["/usr/bin/python3", "-m", "pytest", "-q", "-x", "--tb=no", "-p", "no:xdist", *more, *tests]
        p = subprocess.Popen(words, cwd=self.tree / "tests", stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                             stderr=subprocess.STDOUT, start_new_session=True,
                             env={**os.environ, "POSTERN": str(self.binary), "POSTERN_MUTANT": str(fault), **(env or {})})
        try:
            out, _ = p.communicate(timeout=limit)
        except subprocess.TimeoutExpired:
            os.killpg(p.pid, 9)
            p.communicate()
            return False, "a time-out"
        if p.returncode not in (0, 1):
            sys.exit(f"pytest could not run {tests}:\n{out.decode(errors='replace')[-3000:]}")
        failed = [line.split()[1] for line in out.decode(errors="replace").splitlines() if line.startswith(("FAILED", "ERROR"))]
        return p.returncode == 0, failed[0] if failed else f"status {p.returncode}"

    # Which tests pass by which faults.
    def learn(self, size, system):
        shutil.rmtree(self.learnt, ignore_errors=True)
        self.learnt.mkdir()
        rows = []
        for name, command in self.unit_tests().items():
            file = self.learnt / (name.replace("/", "_") + ".unit")
            file.write_bytes(bytes(size))
            begin = time.monotonic()
            good = self.unit(command, reached=file)
            rows.append({"test": name, "seconds": time.monotonic() - begin, "good": good, "kind": "unit",
                         "reached": [i for i, b in enumerate(file.read_bytes()) if b]})
        if not system:
            return rows
        self.learn_system(size, ["system", "crash"])
        system = self.learnt_system()
        self.learn_system(size, [r["test"] for r in system if not r["good"]])  # late the first time
        rows += self.learnt_system()
        (self.folder / "learnt.json").write_text(json.dumps(rows))
        return rows

    def learn_system(self, size, tests):
        env = {**os.environ, "POSTERN": str(self.binary), "MUTATE_FOLDER": str(self.learnt), "MUTATE_SIZE": str(size),
               "PYTHONPATH": str(HERE), "PYTHONHASHSEED": "0"}
        if tests:
            run(["/usr/bin/python3", "-m", "pytest", "-q", "--tb=no", "-n", "3", "-p", "reach",
                 "--deselect", "system/test_corpus.py", *tests], cwd=self.tree / "tests", env=env)

    def learnt_system(self):
        by_test = {}
        for file in self.learnt.glob("*.json"):
            row = json.loads(file.read_text())
            row["kind"] = "crash" if row["test"].startswith(CRASH) else "system"
            row["reached"] = [i for i, b in enumerate(file.with_suffix(".reached").read_bytes()) if b]
            if row["good"] or row["test"] not in by_test:
                by_test[row["test"]] = row
        return list(by_test.values())


class Hunt:
    def __init__(self, work, rows, seconds):
        self.work, self.seconds = work, seconds
        self.units = work.unit_tests()
        self.by_fault = {}
        for r in rows:
            if r["good"]:
                for n in r["reached"]:
                    self.by_fault.setdefault(n, []).append(r)

    def tests(self, f, kind):
        rows = [r for r in self.by_fault.get(f.n, []) if r["kind"] == kind]
        own = f.file.split("/")[0]
        return sorted(rows, key=lambda r: (not r["test"].startswith(own + "/"), (0.1 + r["seconds"]) * len(r["reached"])))

    def found_by(self, f):
        for r in self.tests(f, "unit"):
            if not self.work.unit(self.units[r["test"]], f.n, seconds=r["seconds"]):
                return r["test"]
        some, spent = [], 0.0
        for r in self.tests(f, "system"):
            if spent + r["seconds"] <= self.seconds:
                some.append(r["test"])
                spent += r["seconds"] + 0.05
        which = self.system_finds(some, f, 60 + 4 * spent)
        if which:
            return which
        crash = self.tests(f, "crash")
        if self.seconds > 0 and f.durable and f.kind in ("call", "drop"):
            return self.system_finds([r["test"] for r in crash], f, 300)
        return None

    def system_finds(self, tests, f, limit):
        """The test that fails, and fails again by itself: one that was only late does not count."""
        while tests:
            good, which = self.work.system(tests, f.n, limit)
            if good:
                return None
            at = next((k for k, t in enumerate(tests) if (t + " ").startswith(which + " ")), None)
            if at is None or not self.work.system([tests[at]], f.n, limit)[0]:
                return which
            tests = tests[at + 1:]
        return None


def reasons():
    known = {}
    for line in (HERE / "survivors.txt").read_text().splitlines() if (HERE / "survivors.txt").exists() else []:
        if line and line[0] not in "# \t":
            key, _, why = line.partition(" -- ")
            known[key.strip()] = why.strip()
    return known


def report(name, sample, found, least):
    if not sample:
        return True
    good = sum(1 for f in sample if found[f.n])
    print(f"\n{name}: {good} of {len(sample)} found, {100 * good / len(sample):.1f} %")
    for room in sorted({f.file.split('/')[0] for f in sample}):
        of = [f for f in sample if f.file.startswith(room + "/")]
        print(f"  {room}: {sum(1 for f in of if found[f.n])} of {len(of)}")
    return 100 * good >= least * len(sample)


def main():
    p = argparse.ArgumentParser(prog="tests/mutate", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--durable", type=int, default=150)
    p.add_argument("--random", type=int, default=150)
    p.add_argument("--seed", type=int, default=random.randrange(1 << 30))
    p.add_argument("--rooms", default="store,folder,hub,inbound,outbound,relay,fetch")
    p.add_argument("--system", type=float, default=60)
    p.add_argument("--work", type=Path, default=ROOT / "build" / "mutate")
    p.add_argument("--jobs", type=int, default=2)
    p.add_argument("--again", action="store_true")
    p.add_argument("--list", action="store_true")
    p.add_argument("--only", type=Path)
    o = p.parse_args()

    work = Work(o.work.resolve())
    state = work.folder / "faults.json"
    if o.again and state.exists():
        faults = [plant.Fault(**row) for row in json.loads(state.read_text())]
        rows = json.loads((work.folder / "learnt.json").read_text()) if (work.folder / "learnt.json").exists() else None
    else:
        work.copy()
        faults, rows = work.plant(o.rooms.split(",")), None
        state.write_text(json.dumps([vars(f) for f in faults]))
    durable = [f for f in faults if f.durable]
    print(f"{len(faults)} places for faults, {len(durable)} of them durability points; seed {o.seed}")
    if o.list:
        for f in faults:
            print("*" if f.durable else " ", f.key())
        return 0
    rows = rows or work.learn(len(faults) + 1, o.system > 0)

    chance = random.Random(o.seed)
    first = chance.sample(durable, min(o.durable, len(durable)))
    second = chance.sample(faults, min(o.random, len(faults)))
    if o.only:
        names = {line.split(" -- ")[0].strip() for line in o.only.read_text().splitlines()}
        first, second = [f for f in faults if f.key() in names], []
    hunt, found, why = Hunt(work, rows, o.system), {}, reasons()
    all_of_them = list({f.n: f for f in first + second}.values())
    done_before = work.folder / "found.json"
    if o.again and not o.only and done_before.exists():
        found = {int(n): test for n, test in json.loads(done_before.read_text()).items() if test}
    with concurrent.futures.ThreadPoolExecutor(o.jobs) as pool:
        jobs = {pool.submit(hunt.found_by, f): f for f in all_of_them if f.n not in found}
        for done in concurrent.futures.as_completed(jobs):
            f = jobs[done]
            found[f.n] = done.result()
            if not o.only:
                done_before.write_text(json.dumps(found))
            print(f"{sum(1 for g in all_of_them if g.n in found)}/{len(all_of_them)} {'found' if found[f.n] else 'SURVIVED'} {f.key()}"
                  f"{' by ' + found[f.n] if found[f.n] else ''}", flush=True)
    good = report("durability points", first, found, 90)
    good &= report("random places", second, found, 85)
    print("\nsurvivors:")
    for f in sorted(all_of_them, key=lambda f: (f.file, f.line)):
        if not found[f.n]:
            print(f"{f.key()} -- {why.get(f.key(), 'no reason known')}" + ("" if hunt.by_fault.get(f.n) else " (no test passes by)"))
    return 0 if good else 1


sys.exit(main())
