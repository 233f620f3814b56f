"""Collection under load: writers in several processes, collectors that fail and are killed, and nothing is lost."""

import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import pfs
from pfs.gc.collect import collect, measure
from pfs.refs import collection
from pfs.upkeep.check import fsck
from tests.pfs.gc_load import check
from tests.pfs.gc_world import stored_bytes

ROOT = Path(__file__).parents[2]


def start(place: Path, name: str, *words: object) -> subprocess.Popen[bytes]:
    """Start a process; what it prints goes to files of that name."""
    line = [sys.executable, "-m", "tests.pfs.gc_load", *map(str, words)]
    with (place / f"{name}.out").open("wb") as out, (place / f"{name}.err").open("wb") as err:
        return subprocess.Popen(line, cwd=ROOT, stdout=out, stderr=err)


def said(place: Path, name: str) -> str:
    """Return the end of what a process complained of."""
    return (place / f"{name}.err").read_text()[-3000:]


def keep_collecting(place: Path, seconds: float) -> dict[str, int]:
    """Collect again and again, half of the time badly; return how often each fate was met."""
    rng, end = random.Random(1), time.monotonic() + seconds
    met = {"whole": 0, "fault": 0, "kill": 0}
    while time.monotonic() < end:
        fate = rng.choice(["whole", "whole", "fault", "kill"])
        code = start(place, "gc", "collect", place, rng.randrange(1 << 30), fate).wait()
        assert code in ((0, -signal.SIGKILL) if fate == "kill" else (0,)), said(place, "gc")
        met[fate] += code != 0 or fate != "kill"
    return met


def run_load(place: Path, *, seconds: float, writers: int) -> None:
    with pfs.init(place) as store:
        for name in ("r0", "r1"):
            store.create_repo(name)
    names = [f"writer-{seed}" for seed in range(writers)]
    processes = [start(place, name, "write", place, seed, seconds) for seed, name in enumerate(names)]
    met = keep_collecting(place, seconds)
    for name, process in zip(names, processes, strict=True):
        assert process.wait() == 0, said(place, name)
    lines = [json.loads(line) for name in names for line in (place / f"{name}.out").read_text().splitlines()]
    gone = {line["gone"] for line in lines if "gone" in line}
    made = [line for line in lines if "commit" in line and line["commit"] not in gone]
    print(f"{len(made)} commits kept, {len(gone)} squashed, collections: {met}")
    assert len(made) > writers
    assert met["whole"]
    assert_nothing_lost(place, made)


def assert_nothing_lost(place: Path, made: list[dict[str, object]]) -> None:
    with pfs.open(place) as store:
        assert list(fsck(store, deep=True)) == []
        for line in made:
            check(store.repo(str(line["repo"])), str(line["commit"]), dict(line["files"]))  # type: ignore[call-overload]
        report = collect(store)
        assert collection.read(store.backend)[0].phase == "idle"
        assert report.bytes_after == stored_bytes(store) <= 1.3 * measure(store).live_bytes
        assert collect(store).did_nothing
        assert list(fsck(store, deep=True)) == []
        for line in made[-20:]:
            check(store.repo(str(line["repo"])), str(line["commit"]), dict(line["files"]))  # type: ignore[call-overload]


def test_collection_under_load(tmp_path: Path) -> None:
    run_load(tmp_path, seconds=6, writers=2)


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_collection_under_load_for_minutes(tmp_path: Path) -> None:
    run_load(tmp_path, seconds=300, writers=3)
