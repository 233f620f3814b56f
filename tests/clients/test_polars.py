"""polars: scans and sinks of its own S3 reader."""

from __future__ import annotations

import polars as pl
import pytest

from tests.clients import settings
from tests.clients.served import KEPT, MANY, Endpoint

pytestmark = [pytest.mark.client("polars"), pytest.mark.usefixtures("trusted")]


@pytest.fixture
def how(endpoint: Endpoint) -> dict[str, str]:
    return settings.object_store(endpoint)


@pytest.fixture
def table() -> pl.DataFrame:
    return pl.DataFrame({"id": range(200_000), "part": ["a", "b"] * 100_000})


def test_files(how: dict[str, str], bucket: str, table: pl.DataFrame) -> None:
    for key in ("t.parquet", "umlaut-ä +&/t.parquet"):
        table.write_parquet(f"s3://{bucket}/{key}", storage_options=how)
        assert pl.read_parquet(f"s3://{bucket}/{key}", storage_options=how).equals(table)
    table.write_csv(f"s3://{bucket}/t.csv", storage_options=how)
    assert pl.scan_csv(f"s3://{bucket}/t.csv", storage_options=how).collect().equals(table)
    table[:0].write_parquet(f"s3://{bucket}/t.parquet", storage_options=how)
    assert pl.read_parquet(f"s3://{bucket}/t.parquet", storage_options=how).height == 0


def test_scans_and_sinks(how: dict[str, str], bucket: str, table: pl.DataFrame) -> None:
    big = pl.concat([table.with_columns(pl.col("id").hash(seed).alias(f"h{seed}") for seed in range(9))] * 2)
    big.lazy().sink_parquet(f"s3://{bucket}/big.parquet", row_group_size=50_000, storage_options=how)  # in parts
    scan = pl.scan_parquet(f"s3://{bucket}/big.parquet", storage_options=how)
    assert scan.select("h3").collect().equals(big.select("h3"))
    assert scan.filter(pl.col("id") == 7).select("part").collect()["part"].to_list() == ["b", "b"]
    for number in range(3):
        table.lazy().filter(pl.col("id") % 3 == number).sink_parquet(
            f"s3://{bucket}/set/part={number}/0.parquet", storage_options=how
        )
    found = pl.scan_parquet(f"s3://{bucket}/set/**/*.parquet", storage_options=how, hive_partitioning=True)
    assert found.select(pl.len()).collect().item() == table.height
    table.lazy().sink_ipc(f"s3://{bucket}/t.arrow", storage_options=how)
    assert pl.scan_ipc(f"s3://{bucket}/t.arrow", storage_options=how).collect().equals(table)


def test_paging(endpoint: Endpoint, how: dict[str, str]) -> None:
    found = pl.scan_csv(f"s3://{endpoint.many}/key-*", has_header=False, storage_options=how).collect()
    assert found.to_series().to_list() == list(range(MANY))


def test_refusals(endpoint: Endpoint, how: dict[str, str], bucket: str, table: pl.DataFrame) -> None:
    for place in (f"{bucket}/no.parquet", "no-such-bucket/no.parquet"):
        with pytest.raises((FileNotFoundError, OSError, pl.exceptions.ComputeError)) as missing:
            pl.read_parquet(f"s3://{place}", storage_options=how)
        assert "404" in str(missing.value) or "not found" in str(missing.value).lower()
    for client, place in ((how, endpoint.frozen), (settings.object_store(endpoint, reader=True), endpoint.kept)):
        read = pl.read_csv(f"s3://{place}/kept.txt", has_header=False, storage_options=client)
        assert read.item() == KEPT["kept.txt"].decode().strip()
        with pytest.raises(OSError, match="AccessDenied"):
            table.write_parquet(f"s3://{place}/new.parquet", storage_options=client)
