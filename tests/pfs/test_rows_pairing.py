"""Which rows belong together: against a plain model, with runs so small that everything is spilled and merged."""

from __future__ import annotations

import math
import os
import resource
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pfs.errors import InvalidInputError, StorageError
from pfs.rows.compare import TableDiff
from tests.pfs.rows_world import MemoryTable, Row, diff_of, found, model, rows_of

_SCHEMA = pa.schema([("a", pa.float64()), ("b", pa.string()), ("v", pa.int64()), ("w", pa.float64())])
_ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "a": st.sampled_from([None, math.nan, 0.0, -0.0, 1.5, -math.inf]),
            "b": st.sampled_from([None, "", "a", "é", "\U0001f600", "\uffff"]),
            "v": st.sampled_from([None, 0, 1]),
            "w": st.sampled_from([None, math.nan, 0.5]),
        }
    ),
    max_size=40,
)


def _table(rows: list[Row]) -> pa.Table:
    return pa.Table.from_pylist(rows, schema=_SCHEMA)


@settings(max_examples=60, deadline=None)
@given(
    _ROWS,
    _ROWS,
    st.sampled_from([("a",), ("b",), ("b", "a"), ("v", "b")]),
    st.sampled_from([1, 400, 1 << 20]),
    st.tuples(st.integers(1, 7), st.integers(1, 7)),
)
def test_pairs_by_key_are_those_of_the_model(
    old: list[Row], new: list[Row], key: tuple[str, ...], run: int, batches: tuple[int, int]
) -> None:
    tables = [MemoryTable(_table(rows), batch_rows=size) for rows, size in zip((old, new), batches, strict=True)]
    with TemporaryDirectory() as directory:
        diff = TableDiff("/t", *tables, key=key, directory=Path(directory), run_bytes=run)
        assert found(diff) == model(old, new, key, _SCHEMA.names)
    counts = diff.counts
    assert counts.removed + counts.changed + counts.unchanged == len(old)
    assert counts.added + counts.changed + counts.unchanged == len(new)


@settings(max_examples=40, deadline=None)
@given(_ROWS, _ROWS, st.integers(1, 7), st.integers(1, 7))
def test_pairs_by_position_are_those_of_the_model(old: list[Row], new: list[Row], first: int, second: int) -> None:
    tables = MemoryTable(_table(old), batch_rows=first), MemoryTable(_table(new), batch_rows=second)
    diff = TableDiff("/t", *tables, key=(), directory=Path("/nowhere"))
    numbered = [[{**row, "n": number} for number, row in enumerate(rows)] for rows in (old, new)]
    assert found(diff) == model(numbered[0], numbered[1], ("n",), _SCHEMA.names)


def test_a_shuffled_table_is_the_same_table(tmp_path: Path) -> None:
    ids = np.arange(20_000)
    old = pa.table({"id": ids, "v": ids % 7})
    order = np.random.default_rng(1).permutation(ids)
    new = old.take(pa.array(order))
    tables = MemoryTable(old, batch_rows=1000), MemoryTable(new, batch_rows=900)
    diff = TableDiff("/t", *tables, key=("id",), directory=tmp_path, run_bytes=4000)
    assert found(diff) == []
    assert (diff.counts.unchanged, diff.counts.repeated) == (20_000, 0)


def test_one_key_for_all_rows_is_paired_in_order(tmp_path: Path) -> None:
    old = pa.table({"k": ["x"] * 5000, "v": range(5000)})
    new = pa.table({"k": ["x"] * 5001, "v": [*range(4999), 7, 8]})
    tables = MemoryTable(old, batch_rows=700), MemoryTable(new, batch_rows=900)
    diff = TableDiff("/t", *tables, key=["k"], directory=tmp_path, run_bytes=10_000)
    assert found(diff) == [("changed", 4999, 4999, ("v",)), ("added", None, 5000, ())]
    assert diff.counts.repeated == 9999


