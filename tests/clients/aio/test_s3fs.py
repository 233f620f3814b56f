"""s3fs, the fsspec file system of S3, and pandas on it."""

from __future__ import annotations

import ssl
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
import s3fs
from fsspec.generic import GenericFileSystem, rsync

from tests.clients import settings
from tests.clients.samples import MIB, ODD_KEYS, SIZES, content
from tests.clients.served import KEPT, MANY, Endpoint

pytestmark = pytest.mark.client("s3fs")


@pytest.fixture
def fs(endpoint: Endpoint) -> Iterator[s3fs.S3FileSystem]:
    yield s3fs.S3FileSystem(**settings.fsspec(endpoint))
    s3fs.S3FileSystem.clear_instance_cache()


@pytest.mark.parametrize("name", SIZES)
def test_transfers(fs: s3fs.S3FileSystem, bucket: str, name: str, tmp_path: Path) -> None:
    data = content(SIZES[name])
    (tmp_path / "up").write_bytes(data)
    fs.put_file(str(tmp_path / "up"), f"{bucket}/{name}", chunksize=5 * MIB, mode="overwrite")
    with fs.open(f"{bucket}/written", "wb", block_size=5 * MIB, ContentType="image/x-raw") as file:
        file.write(data)
    if data:  # s3fs itself forgets it of an empty file
        assert fs.info(f"{bucket}/written")["ContentType"] == "image/x-raw"
    fs.get_file(f"{bucket}/{name}", str(tmp_path / "down"))
    assert (tmp_path / "down").read_bytes() == data
    with fs.open(f"{bucket}/written", "rb", block_size=MIB) as file:
        assert file.read() == data
    fs.cp_file(f"{bucket}/{name}", f"{bucket}/copied")
    assert fs.cat_file(f"{bucket}/copied") == data
    assert not [upload["Key"] for upload in fs.list_multipart_uploads(bucket)]


def test_odd_keys(fs: s3fs.S3FileSystem, bucket: str) -> None:
    keys = [key for key in ODD_KEYS if "?" not in key]  # a ? begins a version in s3fs's own addresses
    fs.pipe({f"{bucket}/{key}": key.encode() for key in keys})
    assert sorted(fs.find(bucket)) == sorted(f"{bucket}/{key}" for key in keys)
    for key in keys:
        assert fs.cat_file(f"{bucket}/{key}") == key.encode()
        fs.cp_file(f"{bucket}/{key}", f"{bucket}/copied/{key}")
        assert fs.cat_file(f"{bucket}/copied/{key}") == key.encode()
        fs.rm_file(f"{bucket}/{key}")
    fs.rm(f"{bucket}/copied", recursive=True)
    assert fs.find(bucket) == []
    fs.rmdir(bucket)
    assert not fs.exists(bucket)


def test_lists_and_ranges(fs: s3fs.S3FileSystem, endpoint: Endpoint) -> None:
    assert fs.find(endpoint.many) == [f"{endpoint.many}/key-{number:04}" for number in range(MANY)]
    assert len(fs.glob(f"{endpoint.many}/key-00*")) == 100
    data = KEPT["sub/big.bin"]
    path = f"{endpoint.kept}/sub/big.bin"
    assert fs.cat_file(path, start=1000, end=2000) == data[1000:2000]
    assert fs.cat_file(path, start=-7) == data[-7:]
    assert fs.cat_ranges([path] * 3, [0, 5, 1048570], [1, 9, 1048576]) == [data[:1], data[5:9], data[-6:]]
    assert {entry["name"]: entry["type"] for entry in fs.ls(endpoint.kept, detail=True)} == {
        f"{endpoint.kept}/kept.txt": "file",
        f"{endpoint.kept}/sub": "directory",
    }


def test_overwrites_deletes_and_appends(fs: s3fs.S3FileSystem, bucket: str) -> None:
    fs.pipe_file(f"{bucket}/k", b"1")
    with pytest.raises(FileExistsError):
        fs.pipe_file(f"{bucket}/k", b"2", mode="create")
    fs.pipe_file(f"{bucket}/k", b"2")
    with fs.open(f"{bucket}/k", "ab") as file:
        file.write(b"3")
    assert fs.cat_file(f"{bucket}/k") == b"23"
    assert fs.checksum(f"{bucket}/k") == fs.checksum(f"{bucket}/k")
    fs.setxattr(f"{bucket}/k", made_by="a test")
    assert fs.getxattr(f"{bucket}/k", "made_by") == "a test"
    fs.rm_file(f"{bucket}/k")
    with pytest.raises(FileNotFoundError):
        fs.cat_file(f"{bucket}/k")


