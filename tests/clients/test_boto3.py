"""boto3: client, resource and transfer manager."""

from __future__ import annotations

import io
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import boto3
import pytest
from boto3.s3.transfer import TransferConfig
from botocore.client import BaseClient
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.clients import settings
from tests.clients.samples import MIB, ODD_KEYS, SIZES, content
from tests.clients.served import KEPT, MANY, Endpoint

pytestmark = pytest.mark.client("boto3")


def connect(endpoint: Endpoint, *, reader: bool = False, **config: object) -> BaseClient:
    return boto3.client("s3", **settings.boto(endpoint, reader=reader), config=Config(**config))


@pytest.fixture
def s3(endpoint: Endpoint) -> Iterator[BaseClient]:
    with closing(connect(endpoint)) as client:
        yield client


def code(refused: pytest.ExceptionInfo[ClientError]) -> str:
    found: str = refused.value.response["Error"]["Code"]
    return found


@pytest.mark.parametrize("name", SIZES)
def test_transfers(s3: BaseClient, bucket: str, name: str, tmp_path: Path) -> None:
    data = content(SIZES[name])
    (tmp_path / "up").write_bytes(data)
    extra = {"ContentType": "image/x-raw", "Metadata": {"made-by": "a test", "n": "1"}, "CacheControl": "max-age=60"}
    s3.upload_file(str(tmp_path / "up"), bucket, name, ExtraArgs=extra)
    s3.upload_fileobj(io.BytesIO(data), bucket, "stream", Config=TransferConfig(multipart_threshold=MIB))
    head = s3.head_object(Bucket=bucket, Key=name)
    assert (head["ContentLength"], head["ContentType"], head["CacheControl"]) == (
        len(data),
        "image/x-raw",
        "max-age=60",
    )
    assert head["Metadata"] == {"made-by": "a test", "n": "1"}
    assert (head["ETag"].endswith('-3"')) == (name == "parts")
    s3.download_file(bucket, "stream", str(tmp_path / "down"), Config=TransferConfig(multipart_threshold=MIB))
    assert (tmp_path / "down").read_bytes() == data
    got = s3.get_object(Bucket=bucket, Key=name)
    assert got["Body"].read() == data


@pytest.mark.parametrize("algorithm", ["CRC32", "SHA1", "SHA256"])
def test_checksums(s3: BaseClient, bucket: str, algorithm: str) -> None:
    put = s3.put_object(Bucket=bucket, Key="k", Body=b"data", ChecksumAlgorithm=algorithm)
    got = s3.get_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED")
    assert got["Body"].read() == b"data"
    assert got[f"Checksum{algorithm}"] == put[f"Checksum{algorithm}"]


def test_odd_keys(s3: BaseClient, bucket: str) -> None:
    for key in ODD_KEYS:
        s3.put_object(Bucket=bucket, Key=key, Body=key.encode())
    listed = [item["Key"] for item in s3.list_objects_v2(Bucket=bucket)["Contents"]]
    assert listed == sorted(ODD_KEYS, key=str.encode)
    assert [item["Key"] for item in s3.list_objects(Bucket=bucket)["Contents"]] == listed
    for key in ODD_KEYS:
        assert s3.get_object(Bucket=bucket, Key=key)["Body"].read() == key.encode()
        s3.copy_object(Bucket=bucket, Key=f"copy/{key}", CopySource={"Bucket": bucket, "Key": key})
        assert s3.get_object(Bucket=bucket, Key=f"copy/{key}")["Body"].read() == key.encode()
    names = [{"Key": key} for key in [*ODD_KEYS, *(f"copy/{key}" for key in ODD_KEYS)]]
    assert len(s3.delete_objects(Bucket=bucket, Delete={"Objects": names})["Deleted"]) == len(names)
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 0


