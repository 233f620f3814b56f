"""What is measured as ours is a wheel of these sources, or is not taken for one."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from benchmarks import own


@pytest.fixture
def wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Give sources of one module a package, and a copy where a wheel would have them; return the copy's folder."""
    installed = tmp_path / "venv" / "lib" / "python3.11" / "site-packages"
    for name in own.PACKAGES:
        (tmp_path / "here" / name).mkdir(parents=True)
        (tmp_path / "here" / name / "one.py").write_text(f"# {name}\n")
        shutil.copytree(tmp_path / "here" / name, installed / name)
    monkeypatch.setattr(own, "ROOT", tmp_path / "here")
    monkeypatch.setattr(own, "PLACE", tmp_path / "venv")
    own.is_current.cache_clear()
    yield installed
    own.is_current.cache_clear()


def test_the_same_sources_are_current(wheel: Path) -> None:
    assert own.is_current()
    assert own.programs() == own.PLACE / "bin"


def _edited(_here: Path, wheel: Path) -> None:
    (wheel / "pps" / "one.py").write_text("# pps, before\n")


def _more_here(here: Path, _wheel: Path) -> None:
    (here / "cli" / "two.py").write_text("")


def _more_there(_here: Path, wheel: Path) -> None:
    (wheel / "s3api" / "two.py").write_text("")


def _c_edited(here: Path, wheel: Path) -> None:
    (wheel / "pfs" / "_a.so").write_text("")
    (here / "pfs" / "_a.c").write_text("")
    os.utime(wheel / "pfs" / "_a.so", (1, 1))


def _not_built(here: Path, _wheel: Path) -> None:
    (here / "pfs" / "_a.c").write_text("")


@pytest.mark.parametrize("change", [_edited, _more_here, _more_there, _c_edited, _not_built])
def test_other_sources_are_not(wheel: Path, change: Callable[[Path, Path], None]) -> None:
    change(own.ROOT, wheel)
    assert not own.is_current()
    assert own.programs() != own.PLACE / "bin"


def test_nothing_installed_is_not(wheel: Path) -> None:
    shutil.rmtree(own.PLACE)
    assert not own.is_current()
