"""`make bench`: run every suite, print a table, keep the rows as JSON in benchmarks/results/.

A suite is a module with ``run(*, quick: bool) -> list[Row]``. Machines are shared and noisy: read the ratios, each of
which was taken in alternation with its baseline in the same run.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import sys
import time
from pathlib import Path

from pfs import __version__

SUITES = (
    "chunker",
    "transfer",
    "delivery",
    "s3_read",
    "s3_write",
    "history",
    "gc",
    "bucket",
    "bucket_reads",
    "bucket_transfer",
    "pipelines",
    "controller",
)
COLUMNS = ("suite", "case", "variant", "mb_s", "seconds", "ratio", "baseline")


def table(rows: list[dict[str, object]]) -> str:
    """Return the rows as an aligned table."""
    cells = [list(COLUMNS), *[[_text(row.get(column)) for column in COLUMNS] for row in rows]]
    widths = [max(len(line[i]) for line in cells) for i in range(len(COLUMNS))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in cells)


def _text(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.4f}" if value < 10 else f"{value:,.0f}"
    return "-" if value is None else str(value)


def machine() -> dict[str, object]:
    """Return what the figures depend on."""
    model = next(
        (line.split(":", 1)[1].strip() for line in _cpuinfo() if line.startswith("model name")), platform.processor()
    )
    return {"cpu": model, "cores": os.cpu_count(), "python": platform.python_version(), "pfs": __version__}


def _cpuinfo() -> list[str]:
    path = Path("/proc/cpuinfo")
    return path.read_text().splitlines() if path.exists() else []


def main() -> None:
    """Run the suites that are named, or all."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("suites", nargs="*", metavar="SUITE", help=f"of {', '.join(SUITES)}; default: all")
    parser.add_argument("--quick", action="store_true", help="small sizes, to see that everything runs")
    options = parser.parse_args()
    unknown = set(options.suites) - set(SUITES)
    if unknown:
        parser.error(f"no suite {', '.join(sorted(unknown))}")
    rows: list[dict[str, object]] = []
    for name in options.suites or SUITES:
        print(f"running {name} ...", file=sys.stderr, flush=True)
        rows += importlib.import_module(f"benchmarks.{name}").run(quick=options.quick)
    print(table(rows))
    results = Path(__file__).parent / "results"
    results.mkdir(exist_ok=True)
    target = results / f"{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}.json"
    target.write_text(json.dumps({"machine": machine(), "rows": rows}, indent=2) + "\n")
    print(f"\nkept in {target.relative_to(Path.cwd()) if target.is_relative_to(Path.cwd()) else target}")


if __name__ == "__main__":
    main()
