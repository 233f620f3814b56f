"""Results of a run: samples of the rounds and rows of the suites, kept as JSON; medians and ratios of samples."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median

Row = dict[str, object]


@dataclass(frozen=True, slots=True)
class Sample:
    """One contestant's turn at one case. ``stored`` are the bytes on disk after it, ``added`` those that it added."""

    suite: str
    case: str
    contestant: str
    round: int
    seconds: float
    cpu_s: float | None = None
    peak_mib: float | None = None
    anon_mib: float | None = None
    stored: int | None = None
    added: int | None = None
    value: float | None = None
    """What a case has beside time, as its case says."""


@dataclass
class Results:
    """All of a run. ``about`` says of each suite where, when and how it ran; ``facts`` are sizes of cases."""

    about: dict[str, dict[str, object]] = field(default_factory=dict)
    samples: list[Sample] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    facts: dict[str, float] = field(default_factory=dict)

    @classmethod
    def load(cls, files: Iterable[Path]) -> Results:
        """Read runs; of a contestant's case that several have, the last one counts."""
        whole = cls()
        for file in files:
            raw = json.loads(file.read_text())
            one = cls(raw["about"], [Sample(**sample) for sample in raw["samples"]], raw["rows"], raw["facts"])
            whole.add(one)
        return whole

    def add(self, other: Results) -> None:
        """Put another run's results in the place of those of the same cases."""
        cases = {(one.case, one.contestant) for one in other.samples}
        suites = {row["suite"] for row in other.rows}
        self.samples = [one for one in self.samples if (one.case, one.contestant) not in cases] + other.samples
        self.rows = [row for row in self.rows if row["suite"] not in suites] + other.rows
        self.about |= other.about
        self.facts |= other.facts

    def save(self, file: Path) -> None:
        """Write it as JSON."""
        raw = {"about": self.about, "facts": self.facts, "rows": self.rows}
        samples = [asdict(one) for one in self.samples]
        file.write_text(json.dumps({**raw, "samples": samples}, indent=1) + "\n")

    def cases(self, suite: str) -> list[str]:
        """Return the cases of a suite in the order in which they were run."""
        return list(dict.fromkeys(one.case for one in self.samples if one.suite == suite))

    def contestants(self, case: str) -> list[str]:
        """Return who took part."""
        return list(dict.fromkeys(one.contestant for one in self.samples if one.case == case))

    def median(self, case: str, contestant: str, column: str = "seconds") -> float | None:
        """Return the median of a column over the rounds, None if there is none."""
        values = self._by_round(case, contestant, column).values()
        return median(values) if values else None

    def ratio(self, case: str, one: str, other: str, column: str = "seconds") -> float | None:
        """Return how many times as much ``one`` took as ``other``: the median of the rounds' own ratios."""
        return self.ratio_of((case, one), (case, other), column)

    def ratio_of(self, one: tuple[str, str], other: tuple[str, str], column: str = "seconds") -> float | None:
        """Return the same for two contestants of different cases, each a pair (case, contestant)."""
        left, right = self._by_round(*one, column), self._by_round(*other, column)
        ratios = [left[turn] / right[turn] for turn in left if right.get(turn)]
        return median(ratios) if ratios else None

    def fastest(self, case: str, among: Sequence[str]) -> str | None:
        """Return the contestant with the least median of seconds."""
        found = [(seconds, name) for name in among if (seconds := self.median(case, name)) is not None]
        return min(found)[1] if found else None

    def _by_round(self, case: str, contestant: str, column: str) -> dict[int, float]:
        own = [one for one in self.samples if one.case == case and one.contestant == contestant]
        found = {one.round: getattr(one, column) for one in own}
        return {turn: value for turn, value in found.items() if value is not None}