def test_syncs_once(fs: s3fs.S3FileSystem, endpoint: Endpoint, bucket: str, tmp_path: Path) -> None:
    for name in ("a", "d/b"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content(SIZES["one-part"], seed=name))
    both = GenericFileSystem(default_method="options", storage_options={"s3": settings.fsspec(endpoint), "file": {}})
    assert len(rsync(f"file://{tmp_path}", f"s3://{bucket}/copy", fs=both)) == 2
    assert rsync(f"file://{tmp_path}", f"s3://{bucket}/copy", fs=both) == {}
    assert fs.cat_file(f"{bucket}/copy/d/b") == (tmp_path / "d" / "b").read_bytes()


def test_an_aborted_write(fs: s3fs.S3FileSystem, bucket: str) -> None:
    file = fs.open(f"{bucket}/k", "wb", block_size=5 * MIB, autocommit=False)
    file.write(content(11 * MIB))
    file.flush()
    assert len(fs.list_multipart_uploads(bucket)) == 1
    file.discard()
    file.closed = True  # or its destructor would try to write
    assert not fs.list_multipart_uploads(bucket)
    assert not fs.exists(f"{bucket}/k")


def test_what_is_not_there_and_what_is_read_only(fs: s3fs.S3FileSystem, endpoint: Endpoint, bucket: str) -> None:
    for path in (f"{bucket}/no", "no-such-bucket/k"):
        with pytest.raises(FileNotFoundError):
            fs.cat_file(path)
        with pytest.raises(FileNotFoundError):
            fs.info(path)
    with pytest.raises(FileNotFoundError):
        fs.pipe_file("no-such-bucket/k", b"x")
    reader = s3fs.S3FileSystem(**settings.fsspec(endpoint, reader=True))
    for client, place in ((fs, endpoint.frozen), (reader, endpoint.kept)):
        assert client.cat_file(f"{place}/kept.txt") == KEPT["kept.txt"]
        with pytest.raises(PermissionError):
            client.pipe_file(f"{place}/new", b"x")
        with pytest.raises(PermissionError):
            client.rm_file(f"{place}/kept.txt")


def test_pandas(fs: s3fs.S3FileSystem, endpoint: Endpoint, bucket: str) -> None:
    frame = pd.DataFrame({"id": range(1000), "name": [f"n{i}" for i in range(1000)], "part": ["a", "b"] * 500})
    how = settings.fsspec(endpoint)
    frame.to_csv(f"s3://{bucket}/t.csv", index=False, storage_options=how)
    frame.to_parquet(f"s3://{bucket}/t.parquet", storage_options=how)
    frame.to_parquet(f"s3://{bucket}/parts", partition_cols=["part"], storage_options=how)
    pd.testing.assert_frame_equal(pd.read_csv(f"s3://{bucket}/t.csv", storage_options=how), frame)
    pd.testing.assert_frame_equal(pd.read_parquet(f"s3://{bucket}/t.parquet", storage_options=how), frame)
    read = pd.read_parquet(f"s3://{bucket}/parts", filters=[("part", "==", "b")], storage_options=how)
    assert list(read["id"]) == list(range(1, 1000, 2))
    with pytest.raises(FileNotFoundError):
        pd.read_csv(f"s3://{bucket}/no.csv", storage_options=how)


def test_presigned(fs: s3fs.S3FileSystem, endpoint: Endpoint) -> None:
    tls = ssl.create_default_context(cafile=str(endpoint.ca_file)) if endpoint.ca_file else None
    with urllib.request.urlopen(fs.sign(f"{endpoint.kept}/kept.txt"), context=tls, timeout=30) as answer:
        assert answer.read() == KEPT["kept.txt"]


def test_versions_and_tags(endpoint: Endpoint, bucket: str) -> None:
    fs = s3fs.S3FileSystem(**settings.fsspec(endpoint), version_aware=True)
    path = f"{bucket}/k"
    for data in (b"1", b"22"):
        fs.pipe_file(path, data)
    versions = [version["VersionId"] for version in fs.object_version_info(path)]
    assert [fs.cat_file(path, version_id=version) for version in versions] == [b"22", b"1"]
    with fs.open(f"{path}?versionId={versions[1]}") as file:
        assert file.read() == b"1"
    fs.put_tags(path, {"colour": "red"})
    fs.put_tags(path, {"size": "small"}, mode="m")
    assert fs.get_tags(path) == {"colour": "red", "size": "small"}
    fs.rm(bucket, recursive=True)  # tries to delete all versions, which stay, and then the keys and the bucket
    assert not fs.exists(bucket)
