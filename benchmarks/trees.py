"""Commits of very many files: built from an Arrow stream, listed, searched, compared, changed by one file, planned.

No file is on disk and no content in the store: trees are what is at work. Beside git, which gets as many paths by
`git fast-import`. Each measurement is a process of its own (`tree_runs`), or the command that users have, cold.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks import pipelines
from benchmarks.contestants import environment, sh
from benchmarks.install_peers import program
from benchmarks.measure import Cost, measure
from benchmarks.options import Need, Options
from benchmarks.results import Results, Sample
from benchmarks.tree_runs import Took

COUNTS = {"small": 10_000, "1M": 1_000_000, "10M": 10_000_000}
DATUMS = 1_000_000
_GIT = {
    "list": "exec git ls-tree -r HEAD",
    "list one folder": "exec git ls-tree HEAD d0000/s00/",
    "diff of one": "exec git diff --name-status HEAD~1 HEAD",
    "diff of 1 %": "exec git diff --name-status HEAD~2 HEAD~1",
    "commit of one": "git update-index --add --cacheinfo 100644,$(git hash-object -w --stdin <$ONE),$FILE "
    "&& exec git commit -q -m one",
}
_PFS = {
    "list": "exec pfs list-file -r --raw data@master:/",
    "list one folder": "exec pfs list-file --raw data@master:/d0000/s00/",
    "diff of one": "exec pfs diff-file --name-only data@master",
    "diff of 1 %": "exec pfs diff-file --name-only data@master^",
    "commit of one": "exec pfs put-file -f $ONE data@master:/$FILE",
}


def need(options: Options) -> Need:
    """Return what the suite will take."""
    scale = options.scale
    return Need(int(4e9 * scale) + 10**8, (300 * scale + 30) * options.rounds + 600 * scale)


def results(options: Options) -> Iterator[Results]:
    """Yield samples of each size, then of jobs: seconds of each case, and what else it has (`Sample.value`)."""
    for name in COUNTS:
        with tempfile.TemporaryDirectory(prefix="pfs-bench-", dir=options.place) as folder:
            facts: dict[str, float] = {f"trees/{name}": _count(name, options.scale)}
            yield Results(samples=list(_of_size(name, Path(folder) / name, options)), facts=facts)
    with tempfile.TemporaryDirectory(prefix="pfs-bench-", dir=options.place) as folder:
        facts = {"trees/datums": max(int(DATUMS * options.scale), 1000)}
        yield Results(samples=list(_planned(Path(folder) / "datums", options)), facts=facts)


def _count(name: str, scale: float) -> int:
    return COUNTS[name] if name == "small" else max(int(COUNTS[name] * scale), 1000)


def _of_size(name: str, place: Path, options: Options) -> Iterator[Sample]:
    count = _count(name, options.scale)
    place.mkdir()
    _run("stream", place, count)
    for turn in range(options.rounds if name != "10M" or options.scale < 0.5 else 1):
        print(f"trees of {count:,} files, round {turn + 1}", file=sys.stderr, flush=True)
        cost, inside = _run("build", place, count)
        yield _sample("build", f"pfs {name}", turn, cost, inside["build"])
        cost, inside = _run("ask", place, count)
        for case, took in inside.items():
            yield _sample(case, f"pfs {name}", turn, cost, took)
        if name == "1M":
            yield from _in_turns(place, count, turn)
    for layout in ("one", "four") if name == "10M" else ():
        _run(f"stream of {layout}", place, count)
        cost, inside = _run("build", place, count)
        case = f"build, folders of {layout}" if layout == "four" else "build, one folder"
        yield _sample(case, f"pfs {name}", 0, cost, inside["build"])


def _in_turns(place: Path, count: int, turn: int) -> Iterator[Sample]:
    """Yield what commands take, ours and git's on as many paths."""
    lines = {"pfs 1M": _PFS}
    if program("git") is not None:
        _run("git", place, count)
        lines["git 1M"] = _GIT
    (place / "home").mkdir(exist_ok=True)
    (place / "one").write_bytes(b"one %d" % turn)
    own = environment(place) | {"ONE": str(place / "one"), "FILE": "d0000/s00/f00000007.dat"}
    for case in _PFS:
        for who in sorted(lines, reverse=turn % 2 == 0):
            cost = measure(sh(lines[who][case]), cwd=place / "git" if who == "git 1M" else place, env=own)
            yield _sample(f"command: {case}", who, turn, cost)


def _planned(place: Path, options: Options) -> Iterator[Sample]:
    """Yield what a job takes of whose datums none is new, beside the first job over them."""
    count = max(int(DATUMS * options.scale), 1000)
    print(f"jobs of {count:,} datums", file=sys.stderr, flush=True)
    for what in ("first", *["unchanged"] * options.rounds):
        taken = pipelines._measure(what, place, count)
        case = "first job" if what == "first" else "job, all unchanged"
        yield Sample("trees", f"trees/{case}", "pfs", options.rounds, taken.seconds, taken.cpu_s, taken.peak_kib / 1024)


def _run(what: str, place: Path, count: int) -> tuple[Cost, dict[str, Took]]:
    """Run a part of `tree_runs` in a process of its own; return its cost and what it found."""
    answer = place / "answer.json"
    answer.unlink(missing_ok=True)
    argv = [sys.executable, "-m", "benchmarks.tree_runs", what, str(place), str(count), str(answer)]
    cost = measure(argv)
    return cost, {case: Took(*took) for case, took in json.loads(answer.read_text()).items()}


def _sample(case: str, who: str, turn: int, cost: Cost, took: Took | None = None) -> Sample:
    """Return what a process cost, or of its time what one thing in it ``took``."""
    own = took or Took(cost.seconds, cost.cpu_s)
    memory = (cost.peak_mib, cost.anon_mib)
    return Sample("trees", f"trees/{case}", who, turn, own.seconds, own.cpu_s, *memory, value=own.value)
