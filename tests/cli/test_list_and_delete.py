"""list-file with paging and patterns, delete-file with patterns."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Run

FILES = ["a.txt", "d/1.txt", "d/2.txt", "d/e/3.txt", "d/e/4.bin", "d.x", "tmp/x", "tmp/y/z", "[1].txt"]


@pytest.fixture
def files(store: Path, pfs: Run) -> str:
    for name in FILES:
        file = Path("in") / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(name)
    return pfs("put-file", "r@master", "-r", "-f", "in").out.strip()


def listed(pfs: Run, *words: object) -> list[str]:
    result: Any = pfs("list-file", *words, "--json").json
    return [record["path"] for record in result]


@pytest.mark.row("1.7 list pages")
def test_pages_of_a_listing(files: str, pfs: Run) -> None:
    every = listed(pfs, "r@master")
    assert every == ["/[1].txt", "/a.txt", "/d.x", "/d/", "/tmp/"]
    assert listed(pfs, "r@master", "-n", 2) == every[:2]
    assert listed(pfs, "r@master", "--from", "/d.x", "-n", 1) == ["/d/"]
    assert listed(pfs, "r@master", "--from", "d/") == ["/tmp/"]
    assert listed(pfs, "r@master", "--reverse") == every[::-1]
    assert listed(pfs, "r@master", "--reverse", "--from", "/d/", "-n", 2) == ["/d.x", "/a.txt"]
    assert listed(pfs, "r@master:/d", "--from", "1.txt") == ["/d/2.txt", "/d/e/"]
    deep = listed(pfs, "r@master:/d", "-r")
    assert deep == ["/d/1.txt", "/d/2.txt", "/d/e/", "/d/e/3.txt", "/d/e/4.bin"]
    for path in deep:
        assert listed(pfs, "r@master:/d", "-r", "--from", path) == deep[deep.index(path) + 1 :]


def test_listing_a_pattern(files: str, pfs: Run) -> None:
    assert listed(pfs, "r@master:/*.txt") == ["/[1].txt", "/a.txt"]
    assert listed(pfs, "r@master:/[1].txt") == ["/[1].txt"]
    assert listed(pfs, "r@master:/d*") == ["/d.x", "/d/"]
    assert listed(pfs, "r@master:/[dt]*", "-r", "-n", 4) == ["/d.x", "/d/", "/d/1.txt", "/d/2.txt"]
    assert listed(pfs, "r@master:/{d,d/e,d/1.txt}", "-r") == ["/d/", *listed(pfs, "r@master:/d", "-r")]
    pfs("list-file", "r@master:/none*", code=3)
    pfs("list-file", "r@master:/none*", "--reverse", code=3)


def test_what_does_not_go_together(files: str, pfs: Run) -> None:
    assert "-r" in pfs("list-file", "r@master", "-r", "--reverse", code=2).err
    assert "--from" in pfs("list-file", "r@master:/d*", "--reverse", code=2).err
    pfs("list-file", "r@master", "-n", 0, code=2)


def test_deleting_what_matches_is_one_commit(files: str, pfs: Run) -> None:
    commit = pfs("delete-file", "r@master:/d/**.txt", code=0).out.strip()
    record: Any = pfs("inspect-commit", "r@master", "--json").json
    assert (record["id"], record["parents"]) == (commit, [files])
    assert listed(pfs, "r@master:/d", "-r") == ["/d/e/", "/d/e/4.bin"]


def test_directories_need_r(files: str, pfs: Run) -> None:
    assert "/tmp/y" in pfs("delete-file", "r@master:/tmp/**", code=2).err
    assert listed(pfs, "r@master:/tmp", "-r") == ["/tmp/x", "/tmp/y/", "/tmp/y/z"]
    pfs("delete-file", "r@master:/{tmp/**,d/e}", "-r")
    assert listed(pfs, "r@master", "-r") == ["/[1].txt", "/a.txt", "/d.x", "/d/", "/d/1.txt", "/d/2.txt"]
    pfs("delete-file", "r@master:/**", "-r")
    assert listed(pfs, "r@master") == []


def test_a_file_that_is_called_so_goes_first(files: str, pfs: Run) -> None:
    Path("1").write_text("other")
    pfs("put-file", "r@master:/1.txt", "-f", "1")
    pfs("delete-file", "r@master:/[1].txt")
    assert listed(pfs, "r@master:/1.txt") == ["/1.txt"]
    pfs("delete-file", "r@master:/[1].txt")
    pfs("list-file", "r@master:/1.txt", code=3)


@pytest.mark.parametrize("path", ["/none*", r"/\[1].tx", "/d/*.none"])
def test_nothing_to_delete(files: str, pfs: Run, path: str) -> None:
    pfs("delete-file", f"r@master:{path}", code=3)
    pfs("delete-file", f"r@master:{path}", "-r", code=3)
    assert pfs("inspect-commit", "r@master", "--json").json["id"] == files  # type: ignore[index]  # an object


def test_a_malformed_pattern(files: str, pfs: Run) -> None:
    assert "pattern" in pfs("delete-file", "r@master:/d/[", code=2).err


def test_deleting_from_an_open_commit_sees_what_was_put_into_it(files: str, pfs: Run) -> None:
    pfs("start-commit", "r@master")
    pfs("put-file", "r@master:/d/5.txt", "-f", "in/a.txt")
    pfs("delete-file", "r@master:/d/?.txt")
    pfs("finish-commit", "r@master")
    assert listed(pfs, "r@master:/d") == ["/d/e/"]


@pytest.mark.row("1.7 diff shallow")
def test_shallow_diff(files: str, pfs: Run) -> None:
    Path("new").write_text("xx")
    pfs("start-commit", "r@master")
    pfs("put-file", "r@master:/d/e/5", "-f", "new")
    pfs("put-file", "r@master:/a.txt", "-f", "new")
    pfs("delete-file", "r@master:/tmp", "-r")
    pfs("finish-commit", "r@master")
    changes: Any = pfs("diff-file", "r@master", "--shallow", "--json").json
    found = [(change["path"], change["change"], change["old"] and change["old"]["file_count"]) for change in changes]
    assert found == [("/a.txt", "modified", 1), ("/d/", "modified", 4), ("/tmp/", "deleted", 2)]
    lines = pfs("diff-file", "r@master", "--shallow").out.splitlines()
    assert [line.split() for line in lines[1:]] == [
        ["~", "/a.txt", "modified", "1", "5", "B", "->", "2", "B"],
        ["~", "/d/", "modified", "4", "->", "5", "32", "B", "->", "34", "B"],
        ["-", "/tmp/", "deleted", "2", "12", "B"],
    ]
    assert pfs("diff-file", "r@master:/d", "--shallow", "--name-only").out == "/d/e/\n"
    assert pfs("diff-file", "r@master:/d/e", "r@master:/d", "--shallow", "--name-only").out == (
        "/d/e/1.txt\n/d/e/2.txt\n/d/e/3.txt\n/d/e/4.bin\n/d/e/5\n/d/e/e/\n"
    )
    assert "--rows" in pfs("diff-file", "r@master", "--shallow", "--rows", code=2).err


def test_shallow_diff_of_metadata_alone(store: Path, pfs: Run) -> None:
    Path("run").write_text("x")
    pfs("put-file", "r@master:/d/e/run", "-f", "run")
    Path("run").chmod(0o755)
    pfs("put-file", "r@master:/d/e/run", "-f", "run")
    assert pfs("diff-file", "r@master", "--shallow", "--name-only").out == "/d/\n"
    assert pfs("diff-file", "r@master:/d/e", "--shallow", "--name-only").out == "/d/e/run\n"
