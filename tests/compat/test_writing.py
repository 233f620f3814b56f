"""Files: writing (docs/compatibility.md, 1.6)."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path
from typing import Literal

import pytest

from pfs.errors import ConflictError
from pfs.model import BranchRef
from pfs.store import Store
from tests.cli.conftest import Run
from tests.compat.conftest import Put


def paths(pfs: Run, address: str) -> list[str]:
    """Return the paths of a directory, directories below it too."""
    return [file["path"] for file in pfs("list-file", "-r", address, "--json").json]


@pytest.mark.row("1.6 one-off commit")
def test_a_put_is_one_whole_commit_or_nothing(pfs: Run, store: Path) -> None:
    folder = store / "in"
    folder.mkdir()
    (folder / "a").write_text("1")
    (folder / "b").write_text("2")
    pfs("put-file", "r@master", "-r", "-f", folder)
    assert len(pfs("list-commit", "r", "--json").json) == 1
    pfs("put-file", "r@master:/x/", "-f", folder / "a", "-f", folder / "none", code=3)
    assert len(pfs("list-commit", "r", "--json").json) == 1
    assert paths(pfs, "r@master") == ["/a", "/b"]


@pytest.mark.row("1.6 open head", "1.6 commit as target")
def test_puts_go_into_the_open_commit(pfs: Run, put: Put) -> None:
    opened = pfs("start-commit", "r@master").out.strip()
    assert put("r@master", a="1") == opened
    assert put(f"r@{opened}", b="2") == opened
    pfs("finish-commit", "r@master")
    assert paths(pfs, "r@master") == ["/a", "/b"]
    pfs("delete-file", f"r@{opened}:/a", code=4)


@pytest.mark.row("1.6 output branch")
def test_a_branch_with_provenance_takes_no_puts(world: Store) -> None:
    world.create_repo("in")
    world.create_repo("out").create_branch("master", provenance=[BranchRef("in", "master")])
    with pytest.raises(ConflictError):
        world.repo("out").commit("master")


@pytest.mark.row("1.6 overwrite", "1.6 append")
def test_a_put_overwrites_unless_it_appends(pfs: Run, put: Put) -> None:
    put("r@master", a="one ")
    put("r@master", a="two ")
    put("r@master", "-a", a="three")
    assert pfs("get-file", "r@master:/a").out == "two three"


@pytest.mark.row("1.6 characters")
@pytest.mark.parametrize(
    "name", ["\\", ",", ":", " x", "~", "#", "%", "*", "[a]", "{b}", "(c)", "@+^!?", "größe", "写真"]
)
def test_a_file_may_have_any_printable_name(pfs: Run, put: Put, name: str) -> None:
    put("r@master", **{f"{name}1": "1"})
    assert pfs("get-file", f"r@master:/{name}1").out == "1"
    assert paths(pfs, "r@master") == [f"/{name}1"]


@pytest.mark.row("1.6 dot elements")
@pytest.mark.parametrize("name", [".", "..", "../a", "a/../b", "a/./b"])
def test_dot_elements_are_refused(pfs: Run, store: Path, name: str) -> None:
    pfs("put-file", f"r@master:/{name}", "-f", __file__, code=2)
    assert pfs("list-commit", "r", "--json").json == []


@pytest.mark.row("1.6 path cleaning")
def test_slashes_are_cleaned(pfs: Run, put: Put) -> None:
    put("r@master", **{"//d//a": "1"})
    assert paths(pfs, "r@master") == ["/d/", "/d/a"]
    assert pfs("get-file", "r@master:d//a").out == "1"
    assert paths(pfs, "r@master:d/") == ["/d/a"]


@pytest.mark.row("1.6 directories")
def test_directories_exist_by_their_files(pfs: Run, put: Put) -> None:
    put("r@master", d__a="12", d__e__b="345")
    info = pfs("inspect-file", "r@master:/d", "--json").json
    assert (info["path"], info["type"], info["size_bytes"], info["file_count"]) == ("/d/", "directory", 5, 2)
    put("r@other", d__e__b="345", d__a="12")
    assert pfs("inspect-file", "r@other:/d", "--json").json["hash"] == info["hash"]
    pfs("delete-file", "r@master:/d/a")
    pfs("delete-file", "r@master:/d/e/b")
    pfs("inspect-file", "r@master:/d", code=3)


@pytest.mark.row("1.6 collision")
def test_a_path_is_a_file_or_a_directory(pfs: Run, put: Put) -> None:
    put("r@master", a="1", d__b="2")
    for path in ("/a/x", "/d"):
        assert path in pfs("put-file", f"r@master:{path}", "-f", __file__, code=4).err


@pytest.mark.row("1.6 copy")
def test_copies_of_any_repo_move_no_bytes(pfs: Run, put: Put, store: Path) -> None:
    pfs("create-repo", "s")
    put("r@master", a="x" * 100_000, d__b="2")
    stored = sum(file.stat().st_size for file in (store / ".pfs/objects/packs").rglob("*.pack"))
    pfs("copy-file", "r@master:/d", "s@master:/e")
    pfs("copy-file", "r@master:/a", "s@master:/a")
    pfs("copy-file", "r@master:/d/b", "s@master:/e/b", "-a")
    assert paths(pfs, "s@master") == ["/a", "/e/", "/e/b"]
    assert pfs("get-file", "s@master:/e/b").out == "22"
    assert pfs("get-file", "s@master:/a").out == "x" * 100_000
    assert sum(file.stat().st_size for file in (store / ".pfs/objects/packs").rglob("*.pack")) < stored + 10_000


@pytest.mark.row("1.6 tar in")
@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_archives_are_taken_apart(pfs: Run, store: Path, mode: Literal["w", "w:gz"]) -> None:
    with tarfile.open(store / "in.tar", mode) as archive:
        for name, data in (("a", b"1"), ("d/b", b"22")):
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    pfs("put-file", "r@master:/x", "--untar", "-f", store / "in.tar")
    assert paths(pfs, "r@master") == ["/x/", "/x/a", "/x/d/", "/x/d/b"]
    assert pfs("get-file", "r@master:/x/d/b").out == "22"


@pytest.mark.row("1.6 recursive and lists")
def test_sources_are_directories_lists_and_stdin(pfs: Run, store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = store / "in"
    (folder / "e").mkdir(parents=True)
    (folder / "a").write_text("1")
    (folder / "e/b").write_text("2")
    pfs("put-file", "r@master:/d", "-r", "-f", folder)
    assert paths(pfs, "r@master:/d") == ["/d/a", "/d/e/", "/d/e/b"]
    (store / "list").write_text(f"{folder / 'a'}\n{folder / 'e/b'}\n")
    pfs("put-file", "r@master:/l/", "-i", store / "list")
    assert paths(pfs, "r@master:/l") == ["/l/a", "/l/b"]
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"piped")))
    pfs("put-file", "r@master:/p", "-f", "-")
    assert pfs("get-file", "r@master:/p").out == "piped"
