"""Files put as Arrow rows: the commit that putting them one by one makes, and what is refused."""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import pfs
from pfs import ArrowPut
from pfs.errors import FileCollisionError, InvalidInputError, InvalidPathError, NotFoundError, StorageError
from pfs.files import arrow_source
from pfs.files.arrow_source import batches_of
from pfs.ids import chunk_id
from pfs.repo import Repo
from pfs.rows import sorting
from pfs.store import Store
from pfs.trees import bulk
from pfs.trees.page import Kind
from pfs.upkeep.check import fsck

NUMBERS = count()
TEXTS = [b"", b"one", b"two two", b"three" * 100]
BIG = random.Random(3).randbytes(3 << 20)


@pytest.fixture
def stored(repo: Repo) -> Repo:
    """A repo in a store that knows the texts and a file of several chunks."""
    with repo.commit("contents") as commit:
        for number, text in enumerate(TEXTS):
            commit.put_file(f"/{number}", text)
        commit.put_file("/big", BIG)
    return repo


def table(files: dict[str, bytes], **more: Any) -> pa.Table:
    ids = [chunk_id(text) for text in files.values()]
    sizes = [len(text) for text in files.values()]
    return pa.table({"path": list(files), "size": sizes, "id": pa.array(ids, pa.binary(32)), **more})


def put_singly(repo: Repo, branch: str, files: dict[str, bytes], where: str = "") -> None:
    with repo.commit(branch) as commit:
        for path, text in files.items():
            commit.put_file(f"{where}/{path}", text)


STEPS = st.sampled_from(["a", "b", "a-", "c.txt", "é", *(f"n{n:02}" for n in range(20))])
PATHS = st.lists(STEPS, min_size=1, max_size=3).map("/".join)


def no_twins(files: dict[str, bytes]) -> dict[str, bytes]:
    """Leave out files that would be directories too."""
    return {path: text for path, text in files.items() if not any(other.startswith(path + "/") for other in files)}


FILES = st.dictionaries(PATHS, st.sampled_from(TEXTS), min_size=1, max_size=40).map(no_twins)
QUICK = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@QUICK
@given(files=FILES, before=FILES, rows=st.integers(1, 9), replace=st.booleans(), into=st.sampled_from(["", "/in/here"]))
def test_it_is_what_single_puts_make(
    stored: Repo, files: dict[str, bytes], before: dict[str, bytes], rows: int, replace: bool, into: str
) -> None:
    both = before | files if not replace else files
    if no_twins(both) != both:
        return
    name = f"b{next(NUMBERS)}"
    put_singly(stored, name, before, into)
    kept = stored.view(name)
    batches = table(files).to_batches(max_chunksize=rows)
    done = stored.commit_arrow(name, iter(batches), into or "/", how=ArrowPut(replace=replace))
    put_singly(stored, name + "x", both, into)
    assert done.root.tid == stored.view(name + "x").info.root.tid
    for row in kept.tree.walk():  # what is as it was keeps its commit
        now = stored.view(name).tree.stat(row.key)
        assert now is None or now.tid != row.tid or now.changed == row.changed


@pytest.mark.parametrize("kind", ["table", "batch", "reader", "batches", "file", "stream", "parquet"])
@pytest.mark.parametrize("is_sorted", [True, False])
def test_sources(stored: Repo, tmp_path: Path, kind: str, is_sorted: bool) -> None:
    names = [f"d{n // 50:02}/f{n:04}" for n in range(300)]
    if not is_sorted:
        random.Random(1).shuffle(names)
    rows = table({f"/{name}": TEXTS[len(name) % 3] for name in names})
    done = stored.commit_arrow("master", source_of(rows, kind, tmp_path / "rows"), message="by index")
    assert (done.root.count, done.message) == (300, "by index")
    assert [row.key.decode() for row in stored.view("master").tree.walk()] == sorted(names)


def source_of(rows: pa.Table, kind: str, file: Path) -> Any:
    if kind == "table":
        return rows
    if kind == "batch":
        return rows.combine_chunks().to_batches()[0]
    if kind == "reader":
        return rows.to_reader(max_chunksize=7)
    if kind == "batches":
        return rows.to_batches(max_chunksize=7)
    if kind == "parquet":
        file = file.with_suffix(".parquet")
        pq.write_table(rows, file)
        return str(file)
    make = pa.ipc.new_file if kind == "file" else pa.ipc.new_stream
    with make(file, rows.schema) as writer:
        writer.write_table(rows, max_chunksize=11)
    return file


