"""CopyObject: sources, metadata, conditions."""

import hashlib
from urllib.parse import quote

import pytest
from botocore.client import BaseClient

from tests.s3api.conformance.wire import Wire, parse, refused, text

SOURCE = {"Content-Type": "text/x", "x-amz-meta-a": "1", "Cache-Control": "no-cache"}


@pytest.fixture
def source(wire: Wire, bucket: str) -> str:
    wire.put(f"/{bucket}/source", b"hello", {**SOURCE, "x-amz-checksum-crc32": "NhCmhg=="})
    return f"/{bucket}/source"


def copy(wire: Wire, target: str, source: str, headers: dict[str, str] | None = None):  # type: ignore[no-untyped-def]
    return wire.put(target, b"", {"x-amz-copy-source": source, **(headers or {})})


def test_what_a_copy_answers(wire: Wire, bucket: str, source: str) -> None:
    reply = copy(wire, f"/{bucket}/target", source)
    assert reply.status == 200
    assert reply.headers["x-amz-version-id"] == wire.head(f"/{bucket}/target").headers["x-amz-version-id"]
    assert reply.headers["x-amz-copy-source-version-id"] == wire.head(source).headers["x-amz-version-id"]
    assert [element.tag for element in parse(reply)][:2] == ["LastModified", "ETag"]
    assert text(reply, "ETag") == f'"{hashlib.md5(b"hello").hexdigest()}"'
    assert (text(reply, "ChecksumCRC32"), text(reply, "ChecksumType")) == ("NhCmhg==", "FULL_OBJECT")


@pytest.mark.parametrize("directive", [None, "COPY"])
def test_metadata_goes_along(wire: Wire, bucket: str, source: str, directive: str | None) -> None:
    headers = {"x-amz-metadata-directive": directive} if directive else {}
    assert (
        copy(wire, f"/{bucket}/target", source, {**headers, "Content-Type": "text/y", "x-amz-meta-b": "2"}).status
        == 200
    )
    got = wire.get(f"/{bucket}/target", {"x-amz-checksum-mode": "ENABLED"})
    assert got.body == b"hello"
    for name, value in SOURCE.items():
        assert got.headers[name.lower()] == value
    assert "x-amz-meta-b" not in got.headers
    assert got.headers["x-amz-checksum-crc32"] == "NhCmhg=="


def test_metadata_is_replaced(wire: Wire, bucket: str, source: str) -> None:
    headers = {"x-amz-metadata-directive": "REPLACE", "Content-Type": "text/y", "x-amz-meta-b": "2"}
    assert copy(wire, f"/{bucket}/target", source, headers).status == 200
    got = wire.get(f"/{bucket}/target", {"x-amz-checksum-mode": "ENABLED"})
    assert (got.headers["content-type"], got.headers["x-amz-meta-b"]) == ("text/y", "2")
    assert not got.headers.keys() & {"x-amz-meta-a", "cache-control"}
    assert got.headers["x-amz-checksum-crc32"] == "NhCmhg=="


def test_onto_itself(wire: Wire, source: str) -> None:
    refused(copy(wire, source, source), 400, "InvalidRequest")
    refused(copy(wire, source, source, {"x-amz-metadata-directive": "COPY"}), 400, "InvalidRequest")
    headers = {"x-amz-metadata-directive": "REPLACE", "x-amz-meta-foo": "bar"}
    assert copy(wire, source, source, headers).status == 200
    got = wire.get(source)
    assert (got.body, got.headers["x-amz-meta-foo"]) == (b"hello", "bar")
    assert "x-amz-meta-a" not in got.headers


def test_onto_itself_in_another_storage_class(wire: Wire, source: str) -> None:
    assert copy(wire, source, source, {"x-amz-storage-class": "STANDARD_IA"}).status == 200
    got = wire.get(source)
    assert (got.body, "x-amz-meta-a" in got.headers) == (b"hello", True)


def test_an_older_version_onto_itself(wire: Wire, bucket: str, source: str) -> None:
    old = wire.head(source).headers["x-amz-version-id"]
    wire.put(source, b"newer")
    reply = copy(wire, source, f"{source}?versionId={old}")
    assert (reply.status, reply.headers["x-amz-copy-source-version-id"]) == (200, old)
    assert wire.get(source).body == b"hello"


@pytest.mark.parametrize("value", ["copy-all", "NONE"])
def test_directives_that_are_none(wire: Wire, bucket: str, source: str, value: str) -> None:
    reply = copy(wire, f"/{bucket}/target", source, {"x-amz-metadata-directive": value})
    refused(reply, 400, "InvalidArgument")
    assert wire.head(f"/{bucket}/target").status == 404


