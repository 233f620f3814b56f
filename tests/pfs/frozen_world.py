"""Fixtures for a file of tests: with all rows of indexes in LMDB, and once more with nearly all of them in runs."""

from __future__ import annotations

import pytest

_AT = 8


@pytest.fixture(autouse=True, params=[None, _AT], ids=["lmdb", "frozen"])
def freezing(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Import it to use it."""
    _freeze_at(request.param, monkeypatch)


@pytest.fixture(
    autouse=True,
    params=[None, pytest.param(_AT, marks=[pytest.mark.long, pytest.mark.timeout(1800)])],
    ids=["lmdb", "frozen"],
)
def freezing_long(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same, where the second time is left to `make test-long`."""
    _freeze_at(request.param, monkeypatch)


def _freeze_at(rows: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    if rows is not None:
        monkeypatch.setattr("pfs.packs.index_handle.FREEZE_AT", rows)
