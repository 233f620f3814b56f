"""pyarrow's S3FileSystem, and datasets on it."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from pyarrow import fs as pafs

from tests.clients.samples import MIB, ODD_KEYS, SIZES, content
from tests.clients.served import KEPT, MANY, Endpoint

pytestmark = pytest.mark.client("pyarrow")


def connect(endpoint: Endpoint, *, reader: bool = False, **options: object) -> pafs.S3FileSystem:
    access_key, secret_key = endpoint.keys(reader=reader)
    return pafs.S3FileSystem(
        endpoint_override=endpoint.host,
        scheme="https" if endpoint.secure else "http",
        tls_ca_file_path=str(endpoint.ca_file) if endpoint.ca_file else None,
        access_key=access_key,
        secret_key=secret_key,
        region="us-east-1",
        **options,
    )


@pytest.fixture
def fs(endpoint: Endpoint) -> pafs.S3FileSystem:
    return connect(endpoint)


def put(fs: pafs.S3FileSystem, path: str, data: bytes, **metadata: str) -> None:
    with fs.open_output_stream(path, metadata=metadata or None) as stream:
        stream.write(data)


def get(fs: pafs.S3FileSystem, path: str) -> bytes:
    with fs.open_input_stream(path) as stream:
        return bytes(stream.read())


@pytest.mark.parametrize("name", SIZES)
def test_transfers(fs: pafs.S3FileSystem, bucket: str, name: str) -> None:
    data = content(SIZES[name])
    put(fs, f"{bucket}/{name}", data, **{"Content-Type": "image/x-raw", "Cache-Control": "no-cache"})
    assert get(fs, f"{bucket}/{name}") == data
    with fs.open_input_stream(f"{bucket}/{name}") as stream:
        found = stream.metadata()
    assert (found["Content-Type"], found["Cache-Control"]) == (b"image/x-raw", b"no-cache")
    info = fs.get_file_info(f"{bucket}/{name}")
    assert (info.type, info.size) == (pafs.FileType.File, len(data))
    fs.copy_file(f"{bucket}/{name}", f"{bucket}/copy")
    fs.move(f"{bucket}/copy", f"{bucket}/moved")
    assert get(fs, f"{bucket}/moved") == data


def test_odd_keys(fs: pafs.S3FileSystem, bucket: str) -> None:
    for key in ODD_KEYS:
        put(fs, f"{bucket}/{key}", key.encode())
    found = fs.get_file_info(pafs.FileSelector(bucket, recursive=True))
    assert sorted(info.path for info in found if info.is_file) == sorted(f"{bucket}/{key}" for key in ODD_KEYS)
    for key in ODD_KEYS:
        assert get(fs, f"{bucket}/{key}") == key.encode()
        fs.copy_file(f"{bucket}/{key}", f"{bucket}/copy of/{key}")
        assert get(fs, f"{bucket}/copy of/{key}") == key.encode()
        fs.delete_file(f"{bucket}/{key}")
    fs.delete_dir_contents(bucket)
    assert fs.get_file_info(pafs.FileSelector(bucket, recursive=True)) == []


def test_directories(endpoint: Endpoint) -> None:
    fs = connect(endpoint, allow_bucket_creation=True, allow_bucket_deletion=True)
    bucket = f"arrow-{'s' if endpoint.secure else 'p'}"
    fs.create_dir(f"{bucket}/a/b", recursive=True)
    assert fs.get_file_info(f"{bucket}/a/b").type == pafs.FileType.Directory
    put(fs, f"{bucket}/a/b/file", b"x")
    fs.delete_dir(f"{bucket}/a")
    assert fs.get_file_info(f"{bucket}/a").type == pafs.FileType.NotFound
    assert fs.get_file_info(bucket).type == pafs.FileType.Directory
    fs.delete_dir(bucket)
    assert fs.get_file_info(bucket).type == pafs.FileType.NotFound


def test_lists_and_ranges(fs: pafs.S3FileSystem, endpoint: Endpoint) -> None:
    found = fs.get_file_info(pafs.FileSelector(endpoint.many))
    assert sorted(info.base_name for info in found) == [f"key-{number:04}" for number in range(MANY)]
    with fs.open_input_file(f"{endpoint.kept}/sub/big.bin") as file:
        assert file.size() == MIB
        assert file.read_at(1000, 5000) == KEPT["sub/big.bin"][5000:6000]
        file.seek(MIB - 7)
        assert file.read() == KEPT["sub/big.bin"][-7:]


def test_refusals(fs: pafs.S3FileSystem, endpoint: Endpoint, bucket: str) -> None:
    for path in (f"{bucket}/no", "no-such-bucket/k"):
        with pytest.raises(FileNotFoundError):
            get(fs, path)
        assert fs.get_file_info(path).type == pafs.FileType.NotFound
    with pytest.raises(OSError, match="NO_SUCH_BUCKET"):
        put(fs, "no-such-bucket/k", b"x")
    for client, place in ((fs, endpoint.frozen), (connect(endpoint, reader=True), endpoint.kept)):
        assert get(client, f"{place}/kept.txt") == KEPT["kept.txt"]
        with pytest.raises(OSError, match="ACCESS_DENIED"):
            put(client, f"{place}/new", b"x")
        with pytest.raises(OSError, match="ACCESS_DENIED"):
            client.delete_file(f"{place}/kept.txt")


def test_datasets(fs: pafs.S3FileSystem, bucket: str) -> None:
    table = pa.table({"id": range(10_000), "part": ["a", "b"] * 5000})
    how = {"filesystem": fs, "partitioning": ["part"], "partitioning_flavor": "hive"}
    for _ in range(2):  # the second time over the first
        ds.write_dataset(table, f"{bucket}/set", format="parquet", existing_data_behavior="delete_matching", **how)
    found = ds.dataset(f"{bucket}/set", filesystem=fs, partitioning="hive")
    assert found.count_rows() == 10_000
    assert found.to_table(filter=ds.field("part") == "b")["id"].to_pylist() == list(range(1, 10_000, 2))
    pq.write_table(table, f"{bucket}/one.parquet", filesystem=fs)
    assert pq.read_table(f"{bucket}/one.parquet", filesystem=fs).equals(table)
    assert pq.read_metadata(f"{bucket}/one.parquet", filesystem=fs).num_rows == 10_000
