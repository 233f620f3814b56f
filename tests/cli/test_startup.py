"""What a cold command imports: nothing that it does not use. Modules are counted, not seconds."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import Run

HEAVY = {
    "asyncio", "awscrt", "boto3", "botocore", "concurrent", "cryptography", "difflib", "http", "numpy", "pps",
    "pyarrow", "rich", "s3api", "socket", "ssl", "subprocess", "tempfile", "typing_extensions", "uvicorn", "uvloop",
    "xml", "yaml", "zipfile",
}  # fmt: skip
WRITING = {
    "pfs.trees.edit",
    "pfs.files.ingest",
    "pfs.changes.rebase",
    "pfs.repo",
    "pfs.packs.session",
    "pfs.changes.writer",
}
NOT_PUTTING = {
    "pfs.archives",
    "pfs.files.restore",
    "pfs.gc",
    "pfs.glob",
    "pfs.patterns",
    "pfs.sources.members",
    "pfs.sources.remote",
    "pfs.sources.urls",
}
OF_CLICK = {"click", "dataclasses", "gettext", "inspect"}
SCRIPT = (
    "import atexit, sys; from cli.pfs_main import main\n"
    "atexit.register(lambda: print(*sys.modules, sep='\\n', file=sys.stderr))\nmain()"
)


COLLECTIONS = (
    "import gc, sys; from cli.pfs_main import main\n"
    "gc.callbacks.append(lambda phase, info: print(phase, file=sys.stderr))\nmain()"
)


def modules(store: Path, *words: str) -> set[str]:
    """Return the modules that a command of a fresh process has imported at its end."""
    return set(said(SCRIPT, store, *words).split())


def said(script: str, store: Path, *words: str) -> str:
    """Return what a fresh process that runs the script prints on stderr."""
    environment = {**os.environ, "PFS_STORE": str(store)}
    command = [sys.executable, "-c", script, *words]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stderr


def heavy(found: set[str]) -> set[str]:
    return HEAVY & {name.partition(".")[0] for name in found}


@pytest.mark.parametrize("words", [["list-repo"], ["list-repo", "--json"]])
def test_listing_repos_imports_little(store: Path, words: list[str]) -> None:
    found = modules(store, *words)
    assert "pfs.store" in found
    assert heavy(found) == set()
    assert found & WRITING == set()
    assert len(found) < 250


def test_help_imports_next_to_nothing(store: Path) -> None:
    found = modules(store, "--help")
    assert heavy(found) == set()
    assert not any(name.startswith(("numpy", "msgspec", "pfs.store", "pfs.trees")) for name in found)
    assert len(found) < 142


def test_putting_a_file_imports_no_server_or_table_libraries(store: Path, pfs: Run) -> None:
    (store / "a").write_bytes(b"1")
    found = modules(store, "put-file", "r@master", "-f", "a")
    assert "pfs.changes.writer" in found
    assert heavy(found) == set()
    assert found & (NOT_PUTTING | OF_CLICK) == set()
    assert len(found) < 290
    assert pfs("get-file", "r@master:/a").out == "1"


def test_getting_a_file_needs_no_click(store: Path, pfs: Run) -> None:
    (store / "a").write_bytes(b"1")
    pfs("put-file", "r@master", "-f", "a")
    found = modules(store, "get-file", "r@master:/a", "-o", "b")
    assert heavy(found) == set()
    assert found & (OF_CLICK | {"pfs.glob", "pfs.patterns"}) == set()
    assert len(found) < 250


@pytest.mark.parametrize("words", [["list-repo"], ["put-file", "r@master", "-f", "a"]])
def test_starting_never_looks_for_garbage(store: Path, words: list[str]) -> None:
    (store / "a").write_bytes(b"1")
    assert said(COLLECTIONS, store, *words) == ""


@pytest.mark.parametrize(
    "words",
    [
        ["get-file", "r@master:/d/a0007"],
        ["inspect-file", "r@master:/d"],
        ["list-file", "r@master:/"],
        ["list-commit", "r@master"],
        ["inspect-commit", "r@master"],
        ["inspect-repo", "r"],
        ["list-branch", "r"],
        ["put-file", "r@master:/d/a0007", "-f", "a"],
        ["delete-file", "r@master:/d/a0007"],
    ],
)
def test_no_command_for_one_file_loads_numpy_however_many_there_are(store: Path, pfs: Run, words: list[str]) -> None:
    (store / "a").write_bytes(b"1")
    (store / "d").mkdir()
    for number in range(600):
        (store / "d" / f"a{number:04}").write_bytes(b"%d" % number)
    pfs("put-file", "r@master:/d", "-r", "-f", "d")
    found = modules(store, *words)
    assert "pfs.trees.page" in found
    assert heavy(found) <= {"difflib"}, "what click looks options up with"
    assert len(found) < 310


def test_putting_directories_again_loads_no_numpy(store: Path, pfs: Run) -> None:
    (store / "d").mkdir()
    for number in range(600):
        (store / "d" / f"a{number:04}").write_bytes(b"%d" % number)
    for name in ("b", "c"):  # listed by threads
        (store / "d" / name).mkdir()
        (store / "d" / name / "file").write_bytes(b"1")
    words = ["put-file", "r@master:/d", "-r", "-f", "d"]
    # What was written a moment before it is read is not remembered, so the first puts may read all of it.
    found = next((found for _ in range(20) if "numpy" not in (found := modules(store, *words))), {"numpy"})
    assert heavy(found) == set()
    (store / "d/a0300").write_bytes(b"new")
    assert heavy(modules(store, *words)) == set()
    assert pfs("get-file", "r@master:/d/a0300").out == "new"
