"""fsspec's own suites for file systems: how copy, get, put, pipe and open treat names, directories, lists and globs."""

import posixpath
from collections.abc import Callable, Iterator

import fsspec
import pytest
from fsspec.tests.abstract import (
    AbstractCopyTests,
    AbstractFixtures,
    AbstractGetTests,
    AbstractOpenTests,
    AbstractPipeTests,
    AbstractPutTests,
)

from pfs.fsspec import PfsFileSystem
from pfs.repo import Repo


class _Fixtures(AbstractFixtures):  # type: ignore[misc]  # fsspec has no types
    @pytest.fixture
    def fs(self, repo: Repo) -> Iterator[PfsFileSystem]:
        made = fsspec.filesystem("pfs", store=str(repo.store.path))
        yield made
        PfsFileSystem.clear_instance_cache()

    @pytest.fixture
    def fs_path(self) -> str:
        return "data@master/below"

    @pytest.fixture
    def fs_join(self) -> Callable[..., str]:
        return posixpath.join

    @pytest.fixture
    def supports_empty_directories(self) -> bool:
        return False


class TestCopy(AbstractCopyTests, _Fixtures):  # type: ignore[misc]
    pass


class TestGet(AbstractGetTests, _Fixtures):  # type: ignore[misc]
    pass


class TestPut(AbstractPutTests, _Fixtures):  # type: ignore[misc]
    pass


class TestPipe(AbstractPipeTests, _Fixtures):  # type: ignore[misc]
    pass


class TestOpen(AbstractOpenTests, _Fixtures):  # type: ignore[misc]
    pass
