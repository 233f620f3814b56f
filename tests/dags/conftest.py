"""DAGs in the style of Pachyderm's documentation: a folder with specs and code for each, worked as its reader would."""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from pfs.store import Store
from pps.pipelines.pipelines import Pipelines
from pps.sandbox.isolation import probe
from pps.spec import parse_specs
from tests.cli.conftest import Run, pfs, pps
from tests.pps.pipe_world import World, world_in

__all__ = ["pfs", "pps"]
PROGRAMS = Path(sys.executable).parent
EXAMPLES = Path(__file__).parents[2] / "examples"


def text_of(data: bytes) -> str:
    return data.decode(errors="backslashreplace")


@dataclass(frozen=True, slots=True)
class Dag:
    """The working directory of a user: a store, the specs of one DAG beside it, and the two programs."""

    folder: Path
    pfs: Run
    pps: Run
    _numbers: Iterator[int]

    def put(self, address: str, files: Mapping[str, str | bytes]) -> str:
        """Put files into a branch by one command; return what it printed, the id of the commit."""
        source = self.folder / f"put-{next(self._numbers)}"
        for name, data in files.items():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes(data.encode() if isinstance(data, str) else data)
        return self.pfs("put-file", address, "-r", "-f", source).out.strip()

    def create(self, *specs: str) -> None:
        for spec in specs:
            self.pps("create-pipeline", "-f", spec)

    def bytes_of(self, address: str) -> dict[str, bytes]:
        """Return what a commit holds, by path without the leading slash."""
        target = self.folder / f"got-{next(self._numbers)}"
        self.pfs("get-file", f"{address}:/", "-r", "-o", target)
        return {str(path.relative_to(target)): path.read_bytes() for path in target.rglob("*") if path.is_file()}

    def files(self, address: str) -> dict[str, str]:
        return {path: text_of(data) for path, data in self.bytes_of(address).items()}

    def jobs(self, pipeline: str) -> list[dict[str, Any]]:
        """Return the jobs of a pipeline, oldest first."""
        found: list[dict[str, Any]] = self.pps("list-job", "-p", pipeline, "--json").json  # type: ignore[assignment]
        return found[::-1]

    def progress(self, pipeline: str) -> list[str]:
        """Return PROGRESS and STATE of the jobs of a pipeline as the table shows them, oldest first."""
        head, *rows = (re.split(r"  +", row.strip()) for row in self.pps("list-job", "-p", pipeline).out.splitlines())
        found = [dict(zip(head, row, strict=False)) for row in rows]
        return [f"{row['PROGRESS']} {row['STATE']}" for row in found][::-1]


@pytest.fixture(autouse=True)
def namespaces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let commands find /pfs, as the documentation's do, and the Python that has what they import."""
    found = probe(tmp_path / "probe")
    if found.kind != "namespace":
        pytest.skip(f"no namespaces here, so no /pfs: {found.detail}")
    monkeypatch.setenv("PATH", str(PROGRAMS), prepend=":")


@pytest.fixture
def folder(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """A copy of the DAG's folder, named like the file of its tests: beside it, or one of the examples."""
    name, there = request.path.stem.removeprefix("test_"), tmp_path / "dag"
    beside = request.path.with_name(name)
    shutil.copytree(beside if beside.exists() else EXAMPLES / name, there)
    return there


@pytest.fixture
def dag(folder: Path, monkeypatch: pytest.MonkeyPatch, pfs: Run, pps: Run) -> Dag:
    monkeypatch.chdir(folder)
    monkeypatch.delenv("PFS_STORE", raising=False)
    monkeypatch.delenv("PFS_TRANSACTION", raising=False)
    pfs("init")
    return Dag(folder, pfs, pps, count())


@pytest.fixture
def world(folder: Path) -> Iterator[World]:
    """The same by the library's own face."""
    with world_in(folder) as made:
        yield made


def create(store: Store, folder: Path, *names: str) -> None:
    """Make the pipelines of spec files."""
    for name in names:
        for spec in parse_specs((folder / name).read_text(), name=name):
            Pipelines(store).create(spec, base_dir=folder)


def texts(world: World, repo: str, ref: str = "master") -> dict[str, str]:
    return {path.lstrip("/"): text_of(data) for path, data in world.output(repo, ref).items()}
