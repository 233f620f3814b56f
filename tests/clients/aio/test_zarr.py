"""zarr: arrays in chunks over s3fs."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import s3fs
import zarr

from tests.clients import settings
from tests.clients.served import Endpoint

pytestmark = pytest.mark.client("zarr")


@pytest.fixture(autouse=True)
def apart() -> Iterator[None]:
    yield
    s3fs.S3FileSystem.clear_instance_cache()


def test_arrays(endpoint: Endpoint, bucket: str) -> None:
    how = settings.fsspec(endpoint)
    url = f"s3://{bucket}/some array"
    array = zarr.create_array(url, shape=(400, 300), chunks=(40, 50), dtype="i4", storage_options=how)
    expected = np.arange(120_000).reshape(400, 300)
    array[:] = expected
    assert (zarr.open_array(url, mode="r", storage_options=how)[35:77, 20:240] == expected[35:77, 20:240]).all()
    array[10:50, 10:60] = -1  # parts of chunks: read, changed, written
    expected[10:50, 10:60] = -1
    assert (zarr.open_array(url, mode="r", storage_options=how)[:] == expected).all()
    array.resize((40, 300))
    assert zarr.open_array(url, mode="r", storage_options=how).shape == (40, 300)


def test_shards(endpoint: Endpoint, bucket: str) -> None:
    how = settings.fsspec(endpoint)
    url = f"s3://{bucket}/shards"
    array = zarr.create_array(
        url, shape=(1000, 1000), chunks=(50, 50), shards=(500, 500), dtype="f8", storage_options=how
    )
    array[:] = expected = np.random.default_rng(1).random((1000, 1000))
    read = zarr.open_array(url, mode="r", storage_options=how)
    assert (read[120:130, 990:] == expected[120:130, 990:]).all()  # by ranges, the shard's index by its suffix
    assert endpoint.uploads(bucket) == []


def test_groups(endpoint: Endpoint, bucket: str) -> None:
    how = settings.fsspec(endpoint)
    group = zarr.open_group(f"s3://{bucket}/group", mode="w", storage_options=how)
    for name in ("x", "y"):
        group.create_array(name, shape=(10,), dtype="i4")[:] = 7
    group.attrs["unit"] = "K"
    found = zarr.open_group(f"s3://{bucket}/group", mode="r", storage_options=how)
    assert (sorted(found.array_keys()), found.attrs["unit"], list(found["x"][:2])) == (["x", "y"], "K", [7, 7])
    del group["x"]
    assert sorted(zarr.open_group(f"s3://{bucket}/group", mode="r", storage_options=how).array_keys()) == ["y"]
    zarr.open_group(f"s3://{bucket}/group", mode="w", storage_options=how)
    assert list(zarr.open_group(f"s3://{bucket}/group", mode="r", storage_options=how).array_keys()) == []


def test_refusals(endpoint: Endpoint, bucket: str) -> None:
    with pytest.raises(FileNotFoundError):
        zarr.open_array(f"s3://{bucket}/no", mode="r", storage_options=settings.fsspec(endpoint))
    for place, reader in ((endpoint.frozen, False), (endpoint.kept, True)):
        with pytest.raises(PermissionError):
            zarr.create_array(
                f"s3://{place}/new", shape=(1,), dtype="i4", storage_options=settings.fsspec(endpoint, reader=reader)
            )
