"""What pipelines cost beside the commands that they run.

Datums of `true` are compared with the bare loop: as many slots, each of which has the same spawner start `true` in the
namespaces and with the mounts of a datum and waits for it, without datums, inputs, outputs, logs and commits; and with
a loop of util-linux's `unshare`. They take turns; a ratio is the median of the rounds' own, of rates by the clock and
by CPU seconds of all processes. Jobs of which nothing or one datum is new follow one whose datums did nothing
(`pps.testing.instant`); memory is the peak of the controlling process.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import NamedTuple

WANTED_S = {"latency": 1.0, "first": 60.0, "unchanged": 10.0, "one changed": 12.0}

_DISK = "/var/tmp"
"""Not /tmp: commands have one of their own, for which what they need of it is bound into it."""


class Taken(NamedTuple):
    """Of one run of ``count`` commands or datums."""

    count: int
    seconds: float
    cpu_s: float | None
    peak_kib: int


def run(*, quick: bool) -> list[dict[str, object]]:
    """Return rows for datums of `true`, for large first jobs and for those that have nothing to do."""
    datums, bare, rounds, outputs, unchanged = (
        (200, 100, 1, 2_000, 5_000) if quick else (10_000, 2_000, 3, 100_000, 1_000_000)
    )
    with tempfile.TemporaryDirectory(prefix="pfs-bench-", dir=_DISK) as directory:
        rows = _overhead(Path(directory), datums, bare, rounds)
        one = _measure("latency", Path(directory) / "latency", rounds * 10)
        rows.append(_row(one, "latency") | {"case": "one file: from its commit to the output commit"})
        rows.append(_row(_measure("first", Path(directory) / "outputs", outputs), "first"))
        shutil.rmtree(Path(directory) / "outputs")
        return rows + _again(Path(directory) / "again", unchanged, rounds)


def _measure(what: str, place: Path, count: int) -> Taken:
    argv = [sys.executable, "-m", "benchmarks.pipeline_runs", what, str(place), str(count)]
    done = subprocess.run(argv, check=True, stdout=subprocess.PIPE, text=True)
    return Taken(count, **json.loads(done.stdout))


def _overhead(directory: Path, datums: int, bare: int, rounds: int) -> list[dict[str, object]]:
    taken: dict[str, list[Taken]] = {"bare": [], "unshare": [], "datums": []}
    for _ in range(rounds):
        for what, count in (("bare", bare), ("unshare", bare), ("datums", datums)):
            place = directory / what
            taken[what].append(_measure(what, place, count))
            shutil.rmtree(place, ignore_errors=True)
    return [_compared(taken, base) for base in ("bare", "unshare")]


def _compared(taken: dict[str, list[Taken]], base: str) -> dict[str, object]:
    pairs = list(zip(taken["datums"], taken[base], strict=True))
    own = median(one.count / one.seconds for one in taken["datums"])
    rate = median(one.count / one.seconds for one in taken[base])
    ratio = median((one.count / one.seconds) / (other.count / other.seconds) for one, other in pairs)
    cpu = [(o.cpu_s / o.count) / (d.cpu_s / d.count) for d, o in pairs if d.cpu_s is not None and o.cpu_s is not None]
    by_cpu = f", {median(cpu):.2f} by CPU" if cpu else ""
    names = {"bare": "bare loop", "unshare": "loop of unshare"}
    return {
        "suite": "pipelines",
        "case": f"{taken['datums'][0].count:,} datums of true",
        "variant": f"{own:,.0f}/s to {rate:,.0f}/s{by_cpu}",
        "seconds": median(one.seconds for one in taken["datums"]),
        "ratio": ratio,
        "baseline": names[base],
    }


def _again(place: Path, count: int, rounds: int) -> list[dict[str, object]]:
    _measure("first", place, count)
    taken: dict[str, list[Taken]] = {"unchanged": [], "one changed": []}
    for _ in range(rounds):
        for what, found in taken.items():
            found.append(_measure(what, place, count))
    return [_row(sorted(found, key=lambda one: one.seconds)[rounds // 2], what) for what, found in taken.items()]


def _row(taken: Taken, what: str) -> dict[str, object]:
    cpu = "" if taken.cpu_s is None else f", {taken.cpu_s:.1f} s of CPU"
    return {
        "suite": "pipelines",
        "case": f"job of {taken.count:,} datums, {what}",
        "variant": f"{taken.peak_kib / 1024:,.0f} MiB{cpu}",
        "seconds": taken.seconds,
        "ratio": taken.seconds / WANTED_S[what],
        "baseline": f"{WANTED_S[what]:.0f} s",
    }