def test_a_listing_is_a_source(stored: Repo, store: Store) -> None:
    """What lists the files of one repo puts them into another, by their hashes."""
    other = store.create_repo("other")
    other.commit_arrow("master", stored.view("contents").to_arrow())
    assert other.view("master").info.root.tid == stored.view("contents").info.root.tid
    with other.view("master").open("/big") as stream:
        assert stream.read() == BIG


def test_what_else_is_known_of_files(stored: Repo) -> None:
    rows = table(
        {"a": b"one", "b": b"one", "c": b"one", "l": b"one"},
        time=pa.array([5, None, 1_700_000_000_000_000_000, None], pa.timestamp("ns", tz="UTC")),
        mime=["text/csv", None, None, None],
        executable=[None, True, False, None],
        metadata=pa.array([None, [("k", "v")], None, None], pa.map_(pa.string(), pa.string())),
        type=["file", None, "file", "symlink"],
    )
    stored.commit_arrow("master", rows)
    found = {row.key: (row.kind, row.aux) for row in stored.view("master").tree.walk()}
    assert found == {
        b"a": (Kind.FILE, {"m": "text/csv", "t": 5}),
        b"b": (Kind.FILE, {"u": {"k": "v"}, "x": True}),
        b"c": (Kind.FILE, {"t": 1_700_000_000_000_000_000}),
        b"l": (Kind.SYMLINK, None),
    }


@pytest.mark.parametrize("first", [1 << 32, 1])
def test_times_alone(stored: Repo, first: int) -> None:
    """Times that all have one width are packed as a column; both ways give the one form that there is."""
    times = [first, 1_700_000_000_000_000_000]
    stored.commit_arrow("master", table({"a": b"one", "b": b"one"}, time=pa.array(times, pa.int64())))
    assert [row.aux for row in stored.view("master").tree.walk()] == [{"t": time} for time in times]
    with stored.commit("again") as commit:
        for name, time in zip("ab", times, strict=True):
            row = stored.view("master").tree.stat(name.encode())
            assert row is not None
            commit.put_ref(name.encode(), row, aux={"t": time})  # type: ignore[arg-type]
    assert stored.view("again").info.root.tid == stored.view("master").info.root.tid
    assert not list(stored.view("again").diff(stored.view("master")))


def test_content_of_the_same_commit_is_known(stored: Repo) -> None:
    text = b"never stored before"
    with stored.commit("master") as commit:
        commit.put_file("/first", text)
        assert commit.put_arrow(table({"copies/a": text, "copies/b": text})).files == 2
    assert stored.view("master").read("/copies/b") == text


@pytest.mark.parametrize("is_external", [False, True])
def test_content_that_is_not_there(stored: Repo, is_external: bool) -> None:
    files = {"here": b"one", "there": b"nowhere at all"}
    if not is_external:
        with pytest.raises(NotFoundError, match=r"^/there: the store does not have its content [0-9a-f]{64}$"):
            stored.commit_arrow("master", table(files))
        assert "master" not in {one.name for one in stored.branches()}
        return
    stored.commit_arrow("master", table(files), how=ArrowPut(external=True))
    info = stored.view("master").stat("/there")
    assert (info.type, info.size_bytes, info.hash) == ("external", 14, chunk_id(b"nowhere at all").hex())
    with pytest.raises(InvalidInputError, match="only files that are in the store"):
        stored.view("master").read("/there")
    assert stored.view("master").read("/here") == b"one"
    with pytest.raises(InvalidPathError, match="its bytes are not in the store"):
        stored.view("master").restore("/", stored.store.path / "out")
    files = fsspec.filesystem("pfs", store=str(stored.store.path))
    assert files.info("data@master/there")["type"] == "other"
    with pytest.raises(OSError, match="not in the store"):
        files.cat("data@master/there")
    assert not list(fsck(stored.store))


def test_a_page_is_no_content(stored: Repo) -> None:
    pid = stored.view("contents").info.root.pid
    rows = pa.table({"path": ["a"], "size": [1], "id": pa.array([pid], pa.binary(32))})
    with pytest.raises(NotFoundError):
        stored.commit_arrow("master", rows)


