"""Fixtures of the library's tests: a fresh store on disk, and a repo in it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

import pfs
from pfs.repo import Repo
from pfs.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with pfs.init(tmp_path / "home") as made:
        yield made


@pytest.fixture
def repo(store: Store) -> Repo:
    return store.create_repo("data")