@pytest.mark.parametrize(
    "key",
    ["plain", "a b", "a+b", "a%20b", "ü/é", "a?b", "a?versionId=1", "a&b=c", "#", "//x//", "..", "a/../b", "=", "'"],
)
def test_sources_of_any_name(wire: Wire, s3: BaseClient, bucket: str, key: str) -> None:
    s3.put_object(Bucket=bucket, Key=key, Body=key.encode())
    for number, spelled in enumerate(
        (f"/{bucket}/{quote(key)}", f"{bucket}/{quote(key)}", quote(f"{bucket}/{key}", safe=""))
    ):
        reply = copy(wire, f"/{bucket}/to{number}", spelled)
        assert reply.status == 200, (spelled, reply.body)
        assert wire.get(f"/{bucket}/to{number}").body == key.encode()
    s3.copy_object(Bucket=bucket, Key="by-sdk", CopySource={"Bucket": bucket, "Key": key})
    assert wire.get(f"/{bucket}/by-sdk").body == key.encode()


@pytest.mark.parametrize(
    ("header", "status", "code"),
    [
        ("nobody-has-this/k", 404, "NoSuchBucket"),
        ("{bucket}/none", 404, "NoSuchKey"),
        ("{bucket}/source?versionId=" + "0" * 32, 404, "NoSuchVersion"),
        ("{bucket}/source?versionId=", 400, "InvalidArgument"),
        ("", 400, "InvalidArgument"),
        ("/", 400, "InvalidArgument"),
        ("{bucket}", 400, "InvalidArgument"),
        ("{bucket}/", 400, "InvalidArgument"),
        ("a.b.c.d/k", 400, "InvalidBucketName"),
    ],
)
def test_sources_that_are_not_there(wire: Wire, bucket: str, source: str, header: str, status: int, code: str) -> None:
    refused(copy(wire, f"/{bucket}/target", header.format(bucket=bucket)), status, code)
    assert wire.head(f"/{bucket}/target").status == 404


@pytest.mark.parametrize(
    ("condition", "value", "holds"),
    [
        ("if-match", "{tag}", True),
        ("if-match", "*", True),
        ("if-match", '"ABCORZ"', False),
        ("if-none-match", "{tag}", False),
        ("if-none-match", '"ABCORZ"', True),
        ("if-modified-since", "Mon, 01 Jan 2001 00:00:00 GMT", True),
        ("if-modified-since", "{at}", False),
        ("if-unmodified-since", "Mon, 01 Jan 2001 00:00:00 GMT", False),
        ("if-unmodified-since", "{at}", True),
    ],
)
def test_conditions_of_the_source(
    wire: Wire, bucket: str, source: str, condition: str, value: str, holds: bool
) -> None:
    known = wire.head(source).headers
    sent = value.format(tag=known["etag"], at=known["last-modified"])
    reply = copy(wire, f"/{bucket}/target", source, {f"x-amz-copy-source-{condition}": sent})
    if holds:
        assert reply.status == 200, reply.body
    else:
        refused(reply, 412, "PreconditionFailed")
        assert text(reply, "Condition") == f"x-amz-copy-source-{condition}"
    assert wire.head(f"/{bucket}/target").status == (200 if holds else 404)


def test_between_buckets_and_of_nothing(wire: Wire, make_bucket, bucket: str) -> None:  # type: ignore[no-untyped-def]
    other = make_bucket()
    wire.put(f"/{bucket}/empty")
    assert copy(wire, f"/{other}/target", f"{bucket}/empty").status == 200
    got = wire.get(f"/{other}/target")
    assert (got.body, got.headers["content-length"]) == (b"", "0")


def test_a_copy_of_an_upload_in_parts_keeps_its_etag(wire: Wire, s3: BaseClient, bucket: str) -> None:
    place = {"Bucket": bucket, "Key": "parts"}
    upload = s3.create_multipart_upload(**place, Metadata={"a": "1"})["UploadId"]
    tag = s3.upload_part(**place, UploadId=upload, PartNumber=1, Body=b"1")["ETag"]
    done = s3.complete_multipart_upload(
        **place, UploadId=upload, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": tag}]}
    )
    answer = s3.copy_object(Bucket=bucket, Key="copy", CopySource=place)
    assert answer["CopyObjectResult"]["ETag"] == done["ETag"]
    found = s3.get_object(Bucket=bucket, Key="copy")
    assert (found["Body"].read(), found["Metadata"]) == (b"1", {"a": "1"})


@pytest.mark.parametrize("algorithm", ["CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256"])
def test_a_copy_gets_the_checksum_that_is_asked_for(s3: BaseClient, bucket: str, algorithm: str) -> None:
    want = s3.put_object(Bucket=bucket, Key="direct", Body=b"hello", ChecksumAlgorithm=algorithm)
    s3.put_object(Bucket=bucket, Key="source", Body=b"hello", ChecksumAlgorithm="CRC32")
    answer = s3.copy_object(
        Bucket=bucket, Key="copy", CopySource={"Bucket": bucket, "Key": "source"}, ChecksumAlgorithm=algorithm
    )
    name = f"Checksum{algorithm}"
    assert answer["CopyObjectResult"][name] == want[name]
    found = s3.head_object(Bucket=bucket, Key="copy", ChecksumMode="ENABLED")
    assert (found[name], found["ETag"]) == (want[name], want["ETag"])
    assert algorithm == "CRC32" or "ChecksumCRC32" not in found
