"""Symbolic links: followed, kept, skipped or refused by a put, and never written through by a restore."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import pfs
from pfs.errors import InvalidInputError, InvalidPathError, NotFoundError
from pfs.repo import Repo
from pfs.sources.links import Symlinks, stays_inside


@pytest.fixture
def repo(tmp_path: Path) -> Repo:
    return pfs.init(tmp_path / "store").create_repo("r")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A file, a link to it, one to a directory, one below that leads up, each within the folder."""
    top = tmp_path / "in"
    (top / "d").mkdir(parents=True)
    (top / "file").write_bytes(b"content")
    (top / "d/below").write_bytes(b"below")
    (top / "link").symlink_to("file")
    (top / "folder-link").symlink_to("d")
    (top / "d/up").symlink_to("../file")
    return top


def put(repo: Repo, folder: Path, symlinks: Symlinks, path: str = "/") -> dict[str, tuple[str, bytes]]:
    with repo.commit("master") as commit:
        commit.put_tree(path, folder, symlinks=symlinks)
    view = repo["master"]
    return {
        info.path: (info.type, view.read(info.path)) for info in view.list(recursive=True) if info.type != "directory"
    }


def test_policies(repo: Repo, folder: Path) -> None:
    kept = put(repo, folder, "keep")
    assert kept == {
        "/d/below": ("file", b"below"),
        "/d/up": ("symlink", b"../file"),
        "/file": ("file", b"content"),
        "/folder-link": ("symlink", b"d"),
        "/link": ("symlink", b"file"),
    }
    assert not repo["master"].stat("/link").executable
    assert put(repo, folder, "skip", "/skip").keys() - kept.keys() == {"/skip/file", "/skip/d/below"}
    followed = put(repo, folder, "follow", "/follow")
    assert followed["/follow/folder-link/below"] == ("file", b"below")
    assert followed["/follow/d/up"] == followed["/follow/link"] == ("file", b"content")
    with pytest.raises(InvalidInputError, match="is a symbolic link: follow"):
        put(repo, folder, "refuse")


def test_links_that_lead_nowhere_or_in_circles_are_named(repo: Repo, folder: Path) -> None:
    (folder / "circle").symlink_to("circle")
    with pytest.raises(InvalidInputError, match="in/circle is a link that leads in circles"):
        put(repo, folder, "follow")
    (folder / "circle").unlink()
    (folder / "broken").symlink_to("nothing")
    with pytest.raises(NotFoundError, match="in/broken is a link to a file that does not exist"):
        put(repo, folder, "follow")
    assert put(repo, folder, "keep")["/broken"] == ("symlink", b"nothing")


@pytest.mark.parametrize("target", ["/etc/passwd", "../x", "d/../file", "../../store"])
def test_links_that_may_lead_out_of_the_repo_cannot_be_kept(repo: Repo, folder: Path, target: str) -> None:
    (folder / "out").symlink_to(target)
    with pytest.raises(InvalidInputError, match="may lead out"):
        put(repo, folder, "keep")
    assert repo.branches() == []


def test_round_trip_keeps_links_as_they_are(repo: Repo, folder: Path, tmp_path: Path) -> None:
    put(repo, folder, "keep")
    repo["master"].restore("/", tmp_path / "out")
    for name in ("link", "folder-link", "d/up"):
        assert os.readlink(tmp_path / "out" / name) == os.readlink(folder / name)
    with pytest.raises(InvalidPathError, match="/d/up"):
        repo["master"].restore("/d", tmp_path / "part")
    assert not (tmp_path / "part").exists()


@pytest.mark.parametrize("size", [10, 9_000_000])
def test_restore_replaces_links_and_writes_nothing_through_them(repo: Repo, tmp_path: Path, size: int) -> None:
    content = os.urandom(size)
    with repo.commit("master") as commit:
        commit.put_file("/a", content)
        commit.put_file("/d/b", b"b")
    outside = tmp_path / "outside"
    outside.write_bytes(b"precious")
    out = tmp_path / "out"
    (out / "d").mkdir(parents=True)
    (out / "a").symlink_to(outside)
    (out / "d/b").symlink_to("../a")
    repo["master"].restore("/", out)
    assert outside.read_bytes() == b"precious"
    assert not (out / "a").is_symlink()
    assert (out / "a").read_bytes() == content
    assert (out / "d/b").read_bytes() == b"b"


@pytest.mark.parametrize(
    ("text", "depth", "inside"),
    [(b"x", 0, True), (b"../x", 0, False), (b"../x", 1, True), (b"./../x", 1, True), (b"..", 0, False),
     (b"a/../x", 5, False), (b"/x", 5, False), (b"", 0, False), (b".", 0, True), (b"a\0b", 0, False)],
)  # fmt: skip
def test_what_stays_inside(text: bytes, depth: int, inside: bool) -> None:
    assert stays_inside(text, depth) == inside
