"""A walk over a folder: the same files in the same order, whatever is listed ahead."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pfs.changes.writer import CommitWriter
from pfs.errors import InvalidInputError, StorageError
from pfs.intake import Intake, PutHow
from pfs.sources import scans
from pfs.sources.local import LocalFile
from pfs.sources.walk import Folder, walk_folders
from pfs.store import init

PATHS = st.lists(st.lists(st.sampled_from("abc"), min_size=1, max_size=6).map("/".join), max_size=30)


def keys(place: Path) -> list[bytes]:
    found = []
    for one in walk_folders(place, "", leave_out=place / "none"):
        files: Iterator[LocalFile] = iter([one] if isinstance(one, LocalFile) else ())
        if isinstance(one, Folder):
            files = (file for run in one.runs() for file in one.files(run))
        found += [file.key for file in files]
    return found


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30, deadline=None)
@given(paths=PATHS, held=st.integers(0, 4), threads=st.integers(1, 3))
def test_what_is_listed_ahead_changes_nothing(
    tmp_path_factory: pytest.TempPathFactory, paths: list[str], held: int, threads: int
) -> None:
    place = tmp_path_factory.mktemp("walk")
    for path in paths:
        folder = place / path
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "file").write_bytes(b"1")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scans, "HELD", held)
        patch.setattr(scans, "THREADS", threads)
        found = keys(place)
    assert sorted(found) == sorted(os.fsencode(path.relative_to(place)) for path in place.rglob("file"))
    assert len(found) == len(set(found))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scans.Scans, "begin", lambda self, directories: None)
        assert keys(place) == found


def test_a_directory_that_goes_away_or_is_no_directory_any_more_is_named(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_bytes(b"1")
    found = walk_folders(tmp_path, "", leave_out=tmp_path / "none")
    (tmp_path / "file").write_bytes(b"1")
    assert isinstance(next(found), Folder)  # of the top, before anything below is listed
    (tmp_path / "b/file").unlink()
    (tmp_path / "b").rmdir()
    assert isinstance(next(found), Folder)
    with pytest.raises(StorageError, match=f"cannot read {tmp_path}/b: "):
        list(found)


def test_a_walk_that_ends_early_leaves_no_thread(tmp_path: Path) -> None:
    for number in range(10):
        (tmp_path / str(number)).mkdir()
        (tmp_path / str(number) / "file").write_bytes(b"1")
    found = walk_folders(tmp_path, "", leave_out=tmp_path / "none")
    next(found)
    assert any(thread.name.startswith("scan") for thread in threading.enumerate())
    found.close()
    assert not any(thread.name.startswith("scan") for thread in threading.enumerate())


class _Stop(Exception):  # noqa: N818 - no error: what a caller may raise in the midst of a put
    pass


class _Stopping:
    def total(self, files: int, size: int) -> None:
        pass

    def advance(self, *, files: int = 0, size: int = 0) -> None:
        raise _Stop


def put_tree(commit: CommitWriter, folder: Path) -> None:
    commit.put_tree("/", folder, progress=_Stopping(), jobs=1)


def take_in(commit: CommitWriter, folder: Path) -> None:
    Intake(commit, PutHow(progress=_Stopping(), jobs=1), alone=True).tree("/", folder)


@pytest.mark.parametrize("put", [put_tree, take_in])
def test_a_put_that_fails_leaves_no_thread(tmp_path: Path, put: Callable[[CommitWriter, Path], None]) -> None:
    for number in range(10):
        (tmp_path / "src" / str(number)).mkdir(parents=True)
        for file in range(40):
            (tmp_path / f"src/{number}/{file}").write_bytes(b"1")
    with init(tmp_path) as store:
        commit = store.create_repo("r").commit("master")
        with pytest.raises(_Stop) as kept:
            put(commit, tmp_path / "src")
        assert kept.value is not None, "its traceback has the frames of the walk"
        assert not any(thread.name.startswith("scan") for thread in threading.enumerate())
        commit.drop()


def test_a_walk_that_is_left_behind_keeps_no_process(tmp_path: Path) -> None:
    for number in range(10):
        (tmp_path / str(number)).mkdir()
        (tmp_path / str(number) / "file").write_bytes(b"1")
    script = (
        "from pathlib import Path; from pfs.sources.walk import walk_folders\n"
        f"found = walk_folders(Path({str(tmp_path)!r}), '', leave_out=Path('/none')); print(next(found).path)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=600)
    assert done.stdout == f"{tmp_path}/0\n"


def test_no_more_is_listed_than_may_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in "abcdef":
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_bytes(b"1")
    monkeypatch.setattr(scans, "HELD", 2)
    monkeypatch.setattr(scans, "THREADS", 1)
    with closing(scans.Scans()) as ahead:
        ahead.begin([f"{tmp_path}/{name}" for name in "bcdef"])
        with ahead._changed:
            assert ahead._changed.wait_for(lambda: len(ahead._ended) == 2, timeout=600)
        ahead.begin([f"{tmp_path}/a", f"{tmp_path}/none"])  # a level below: wanted first, and there is no room
        assert ahead.take(f"{tmp_path}/a").names == b"file\0"
        assert set(ahead._ended) == {f"{tmp_path}/b", f"{tmp_path}/c"}
        with pytest.raises(FileNotFoundError):
            ahead.take(f"{tmp_path}/none")
        assert [ahead.take(f"{tmp_path}/{name}").names for name in "bcdef"] == [b"file\0"] * 5
        assert ahead._held == 0


def test_a_link_to_a_directory_above_is_refused(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    (tmp_path / "c").symlink_to(".")
    with pytest.raises(InvalidInputError, match="links to a directory that it lies in"):
        list(walk_folders(tmp_path, "", leave_out=tmp_path / "none"))
