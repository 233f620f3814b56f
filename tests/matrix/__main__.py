"""Run the crash matrix and write its table into docs/reliability.md: all of it, or operations with these words."""

from __future__ import annotations

import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from tests.matrix.place import Prepared, Style
from tests.matrix.runner import Bench, Point
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


def _told(bench: Bench, point: Point) -> str:
    """Return the outcome of a point; one that is wrong is told, and the others are run all the same."""
    try:
        return bench.run(point)
    except AssertionError as error:
        print(f"{bench.scenario.name}, {bench.style}, {point}: {error}", flush=True)
        return "wrong"


def main(names: list[str]) -> None:
    """Run what is chosen; no table is written if there is a third state anywhere."""
    chosen = [one for one in SCENARIOS if not names or any(name in one.name for name in names)]
    if not chosen:
        raise SystemExit(f"no operation is called {names}: {', '.join(one.name for one in SCENARIOS)}")
    every, lines, wrong = list[Counted](), dict[str, str](), 0
    for scenario in SCENARIOS:
        began = time.monotonic()
        with tempfile.TemporaryDirectory() as directory:
            made = benches(scenario, Path(directory))
            every.append(counted(scenario, made))
            if scenario not in chosen:
                continue
            found = Counter(_told(bench, point) for bench in made.values() for point in bench.points())
        wrong += found["wrong"]
        lines[scenario.name] = row(every[-1], found)
        print(f"{scenario.name}: {found.total()} points, {time.monotonic() - began:.0f} s", flush=True)
    if wrong:
        raise SystemExit(f"{wrong} points are wrong: the table stays as it is")
    DOCUMENT.write_text(written(DOCUMENT.read_text(), every, lines))


if __name__ == "__main__":
    main(sys.argv[1:])
