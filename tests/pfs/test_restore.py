"""Files and directories out: whole or not at all, and never outside of the target."""

from __future__ import annotations

import io
import os
import resource
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import pytest

from pfs.backends.local import LocalBackend
from pfs.errors import (
    CorruptionError,
    FileCollisionError,
    InvalidPathError,
    PathNotFoundError,
    PfsError,
    StorageError,
    StorageFullError,
)
from pfs.files.ingest import put_stream
from pfs.files.restore import restore_file, restore_tree
from pfs.ids import TreeId
from pfs.trees.edit import Put, edit
from pfs.trees.page import Kind
from pfs.trees.row import EMPTY_ROOT, Row
from pfs.trees.tree import Tree
from tests.pfs.bytes_world import SMALL, World, finds_blocks, noise, text


@pytest.fixture
def world(tmp_path: Path) -> World:
    place = tmp_path / "store"
    place.mkdir()
    return World(place, LocalBackend(place))


class Link(str):
    """The target of a symbolic link."""

    __slots__ = ()


def tree_of(
    world: World, files: Mapping[str, bytes | Link | Kind], *, executable: frozenset[str] = frozenset()
) -> Tree:
    session = world.session()
    edits = []
    for path, content in files.items():
        aux = {"x": True} if path in executable else None
        if isinstance(content, Kind):
            edits.append(Put(os.fsencode(path), content, 5, TreeId(bytes(32))))
            continue
        data = os.fsencode(content)
        ref = put_stream(session, SMALL, io.BytesIO(data), jobs=1)
        kind = Kind.SYMLINK if isinstance(content, Link) else ref.kind
        edits.append(Put(os.fsencode(path), kind, ref.size, ref.tid, aux))
    root = edit(session, EMPTY_ROOT, edits, changed=None, collisions="allow")
    world.commit(session)
    return Tree(world.objects, root)


def row_of(tree: Tree, key: bytes) -> Row:
    row = tree.stat(key, want="file")
    assert row is not None
    return row


def on_disk(place: Path) -> dict[str, bytes]:
    return {str(file.relative_to(place)): file.read_bytes() for file in place.rglob("*") if file.is_file()}


def place_files(place: Path, files: Mapping[str, bytes]) -> None:
    place.mkdir()
    for name, content in files.items():
        (place / name).write_bytes(content)


