"""deltalake: tables whose commits are conditional writes."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake
from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError

from tests.clients import settings
from tests.clients.served import Endpoint

pytestmark = [pytest.mark.client("deltalake"), pytest.mark.usefixtures("trusted")]


@pytest.fixture
def how(endpoint: Endpoint) -> dict[str, str]:
    return settings.object_store(endpoint)


def rows(start: int, count: int) -> pa.Table:
    return pa.table({"id": pa.array(range(start, start + count), pa.int64()), "text": [f"t{start}"] * count})


def ids(table: DeltaTable) -> list[int]:
    return sorted(pa.table(table.to_pyarrow_table())["id"].to_pylist())


def test_a_table(how: dict[str, str], bucket: str) -> None:
    url = f"s3://{bucket}/a table"
    write_deltalake(url, rows(0, 100), storage_options=how)
    write_deltalake(url, rows(100, 50), mode="append", storage_options=how)
    table = DeltaTable(url, storage_options=how)
    table.delete("id < 10")
    table.update({"text": "'new'"}, predicate="id = 20")
    merged = rows(140, 20)
    table.merge(merged, "s.id = t.id", source_alias="s", target_alias="t").when_not_matched_insert_all().execute()
    assert ids(table) == list(range(10, 160))
    assert ids(DeltaTable(url, version=0, storage_options=how)) == list(range(100))
    table.optimize.compact()
    table.create_checkpoint()
    assert table.vacuum(retention_hours=0, enforce_retention_duration=False, dry_run=False)
    again = DeltaTable(url, storage_options=how)
    assert ids(again) == list(range(10, 160))
    write_deltalake(url, rows(0, 1), mode="overwrite", storage_options=how)
    assert ids(DeltaTable(url, storage_options=how)) == [0]


def test_no_commit_is_lost(how: dict[str, str], bucket: str) -> None:
    url = f"s3://{bucket}/table"
    write_deltalake(url, rows(0, 1), storage_options=how)

    def write(writer: int) -> None:
        for number in range(5):
            write_deltalake(url, rows(1000 * writer + number, 1), mode="append", storage_options=how)

    with ThreadPoolExecutor() as pool:
        list(pool.map(write, (1, 2)))
    table = DeltaTable(url, storage_options=how)
    assert ids(table) == [0, *range(1000, 1005), *range(2000, 2005)]
    assert table.version() == 10


def test_a_conflict_is_found(how: dict[str, str], bucket: str) -> None:
    url = f"s3://{bucket}/table"
    write_deltalake(url, rows(0, 10), storage_options=how)
    first, second = (DeltaTable(url, storage_options=how) for _ in range(2))
    first.delete("id = 1")
    with pytest.raises(CommitFailedError):
        second.delete("id = 2")
    second.update_incremental()
    second.delete("id = 2")
    assert ids(second) == [0, *range(3, 10)]


def test_refusals(endpoint: Endpoint, how: dict[str, str], bucket: str) -> None:
    for place in (f"{bucket}/no", "no-such-bucket/no"):
        with pytest.raises((TableNotFoundError, OSError)):
            DeltaTable(f"s3://{place}", storage_options=how)
    for client, place in ((how, endpoint.frozen), (settings.object_store(endpoint, reader=True), endpoint.kept)):
        with pytest.raises((OSError, DeltaError), match="AccessDenied"):
            write_deltalake(f"s3://{place}/table", rows(0, 1), storage_options=client)
