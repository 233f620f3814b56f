"""Streams that are closed, full or left: one line at most, the right code, and nothing goes where it should not."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from pfs.store import init
from pfs.store import open as open_store
from tests.cli.processes import environment


@pytest.fixture
def store(tmp_path: Path) -> Path:
    with init(tmp_path) as made:
        made.create_repo("r")
        with made.repo("r").commit("master") as commit:
            for number in range(3000):
                commit.put_file(f"/some-quite-long-directory-name/{number:08d}", b"x")
    (tmp_path / "a").write_bytes(b"content")
    return tmp_path


def shell(store: Path, line: str) -> subprocess.CompletedProcess[str]:
    command = ["bash", "-o", "pipefail", "-c", line]
    return subprocess.run(command, env=environment(store), cwd=store, capture_output=True, text=True, check=False)


def test_a_reader_that_has_seen_enough(store: Path) -> None:
    done = shell(store, "pfs list-file r@master -r | head -1")
    assert (done.returncode, done.stderr) == (141, "")


def test_closed_stdout(store: Path) -> None:
    done = shell(store, "pfs put-file r@master -f a >&-")
    assert (done.returncode, done.stderr) == (0, "")
    with open_store(store) as opened:
        assert opened.repo("r")["master"].read("/a") == b"content"


@pytest.mark.parametrize("words", ["r@master:/some-quite-long-directory-name/00000000", "r@master:/ --archive tar"])
def test_content_for_a_closed_stdout_is_not_thrown_away_in_silence(store: Path, words: str) -> None:
    done = shell(store, f"pfs get-file {words} >&-")
    assert done.returncode == 5
    assert "standard output is closed" in done.stderr
    assert done.stderr.count("\n") == 1


def test_closed_stdin(store: Path) -> None:
    done = shell(store, "pfs put-file r@master:/x -f - <&-")
    assert done.returncode == 2
    assert "stdin is closed" in done.stderr
    assert done.stderr.count("\n") == 1


def test_full_disk_behind_stdout(store: Path) -> None:
    done = shell(store, "pfs put-file r@master -f a >/dev/full")
    assert done.returncode == 5
    assert "cannot write the output" in done.stderr
    assert done.stderr.count("\n") == 1
    with open_store(store) as opened:
        assert opened.repo("r")["master"].read("/a") == b"content"


def test_all_streams_closed(store: Path) -> None:
    assert shell(store, "pfs list-repo <&- >&- 2>&-").returncode == 0
    assert shell(store, "pfs list-file none@master <&- >&- 2>&-").returncode == 3
