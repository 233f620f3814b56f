"""get-file --archive and with patterns, as scripts use them."""

from __future__ import annotations

import io
import os
import resource
import tarfile
import zipfile
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from pfs.store import open as open_store
from tests.cli.conftest import Run
from tests.cli.processes import start


@pytest.fixture
def files(store: Path, pfs: Run) -> Path:
    for name in ("logs/a.txt", "logs/b.txt", "logs/deep/c.txt", "logs/run", "[x]*.csv", "three/三.txt"):
        file = Path("in") / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(name.encode() * 100)
    Path("in/logs/run").chmod(0o755)
    pfs("put-file", "r@master", "-r", "-f", "in")
    return store


def names(file: str) -> list[str]:
    if file.endswith(".zip"):
        with zipfile.ZipFile(file) as packed:
            return [name for name in packed.namelist() if not name.endswith("/")]
    with tarfile.open(file) as opened:
        return [info.name for info in opened if info.isfile()]


@pytest.mark.row("1.7 get tar")
def test_to_a_file_into_a_folder_and_to_stdout(
    files: Path, pfs: Run, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    pfs("get-file", "r@master:/logs", "--archive", "tar.gz", "-o", "out.tgz")
    assert names("out.tgz") == ["a.txt", "b.txt", "deep/c.txt", "run"]
    Path("folder").mkdir()
    pfs("get-file", "r@master:/logs/", "--archive", "zip", "-o", "folder")
    pfs("get-file", "r@master:/", "--archive", "tar", "-o", "folder/")
    pfs("get-file", "r@master:/**.txt", "--archive", "tar", "-o", "folder/x")
    assert sorted(os.listdir("folder")) == ["logs.zip", "r.tar", "x"]
    assert names("folder/r.tar") == [
        "[x]*.csv",
        "logs/a.txt",
        "logs/b.txt",
        "logs/deep/c.txt",
        "logs/run",
        "three/三.txt",
    ]
    assert names("folder/x") == ["logs/a.txt", "logs/b.txt", "logs/deep/c.txt", "three/三.txt"]
    process = start(files, "pfs", "get-file", "r@master:/logs", "--archive", "tar")
    out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, b"")
    with tarfile.open(fileobj=io.BytesIO(out)) as opened:
        assert opened.getmember("run").mode == 0o755
        assert opened.extractfile("deep/c.txt").read() == b"logs/deep/c.txt" * 100  # type: ignore[union-attr]  # a file


def test_times_are_those_of_the_commits(files: Path, pfs: Run) -> None:
    record: Any = pfs("inspect-file", "r@master:/logs/a.txt", "--json").json
    pfs("get-file", "r@master:/logs/a.txt", "--archive", "tar", "-o", "one.tar")
    with tarfile.open("one.tar") as opened:
        (info,) = opened.getmembers()
    stamp = datetime.fromisoformat(record["changed"])
    assert (info.name, info.mtime) == ("a.txt", int(stamp.timestamp()))


def test_the_same_commit_gives_the_same_bytes(files: Path, pfs: Run) -> None:
    for format in ("tar", "tar.gz", "tar.zst", "zip"):
        pfs("get-file", "r@master:/", "--archive", format, "-o", "one", "-j", 1)
        pfs("get-file", "r@master:/", "--archive", format, "-o", "two", "-j", 4)
        assert Path("one").read_bytes() == Path("two").read_bytes()


def test_what_does_not_go_together(files: Path, pfs: Run) -> None:
    assert "--offset" in pfs("get-file", "r@master:/logs", "--archive", "tar", "--offset", 3, code=2).err
    assert "rar" in pfs("get-file", "r@master:/logs", "--archive", "rar", code=2).err
    pfs("get-file", "r@master:/none", "--archive", "tar", "-o", "out", code=3)
    pfs("get-file", "r@master:/none*", "--archive", "tar", "-o", "out", code=3)
    assert not Path("out").exists()


def test_a_full_disk_leaves_the_old_archive(files: Path, pfs: Run) -> None:
    Path("big").write_bytes(os.urandom(3_000_000))
    pfs("put-file", "r@master", "-f", "big")
    Path("out.tar").write_bytes(b"older")
    before = sorted(os.listdir())
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, limits[1]))
    try:
        result = pfs("get-file", "r@master:/", "--archive", "tar", "-o", "out.tar", code=5)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert "no space" in result.err
    assert Path("out.tar").read_bytes() == b"older"
    assert sorted(os.listdir()) == before


@pytest.mark.row("1.7 get by glob")
def test_a_pattern_that_matches_one_file_is_that_file(files: Path, pfs: Run) -> None:
    assert pfs("get-file", "r@master:/logs/deep/*").out == "logs/deep/c.txt" * 100
    assert pfs("get-file", "r@master:/logs/r?n", "--offset", 5, "--length", 3).out == "run"
    Path("out").mkdir()
    pfs("get-file", "r@master:/lo*/b.txt", "-o", "out")
    assert Path("out/b.txt").exists()


def test_a_name_with_glob_characters_goes_first(files: Path, pfs: Run) -> None:
    assert pfs("get-file", "r@master:/[x]*.csv").out == "[x]*.csv" * 100
    assert pfs("get-file", r"r@master:/\[x\]\*.csv").out == "[x]*.csv" * 100
    pfs("get-file", "r@master:/[x]*.cs?", code=3)


def test_a_pattern_that_matches_several(files: Path, pfs: Run) -> None:
    message = pfs("get-file", "r@master:/logs/*.txt", code=2).err
    assert "matches several" in message
    assert "/logs/a.txt and /logs/b.txt" in message
    assert "directory" in pfs("get-file", "r@master:/log*", code=2).err
    assert "-o FOLDER" in pfs("get-file", "r@master:/logs/*.txt", "-r", code=2).err
    pfs("get-file", "r@master:/logs/*.txt", "-r", "-o", "out")
    assert sorted(str(path) for path in Path("out").rglob("*.*")) == ["out/logs/a.txt", "out/logs/b.txt"]
    pfs("get-file", "r@master:/**", "-r", "-o", "all")
    assert sorted(path.relative_to("all") for path in Path("all").rglob("*")) == sorted(
        path.relative_to("in") for path in Path("in").rglob("*")
    )
    assert Path("all/logs/run").stat().st_mode & 0o100


def test_a_pattern_that_matches_nothing_or_is_none(files: Path, pfs: Run) -> None:
    assert "/none*" in pfs("get-file", "r@master:/none*", code=3).err
    pfs("get-file", "r@master:/none*", "-r", "-o", "out", code=3)
    assert "missing" in pfs("get-file", "r@master:/logs/[a", code=2).err
    assert not Path("out").exists()


def test_a_pattern_does_not_read_another_file_than_it_matches(files: Path, pfs: Run) -> None:
    with open_store(files) as store, store.repo("r").commit("odd") as writer:
        writer.put_file("/a/b", b"right")
        writer.put_ref(b"a//b", writer.put_file("/c", b"wrong"))
    assert "S3" in pfs("get-file", "r@odd:/a{//}b", code=2).err
    assert pfs("get-file", "r@odd:/a/b").out == "right"
