"""`make bench`: run suites, keep what they show as JSON in benchmarks/results/, and write docs/performance.md.

A run of other suites, or of a part of them, writes its report beside its results.

A suite is a module with ``results(options) -> Results`` and ``need(options) -> Need``, or one with
``run(*, quick: bool) -> list[Row]``. Machines are shared and noisy: read the ratios, each of which was taken in
alternation in one run.
"""

from __future__ import annotations

import argparse
import importlib
import os
import platform
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks import own, report
from benchmarks.contestants import ALL, CONTESTANTS
from benchmarks.install_peers import versions
from benchmarks.options import Need, Options
from benchmarks.results import Results
from pfs import __version__

PERFORMANCE = ("chunker", "micro", "files", "trees", "s3_read", "s3_write")
"""What docs/performance.md is made of, and what runs if nothing is named."""
OTHERS = (
    "delivery",
    "history",
    "gc",
    "bucket",
    "bucket_reads",
    "bucket_transfer",
    "encryption",
    "index_rows",
    "pipelines",
    "controller",
)
_SECONDS = {"chunker": 60, "micro": 30, "s3_read": 300, "s3_write": 300}
_QUICK_SECONDS = {"chunker": 5, "micro": 3, "s3_read": 30, "s3_write": 30}
RESULTS = Path(__file__).parent / "results"
ROOT = Path(__file__).parents[1]


def main() -> None:
    """Run the suites that are named, or those of the report."""
    suites, options = _options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # so that files go away then too
    _check(suites, options)
    RESULTS.mkdir(exist_ok=True)
    target = RESULTS / f"{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}.json"
    found = Results()
    for name in suites:
        print(f"running {name} ...", file=sys.stderr, flush=True)
        for part in _run(name, options):
            found.add(part)
            found.save(target)
    whole = tuple(suites) == PERFORMANCE and not (options.quick or options.contestants or options.datasets)
    page = report.write(found, ROOT / "docs" if whole else RESULTS)
    print(page.read_text())
    print(f"kept in {target}; the report is {page}")


def _options() -> tuple[list[str], Options]:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    add = parser.add_argument
    every = [*PERFORMANCE, *OTHERS]
    add("suites", nargs="*", metavar="SUITE", help=f"of {', '.join(every)}; or all; default: {', '.join(PERFORMANCE)}")
    add("--scale", type=float, default=1.0, help="sizes, of those in docs/performance.md; default: 1")
    add("--rounds", type=int, help="default: 3, with --quick 1")
    add("--quick", action="store_true", help="small sizes, to see that everything runs; 2 to 3 minutes")
    add("--contestants", type=_names, default=(), help=f"of {', '.join(one.name for one in CONTESTANTS)}; default: all")
    add("--datasets", type=_names, default=(), help=f"of {', '.join(ALL)}; default: all")
    add("--place", type=Path, default=Path("/var/tmp"), help="a folder on the disk to be measured; default: /var/tmp")
    given = parser.parse_args()
    suites = every if given.suites == ["all"] else given.suites or list(PERFORMANCE)
    for chosen, known in (
        (suites, every),
        (given.contestants, [one.name for one in CONTESTANTS]),
        (given.datasets, list(ALL)),
    ):
        if unknown := set(chosen) - set(known):
            parser.error(f"there is no {', '.join(sorted(unknown))}")
    scale, rounds = (0.01, 1) if given.quick else (given.scale, 3)
    return list(suites), Options(scale, given.rounds or rounds, given.place, given.contestants, given.datasets)


def _names(text: str) -> tuple[str, ...]:
    return tuple(one.strip() for one in text.split(",") if one.strip())


def _check(suites: list[str], options: Options) -> None:
    """Say what it will take, and end where the disk has not that much."""
    needs = [_need(name, options) for name in suites]
    disk, free = max(one.disk_bytes for one in needs), shutil.disk_usage(options.place).free
    minutes = sum(one.seconds for one in needs) / 60
    print(
        f"{', '.join(suites)} at scale {options.scale:g}, {options.rounds} rounds: about {minutes:,.0f} minutes on two "
        f"idle cores, and up to {disk / 1e9:.1f} GB in {options.place}, of {free / 1e9:.1f} free",
        file=sys.stderr,
        flush=True,
    )
    if disk > free * 0.95:
        sys.exit("that is not enough: choose another --place, a smaller --scale, or fewer --datasets")
    missing = [name for name, version in versions().items() if version is None]
    if not own.is_current():
        print(
            "ours is not there as a wheel of these sources (python -m benchmarks.install_peers): commands start later"
        )
    if missing:
        print(f"not here (python -m benchmarks.install_peers): {', '.join(missing)}", file=sys.stderr)


def _need(name: str, options: Options) -> Need:
    module = importlib.import_module(f"benchmarks.{name}")
    if hasattr(module, "need"):
        return module.need(options)  # type: ignore[no-any-return]
    seconds = _QUICK_SECONDS if options.quick else _SECONDS
    return Need(10**9, seconds.get(name, 20 if options.quick else 900))


def _run(name: str, options: Options) -> Iterator[Results]:
    """Yield what a suite shows, each part as soon as it is there."""
    module = importlib.import_module(f"benchmarks.{name}")
    about, before = {**machine(), "versions": versions()}, os.getloadavg()[0]
    if own := hasattr(module, "results"):
        about |= {"scale": options.scale, "rounds": options.rounds}
    for part in module.results(options) if own else [Results(rows=module.run(quick=options.quick))]:
        part.about[name] = {**about, "load": f"{before:.1f}, {os.getloadavg()[0]:.1f}"}
        yield part


def machine() -> dict[str, object]:
    """Return what the figures depend on."""
    cpu = _line("/proc/cpuinfo", "model name") or platform.processor()
    memory = int((_line("/proc/meminfo", "MemTotal") or "0 kB").split()[0]) / (1 << 20)
    return {
        "date": time.strftime("%Y-%m-%d %H:%M", time.gmtime()),
        "machine": f"{os.cpu_count()} cores of {cpu}, {memory:.0f} GiB, Linux {platform.release().split('-')[0]}",
        "software": f"{platform.python_version()}, {__version__} ({_commit()})",
    }


def _commit() -> str:
    argv = ["git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "no git"


def _line(file: str, name: str) -> str | None:
    path = Path(file)
    lines = path.read_text().splitlines() if path.exists() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(name)), None)


if __name__ == "__main__":
    main()
