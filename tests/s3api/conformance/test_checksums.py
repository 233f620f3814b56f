"""The five checksums: as header, as trailer, of uploads in parts, composite and of the whole."""

import base64
import hashlib
import zlib
from collections.abc import Callable

import pytest
from awscrt import checksums as crt
from botocore.client import BaseClient

from tests.s3api.conformance.uploads import PART, begin, part
from tests.s3api.conformance.wire import Wire, refused, text, texts


def b64(number: int, size: int) -> str:
    return base64.b64encode(number.to_bytes(size, "big")).decode()


SUMS: dict[str, Callable[[bytes], str]] = {
    "crc32": lambda data: b64(zlib.crc32(data), 4),
    "crc32c": lambda data: b64(crt.crc32c(data), 4),
    "crc64nvme": lambda data: b64(crt.crc64nvme(data), 8),
    "sha1": lambda data: base64.b64encode(hashlib.sha1(data).digest()).decode(),
    "sha256": lambda data: base64.b64encode(hashlib.sha256(data).digest()).decode(),
}
EACH = pytest.mark.parametrize("name", SUMS)
ASKED = {"x-amz-checksum-mode": "ENABLED"}
TRAILED = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"


def kept(wire: Wire, path: str) -> dict[str, str]:
    got = wire.head(path, ASKED).headers
    return {
        key.removeprefix("x-amz-checksum-"): value for key, value in got.items() if key.startswith("x-amz-checksum-")
    }


@EACH
def test_as_a_header(wire: Wire, bucket: str, name: str) -> None:
    value = SUMS[name](b"hello")
    reply = wire.put(f"/{bucket}/k", b"hello", {f"x-amz-checksum-{name}": value})
    assert reply.headers[f"x-amz-checksum-{name}"] == value
    assert reply.headers["x-amz-checksum-type"] == "FULL_OBJECT"
    assert kept(wire, f"/{bucket}/k") == {name: value, "type": "FULL_OBJECT"}
    assert not any(header.startswith("x-amz-checksum") for header in wire.get(f"/{bucket}/k").headers)


def framed(data: bytes, *trailers: str) -> bytes:
    head = f"{len(data):x}\r\n".encode() + data + b"\r\n" if data else b""
    return head + b"0\r\n" + "".join(f"{trailer}\r\n" for trailer in trailers).encode() + b"\r\n"


@EACH
@pytest.mark.parametrize("data", [b"hello", b""])
def test_as_a_trailer(wire: Wire, bucket: str, name: str, data: bytes) -> None:
    value = SUMS[name](data)
    headers = {"x-amz-trailer": f"x-amz-checksum-{name}", "x-amz-decoded-content-length": str(len(data))}
    headers["Content-Encoding"] = "aws-chunked"
    body = framed(data, f"x-amz-checksum-{name}:{value}")
    reply = wire.send("PUT", f"/{bucket}/k", body, headers, payload=TRAILED)
    assert (reply.status, reply.headers.get(f"x-amz-checksum-{name}")) == (200, value), reply.body
    assert kept(wire, f"/{bucket}/k")[name] == value
    assert "content-encoding" not in wire.head(f"/{bucket}/k").headers
    wrong = framed(data, f"x-amz-checksum-{name}:{SUMS[name](b'other')}")
    refused(wire.send("PUT", f"/{bucket}/l", wrong, headers, payload=TRAILED), 400, "BadDigest")
    assert wire.head(f"/{bucket}/l").status == 404


@EACH
@pytest.mark.parametrize(
    ("spoil", "code"),
    [
        (lambda value: SUMS_OF_OTHER[len(value)], "BadDigest"),
        (lambda value: value[:-4], "InvalidRequest"),
        (lambda value: "", "InvalidRequest"),
        (lambda value: "!" * len(value), "InvalidRequest"),
    ],
    ids=["other", "short", "empty", "no base64"],
)
def test_one_that_is_wrong_changes_nothing(
    wire: Wire, bucket: str, name: str, spoil: Callable[[str], str], code: str
) -> None:
    sent = spoil(SUMS[name](b"hello"))
    refused(wire.put(f"/{bucket}/k", b"hello", {f"x-amz-checksum-{name}": sent}), 400, code)
    assert wire.head(f"/{bucket}/k").status == 404


