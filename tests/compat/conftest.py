"""The programs, in this process, on a store with the repo ``r``; and the store by the library's own face."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import pfs as library
from pfs.store import Store
from tests.cli.conftest import Run, pfs, pps, store

__all__ = ["pfs", "pps", "put", "store", "world"]

Put = Callable[..., str]


@pytest.fixture
def put(pfs: Run, store: Path) -> Put:
    """Return a function that puts files, ``put("r@master", a="1")``, by one command each; it gives the last commit."""

    def call(branch: str, /, *words: str, **files: str) -> str:
        commit = ""
        for name, content in files.items():
            source = store / "source"
            source.write_text(content)
            commit = pfs("put-file", f"{branch}:/{name.replace('__', '/')}", "-f", source, *words).out.strip()
        return commit

    return call


@pytest.fixture
def world(tmp_path: Path) -> Iterator[Store]:
    """A fresh store, opened by the library; without repos."""
    with library.init(tmp_path / "world") as made:
        yield made
