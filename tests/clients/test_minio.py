"""minio-py."""

from __future__ import annotations

import io
import ssl
import urllib.request
from pathlib import Path

import minio
import pytest
import urllib3
from minio.commonconfig import ComposeSource, CopySource, Tags
from minio.deleteobjects import DeleteObject
from minio.error import S3Error

from tests.clients.samples import MIB, ODD_KEYS, SIZES, content
from tests.clients.served import KEPT, MANY, Endpoint

pytestmark = pytest.mark.client("minio")


def connect(endpoint: Endpoint, *, reader: bool = False) -> minio.Minio:
    access_key, secret_key = endpoint.keys(reader=reader)
    pool = urllib3.PoolManager(ca_certs=str(endpoint.ca_file), retries=False) if endpoint.ca_file else None
    return minio.Minio(
        endpoint.host,
        access_key=access_key,
        secret_key=secret_key,
        secure=endpoint.secure,
        http_client=pool,
    )


@pytest.fixture
def client(endpoint: Endpoint) -> minio.Minio:
    return connect(endpoint)


def get(client: minio.Minio, bucket: str, key: str, **part: object) -> bytes:
    answer = client.get_object(bucket_name=bucket, object_name=key, **part)
    try:
        return answer.read()
    finally:
        answer.close()
        answer.release_conn()


@pytest.mark.parametrize("name", SIZES)
def test_transfers(client: minio.Minio, bucket: str, name: str, tmp_path: Path) -> None:
    data = content(SIZES[name])
    (tmp_path / "up").write_bytes(data)
    client.fput_object(bucket, name, str(tmp_path / "up"), content_type="image/x-raw", metadata={"By": "a test"})
    client.put_object(bucket, "stream", io.BytesIO(data), length=-1, part_size=5 * MIB)
    stat = client.stat_object(bucket, name)
    assert (stat.size, stat.content_type, stat.metadata["x-amz-meta-by"]) == (len(data), "image/x-raw", "a test")
    client.fget_object(bucket, "stream", str(tmp_path / "down"))
    assert (tmp_path / "down").read_bytes() == data
    assert get(client, bucket, name) == data


def test_odd_keys(client: minio.Minio, bucket: str) -> None:
    for key in ODD_KEYS:
        client.put_object(bucket, key, io.BytesIO(key.encode()), length=len(key.encode()))
    expected = sorted(ODD_KEYS, key=str.encode)
    for v1 in (False, True):
        assert [item.object_name for item in client.list_objects(bucket, recursive=True, use_api_v1=v1)] == expected
    assert "漢字/" in [item.object_name for item in client.list_objects(bucket)]
    for key in ODD_KEYS:
        assert get(client, bucket, key) == key.encode()
        client.copy_object(bucket, f"copy/{key}", CopySource(bucket, key))
        assert get(client, bucket, f"copy/{key}") == key.encode()
    names = [*ODD_KEYS, *(f"copy/{key}" for key in ODD_KEYS)]
    assert list(client.remove_objects(bucket, map(DeleteObject, names))) == []
    assert list(client.list_objects(bucket, recursive=True)) == []


def test_lists_and_ranges(client: minio.Minio, endpoint: Endpoint) -> None:
    expected = [f"key-{number:04}" for number in range(MANY)]
    for v1 in (False, True):
        assert [item.object_name for item in client.list_objects(endpoint.many, use_api_v1=v1)] == expected
    after = client.list_objects(endpoint.many, prefix="key-1", start_after="key-1199")
    assert [item.object_name for item in after] == expected[1200:]
    assert get(client, endpoint.kept, "sub/big.bin", offset=1000, length=500) == KEPT["sub/big.bin"][1000:1500]
    assert get(client, endpoint.kept, "sub/big.bin", offset=MIB - 7) == KEPT["sub/big.bin"][-7:]


def test_compose(client: minio.Minio, bucket: str) -> None:
    first, second = content(6 * MIB, seed="1"), content(3 * MIB, seed="2")
    for key, data in (("1", first), ("2", second)):
        client.put_object(bucket, key, io.BytesIO(data), length=len(data))
    parts = [ComposeSource(bucket, "1"), ComposeSource(bucket, "2", offset=MIB, length=MIB)]
    client.compose_object(bucket, "whole", parts)
    assert get(client, bucket, "whole") == first + second[MIB : 2 * MIB]