SUMS_OF_OTHER = {len(SUMS[name](b"")): SUMS[name](b"other") for name in SUMS}


@pytest.mark.parametrize("name", ["md4", "crc16", "sha512", "xxhash64", "crc32b"])
def test_algorithms_that_are_not_known(wire: Wire, bucket: str, name: str) -> None:
    refused(wire.put(f"/{bucket}/k", b"1", {f"x-amz-checksum-{name}": "AAAA"}), 400, "InvalidRequest")
    refused(wire.post(f"/{bucket}/k?uploads", b"", {"x-amz-checksum-algorithm": name}), 400, "InvalidRequest")


def test_one_checksum_at_a_time(wire: Wire, bucket: str) -> None:
    both = {f"x-amz-checksum-{name}": SUMS[name](b"hello") for name in ("crc32", "sha1")}
    refused(wire.put(f"/{bucket}/k", b"hello", both), 400, "InvalidRequest")


def test_an_algorithm_without_its_checksum(wire: Wire, bucket: str) -> None:
    refused(wire.put(f"/{bucket}/k", b"hello", {"x-amz-sdk-checksum-algorithm": "CRC32"}), 400, "InvalidRequest")
    wrong = {"x-amz-sdk-checksum-algorithm": "CRC32", "x-amz-checksum-sha1": SUMS["sha1"](b"hello")}
    refused(wire.put(f"/{bucket}/k", b"hello", wrong), 400, "InvalidRequest")
    right = {"x-amz-sdk-checksum-algorithm": "SHA1", "x-amz-checksum-sha1": SUMS["sha1"](b"hello")}
    assert wire.put(f"/{bucket}/k", b"hello", right).status == 200


@EACH
def test_an_sdk_sends_and_checks_it(s3: BaseClient, bucket: str, name: str) -> None:
    put = s3.put_object(Bucket=bucket, Key="k", Body=b"hello", ChecksumAlgorithm=name.upper())
    assert put[f"Checksum{name.upper()}"] == SUMS[name](b"hello")
    got = s3.get_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED")
    assert (got["Body"].read(), got[f"Checksum{name.upper()}"]) == (b"hello", SUMS[name](b"hello"))


def composite(name: str, *parts: bytes) -> str:
    joined = b"".join(base64.b64decode(SUMS[name](data)) for data in parts)
    return f"{SUMS[name](joined)}-{len(parts)}"


@EACH
@pytest.mark.parametrize("kind", ["COMPOSITE", "FULL_OBJECT"])
def test_of_an_upload_in_parts(wire: Wire, bucket: str, name: str, kind: str) -> None:
    sent = {"x-amz-checksum-algorithm": name.upper(), "x-amz-checksum-type": kind}
    if (name, kind) in {("crc64nvme", "COMPOSITE"), ("sha1", "FULL_OBJECT"), ("sha256", "FULL_OBJECT")}:
        refused(wire.post(f"/{bucket}/k?uploads", b"", sent), 400, "InvalidRequest")
        return
    reply = wire.post(f"/{bucket}/k?uploads", b"", sent)
    assert (reply.headers["x-amz-checksum-algorithm"], reply.headers["x-amz-checksum-type"]) == (name.upper(), kind)
    upload = begin(wire, f"/{bucket}/k", sent)
    tail = b"tail"
    answered = upload.put(2, tail, {f"x-amz-checksum-{name}": SUMS[name](tail)})
    assert answered.headers[f"x-amz-checksum-{name}"] == SUMS[name](tail)
    upload.put(1, PART)
    listed = upload.parts()
    tag = f"Checksum{name.upper()}"
    assert texts(listed, f"Part/{tag}") == [SUMS[name](PART), SUMS[name](tail)]
    assert (text(listed, "ChecksumAlgorithm"), text(listed, "ChecksumType")) == (name.upper(), kind)
    uploads = wire.get(f"/{bucket}?uploads")
    assert set(texts(uploads, "Upload/ChecksumType")) == {kind}
    want = composite(name, PART, tail) if kind == "COMPOSITE" else SUMS[name](PART + tail)
    done = upload.complete()
    assert (text(done, tag), text(done, "ChecksumType")) == (want, kind), done.body
    assert kept(wire, f"/{bucket}/k") == {name: want, "type": kind}