@pytest.mark.parametrize("path", ["0", "1", "3", "big"])
def test_sizes_are_those_of_the_content(stored: Repo, path: str) -> None:
    info = stored.view("contents").stat("/" + path)
    rows = pa.table({"path": ["x/y"], "size": [info.size_bytes + 1], "id": [info.hash]})
    with pytest.raises(
        InvalidInputError, match=f"^/x/y: it is given as {info.size_bytes + 1} bytes, but .* {info.size_bytes}$"
    ):
        stored.commit_arrow("master", rows)


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("a//b", "empty elements"),
        ("a/", "empty elements"),
        ("//a", "empty elements"),
        ("", "root"),
        ("/", "root"),
        ("a/../b", "'.' and '..'"),
        ("./a", "'.' and '..'"),
        ("a/.", "'.' and '..'"),
        ("a\nb", "control characters"),
        ("x" * 256, "over 255 bytes"),
        ("/".join(["x" * 200] * 30), "over 4096 bytes"),
    ],
)
@pytest.mark.parametrize("place", [0, 1, 2])
def test_bad_paths_are_named(stored: Repo, path: str, reason: str, place: int) -> None:
    names = ["first", "second/x.y", "..third"]
    rows = table(dict.fromkeys([*names[:place], path, *names[place:]], b"one"))
    with pytest.raises(InvalidPathError, match=reason) as caught:
        stored.commit_arrow("master", rows)
    assert caught.value.path.lstrip("/").startswith(path.lstrip("/")[:3])


def test_good_paths_near_bad_ones(stored: Repo) -> None:
    names = ["...", ".a", "a.", "..a/b..", "a.x/.b", "x" * 255, "é/ü"]
    assert stored.commit_arrow("master", table(dict.fromkeys(names, b"one"))).root.count == len(names)


@pytest.mark.parametrize("is_sorted", [True, False])
def test_a_path_twice(stored: Repo, is_sorted: bool) -> None:
    names = ["a", "b", "b", "c"] if is_sorted else ["b", "c", "a", "b"]
    rows = pa.table({"path": names, "size": [3] * 4, "id": [chunk_id(b"one")] * 4})
    with pytest.raises(InvalidInputError, match=r"^/b comes twice$"):
        stored.commit_arrow("master", rows)


def test_order_is_what_was_promised(stored: Repo) -> None:
    rows = table({"b": b"one", "a": b"one"})
    assert stored.commit_arrow("master", rows.to_reader()).root.count == 2
    with pytest.raises(InvalidInputError, match="/a comes behind /b"):
        stored.commit_arrow("other", rows, how=ArrowPut(presorted=True))


def test_collisions(stored: Repo) -> None:
    with pytest.raises(FileCollisionError):
        stored.commit_arrow("master", table({"a": b"one", "a/b": b"one"}))
    put_singly(stored, "master", {"dir/file": b"one"})
    for where in ("/dir/file", "/dir/file/below"):
        with pytest.raises(FileCollisionError):
            stored.commit_arrow("master", table({"x": b"one"}), where)
    with pytest.raises(FileCollisionError):
        stored.commit_arrow("master", table({"dir": b"one"}))
    assert stored.commit_arrow("master", table({"dir": b"one"}), how=ArrowPut(replace=True)).root.count == 1


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        ({"path": ["a"], "size": [1]}, "column id is missing"),
        ({"path": [None, "a"], "size": [1, 1], "id": [b"x" * 32] * 2}, "path has nulls"),
        ({"path": ["a"], "size": [1.0], "id": [b"x" * 32]}, "whole numbers"),
        ({"path": ["a"], "size": [-1], "id": [b"x" * 32]}, "^/a: -1 is no size"),
        ({"path": ["a"], "size": [1], "id": [b"x" * 31]}, "^/a: an id has 32 bytes"),
        ({"path": ["a"], "size": [1], "id": ["g" * 64]}, "64 hex digits"),
        ({"path": [b"\xff"], "size": [1], "id": [b"x" * 32]}, "column path"),
        ({"path": ["a"], "size": [1], "id": [b"x" * 32], "type": ["directory"]}, "^/a: type 'directory'"),
        ({"path": ["a"], "size": [1], "id": [b"x" * 32], "time": ["now"]}, "column time"),
        ({"path": ["a"], "size": [1], "id": [b"x" * 32], "mime": ["text"]}, "no media type"),
    ],
)
def test_columns_that_are_none(stored: Repo, rows: dict[str, list[Any]], reason: str) -> None:
    with pytest.raises(InvalidInputError, match=reason):
        stored.commit_arrow("master", pa.table(rows), how=ArrowPut(external=True))


