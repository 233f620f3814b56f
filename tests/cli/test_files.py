"""put-file, get-file and what looks at files, as scripts use them."""

from __future__ import annotations

import io
import os
import stat
import time
from pathlib import Path
from typing import Any

import pytest

from pfs.files.seen import Reading, SeenFiles
from pfs.store import open as open_store
from tests.cli.conftest import Run


def paths(result: Any) -> list[str]:
    return [record["path"] for record in result.json]


def test_where_a_file_lands(store: Path, pfs: Run) -> None:
    Path("a.txt").write_bytes(b"a")
    Path("b.txt").write_bytes(b"b")
    pfs("put-file", "r@master", "-f", "a.txt")
    pfs("put-file", "r@master:/x", "-f", "a.txt")
    pfs("put-file", "r@master:/dir/", "-f", "a.txt")
    pfs("put-file", "r@master:/two", "-f", "a.txt", "-f", "b.txt")
    assert paths(pfs("list-file", "r@master", "-r", "--json")) == [
        "/a.txt", "/dir/", "/dir/a.txt", "/two/", "/two/a.txt", "/two/b.txt", "/x",
    ]  # fmt: skip
    assert pfs("get-file", "r@master:/two/b.txt").out == "b"


def test_put_prints_the_id_of_the_commit_that_is_then_the_head(store: Path, pfs: Run) -> None:
    Path("a").write_bytes(b"1")
    commit = pfs("put-file", "r@master", "-f", "a", "-m", "first").out.strip()
    record: Any = pfs("inspect-commit", "r@master", "--json").json
    assert len(commit) == 32
    assert (record["id"], record["message"], record["file_count"], record["size_bytes"]) == (commit, "first", 1, 1)
    assert record["parents"] == []
    assert record["error"] is None


def test_folder_round_trip(store: Path, pfs: Run) -> None:
    for name in ("x/1.bin", "x/y/2.bin", "üñî/три.bin", "[glob]*.bin"):
        file = Path("in") / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(name.encode() * 1000)
    Path("in/run.sh").write_text("#!/bin/sh\n")
    Path("in/run.sh").chmod(0o755)
    pfs("put-file", "r@master:/data", "-r", "-f", "in")
    pfs("get-file", "r@master:/data", "-r", "-o", "out")
    before = {str(file.relative_to("in")): file.read_bytes() for file in Path("in").rglob("*") if file.is_file()}
    after = {str(file.relative_to("out")): file.read_bytes() for file in Path("out").rglob("*") if file.is_file()}
    assert before == after
    assert Path("out/run.sh").stat().st_mode & 0o111
    assert not Path("out/x/1.bin").stat().st_mode & 0o111


def test_stdin_append_offset_and_length(store: Path, pfs: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def stdin(data: bytes) -> None:
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(data)))

    stdin(b"hello ")
    pfs("put-file", "r@master:/log", "-f", "-")
    stdin(b"world")
    pfs("put-file", "r@master:/log", "-a", "-f", "-")
    assert pfs("get-file", "r@master:/log").out == "hello world"
    assert pfs("get-file", "r@master:/log", "--offset", 6, "--length", 3).out == "wor"
    assert pfs("get-file", "r@master:/log", "--offset", 99).out == ""
    pfs("get-file", "r@master:/log", "--offset", 6, "-o", "part")
    assert Path("part").read_bytes() == b"world"
    assert pfs("get-file", "r@master^:/log").out == "hello "
    assert "give the path" in pfs("put-file", "r@master", "-f", "-", code=2).err


def test_get_into_a_folder_and_over_a_file(store: Path, pfs: Run) -> None:
    Path("a").write_bytes(b"new")
    pfs("put-file", "r@master", "-f", "a")
    Path("d").mkdir()
    Path("d/a").write_bytes(b"old content")
    pfs("get-file", "r@master:/a", "-o", "d")
    assert Path("d/a").read_bytes() == b"new"


def test_delete_copy_and_diff(store: Path, pfs: Run) -> None:
    Path("a").write_bytes(b"1")
    pfs("put-file", "r@master:/d/", "-f", "a")
    pfs("create-repo", "other")
    pfs("copy-file", "r@master:/d", "other@dev:/copy")
    assert pfs("get-file", "other@dev:/copy/a").out == "1"
    pfs("copy-file", "r@master:/d/a", "r@master:/b")
    changes: Any = pfs("diff-file", "r@master", "--json").json
    assert [(change["path"], change["change"]) for change in changes] == [("/b", "added")]
    assert pfs("diff-file", "r@master", "r@master^", "--name-only").out == "/b\n"
    assert pfs("diff-file", "other@dev:/copy", "r@master:/d", "--name-only").out == ""
    assert pfs("diff-file", "r@master:/", "r@master:/d", "--name-only").out == "/a\n/b\n/d/a\n"
    pfs("diff-file", "r@master:/none", code=3)
    assert "-r" in pfs("delete-file", "r@master:/d", code=2).err
    pfs("delete-file", "r@master:/d", "-r")
    assert paths(pfs("list-file", "r@master", "-r", "--json")) == ["/b"]