def damage(world: World) -> None:
    """Flip a bit in the middle of every pack, within its chunks."""
    for entry in world.backend.entries("packs/"):
        path = Path(world.backend.location, entry.name)
        body = bytearray(path.read_bytes())
        body[len(body) // 3] ^= 1
        path.write_bytes(body)


class Counter:
    """A progress that adds up."""

    def __init__(self) -> None:
        self.wanted = (0, 0)
        self.files = self.size = 0
        self.busy = threading.Lock()

    def total(self, files: int, size: int) -> None:
        self.wanted = (files, size)

    def advance(self, *, files: int = 0, size: int = 0) -> None:
        assert self.busy.acquire(blocking=False), "two threads at once"
        self.files += files
        self.size += size
        self.busy.release()


@pytest.mark.parametrize("jobs", [1, 3])
@pytest.mark.parametrize("size", [0, 1, 100_000, 1_000_000, 15_000_000])
def test_a_file_comes_back(world: World, tmp_path: Path, size: int, jobs: int) -> None:
    tree = tree_of(world, {"f": noise(size)})
    target, progress = tmp_path / "out", Counter()
    target.write_bytes(b"older")
    restore_file(world.objects, row_of(tree, b"f"), target, jobs=jobs, progress=progress)
    assert target.read_bytes() == noise(size)
    assert (progress.files, progress.size) == (1, size)
    assert sorted(os.listdir(tmp_path)) == ["out", "store"]


@pytest.mark.parametrize("jobs", [1, 3])
def test_a_directory_comes_back(world: World, tmp_path: Path, jobs: int) -> None:
    files: dict[str, bytes] = {f"a/{number % 7}/{number}": text(number * 13, number) for number in range(1500)}
    files |= {"a/big": noise(9_000_000), "a/mid": noise(1_000_000), "a/none": b"", "b": b"elsewhere", "a-b": b"x"}
    tree = tree_of(world, files)
    target, progress = tmp_path / "deep" / "out", Counter()
    restore_tree(world.objects, tree, b"a", target, jobs=jobs, progress=progress)
    wanted = {path[2:]: data for path, data in files.items() if path.startswith("a/")}
    assert on_disk(target) == wanted
    assert progress.wanted == (progress.files, progress.size) == (len(wanted), sum(map(len, wanted.values())))
    restore_tree(world.objects, tree, b"", tmp_path / "all", jobs=jobs)
    assert on_disk(tmp_path / "all") == files


def test_files_there_are_replaced_and_others_left_alone(world: World, tmp_path: Path) -> None:
    tree = tree_of(world, {"d/a": b"new", "e": b"new"})
    (tmp_path / "d").mkdir()
    (tmp_path / "d/a").write_bytes(b"old")
    (tmp_path / "d/other").write_bytes(b"kept")
    restore_tree(world.objects, tree, b"", tmp_path)
    assert (tmp_path / "d/a").read_bytes() == b"new"
    assert (tmp_path / "d/other").read_bytes() == b"kept"


def test_the_executable_bit_comes_back_within_the_umask(world: World, tmp_path: Path) -> None:
    names = {"run": b"#!", "read": b"text", "big": noise(5_000_000)}
    tree = tree_of(world, names, executable=frozenset({"run", "big"}))
    old = os.umask(0o027)
    try:
        restore_tree(world.objects, tree, b"", tmp_path / "out")
    finally:
        os.umask(old)
    modes = {name: (tmp_path / "out" / name).stat().st_mode & 0o777 for name in names}
    assert modes == {"run": 0o750, "read": 0o640, "big": 0o750}


def test_links_inside_come_back_as_links(world: World, tmp_path: Path) -> None:
    links = {"a/up": Link("../f"), "a/b/c": Link("../../a/./up"), "same": Link("f"), "dangling": Link("none/such")}
    tree = tree_of(world, {"f": b"data", **links})
    out = tmp_path / "out"
    restore_tree(world.objects, tree, b"", out)
    assert {path: os.readlink(out / path) for path in links} == dict(links)
    assert (out / "a/b/c").read_bytes() == b"data"
    restore_file(world.objects, row_of(tree, b"same"), tmp_path / "one")
    assert os.readlink(tmp_path / "one") == "f"


@pytest.mark.parametrize(
    "link",
    ["/etc/passwd", "..", "../x", "a/../../x", "d/../e", "../../../x", "", "./../.."],
    ids=lambda text: f"<{text}>",
)
def test_links_that_may_lead_out_are_refused_before_anything_is_written(
    world: World, tmp_path: Path, link: str
) -> None:
    tree = tree_of(world, {"a": b"first", "z": Link(link)})
    with pytest.raises(InvalidPathError, match="'/z'"):
        restore_tree(world.objects, tree, b"", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("key", ["a//b", "..", "x/../y", "./y", "/lead", "new\nline", "n" * 256, "x/\x7f"])
def test_names_that_no_disk_holds_are_refused_before_anything_is_written(
    world: World, tmp_path: Path, key: str
) -> None:
    tree = tree_of(world, {"0": b"first", key: b"odd"})
    with pytest.raises(InvalidPathError, match="no disk can hold"):
        restore_tree(world.objects, tree, b"", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_filled_object_with_an_empty_name_is_refused_and_an_empty_one_passed_over(
    world: World, tmp_path: Path
) -> None:
    restore_tree(world.objects, tree_of(world, {"a/": b"", "a/b": b"x"}), b"", tmp_path / "one")
    assert on_disk(tmp_path / "one") == {"a/b": b"x"}
    restore_tree(world.objects, tree_of(world, {"a/": b"", "a/b": b"x"}), b"a", tmp_path / "two")
    assert on_disk(tmp_path / "two") == {"b": b"x"}
    with pytest.raises(InvalidPathError, match="'/a/'"):
        restore_tree(world.objects, tree_of(world, {"a/": b"filled"}), b"", tmp_path / "out")


def test_a_path_that_is_file_and_directory_is_refused(world: World, tmp_path: Path) -> None:
    tree = tree_of(world, {"d/a": b"file", "d/a-": b"between", "d/a/b": b"below"})
    with pytest.raises(FileCollisionError, match="/d/a"):
        restore_tree(world.objects, tree, b"", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_bytes_that_are_elsewhere_are_named(world: World, tmp_path: Path) -> None:
    with pytest.raises(InvalidPathError, match="'/gone'"):
        restore_tree(world.objects, tree_of(world, {"gone": Kind.EXTERNAL}), b"", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_purged_files_are_left_out(world: World, tmp_path: Path) -> None:
    restore_tree(world.objects, tree_of(world, {"gone": Kind.REMOVED, "here": b"x"}), b"", tmp_path / "out")
    assert os.listdir(tmp_path / "out") == ["here"]


def test_a_directory_that_is_not_there_is_named(world: World, tmp_path: Path) -> None:
    with pytest.raises(PathNotFoundError, match="/nothing"):
        restore_tree(world.objects, tree_of(world, {"a": b"x"}), b"nothing", tmp_path / "out")


def test_a_link_on_the_disk_is_not_followed(world: World, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "d").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "out" / "f").symlink_to(tmp_path / "elsewhere" / "f")
    restore_tree(world.objects, tree_of(world, {"f": b"x"}), b"", tmp_path / "out")
    assert (tmp_path / "out" / "f").read_bytes() == b"x"
    with pytest.raises(StorageError, match="a symbolic link is there"):
        restore_tree(world.objects, tree_of(world, {"d/f": b"x"}), b"", tmp_path / "out")
    assert os.listdir(tmp_path / "elsewhere") == []


@pytest.mark.parametrize("old", [{"f": b"old"}, {}])
@pytest.mark.parametrize("size", [50_000, 12_000_000])
def test_damage_is_reported_and_leaves_the_old_file(
    world: World, tmp_path: Path, size: int, old: dict[str, bytes]
) -> None:
    tree = tree_of(world, {"d/f": noise(size)})
    row = row_of(tree, b"d/f")
    damage(world)
    place_files(tmp_path / "out", old)
    with pytest.raises(CorruptionError):
        restore_file(world.objects, row, tmp_path / "out" / "f", jobs=2)
    with pytest.raises(CorruptionError):
        restore_tree(world.objects, tree, b"d", tmp_path / "out", jobs=2)
    assert on_disk(tmp_path / "out") == old


def test_a_pack_that_was_cut_short_is_reported_and_nothing_is_left(world: World, tmp_path: Path) -> None:
    tree = tree_of(world, {"f": noise(30_000_000)})
    row = row_of(tree, b"f")
    (tmp_path / "out").mkdir()
    for entry in world.backend.entries("packs/"):
        os.truncate(Path(world.backend.location, entry.name), entry.size // 2)
    with pytest.raises(CorruptionError):
        restore_file(world.objects, row, tmp_path / "out" / "f", jobs=2)
    assert on_disk(tmp_path / "out") == {}


@pytest.mark.parametrize("old", [{"f": b"old"}, {}])
@pytest.mark.parametrize("size", [500_000, 12_000_000])
def test_a_full_disk_leaves_the_old_file(world: World, tmp_path: Path, size: int, old: dict[str, bytes]) -> None:
    tree = tree_of(world, {"d/f": noise(size)})
    row = row_of(tree, b"d/f")
    place_files(tmp_path / "out", old)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, hard))
    try:
        with pytest.raises(StorageFullError, match="no space left"):
            restore_file(world.objects, row, tmp_path / "out" / "f", jobs=2)
        with pytest.raises(StorageFullError, match="no space left"):
            restore_tree(world.objects, tree, b"d", tmp_path / "out", jobs=2)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert on_disk(tmp_path / "out") == old


class Watching:
    """A progress that looks at the file in the making when its first bytes are there."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.seen: os.stat_result | None = None

    def total(self, files: int, size: int) -> None: ...

    def advance(self, *, files: int = 0, size: int = 0) -> None:
        if self.seen is None:
            [self.seen] = open_below(self._folder)


def open_below(folder: Path) -> list[os.stat_result]:
    """The files below a folder that this process has open, those without a name among them."""
    found = []
    for fd in os.listdir("/proc/self/fd"):
        with suppress(FileNotFoundError):  # that of the listing
            if os.readlink(f"/proc/self/fd/{fd}").startswith(f"{folder}/"):
                found.append(os.stat(f"/proc/self/fd/{fd}"))
    return found


@pytest.mark.parametrize("old", [{"f": b"old"}, {}])
def test_blocks_of_a_new_large_file_are_found_at_once_where_that_pays(
    world: World, tmp_path: Path, old: dict[str, bytes]
) -> None:
    data = noise(30_000_000)
    tree = tree_of(world, {"f": data})
    place_files(tmp_path / "out", old)
    progress = Watching(tmp_path / "out")
    restore_file(world.objects, row_of(tree, b"f"), tmp_path / "out" / "f", jobs=1, progress=progress)
    assert progress.seen is not None
    assert progress.seen.st_size < len(data), "after a loss of power it must not look whole"
    reserved = progress.seen.st_blocks * 512 >= len(data)
    assert not finds_blocks(tmp_path) or reserved == (not old), "nothing is reserved for what replaces a file"
    assert on_disk(tmp_path / "out") == {"f": data}


def test_a_large_file_comes_back_without_the_native_module(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pfs._batch", None)
    data = noise(12_000_000)
    tree = tree_of(world, {"f": data})
    restore_file(world.objects, row_of(tree, b"f"), tmp_path / "out", jobs=2)
    assert (tmp_path / "out").read_bytes() == data


def test_a_target_that_cannot_be_is_named(world: World, tmp_path: Path) -> None:
    tree = tree_of(world, {"f": b"x"})
    (tmp_path / "out" / "f").mkdir(parents=True)
    with pytest.raises(PfsError, match=r"cannot write .*out/f"):
        restore_tree(world.objects, tree, b"", tmp_path / "out")
    with pytest.raises(StorageError, match=r"cannot write .*none/f"):
        restore_file(world.objects, row_of(tree, b"f"), tmp_path / "none" / "f")
    assert os.listdir(tmp_path / "out") == ["f"]
