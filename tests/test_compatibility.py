"""docs/compatibility.md: whole, and each "same" in it shown by a test that names the row."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from pps.model.state import DatumState, JobState
from pps.spec.known import KNOWN
from tests.pps.test_spec_reference import OURS

ROOT = Path(__file__).parents[1]
TABLE = ROOT / "docs/compatibility.md"
VERDICTS = {"same", "better", "different"}
SECTIONS = [*(f"1.{part}" for part in range(1, 10)), *(f"2.{part}" for part in range(1, 11)), "3.6", "4"]
_SECTION = re.compile(r"## (?P<number>\d(?:\.\d+)?) .+ \((?P<rows>\d+) rows\)")
_IN_REQUESTS = {"update", "reprocess", "dry_run", "spec_commit"}
"""Flags of requests, which are one row: "flags of requests"."""


class Row(NamedTuple):
    """One row of the table: its key is ``<section> <name>``."""

    key: str
    verdict: str
    pachyderm: str
    here: str


def rows() -> Iterator[tuple[str, int, list[Row]]]:
    """Yield number, promised row count and rows of each section."""
    for part in TABLE.read_text().split("\n## ")[1:]:
        heading, *lines = f"## {part}".splitlines()
        match = _SECTION.fullmatch(heading)
        assert match is not None, heading
        cells = [re.split(r"(?<!\\)\|", line)[1:-1] for line in lines if line.startswith("| ")][1:]
        assert all(len(row) == 4 for row in cells), f"{heading}: a row needs four cells"
        texts = [[cell.strip() for cell in row] for row in cells]
        found = [Row(f"{match['number']} {name}", verdict, theirs, here) for name, theirs, verdict, here in texts]
        yield match["number"], int(match["rows"]), found


def named_rows() -> Iterator[tuple[str, str]]:
    """Yield each row that a test names by ``@pytest.mark.row``, with the test's place."""
    for file in sorted((ROOT / "tests").rglob("test_*.py")):
        for outer in ast.parse(file.read_text()).body:
            for node in ast.walk(outer):
                if isinstance(node, ast.Call) and ast.unparse(node.func) == "pytest.mark.row":
                    place = f"{file.relative_to(ROOT)}:{node.lineno}"
                    assert not ast.unparse(outer).startswith("pytestmark"), f"{place}: mark the test itself"
                    assert node.args, f"{place}: name the row"
                    yield from ((ast.literal_eval(key), place) for key in node.args)


def test_no_row_was_lost() -> None:
    for number, promised, found in rows():
        assert len(found) == promised, f"section {number} has {len(found)} rows, its heading says {promised}"
    assert [number for number, _, _ in rows()] == SECTIONS
    doubled = [key for key, count in Counter(row.key for _, _, found in rows() for row in found).items() if count > 1]
    assert not doubled


def test_every_row_has_a_verdict_and_a_reason() -> None:
    for row in (row for _, _, found in rows() for row in found):
        assert row.verdict in VERDICTS, row
        assert row.pachyderm, row
        assert row.here or row.verdict == "same", f"{row.key} is {row.verdict}: say how and why"


def test_every_same_row_is_tested() -> None:
    tested = {key for key, _ in named_rows()}
    missing = [row.key for _, _, found in rows() for row in found if row.verdict == "same" and row.key not in tested]
    assert not missing, f"no test is marked with @pytest.mark.row for: {', '.join(missing)}"


def test_every_named_row_is_there() -> None:
    known = {row.key for _, _, found in rows() for row in found}
    unknown = [f"{key} ({place})" for key, place in named_rows() if key not in known]
    assert not unknown, f"docs/compatibility.md has no row: {', '.join(unknown)}"


def test_every_field_of_a_spec_has_a_row() -> None:
    fields = {
        (where, name)
        for where, kind in KNOWN.items()
        for name in (*kind.read, *kind.noted, *kind.refused)
        if f"{where}.{name}" not in OURS
    }
    wanted = {name if where == "pipeline spec" else f"{where}.{name}" for where, name in fields} - _IN_REQUESTS
    there = {row.key.partition(" ")[2] for number, _, found in rows() if number in {"2.2", "2.3"} for row in found}
    assert not wanted - there, (
        f"docs/compatibility.md has no row in 2.2 or 2.3 for: {', '.join(sorted(wanted - there))}"
    )


def test_every_state_has_a_row() -> None:
    there = {row.key for _, _, found in rows() for row in found}
    wanted = {f"2.5 state {state.upper()}" for state in JobState} | {
        f"2.6 state {state.upper()}" for state in DatumState
    }
    assert not wanted - there