def test_glob_and_inspect(store: Path, pfs: Run) -> None:
    for name in ("a.csv", "b.csv", "c.txt"):
        Path(name).write_text(name)
    pfs("put-file", "r@master:/in/", "-f", "a.csv", "-f", "b.csv", "-f", "c.txt")
    assert paths(pfs("glob-file", "r@master:/in/*.csv", "--json")) == ["/in/a.csv", "/in/b.csv"]
    record: Any = pfs("inspect-file", "r@master:/in/", "--json").json
    assert (record["type"], record["size_bytes"], record["file_count"], record["name"]) == ("directory", 15, 3, "in")


def test_open_commit_takes_puts_until_it_is_finished(store: Path, pfs: Run) -> None:
    Path("a").write_bytes(b"1")
    commit = pfs("start-commit", "r@master", "-m", "both").out.strip()
    assert pfs("put-file", "r@master:/1", "-f", "a").out.strip() == commit
    assert pfs("put-file", f"r@{commit}:/2", "-f", "a").out.strip() == commit
    pfs("list-file", "r@master", code=3)
    assert paths(pfs("list-file", f"r@{commit}", "--json")) == ["/1", "/2"]
    assert "open" in pfs("list-commit", "r").out
    assert pfs("finish-commit", "r@master").out.strip() == commit
    assert paths(pfs("list-file", "r@master", "--json")) == ["/1", "/2"]
    assert "finished" in pfs("finish-commit", f"r@{commit}", code=4).err
    assert "finished" in pfs("put-file", f"r@{commit}:/3", "-f", "a", code=4).err


def test_refusals_change_nothing(store: Path, pfs: Run) -> None:
    Path("a").write_bytes(b"1")
    Path("d").mkdir()
    before = pfs("put-file", "r@master", "-f", "a").out.strip()
    assert "file or a directory" in pfs("put-file", "r@master:/a/b", "-f", "a", code=4).err
    pfs("put-file", "nowhere@master", "-f", "a", code=3)
    pfs("put-file", "r@master", "-f", "missing", code=3)
    pfs("put-file", "r@master", "-f", "d", code=2)
    pfs("put-file", "r@master:/../x", "-f", "a", code=2)
    pfs("put-file", "r@bad.name:/x", "-f", "a", code=2)
    pfs("get-file", "r@master:/none", code=3)
    pfs("get-file", "r@nobranch:/a", code=3)
    pfs("copy-file", "r@master:/none", "r@master:/x", code=3)
    record: Any = pfs("inspect-commit", "r@master", "--json").json
    assert record["id"] == before


def test_checksum_reads_what_shows_no_change(store: Path, pfs: Run) -> None:
    file = Path("in/a").absolute()
    file.parent.mkdir()
    file.write_bytes(b"real")
    with open_store(store) as opened, opened.repo("r").commit("other") as commit:
        status, ref = file.stat(), commit.put_file("/x", b"fake")
        seen = SeenFiles(opened.index, commit.session, clock_ns=time.time_ns)
        seen.note(Reading(str(file), status, status, time.time_ns() + 10**12), ref)
        opened.index.add([], seen=seen.take())
    for words in (["-f", "in/a"], ["-r", "-f", "in"]):
        pfs("put-file", "r@master:/", *words)
        assert pfs("get-file", "r@master:/a").out == "fake"
    for words in (["-f", "in/a"], ["-r", "-f", "in"]):
        pfs("put-file", "r@master:/", "--checksum", *words)
        assert pfs("get-file", "r@master:/a").out == "real"


def test_get_goes_through_links_and_into_pipes(store: Path, pfs: Run) -> None:
    Path("a").write_bytes(b"content")
    pfs("put-file", "r@master", "-f", "a")
    Path("real").write_bytes(b"old")
    Path("link").symlink_to("real")
    pfs("get-file", "r@master:/a", "-o", "link")
    assert Path("link").is_symlink()
    assert Path("real").read_bytes() == b"content"
    os.mkfifo("pipe")
    for options in ((), ("--offset", 3)):
        reader = os.open("pipe", os.O_RDONLY | os.O_NONBLOCK)
        pfs("get-file", "r@master:/a", "-o", "pipe", *options)
        assert os.read(reader, 100) == b"content"[3 if options else 0 :]
        os.close(reader)
    assert stat.S_ISFIFO(Path("pipe").stat().st_mode)
