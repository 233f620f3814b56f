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


def main(words: list[str]) -> None:
    """Run what is chosen, and write each row once its points are done; rows with a third state stay as they are."""
    chosen = [one for one in SCENARIOS if not words or any(word in one.name for word in words)]
    if not chosen:
        raise SystemExit(f"no operation is called {words}: {', '.join(one.name for one in SCENARIOS)}")
    every, wrong = [_counted(scenario) for scenario in SCENARIOS], 0
    for number, scenario in enumerate(SCENARIOS):
        if scenario in chosen:
            began = time.monotonic()
            found = _run(scenario)
            wrong += found["wrong"]
            made = {} if found["wrong"] else {scenario.name: row(every[number], found)}
            DOCUMENT.write_text(written(DOCUMENT.read_text(), every, made))
            print(f"{scenario.name}: {found.total()} points, {time.monotonic() - began:.0f} s", flush=True)
    if wrong:
        raise SystemExit(f"{wrong} points are wrong: their rows stay as they are")


def _counted(scenario: Scenario) -> Counted:
    with tempfile.TemporaryDirectory() as directory:
        return counted(scenario, benches(scenario, Path(directory)))


def _run(scenario: Scenario) -> Counter[str]:
    with tempfile.TemporaryDirectory() as directory:
        made = benches(scenario, Path(directory))
        return Counter(_told(bench, point) for bench in made.values() for point in bench.points())


if __name__ == "__main__":
    main(sys.argv[1:])
