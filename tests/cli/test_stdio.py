"""Streams that are closed, full or left: one line at most, the right code, and nothing goes where it should not."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from pfs.store import init
from pfs.store import open as open_store
from tests.cli.processes import environment, ids, run, start


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


def test_what_waits_for_commits_ends_with_its_reader(store: Path) -> None:
    process = start(store, "pfs", "subscribe-commit", "r@master")
    assert ends_with_its_reader(process) == ids(store, "r@master")[0]


def test_what_follows_logs_ends_with_its_reader(store: Path) -> None:
    spec = '{"pipeline": {"name": "p"}, "input": {"pfs": {"repo": "r", "glob": "/"}}, "transform": {"cmd": ["sh"], '
    (store / "p.json").write_text(spec + '"stdin": ["echo working", "exec sleep 1000"]}}')
    run(store, "pps", "create-pipeline", "-f", "p.json")
    running = start(store, "pps", "run", "--isolation", "none")
    try:
        assert running.stderr is not None
        assert b"started" in running.stderr.readline()
        assert ends_with_its_reader(start(store, "pps", "logs", "-p", "p", "-f")) == "working"
    finally:
        running.terminate()
        running.communicate()


def ends_with_its_reader(process: subprocess.Popen[bytes]) -> str:
    """Read one line of a program, then close its output; return the line once it has ended without a word."""
    assert process.stdout is not None
    assert process.stderr is not None
    with process:
        line = process.stdout.readline().decode().rstrip()
        process.stdout.close()
        assert (process.wait(timeout=60), process.stderr.read()) == (141, b"")
    return line


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
    assert "cannot write the output: no space left on device; what the command did stands" in done.stderr
    assert done.stderr.count("\n") == 1
    with open_store(store) as opened:
        assert opened.repo("r")["master"].read("/a") == b"content"


@pytest.mark.parametrize(
    "words", ["list-repos", "get-file r@master:/some-quite-long-directory-name/00000000", "--help"]
)
def test_a_command_that_only_reads_has_nothing_that_stands(store: Path, words: str) -> None:
    done = shell(store, f"pfs {words} >/dev/full")
    assert done.returncode == 5
    assert done.stderr == "pfs: cannot write the output: no space left on device\n"


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ("list-file none@master", 3),
        ("list-repo --no-such", 2),
        ("diff-file r@master:/a none@master:/a", 3),
    ],
)
def test_errors_that_nobody_can_read_keep_their_code(store: Path, words: str, code: int) -> None:
    assert shell(store, f"pfs {words} 2>/dev/full").returncode == code


def test_what_is_said_beside_a_success_changes_no_code(store: Path) -> None:
    (store / "d").mkdir()
    line = "pfs put-file r@other:/ -r -f d --delete-extra"
    assert "nothing changed" in shell(store, f"{line} && {line}").stderr
    assert shell(store, f"{line} 2>/dev/full").returncode == 0


def test_all_streams_closed(store: Path) -> None:
    assert shell(store, "pfs list-repo <&- >&- 2>&-").returncode == 0
    assert shell(store, "pfs list-file none@master <&- >&- 2>&-").returncode == 3