def test_memory_is_that_of_the_runs_and_not_of_the_tables(tmp_path: Path) -> None:
    class Generated(MemoryTable):
        def batches(self, forms: object) -> object:  # type: ignore[override]
            for batch in range(64):
                ids = np.random.default_rng(batch).permutation(8192) * 64 + batch
                yield pa.RecordBatch.from_arrays([pa.array(ids), pa.array(np.full(8192, "x" * 100))], names=["id", "v"])

    schema = pa.schema([("id", pa.int64()), ("v", pa.string())]).empty_table()
    before, pool = pa.default_memory_pool(), pa.proxy_memory_pool(pa.default_memory_pool())
    pa.set_memory_pool(pool)
    try:
        diff = TableDiff("/t", Generated(schema), Generated(schema), key=["id"], directory=tmp_path, run_bytes=2 << 20)
        assert rows_of(diff) == []
    finally:
        pa.set_memory_pool(before)
    assert diff.counts.unchanged == 64 * 8192
    assert 4 << 20 < pool.max_memory() < 40 << 20, "each of the two tables has 60 MiB and more"


def test_keys_of_two_types_pair_by_value(tmp_path: Path) -> None:
    old = pa.table({"id": pa.array([1, 2, None], pa.int32()), "v": [1, 2, 3]})
    for kind in (pa.float64(), pa.uint64(), pa.decimal128(25, 2), pa.int64()):
        new = pa.table({"id": pa.array([None, 2, 1], pa.int64()).cast(kind), "v": [3, 2, 1]})
        diff = diff_of(old, new, tmp_path, key=["id"])
        assert (found(diff), diff.counts.unchanged) == ([], 3), kind
    text = pa.table({"id": ["2", "1", None], "v": [2, 1, 3]})
    assert found(diff_of(old, text, tmp_path, key=["id"])) == []


def test_a_key_that_two_types_cannot_hold_exactly_is_refused(tmp_path: Path) -> None:
    old, new = pa.table({"id": [2**53 + 1]}), pa.table({"id": [2.0**53]})
    with pytest.raises(InvalidInputError, match="key column 'id' is int64 here"):
        rows_of(diff_of(old, new, tmp_path, key=["id"]))
    assert found(diff_of(old, new, tmp_path)) == [("changed", 0, 0, ("id",))]


def test_keys_that_cannot_be(tmp_path: Path) -> None:
    table = pa.table({"id": [1], "l": [[1]], "t": [True], "b": [b"x"]})
    with pytest.raises(InvalidInputError, match="no column 'x' in memory: its columns are id, l, t, b"):
        diff_of(table, table, tmp_path, key=["x"])
    with pytest.raises(InvalidInputError, match="'l' of memory cannot be a key"):
        diff_of(table, table, tmp_path, key=["l"])
    assert found(diff_of(table, table, tmp_path, key=["t", "b"])) == []


def test_a_disk_that_takes_no_runs_is_a_storage_error(tmp_path: Path) -> None:
    table = pa.table({"id": range(1000)})
    place = tmp_path / "file"
    place.write_bytes(b"")
    with pytest.raises(StorageError, match="sort rows in"):
        rows_of(diff_of(table, table, place, key=["id"], run_bytes=100))
    assert rows_of(diff_of(table, table, place, key=["id"])) == [], "small tables need no disk"


def test_a_disk_that_is_full_half_way_is_a_storage_error(tmp_path: Path) -> None:
    table = pa.table({"id": np.random.default_rng(1).permutation(50_000)})
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    for limit in (0, 10_000, 100_000):
        diff = diff_of(table, table, tmp_path, key=["id"], run_bytes=200_000)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
        try:
            with pytest.raises(StorageError, match=f"sort rows in {tmp_path}"):
                rows_of(diff)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert not list(tmp_path.iterdir())


def test_runs_have_no_names_and_are_given_back_when_an_iteration_is_left(tmp_path: Path) -> None:
    def open_runs() -> int:
        links = [os.readlink(f"/proc/self/fd/{number}") for number in os.listdir("/proc/self/fd") if _is_open(number)]
        return sum(link.startswith(str(tmp_path)) for link in links)

    old, new = pa.table({"id": range(20_000)}), pa.table({"id": range(20_000, 40_000)})
    stream = iter(diff_of(old, new, tmp_path, key=["id"], run_bytes=50_000))
    next(stream)
    assert open_runs() > 2
    assert not list(tmp_path.iterdir())
    stream.close()  # type: ignore[attr-defined]
    assert open_runs() == 0


def _is_open(number: str) -> bool:
    return Path(f"/proc/self/fd/{number}").is_symlink()
