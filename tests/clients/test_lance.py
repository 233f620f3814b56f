"""Lance (the package pylance): versioned datasets whose commits are conditional writes."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import lance
import numpy as np
import pyarrow as pa
import pytest

from tests.clients import settings
from tests.clients.served import Endpoint

pytestmark = [pytest.mark.client("pylance"), pytest.mark.usefixtures("trusted")]


@pytest.fixture
def how(endpoint: Endpoint) -> dict[str, str]:
    return settings.object_store(endpoint)


def rows(start: int, count: int) -> pa.Table:
    vectors = np.arange(count * 16, dtype="f4") + start
    return pa.table(
        {
            "id": pa.array(range(start, start + count), pa.int64()),
            "vector": pa.FixedSizeListArray.from_arrays(pa.array(vectors), 16),
        }
    )


def test_a_dataset(how: dict[str, str], bucket: str) -> None:
    url = f"s3://{bucket}/set.lance"
    lance.write_dataset(rows(0, 100_000), url, storage_options=how)  # above one part
    dataset = lance.write_dataset(rows(100_000, 10), url, mode="append", storage_options=how)
    assert dataset.count_rows() == 100_010
    assert dataset.take([3, 100_005]).column("id").to_pylist() == [3, 100_005]
    assert dataset.to_table(filter="id >= 99998 and id < 100002")["id"].to_pylist() == [
        99_998,
        99_999,
        100_000,
        100_001,
    ]
    dataset.delete("id < 100000")
    again = lance.dataset(url, storage_options=how)
    assert again.to_table()["id"].to_pylist() == list(range(100_000, 100_010))
    assert lance.dataset(url, version=1, storage_options=how).count_rows() == 100_000
    again.create_scalar_index("id", "BTREE")
    assert lance.dataset(url, storage_options=how).to_table(filter="id = 100003").num_rows == 1
    again.optimize.compact_files()
    lance.write_dataset(rows(0, 5), url, mode="overwrite", storage_options=how)
    assert lance.dataset(url, storage_options=how).to_table().equals(rows(0, 5))


def test_no_commit_is_lost(how: dict[str, str], bucket: str) -> None:
    url = f"s3://{bucket}/set.lance"
    lance.write_dataset(rows(0, 1), url, storage_options=how)

    def write(writer: int) -> None:
        for number in range(5):
            lance.write_dataset(rows(1000 * writer + number, 1), url, mode="append", storage_options=how)

    with ThreadPoolExecutor() as pool:
        list(pool.map(write, (1, 2)))
    dataset = lance.dataset(url, storage_options=how)
    assert sorted(dataset.to_table()["id"].to_pylist()) == [0, *range(1000, 1005), *range(2000, 2005)]
    assert dataset.version == 11


def test_refusals(endpoint: Endpoint, how: dict[str, str], bucket: str) -> None:
    for place in (f"{bucket}/no.lance", "no-such-bucket/no.lance"):
        with pytest.raises((ValueError, OSError)):
            lance.dataset(f"s3://{place}", storage_options=how)
    for client, place in ((how, endpoint.frozen), (settings.object_store(endpoint, reader=True), endpoint.kept)):
        with pytest.raises(OSError, match="AccessDenied"):
            lance.write_dataset(rows(0, 1), f"s3://{place}/set.lance", storage_options=client)