def test_sources_that_are_none(stored: Repo, tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no Arrow")
    (tmp_path / "empty").touch()
    (tmp_path / "text.parquet").write_text("no Parquet")
    for name in ("text", "empty", "text.parquet"):
        with pytest.raises(InvalidInputError, match="is no Arrow file"):
            stored.commit_arrow("master", tmp_path / name)
    with pytest.raises(NotFoundError, match="is not there"):
        stored.commit_arrow("master", tmp_path / "missing")
    with pytest.raises(StorageError):
        stored.commit_arrow("master", tmp_path)
    with pytest.raises(InvalidInputError, match="not in dict"):
        stored.commit_arrow("master", [{"path": "a"}])  # type: ignore[list-item]
    mixed = [*table({"a": b"one"}).to_batches(), *table({"b": b"one"}, mime=["a/b"]).to_batches()]
    with pytest.raises(InvalidInputError, match="differ in their columns"):
        stored.commit_arrow("master", mixed)


def test_memory_is_not_that_of_a_file_and_its_largest_batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrow_source, "_BATCH_BYTES", 4 << 20)
    rows = 600_000
    batch = pa.record_batch({"path": pa.array([f"f{n:07}" for n in range(rows)]), "size": pa.array(range(rows))})
    for name, new in (("file", pa.ipc.new_file), ("stream", pa.ipc.new_stream)):
        with pa.OSFile(str(tmp_path / name), "wb") as sink, new(sink, batch.schema) as out:
            out.write_batch(batch)
        peak = total = 0
        start = mapped_kib()
        for part in batches_of(tmp_path / name):
            assert part.num_rows <= 65_536
            assert part.column("size")[0].as_py() == total
            total += len(part.column("path").to_pylist())
            peak = max(peak, mapped_kib() - start)
        assert total == rows
        assert peak < 9 << 10 < (tmp_path / name).stat().st_size >> 10


def mapped_kib() -> int:
    """How much of files is in the memory of the process."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssFile:"))


def test_nothing_to_put(stored: Repo) -> None:
    put_singly(stored, "master", {"a": b"one"})
    with stored.commit("master") as commit:
        assert not commit.put_arrow(table({})).changed
        assert commit.put_arrow(table({}), "/", ArrowPut(replace=True)).deleted == 1
    assert stored.view("master").info.root.count == 0


def test_a_branch_that_moved_gets_both(stored: Repo) -> None:
    with stored.commit("master") as commit:
        commit.put_arrow(table({"new/a": b"one", "new/b": b"two two"}))
        put_singly(stored, "master", {"meanwhile": b"one"})
    assert [row.key for row in stored.view("master").tree.walk()] == [b"meanwhile", b"new/a", b"new/b"]


def test_rows_held_do_not_grow_with_the_number_of_files(stored: Repo, monkeypatch: pytest.MonkeyPatch) -> None:
    """Unsorted rows go to the disk in runs; a batch at a time comes back and is built into the tree."""
    monkeypatch.setattr(sorting, "RUN_BYTES", 1 << 20)
    seen: list[int] = []
    check = bulk._check

    def counting(batch: bulk.RowBatch) -> None:
        seen.append(batch.keys.rows)
        check(batch)

    monkeypatch.setattr(bulk, "_check", counting)
    names = [f"{n:05}" for n in range(60_000)]
    random.Random(1).shuffle(names)

    def batches() -> Iterator[pa.RecordBatch]:
        for start in range(0, len(names), 1000):
            yield from table(dict.fromkeys(names[start : start + 1000], b"one")).to_batches()

    assert stored.commit_arrow("master", batches()).root.count == 60_000
    assert sum(seen) == 60_000
    assert max(seen) < 20_000


def test_it_is_there_after_opening_again(tmp_path: Path) -> None:
    with pfs.init(tmp_path) as store:
        repo = store.create_repo("r")
        put_singly(repo, "master", {"a": b"one"})
        repo.commit_arrow("copy", table({f"{n:03}": b"one" for n in range(500)}))
    with pfs.open(tmp_path) as store:
        assert store.repo("r").view("copy").read("/123") == b"one"
        assert not list(fsck(store))
