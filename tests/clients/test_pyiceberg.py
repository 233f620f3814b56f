"""pyiceberg with a SQLite catalog: tables whose files are on the gateway."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest
from pyiceberg.catalog.sql import SqlCatalog

from tests.clients.served import Endpoint

pytestmark = pytest.mark.client("pyiceberg")


def connect(endpoint: Endpoint, bucket: str, folder: Path, *, reader: bool = False) -> SqlCatalog:
    access_key, secret_key = endpoint.keys(reader=reader)
    return SqlCatalog(
        "test",
        **{
            "uri": f"sqlite:///{folder}/catalog-{bucket}.db",
            "warehouse": f"s3://{bucket}/warehouse",
            "s3.endpoint": endpoint.url,
            "s3.access-key-id": access_key,
            "s3.secret-access-key": secret_key,
            "s3.region": "us-east-1",
        },
    )


@pytest.fixture
def endpoint(http: Endpoint) -> Endpoint:
    return http  # its pyarrow is given no authority


def rows(start: int, count: int) -> pa.Table:
    ids = pa.array(range(start, start + count), pa.int64())
    return pa.table({"id": ids, "text": pa.array([f"t{start}"] * count, pa.string())})


def test_tables(endpoint: Endpoint, bucket: str, tmp_path: Path) -> None:
    catalog = connect(endpoint, bucket, tmp_path)
    catalog.create_namespace("space")
    table = catalog.create_table("space.table", rows(0, 0).schema)
    table.append(rows(0, 100))
    first = table.current_snapshot()
    table.append(rows(100, 10))
    table.delete("id < 5")
    table.overwrite(rows(0, 2), overwrite_filter="id == 100")
    again = connect(endpoint, bucket, tmp_path).load_table("space.table")
    assert sorted(again.scan().to_arrow()["id"].to_pylist()) == sorted([*range(5, 100), *range(101, 110), 0, 1])
    assert again.scan(row_filter="id >= 108").to_arrow()["id"].to_pylist() == [108, 109]
    assert first is not None
    assert again.scan(snapshot_id=first.snapshot_id).to_arrow().num_rows == 100
    catalog.purge_table("space.table")


def test_both_of_two_commits_land(endpoint: Endpoint, bucket: str, tmp_path: Path) -> None:
    catalog = connect(endpoint, bucket, tmp_path)
    catalog.create_namespace("space")
    first = catalog.create_table("space.table", rows(0, 0).schema)
    second = catalog.load_table("space.table")
    first.append(rows(0, 1))
    second.append(rows(1, 1))  # from an old state: it finds the other's commit and tries again
    assert sorted(second.refresh().scan().to_arrow()["id"].to_pylist()) == [0, 1]


def test_read_only(endpoint: Endpoint, tmp_path: Path) -> None:
    for bucket, reader in ((endpoint.frozen, False), (endpoint.kept, True)):
        catalog = connect(endpoint, bucket, tmp_path, reader=reader)
        catalog.create_namespace("space")
        with pytest.raises(OSError, match="ACCESS_DENIED"):
            catalog.create_table("space.table", rows(0, 0).schema)
