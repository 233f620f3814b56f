"""UploadPartCopy."""

import hashlib
from urllib.parse import quote

import pytest

from tests.s3api.conformance.uploads import PART, Upload, begin
from tests.s3api.conformance.wire import Wire, parse, refused, text, texts


@pytest.fixture
def source(wire: Wire, bucket: str) -> str:
    wire.put(f"/{bucket}/source", b"0123456789")
    return f"/{bucket}/source"


@pytest.fixture
def upload(wire: Wire, bucket: str) -> Upload:
    return begin(wire, f"/{bucket}/target")


def test_what_it_answers(wire: Wire, source: str, upload: Upload) -> None:
    reply = upload.copy(1, source)
    assert (reply.status, parse(reply).tag) == (200, "CopyPartResult")
    assert text(reply, "ETag") == f'"{hashlib.md5(b"0123456789").hexdigest()}"'
    assert text(reply, "LastModified")
    assert reply.headers["x-amz-copy-source-version-id"] == wire.head(source).headers["x-amz-version-id"]
    assert texts(upload.parts(), "Part/Size") == ["10"]
    assert upload.complete().status == 200
    assert wire.get(upload.path).body == b"0123456789"


@pytest.mark.parametrize(("first", "last"), [(0, 0), (0, 9), (3, 5), (9, 9)])
def test_ranges(wire: Wire, source: str, upload: Upload, first: int, last: int) -> None:
    reply = upload.copy(1, source, {"x-amz-copy-source-range": f"bytes={first}-{last}"})
    assert text(reply, "ETag") == f'"{hashlib.md5(b"0123456789"[first : last + 1]).hexdigest()}"'
    upload.complete()
    assert wire.get(upload.path).body == b"0123456789"[first : last + 1]


IMPROPER = ["0-2", "bytes=0", "bytes=hello-world", "bytes=0-bar", "bytes=hello-", "bytes=0-2,3-5", "bytes=-3"]


@pytest.mark.parametrize("header", [*IMPROPER, "bytes=3-", "bytes=3-2", "x=0-1", "bytes="])
def test_ranges_of_no_form(source: str, upload: Upload, header: str) -> None:
    refused(upload.copy(1, source, {"x-amz-copy-source-range": header}), 400, "InvalidArgument")
    assert texts(upload.parts(), "Part") == []


@pytest.mark.parametrize("header", ["bytes=0-21", "bytes=10-10", "bytes=0-99999999999999999999"])
def test_ranges_outside(source: str, upload: Upload, header: str) -> None:
    refused(upload.copy(1, source, {"x-amz-copy-source-range": header}), 416, "InvalidRange")


@pytest.mark.parametrize("key", [" ", "_", "__", "?versionId", "a+b", "ü"])
def test_sources_of_any_name(wire: Wire, bucket: str, upload: Upload, key: str) -> None:
    wire.put(f"/{bucket}/{quote(key)}", key.encode())
    assert upload.copy(1, f"{bucket}/{quote(key)}").status == 200
    upload.complete()
    assert wire.get(upload.path).body == key.encode()


@pytest.mark.parametrize(
    ("header", "status", "code"),
    [
        ("nobody-has-this/k", 404, "NoSuchBucket"),
        ("{bucket}/none", 404, "NoSuchKey"),
        ("{bucket}/source?versionId=none", 400, "InvalidArgument"),
        ("{bucket}/source?versionId=null", 404, "NoSuchVersion"),
        ("{bucket}", 400, "InvalidArgument"),
    ],
)
def test_sources_that_are_not_there(
    bucket: str, source: str, upload: Upload, header: str, status: int, code: str
) -> None:
    refused(upload.copy(1, header.format(bucket=bucket)), status, code)


@pytest.mark.parametrize(
    ("condition", "value", "status"),
    [
        ("if-match", "{tag}", 200),
        ("if-match", '"x"', 412),
        ("if-none-match", "{tag}", 412),
        ("if-none-match", '"x"', 200),
        ("if-unmodified-since", "Mon, 01 Jan 2001 00:00:00 GMT", 412),
        ("if-modified-since", "Mon, 01 Jan 2001 00:00:00 GMT", 200),
    ],
)
def test_conditions(wire: Wire, source: str, upload: Upload, condition: str, value: str, status: int) -> None:
    sent = value.format(tag=wire.head(source).headers["etag"])
    assert upload.copy(1, source, {f"x-amz-copy-source-{condition}": sent}).status == status
    assert len(texts(upload.parts(), "Part/PartNumber")) == (status == 200)


def test_an_older_version(wire: Wire, source: str, upload: Upload) -> None:
    old = wire.head(source).headers["x-amz-version-id"]
    wire.put(source, b"newer")
    reply = upload.copy(1, f"{source}?versionId={old}")
    assert reply.headers["x-amz-copy-source-version-id"] == old
    upload.complete()
    assert wire.get(upload.path).body == b"0123456789"


def test_copied_and_sent_parts_together(wire: Wire, bucket: str, upload: Upload) -> None:
    wire.put(f"/{bucket}/big", PART + b"tail")
    upload.copy(1, f"/{bucket}/big", {"x-amz-copy-source-range": f"bytes=4-{len(PART) + 3}"})
    upload.put(2, b"end")
    assert upload.complete().status == 200
    assert wire.get(upload.path).body == (PART + b"tail")[4:] + b"end"


@pytest.mark.parametrize("range_", [None, "bytes=1-8"])
def test_a_part_has_the_checksum_of_its_upload(wire: Wire, bucket: str, source: str, range_: str | None) -> None:
    upload = begin(wire, f"/{bucket}/sums", {"x-amz-checksum-algorithm": "SHA256"})
    headers = {"x-amz-copy-source-range": range_} if range_ else {}
    answered = text(upload.copy(1, source, headers), "ChecksumSHA256")
    assert answered
    assert texts(upload.parts(), "Part/ChecksumSHA256") == [answered]
