"""The crash matrix: drawn points, all of them in the long lane, and the table that tells of them."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.matrix.place import Prepared, Style
from tests.matrix.runner import WAYS, Bench, attempt, points_of
from tests.matrix.scenario import Scenario
from tests.matrix.scenarios import SCENARIOS
from tests.matrix.table import DOCUMENT, cells, rows, written

CASES = [(one, style) for one in SCENARIOS for style in one.styles]
COLUMNS: dict[Style, int] = {"local": 2, "disk": 3, "bucket": 4}
Prepare = Callable[[Scenario, Style], Prepared]


def named(cases: list[tuple[Scenario, Style]]) -> pytest.MarkDecorator:
    ids = [f"{scenario.name}, {style}" for scenario, style in cases]
    return pytest.mark.parametrize(("scenario", "style"), cases, ids=ids)


@pytest.fixture(scope="module")
def prepare(tmp_path_factory: pytest.TempPathFactory) -> Prepare:
    """Prepare a place for a scenario; those that begin alike share it."""
    made: dict[object, Prepared] = {}

    def prepared(scenario: Scenario, style: Style) -> Prepared:
        key = scenario.prepare, style
        if key not in made:
            made[key] = Prepared(style, tmp_path_factory.mktemp("prepared") / "top", scenario.prepare)
        return made[key]

    return prepared


# System calls follow from the calls, and counting them would take as long again.
@named([case for case in CASES if case[1] != "disk"])
def test_the_table_says_what_is_written(tmp_path: Path, prepare: Prepare, scenario: Scenario, style: Style) -> None:
    done = attempt(scenario, prepare(scenario, style).fresh(tmp_path / "top"))
    assert done.error is None
    points = len(list(points_of(scenario, style, done.calls)))
    told = cells(rows(DOCUMENT.read_text())[scenario.name])[COLUMNS[style]]
    assert told == f"{len(done.calls)} → {points}", f"it writes otherwise now: make reliability ONLY={scenario.name!r}"


@named(random.Random(7).sample(CASES, 20))
def test_a_drawn_point(tmp_path: Path, prepare: Prepare, scenario: Scenario, style: Style) -> None:
    bench = Bench(scenario, prepare(scenario, style), tmp_path)
    bench.run(random.Random(f"{scenario.name} {style}").choice(bench.points()))


@pytest.mark.long
@pytest.mark.timeout(1800)
@named(CASES)
def test_every_point(tmp_path: Path, prepare: Prepare, scenario: Scenario, style: Style) -> None:
    bench = Bench(scenario, prepare(scenario, style), tmp_path)
    for point in bench.points():
        bench.run(point)


def test_the_table_has_every_operation_and_way_and_no_other() -> None:
    heads, names = ("operation", "way to fail"), [one.name for one in SCENARIOS]
    assert list(rows(DOCUMENT.read_text())) == [heads[0], *names, heads[1], *(way.name for way in WAYS)]


def test_the_table_adds_up() -> None:
    document = DOCUMENT.read_text()
    told = {name: cells(line) for name, line in rows(document).items()}
    total = 0
    for one in SCENARIOS:
        points = sum(int(told[one.name][COLUMNS[style]].partition(" → ")[2]) for style in one.styles)
        assert points == sum(map(int, told[one.name][5:])), one.name
        total += points
    assert sum(int(told[way.name][2].replace(",", "")) for way in WAYS) == total
    assert f"{len(SCENARIOS)} operations, {total:,} points" in document


def test_a_table_takes_the_place_of_the_old_one_and_nothing_else() -> None:
    document = DOCUMENT.read_text()
    empty = written(document, [], {})
    assert "0 operations, 0 points" in empty
    for mark in ("<!-- written", "<!-- end"):
        assert (mark in empty) == (mark in document)
    assert empty.partition("<!-- written")[0] == document.partition("<!-- written")[0]
    assert empty.partition("<!-- end")[2] == document.partition("<!-- end")[2]
