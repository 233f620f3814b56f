"""What encryption costs: putting and getting the same files in a plain and in an encrypted store, taking turns.

In one process: 512 MiB of noise, which nothing compresses, and 5,000 files of about 4 KiB. A ratio is the median of the
rounds' own ratios (encrypted to plain); CPU is that of all threads. Stored bytes are those of the objects.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import pfs
from benchmarks import data

KEY = pfs.KeyFile(b"a key file for benchmarks, not secret")
Taken = dict[str, list[tuple[float, float]]]
"""Wall and CPU seconds of each round, by store."""


def run(*, quick: bool) -> list[dict[str, object]]:
    """Return rows for put and get of both kinds of files."""
    rounds, size, count = (1, 32 * data.MIB, 500) if quick else (5, 512 * data.MIB, 5_000)
    with tempfile.TemporaryDirectory(prefix="pfs-bench-", dir="/var/tmp") as directory:
        place = Path(directory)
        for name in ("large", "small"):
            (place / name).mkdir()
        data.noise_file(place / "large" / "noise", size, seed=1)
        data.small_files(place / "small", count, seed=2)
        rows = list[dict[str, object]]()
        for name, what in (("large", f"{size // data.MIB} MiB of noise"), ("small", f"{count:,} files of 4 KiB")):
            rows += _compare(place, place / name, what, rounds=rounds)
        return rows


def _compare(place: Path, source: Path, what: str, *, rounds: int) -> list[dict[str, object]]:
    put: Taken = {"plain": [], "encrypted": []}
    get: Taken = {"plain": [], "encrypted": []}
    stored = dict[str, int]()
    for turn in range(rounds):
        for name in ("plain", "encrypted") if turn % 2 else ("encrypted", "plain"):
            shutil.rmtree(place / name, ignore_errors=True)
            with pfs.init(place / name, encrypt=KEY if name == "encrypted" else None) as store:
                repo = store.create_repo("data")

                def putting(repo: pfs.Repo = repo) -> None:
                    with repo.commit("master") as commit:
                        commit.put_tree("/", source)

                put[name].append(_timed(putting))
                objects = (place / name / ".pfs" / "objects").rglob("*")
                stored[name] = sum(path.stat().st_size for path in objects if path.is_file())
            with pfs.open(place / name, unlock=KEY) as store:
                view, target = store.repo("data")["master"], place / "out"
                get[name].append(_timed(lambda view=view, target=target: view.restore("/", target)))  # type: ignore[misc]
                shutil.rmtree(target)
    more = stored["encrypted"] / stored["plain"] - 1
    return [_row(f"put {what}", put, stored_more=round(more, 5)), _row(f"get {what}", get)]


def _timed(work: Callable[[], object]) -> tuple[float, float]:
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - cpu


def _row(case: str, taken: Taken, **more: object) -> dict[str, object]:
    pairs = list(zip(taken["plain"], taken["encrypted"], strict=True))
    return {
        "suite": "encryption",
        "case": case,
        "plain_s": round(median(wall for wall, _ in taken["plain"]), 3),
        "encrypted_s": round(median(wall for wall, _ in taken["encrypted"]), 3),
        "ratio": round(median(secret[0] / plain[0] for plain, secret in pairs), 3),
        "cpu_ratio": round(median(secret[1] / plain[1] for plain, secret in pairs), 3),
        **more,
    }
