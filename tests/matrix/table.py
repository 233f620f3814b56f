"""The generated part of docs/reliability.md: a row a scenario, a row a way to fail."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.matrix.place import Style
from tests.matrix.runner import WAYS, Point
from tests.matrix.scenario import Scenario

DOCUMENT: Final = Path(__file__).parents[2] / "docs" / "reliability.md"
_BEGIN: Final = "<!-- written by `make reliability` -->\n"
_END: Final = "<!-- end of what is written -->\n"
_STYLES: Final[tuple[Style, ...]] = ("local", "disk", "bucket")
_HEAD: Final = (
    "| operation | changes as a whole | calls → points | system calls → points | requests → points "
    "| found old | new | parts |\n"
    "|---|---|---|---|---|---|---|---|\n"
)


@dataclass(frozen=True)
class Counted:
    """What a scenario writes without a fault, and the points that follow from it, by style."""

    scenario: Scenario
    writes: Mapping[Style, int]
    points: Mapping[Style, Sequence[Point]]

    @property
    def total(self) -> int:
        return sum(len(points) for points in self.points.values())

    def cells(self) -> list[str]:
        """Return the cells that can be told without breaking anything."""
        unit = {"store": "all of it", "repo": "each repo", "nothing": "shows nothing"}[self.scenario.unit]
        sizes = (
            f"{self.writes[style]} → {len(self.points[style])}" if style in self.writes else "" for style in _STYLES
        )
        return [self.scenario.name, unit, *sizes]


def row(counted: Counted, found: Mapping[str, int]) -> str:
    """Return the row of a scenario whose points were all run."""
    outcomes = [str(found.get(name, 0)) for name in ("old", "new", "parts")]
    return f"| {' | '.join([*counted.cells(), *outcomes])} |\n"


def rows(document: str) -> dict[str, str]:
    """Return the rows of a document by the names of their scenarios."""
    lines = document.partition(_BEGIN)[2].partition(_END)[0].splitlines(keepends=True)
    return {line.split("|")[1].strip(): line for line in lines if line.startswith("| ")}


def cells(line: str) -> list[str]:
    """Return the cells of a row."""
    return [cell.strip() for cell in line.strip().strip("|").split("|")]


def written(document: str, every: Sequence[Counted], made: Mapping[str, str]) -> str:
    """Return the document with a new table; ``made``: rows by scenario; those not made stay as they are, or away."""
    before, _, rest = document.partition(_BEGIN)
    after = rest.partition(_END)[2]
    old = rows(document)
    lines = [made.get(one.scenario.name) or old.get(one.scenario.name, "") for one in every]
    total = f"{len(every)} operations, {sum(one.total for one in every):,} points.\n\n"
    return f"{before}{_BEGIN}{total}{_HEAD}{''.join(lines)}\n{_ways(every)}{_END}{after}"


def _ways(every: Sequence[Counted]) -> str:
    found = Counter(point.way.name for one in every for points in one.points.values() for point in points)
    lines = [f"| {way.name} | {way.says} | {found[way.name]:,} |\n" for way in WAYS]
    return f"| way to fail | what happens | points |\n|---|---|---|\n{''.join(lines)}"
