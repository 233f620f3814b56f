"""Run the crash matrix and write its table into docs/reliability.md: all of it, or the scenarios that are named."""

from __future__ import annotations

import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from tests.matrix.place import Prepared, Style
from tests.matrix.runner import Bench
from tests.matrix.scenario import Scenario
from tests.matrix.scenarios import SCENARIOS
from tests.matrix.table import DOCUMENT, Counted, row, written


def benches(scenario: Scenario, directory: Path) -> dict[Style, Bench]:
    """Return a scenario's bench in each style."""
    made: dict[Style, Bench] = {}
    for style in scenario.styles:
        place = directory / style
        place.mkdir(parents=True)
        made[style] = Bench(scenario, Prepared(style, place / "prepared", scenario.prepare), place)
    return made


def counted(scenario: Scenario, made: dict[Style, Bench]) -> Counted:
    """Return what a scenario writes."""
    writes = {style: len(bench.calls) for style, bench in made.items()}
    return Counted(scenario, writes, {style: bench.points() for style, bench in made.items()})


def main(names: list[str]) -> None:
    """Run what is chosen; raises AssertionError at the first third state."""
    chosen = [one for one in SCENARIOS if not names or one.name in names]
    if len(chosen) < len(names):
        raise SystemExit(f"no such scenario among {names}: {', '.join(one.name for one in SCENARIOS)}")
    every, lines = list[Counted](), dict[str, str]()
    for scenario in SCENARIOS:
        began = time.monotonic()
        with tempfile.TemporaryDirectory() as directory:
            made = benches(scenario, Path(directory))
            every.append(counted(scenario, made))
            if scenario not in chosen:
                continue
            found = Counter(bench.run(point) for bench in made.values() for point in bench.points())
        lines[scenario.name] = row(every[-1], found)
        print(f"{scenario.name}: {found.total()} points, {time.monotonic() - began:.0f} s", flush=True)
    DOCUMENT.write_text(written(DOCUMENT.read_text(), every, lines))


if __name__ == "__main__":
    main(sys.argv[1:])
