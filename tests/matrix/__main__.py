"""Run the crash matrix and write its table into docs/reliability.md: all of it, or operations with these words."""

from __future__ import annotations

import sys
import tempfile
import time
from collections import Counter
from itertools import count
from pathlib import Path

from tests.matrix.place import Prepared, Style
from tests.matrix.runner import Bench, Point, attempt, points_of
from tests.matrix.scenario import Scenario
from tests.matrix.scenarios import SCENARIOS
from tests.matrix.table import DOCUMENT, Counted, row, written


class Places:
    """What scenarios begin with, made once in a folder; those that begin alike share it."""

    def __init__(self, directory: Path) -> None:
        self._directory, self._made = directory, dict[object, Prepared]()
        self._numbers = count()

    def folder(self) -> Path:
        made = self._directory / f"{next(self._numbers)}"
        made.mkdir()
        return made

    def prepared(self, scenario: Scenario, style: Style) -> Prepared:
        key = scenario.prepare, style
        if key not in self._made:
            self._made[key] = Prepared(style, self.folder() / "top", scenario.prepare)
        return self._made[key]

    def counted(self, scenario: Scenario) -> Counted:
        """Do it once in each style; return what it writes."""
        calls = {style: self._calls(scenario, style) for style in scenario.styles}
        points = {style: list(points_of(scenario, style, done)) for style, done in calls.items()}
        return Counted(scenario, {style: len(done) for style, done in calls.items()}, points)

    def _calls(self, scenario: Scenario, style: Style) -> list[str]:
        done = attempt(scenario, self.prepared(scenario, style).fresh(self.folder() / "top"))
        if done.error is not None:
            raise done.error
        return done.calls

    def run(self, scenario: Scenario) -> tuple[Counted, Counter[str]]:
        """Run all points."""
        made = {style: Bench(scenario, self.prepared(scenario, style), self.folder()) for style in scenario.styles}
        points = {style: bench.points() for style, bench in made.items()}
        found = Counter(_told(made[style], point) for style in made for point in points[style])
        return Counted(scenario, {style: len(bench.calls) for style, bench in made.items()}, points), found


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
    with tempfile.TemporaryDirectory() as directory:
        places, wrong = Places(Path(directory)), 0
        every = [places.counted(scenario) for scenario in SCENARIOS]
        for number, scenario in enumerate(SCENARIOS):
            if scenario in chosen:
                began = time.monotonic()
                every[number], found = places.run(scenario)
                wrong += found["wrong"]
                made = {} if found["wrong"] else {scenario.name: row(every[number], found)}
                DOCUMENT.write_text(written(DOCUMENT.read_text(), every, made))
                print(f"{scenario.name}: {found.total()} points, {time.monotonic() - began:.0f} s", flush=True)
    if wrong:
        raise SystemExit(f"{wrong} points are wrong: their rows stay as they are")


if __name__ == "__main__":
    main(sys.argv[1:])