def test_lists_page_by_page(s3: BaseClient, endpoint: Endpoint) -> None:
    expected = [f"key-{number:04}" for number in range(MANY)]
    for operation in ("list_objects_v2", "list_objects"):
        pages = list(s3.get_paginator(operation).paginate(Bucket=endpoint.many))
        assert [len(page["Contents"]) for page in pages] == [1000, MANY - 1000]
        assert [item["Key"] for page in pages for item in page["Contents"]] == expected
    few = s3.get_paginator("list_objects_v2").paginate(
        Bucket=endpoint.many, PaginationConfig={"PageSize": 7}, Prefix="key-01"
    )
    assert [item["Key"] for page in few for item in page["Contents"]] == expected[100:200]


def test_ranges(s3: BaseClient, endpoint: Endpoint) -> None:
    data = KEPT["sub/big.bin"]
    for text, part in (
        ("bytes=0-0", data[:1]),
        ("bytes=1000-1999", data[1000:2000]),
        ("bytes=1048570-", data[1048570:]),
        ("bytes=-7", data[-7:]),
        ("bytes=1048570-9999999", data[1048570:]),
    ):
        got = s3.get_object(Bucket=endpoint.kept, Key="sub/big.bin", Range=text)
        assert (got["ResponseMetadata"]["HTTPStatusCode"], got["Body"].read()) == (206, part)
    with pytest.raises(ClientError) as refused:
        s3.get_object(Bucket=endpoint.kept, Key="sub/big.bin", Range="bytes=1048576-")
    assert code(refused) == "InvalidRange"


def test_overwrites_conditions_and_deletes(s3: BaseClient, bucket: str) -> None:
    first = s3.put_object(Bucket=bucket, Key="k", Body=b"1", IfNoneMatch="*")
    with pytest.raises(ClientError) as refused:
        s3.put_object(Bucket=bucket, Key="k", Body=b"2", IfNoneMatch="*")
    assert code(refused) == "PreconditionFailed"
    second = s3.put_object(Bucket=bucket, Key="k", Body=b"2", IfMatch=first["ETag"])
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"2"
    assert s3.get_object(Bucket=bucket, Key="k", VersionId=first["VersionId"])["Body"].read() == b"1"
    with pytest.raises(ClientError) as same:
        s3.get_object(Bucket=bucket, Key="k", IfNoneMatch=second["ETag"])
    assert code(same) == "304"
    s3.delete_object(Bucket=bucket, Key="k")
    s3.delete_object(Bucket=bucket, Key="k")
    with pytest.raises(s3.exceptions.NoSuchKey):
        s3.get_object(Bucket=bucket, Key="k")


def test_multipart_by_hand(s3: BaseClient, bucket: str) -> None:
    upload = s3.create_multipart_upload(Bucket=bucket, Key="k")["UploadId"]
    s3.upload_part(Bucket=bucket, Key="k", UploadId=upload, PartNumber=2, Body=b"x" * (5 * MIB))
    assert [u["UploadId"] for u in s3.list_multipart_uploads(Bucket=bucket)["Uploads"]] == [upload]
    assert [p["PartNumber"] for p in s3.list_parts(Bucket=bucket, Key="k", UploadId=upload)["Parts"]] == [2]
    s3.abort_multipart_upload(Bucket=bucket, Key="k", UploadId=upload)
    assert "Uploads" not in s3.list_multipart_uploads(Bucket=bucket)
    with pytest.raises(s3.exceptions.NoSuchUpload):
        s3.upload_part(Bucket=bucket, Key="k", UploadId=upload, PartNumber=1, Body=b"x")
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 0


def test_a_failing_transfer_leaves_no_upload(s3: BaseClient, bucket: str) -> None:
    class Broken(io.RawIOBase):
        left = 12 * MIB

        def readable(self) -> bool:
            return True

        def read(self, size: int = -1) -> bytes:
            if self.left <= 0:
                raise OSError("the disk went away")
            size = min(self.left if size < 0 else size, self.left)
            self.left -= size
            return b"x" * size

    with pytest.raises(OSError, match="the disk went away"):
        s3.upload_fileobj(Broken(), bucket, "k")
    assert "Uploads" not in s3.list_multipart_uploads(Bucket=bucket)
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 0


