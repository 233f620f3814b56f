"""Dask: data frames in parts, written and read by several threads over s3fs."""

from __future__ import annotations

from collections.abc import Iterator

import dask
import pandas as pd
import pytest
import s3fs
from dask import bag
from dask import dataframe as dd

from tests.clients import settings
from tests.clients.served import MANY, Endpoint

pytestmark = [
    pytest.mark.client("dask"),
    pytest.mark.filterwarnings("ignore::pandas.errors.Pandas4Warning"),  # of Dask's own calls
]


@pytest.fixture(autouse=True)
def threads() -> Iterator[None]:
    with dask.config.set(scheduler="threads", num_workers=4):
        yield
    s3fs.S3FileSystem.clear_instance_cache()


@pytest.fixture
def frame() -> pd.DataFrame:
    return pd.DataFrame({"id": range(10_000), "name": [f"n{i}" for i in range(10_000)], "part": ["a", "b"] * 5000})


def test_parquet(endpoint: Endpoint, bucket: str, frame: pd.DataFrame) -> None:
    how = {"storage_options": settings.fsspec(endpoint)}
    parts = dd.from_pandas(frame, npartitions=8)
    url = f"s3://{bucket}/table"
    for _ in range(2):  # the second time over the first
        parts.to_parquet(url, overwrite=True, **how)
        pd.testing.assert_frame_equal(dd.read_parquet(url, **how).compute(), frame, check_dtype=False)
    parts.to_parquet(url, append=True, ignore_divisions=True, **how)
    assert len(dd.read_parquet(url, **how)) == 20_000
    assert dd.read_parquet(url, filters=[("id", "<", 10)], **how)["id"].sum().compute() == 90
    parts.to_parquet(f"s3://{bucket}/by part", partition_on=["part"], **how)
    assert len(dd.read_parquet(f"s3://{bucket}/by part", filters=[("part", "==", "b")], **how)) == 5000
    assert endpoint.uploads(bucket) == []


def test_text(endpoint: Endpoint, bucket: str, frame: pd.DataFrame) -> None:
    how = {"storage_options": settings.fsspec(endpoint)}
    dd.from_pandas(frame, npartitions=5).to_csv(f"s3://{bucket}/csv/*.csv", index=False, **how)
    read = dd.read_csv(f"s3://{bucket}/csv/*.csv", blocksize=10_000, **how)
    assert read["id"].sum().compute() == frame["id"].sum()
    lines = bag.read_text(f"s3://{endpoint.many}/key-1*", files_per_partition=50, **how)
    assert sorted(map(int, lines.compute())) == list(range(1000, MANY))


def test_refusals(endpoint: Endpoint, bucket: str, frame: pd.DataFrame) -> None:
    with pytest.raises((FileNotFoundError, OSError)):
        dd.read_parquet(f"s3://{bucket}/no", storage_options=settings.fsspec(endpoint))
    for place, reader in ((endpoint.frozen, False), (endpoint.kept, True)):
        with pytest.raises(PermissionError):
            dd.from_pandas(frame, npartitions=2).to_parquet(
                f"s3://{place}/new", storage_options=settings.fsspec(endpoint, reader=reader)
            )