@pytest.mark.parametrize("name", ["crc32", "crc32c", "crc64nvme"])
def test_the_checksum_of_the_whole_is_compared(wire: Wire, bucket: str, name: str) -> None:
    sent = {"x-amz-checksum-algorithm": name.upper(), "x-amz-checksum-type": "FULL_OBJECT"}
    upload = begin(wire, f"/{bucket}/k", sent)
    upload.put(1, b"hello")
    refused(upload.complete({f"x-amz-checksum-{name}": SUMS[name](b"other")}), 400, "BadDigest")
    assert upload.complete({f"x-amz-checksum-{name}": SUMS[name](b"hello")}).status == 200


@EACH
def test_checksums_of_listed_parts_are_compared(wire: Wire, bucket: str, name: str) -> None:
    upload = begin(wire, f"/{bucket}/k", {"x-amz-checksum-algorithm": name.upper()})
    tag = upload.put(1, b"hello", {f"x-amz-checksum-{name}": SUMS[name](b"hello")}).headers["etag"]
    element = f"Checksum{name.upper()}"
    wrong = part(1, tag, f"<{element}>{SUMS[name](b'other')}</{element}>")
    refused(upload.complete(parts=wrong), 400, "InvalidPart")
    right = part(1, tag, f"<{element}>{SUMS[name](b'hello')}</{element}>")
    assert upload.complete(parts=right).status == 200


def test_an_upload_without_a_type_has_the_usual_one(wire: Wire, bucket: str) -> None:
    for name in SUMS:
        reply = wire.post(f"/{bucket}/k?uploads", b"", {"x-amz-checksum-algorithm": name.upper()})
        assert reply.headers["x-amz-checksum-type"] == ("FULL_OBJECT" if name == "crc64nvme" else "COMPOSITE")
    refused(wire.post(f"/{bucket}/k?uploads", b"", {"x-amz-checksum-type": "FULL_OBJECT"}), 400, "InvalidRequest")


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (base64.b64encode(hashlib.md5(b"hello").digest()).decode(), ""),
        (base64.b64encode(hashlib.md5(b"other").digest()).decode(), "BadDigest"),
        ("YWJyYWNhZGFicmE=", "InvalidDigest"),
        ("rL0Y20zC+Fzt72VPzMSk2A", "InvalidDigest"),
        ("", "InvalidDigest"),
    ],
)
def test_content_md5(wire: Wire, bucket: str, value: str, code: str) -> None:
    reply = wire.put(f"/{bucket}/k", b"hello", {"Content-MD5": value})
    assert (reply.status, reply.code) == (400 if code else 200, code)
    upload = begin(wire, f"/{bucket}/parts")
    part_reply = upload.put(1, b"hello", {"Content-MD5": value})
    assert (part_reply.status, part_reply.code) == (400 if code else 200, code)


@pytest.mark.parametrize(("digest", "code"), [("hello", ""), ("other", "XAmzContentSHA256Mismatch")])
def test_the_signed_digest_of_the_body(wire: Wire, bucket: str, digest: str, code: str) -> None:
    payload = hashlib.sha256(digest.encode()).hexdigest()
    reply = wire.send("PUT", f"/{bucket}/k", b"hello", payload=payload)
    assert (reply.status, reply.code) == (400 if code else 200, code)
    assert wire.head(f"/{bucket}/k").status == (404 if code else 200)