def test_what_is_not_there(s3: BaseClient, bucket: str) -> None:
    with pytest.raises(ClientError) as head:
        s3.head_object(Bucket=bucket, Key="no")
    with pytest.raises(s3.exceptions.NoSuchBucket):
        s3.list_objects_v2(Bucket="no-such-bucket")
    with pytest.raises(ClientError) as put:
        s3.put_object(Bucket="no-such-bucket", Key="k", Body=b"x")
    with pytest.raises(ClientError) as bucket_head:
        s3.head_bucket(Bucket="no-such-bucket")
    assert (code(head), code(put), code(bucket_head)) == ("404", "NoSuchBucket", "404")


def test_read_only(s3: BaseClient, endpoint: Endpoint) -> None:
    with closing(connect(endpoint, reader=True)) as reader:
        for client, bucket in ((s3, endpoint.frozen), (reader, endpoint.kept)):
            assert client.get_object(Bucket=bucket, Key="kept.txt")["Body"].read() == KEPT["kept.txt"]
            for call in (
                lambda c, b: c.put_object(Bucket=b, Key="new", Body=b"x"),
                lambda c, b: c.delete_object(Bucket=b, Key="kept.txt"),
                lambda c, b: c.create_multipart_upload(Bucket=b, Key="new"),
                lambda c, b: c.delete_objects(Bucket=b, Delete={"Objects": [{"Key": "kept.txt"}]}),
                lambda c, b: c.copy_object(Bucket=b, Key="new", CopySource={"Bucket": b, "Key": "kept.txt"}),
            ):
                with pytest.raises(ClientError) as refused:
                    call(client, bucket)
                assert code(refused) == "AccessDenied"
                assert refused.value.response["ResponseMetadata"]["RetryAttempts"] == 0


@pytest.mark.parametrize("version", [None, "s3v4"])
def test_presigned(endpoint: Endpoint, bucket: str, version: str | None) -> None:
    tls = ssl.create_default_context(cafile=str(endpoint.ca_file)) if endpoint.ca_file else None
    with closing(connect(endpoint, signature_version=version)) as s3:
        key = ODD_KEYS[4]
        url = s3.generate_presigned_url("put_object", Params={"Bucket": bucket, "Key": key})
        put = urllib.request.Request(url, data=b"by url", method="PUT", headers={"Content-Type": ""})
        with urllib.request.urlopen(put, context=tls, timeout=30) as answer:
            assert answer.status == 200
        shown = {"ResponseContentDisposition": 'attachment; filename="a b"', "ResponseContentType": "text/x-shown"}
        url = s3.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": key, **shown}, ExpiresIn=60)
        with urllib.request.urlopen(url, context=tls, timeout=30) as answer:
            assert answer.read() == b"by url"
            assert answer.headers["Content-Disposition"] == 'attachment; filename="a b"'
            assert answer.headers["Content-Type"] == "text/x-shown"
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(url.replace("text", "test"), context=tls, timeout=30)
        assert refused.value.code == 403
        refused.value.close()


def test_the_resource(endpoint: Endpoint) -> None:
    s3 = boto3.resource("s3", **settings.boto(endpoint))
    bucket = s3.create_bucket(Bucket=f"made-{endpoint.new_bucket()}")
    bucket.wait_until_exists()
    assert bucket.name in {found.name for found in s3.buckets.all()}
    for key in ("d/a", "d/b", "e"):
        bucket.put_object(Key=key, Body=key.encode())
    assert [item.key for item in bucket.objects.filter(Prefix="d/")] == ["d/a", "d/b"]
    item = bucket.Object("e")
    item.wait_until_exists()
    assert item.get()["Body"].read() == b"e"
    item.copy({"Bucket": bucket.name, "Key": "d/a"})
    assert item.get()["Body"].read() == b"d/a"
    bucket.objects.all().delete()
    item.wait_until_not_exists()
    bucket.delete()
    bucket.wait_until_not_exists()
    s3.meta.client.close()
