"""What is wanted of the figures, and what a run shows of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

from benchmarks.contestants import CONTESTANTS
from benchmarks.results import Results

Measure = Callable[[Results], float | None]
PEERS = tuple(one.name for one in CONTESTANTS if one.kind == "peer")
LARGE_PEERS = ("restic", "borg", "ostree", "dvc", "git-annex")
SMALL_PEERS = ("restic", "borg", "ostree", "git", "dvc")
MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Wanted:
    """One figure: ``limit`` in ``unit``, and how it is got from results."""

    what: str
    side: Literal["at least", "at most"]
    limit: float
    unit: str
    measure: Measure

    def verdict(self, results: Results) -> tuple[float | None, str]:
        """Return what was measured and "reached", "missed", or "not measured"."""
        value = self.measure(results)
        if value is None:
            return None, "not measured"
        good = value >= self.limit if self.side == "at least" else value <= self.limit
        return value, "reached" if good else "missed"


def times_as_fast(case: str, peers: Iterable[str]) -> Measure:
    """Return how many times as fast ours is as the fastest of these."""

    def measure(results: Results) -> float | None:
        best = results.fastest(case, tuple(peers))
        return None if best is None else results.ratio(case, best, "pfs")

    return measure


def times_the_time(case: str, other: str) -> Measure:
    """Return how many times as long ours takes as another."""
    return lambda results: results.ratio(case, "pfs", other)


def seconds(case: str, who: str = "pfs", *, unit: float = 1.0) -> Measure:
    """Return the median of seconds in units of so many seconds."""
    return lambda results: _scaled(results.median(case, who), unit)


def stored_beside_best(case: str) -> Measure:
    """Return the bytes that ours has stored by those of the peer that has stored the least."""

    def measure(results: Results) -> float | None:
        found = [(stored, one) for one in PEERS if (stored := results.median(case, one, "stored")) is not None]
        return results.ratio(case, "pfs", min(found)[1], "stored") if found else None

    return measure


def again_by_hash(results: Results) -> float | None:
    """Return the speed of putting a file again, start-up subtracted, by that of only hashing it."""
    again, start = results.median("large/again", "pfs"), results.median("tiny/store", "pfs")
    hashed = results.median("large/store", "b3sum")
    if again is None or start is None or hashed is None or again <= start:
        return None
    return hashed / (again - start)


def new_bytes(results: Results) -> float | None:
    """Return the bytes that the changed large file added by those that are new in it."""
    added, new = results.median("large/changed", "pfs", "added"), results.facts.get("large/new")
    return None if added is None or not new else added / new


def peak(suite: str) -> Measure:
    """Return the highest peak of memory of any case of ours, but for the trees of 10M files."""

    def measure(results: Results) -> float | None:
        own = [one for one in results.samples if one.suite == suite and one.contestant.startswith("pfs")]
        peaks = [one.peak_mib for one in own if one.peak_mib is not None and one.contestant != "pfs 10M"]
        return max(peaks, default=None)

    return measure


def chunker(average: int, kernel: str, baseline: str) -> Measure:
    """Return the speed of a kernel by that of another contestant of the suite `chunker`."""

    def measure(results: Results) -> float | None:
        case = f"avg {average} KiB"
        rows = [row for row in results.rows if (row["suite"], row["case"]) == ("chunker", case)]
        for row in rows:
            if (row["variant"], row["baseline"]) == (kernel, baseline):
                return float(str(row["ratio"]))
        found = {str(row["variant"]): float(str(row["seconds"])) for row in rows}
        return found[baseline] / found[kernel] if {baseline, kernel} <= set(found) else None

    return measure


def _numpy_speed(results: Results) -> float | None:
    rows = [row for row in results.rows if row["suite"] == "chunker" and row["variant"] == "numpy"]
    return min((float(str(row["mb_s"])) / 1000 for row in rows), default=None)


def _scaled(value: float | None, unit: float) -> float | None:
    return None if value is None else value / unit


def _ten_million(results: Results) -> float | None:
    return results.ratio_of(("trees/commit of one", "pfs 10M"), ("trees/commit of one in 10,000 files", "pfs 10M"))


def _value(case: str, who: str, unit: float) -> Measure:
    return lambda results: _scaled(results.median(case, who, "value"), unit)


_BIG = "10M files"
WANTED = (
    Wanted("chunker, AVX-512, 1 MiB, of memory reading", "at least", 0.9, "", chunker(1024, "c-avx512", "memory read")),
    Wanted("chunker, AVX-512, 256 KiB", "at least", 0.75, "", chunker(256, "c-avx512", "memory read")),
    Wanted("chunker, AVX2, 1 MiB", "at least", 0.5, "", chunker(1024, "c-avx2", "memory read")),
    Wanted("chunker, AVX2, 256 KiB", "at least", 0.45, "", chunker(256, "c-avx2", "memory read")),
    Wanted("chunker, AVX-512, 1 MiB, beside pyfastcdc", "at least", 5, "times", chunker(1024, "c-avx512", "pyfastcdc")),
    Wanted("chunker, AVX-512, 1 MiB, beside fastcdc", "at least", 10, "times", chunker(1024, "c-avx512", "fastcdc")),
    Wanted("chunker, NumPy", "at least", 0.5, "GB/s", _numpy_speed),
    Wanted(
        "512 MiB incompressible, as fast as the fastest peer",
        "at least",
        3,
        "times",
        times_as_fast("medium/store", LARGE_PEERS),
    ),
    Wanted("4 GiB incompressible, time of `cp`", "at most", 1.25, "times", times_the_time("large/store", "cp")),
    Wanted("4 GiB, as fast as the fastest peer", "at least", 1, "times", times_as_fast("large/store", LARGE_PEERS)),
    Wanted("4 GiB again, read, of the speed of BLAKE3", "at least", 0.8, "", again_by_hash),
    Wanted("2 GiB of CSV, as fast as borg with zstd,1", "at least", 3, "times", times_as_fast("text/store", ("borg",))),
    Wanted(
        "2 GiB of CSV, stored bytes of borg's",
        "at most",
        1.0,
        "times",
        lambda results: results.ratio("text/store", "pfs", "borg", "stored"),
    ),
    Wanted("4 GiB with 1 % changed, stored of what is new", "at most", 3, "times", new_bytes),
    Wanted("4 GiB with 1 % changed, time of borg", "at most", 1 / 3, "", times_the_time("large/changed", "borg")),
    Wanted(
        "100,000 files, as fast as the fastest peer", "at least", 4, "times", times_as_fast("small/store", SMALL_PEERS)
    ),
    Wanted("100,000 files unchanged, time of git", "at most", 1, "times", times_the_time("small/again", "git")),
    Wanted(
        "100,000 files, one changed, time of git", "at most", 1, "times", times_the_time("small/one changed", "git")
    ),
    Wanted("restore 4 GiB, as fast as the fastest peer", "at least", 1, "times", times_as_fast("large/restore", PEERS)),
    Wanted("restore 4 GiB, time of `cp`", "at most", 1.1, "times", times_the_time("large/restore", "cp")),
    Wanted(
        "restore 100,000 files, as fast as the fastest peer",
        "at least",
        1,
        "times",
        times_as_fast("small/restore", PEERS),
    ),
    Wanted("restore 100,000 files, time of `cp -r`", "at most", 1, "times", times_the_time("small/restore", "cp")),
    Wanted("one named of 100,000 files, time of git", "at most", 1 / 3, "", times_the_time("small/one named", "git")),
    Wanted("the same, time of restic", "at most", 0.1, "", times_the_time("small/one named", "restic")),
    Wanted("the same, time of borg", "at most", 0.1, "", times_the_time("small/one named", "borg")),
    Wanted(
        "one file committed in process, 1M files",
        "at most",
        20,
        "ms",
        seconds("trees/commit of one", "pfs 1M", unit=1e-3),
    ),
    Wanted(f"{_BIG}: built, files a second", "at least", 500, "thousand", _value("trees/build", "pfs 10M", 1e3)),
    Wanted(
        f"{_BIG}: memory of the build",
        "at most",
        1024,
        "MiB",
        lambda results: results.median("trees/build", "pfs 10M", "peak_mib"),
    ),
    Wanted(
        f"{_BIG}: bytes that a one-file commit writes",
        "at most",
        150,
        "KB",
        _value("trees/commit of one", "pfs 10M", 1e3),
    ),
    Wanted(f"{_BIG}: time of a one-file commit, by that of 10,000 files", "at most", 3, "times", _ten_million),
    Wanted(f"{_BIG}: page of 1,000 keys", "at most", 10, "ms", seconds("trees/page of 1,000", "pfs 10M", unit=1e-3)),
    Wanted(f"{_BIG}: diff of one change", "at most", 20, "ms", seconds("trees/diff of one", "pfs 10M", unit=1e-3)),
    Wanted("job of 1M unchanged datums", "at most", 5, "s", seconds("trees/job, all unchanged")),
    *(
        Wanted(f"stored bytes of the best peer, {title}", "at most", 1.1, "times", stored_beside_best(case))
        for title, case in (
            ("512 MiB incompressible", "medium/store"),
            ("4 GiB incompressible", "large/store"),
            ("and the changed version", "large/changed"),
            ("2 GiB of CSV", "text/store"),
            ("100,000 files", "small/store"),
            ("and three changed versions", "small/one named"),
        )
    ),
    Wanted("peak memory of any command on files", "at most", 512, "MiB", peak("files")),
    Wanted("peak memory of work on trees of up to 1M", "at most", 512, "MiB", peak("trees")),
)
"""At scale 1."""
