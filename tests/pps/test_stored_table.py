"""Datum tables read from the store: in memory, or as a mapped file where they are large."""

from __future__ import annotations

from pathlib import Path

import pytest

import pfs
from pfs.errors import CorruptionError, StorageError
from pfs.ids import CommitId
from pfs.store import Store
from pfs.trees.row import Row
from pps.controller import Controller
from pps.datums.table import Result, encode_table, result_columns, with_results
from pps.datums.table_builder import TableBuilder
from pps.model.state import Counters, DatumState
from pps.scheduling import stored_table
from pps.scheduling.stored_table import laid_out, read_table
from pps.spec.types import PfsInput
from pps.testing.instant import InstantExecutor
from pps.testing.many import file_path, make_store


def put(store: Store, data: bytes) -> Row:
    repo = store.create_repo("data")
    with repo.commit("master") as commit:
        commit.put_file("/table", data)
    row = repo["master"].tree.stat(b"table", want="file")
    assert row is not None
    return row


@pytest.mark.parametrize("mapped_bytes", [0, 8 << 20])
def test_a_table_is_read_as_it_was_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mapped_bytes: int) -> None:
    monkeypatch.setattr(stored_table, "_MAPPED_BYTES", mapped_bytes)
    builder = TableBuilder([PfsInput("in", "images")])
    for number in range(20_000):
        builder.add(number.to_bytes(32, "big"), bytes(32), [()])
    result = Result(DatumState.SUCCESS, ran_in=CommitId("a" * 32))
    table = with_results(builder.build()[0], range(20_000), result_columns([result] * 20_000))
    pfs.init(tmp_path / "store").close()
    with pfs.open(tmp_path / "store") as store:
        row = put(store, encode_table(table))
        assert read_table(store, row, where="here").equals(table)
        assert laid_out(table, store.path / "tmp").equals(table)
    assert not any((tmp_path / "store" / ".pfs" / "tmp").glob("*"))


def test_what_is_no_table_and_a_place_that_cannot_be_written_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stored_table, "_MAPPED_BYTES", 0)
    pfs.init(tmp_path / "store").close()
    with pfs.open(tmp_path / "store") as store:
        row = put(store, b"no table at all")
        with pytest.raises(CorruptionError, match="here: not a datum table"):
            read_table(store, row, where="here")
        (store.path / "tmp").rmdir()
        (store.path / "tmp").touch()
        with pytest.raises(StorageError, match="lay out a table of datums"):
            read_table(store, row, where="here")


def test_jobs_of_mapped_tables_run_what_changed_and_keep_the_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stored_table, "_MAPPED_BYTES", 0)
    make_store(tmp_path / "store", 30)
    with pfs.open(tmp_path / "store") as store:
        assert run(store) == Counters(30, 30)
        with store.repo("data").commit("master") as commit:
            for number in (3, 29):
                commit.put_file(file_path(number), b"changed")
        assert run(store) == Counters(30, 2, 28)


def run(store: Store) -> Counters:
    executor = InstantExecutor(store)
    (job,) = Controller(store, lambda _isolation: executor).run_pending().jobs
    return job.counters