def test_overwrites_deletes_and_buckets(client: minio.Minio, endpoint: Endpoint) -> None:
    bucket = f"minio-{'s' if endpoint.secure else 'p'}"
    client.make_bucket(bucket)
    assert client.bucket_exists(bucket)
    assert bucket in [found.name for found in client.list_buckets()]
    first = client.put_object(bucket, "k", io.BytesIO(b"1"), length=1)
    client.put_object(bucket, "k", io.BytesIO(b"22"), length=2)
    assert get(client, bucket, "k") == b"22"
    assert client.stat_object(bucket, "k", version_id=first.version_id).size == 1
    assert client.get_bucket_versioning(bucket).status == "Enabled"
    with pytest.raises(S3Error) as full:
        client.remove_bucket(bucket)
    assert full.value.code == "BucketNotEmpty"
    client.remove_object(bucket, "k")
    with pytest.raises(S3Error) as missing:
        client.stat_object(bucket, "k")
    assert missing.value.code == "NoSuchKey"
    client.remove_bucket(bucket)
    assert not client.bucket_exists(bucket)


def test_a_failing_upload_is_aborted(client: minio.Minio, bucket: str) -> None:
    class Broken(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            if self.tell() > 11 * MIB:
                raise OSError("the disk went away")
            return super().read(size)

    with pytest.raises(OSError, match="the disk went away"):
        client.put_object(bucket, "k", Broken(content(17 * MIB)), length=17 * MIB, part_size=5 * MIB)
    assert client._list_multipart_uploads(bucket).uploads == []
    assert list(client.list_objects(bucket)) == []


def test_refusals(client: minio.Minio, endpoint: Endpoint, bucket: str) -> None:
    for call in (
        lambda: get(client, "no-such-bucket", "k"),
        lambda: list(client.list_objects("no-such-bucket")),
        lambda: client.put_object("no-such-bucket", "k", io.BytesIO(b"x"), length=1),
    ):
        with pytest.raises(S3Error) as missing:
            call()
        assert missing.value.code == "NoSuchBucket"
    for refused, place in ((client, endpoint.frozen), (connect(endpoint, reader=True), endpoint.kept)):
        assert get(refused, place, "kept.txt") == KEPT["kept.txt"]
        for call in (
            lambda c, b: c.put_object(b, "new", io.BytesIO(b"x"), length=1),
            lambda c, b: c.put_object(b, "new", io.BytesIO(content(9 * MIB)), length=-1, part_size=5 * MIB),
            lambda c, b: c.remove_object(b, "kept.txt"),
        ):
            with pytest.raises(S3Error) as denied:
                call(refused, place)
            assert denied.value.code == "AccessDenied"


def test_presigned(client: minio.Minio, endpoint: Endpoint, bucket: str) -> None:
    tls = ssl.create_default_context(cafile=str(endpoint.ca_file)) if endpoint.ca_file else None
    key = "umlaut-äöü +&.txt"
    put = urllib.request.Request(client.presigned_put_object(bucket, key), data=b"by url", method="PUT")
    with urllib.request.urlopen(put, context=tls, timeout=30) as answer:
        assert answer.status == 200
    shown = {"response-content-type": "text/x-shown"}
    url = client.presigned_get_object(bucket, key, response_headers=shown)
    with urllib.request.urlopen(url, context=tls, timeout=30) as answer:
        assert (answer.read(), answer.headers["Content-Type"]) == (b"by url", "text/x-shown")


def test_versions_and_tags(client: minio.Minio, bucket: str) -> None:
    made = [client.put_object(bucket, "k", io.BytesIO(b"x" * n), length=n).version_id for n in (1, 2)]
    client.remove_object(bucket, "k")
    found = [item for item in client.list_objects(bucket, include_version=True) if item.object_name == "k"]
    assert sorted(item.is_delete_marker for item in found) == [False, False, True]
    assert [item.version_id for item in found if not item.is_delete_marker] == made[::-1]
    assert len(get(client, bucket, "k", version_id=made[0])) == 1
    with pytest.raises(S3Error, match="AccessDenied"):
        client.remove_object(bucket, "k", version_id=made[0])
    tags = Tags.new_object_tags()
    tags["with blank"] = "a+b"
    client.put_object(bucket, "tagged", io.BytesIO(b"x"), length=1, tags=tags)
    assert client.get_object_tags(bucket, "tagged") == tags
    client.delete_object_tags(bucket, "tagged")
    assert not client.get_object_tags(bucket, "tagged")
