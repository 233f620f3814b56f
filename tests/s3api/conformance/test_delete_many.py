"""DeleteObjects."""

import base64
import hashlib
from xml.sax.saxutils import escape

import pytest
from botocore.client import BaseClient

from tests.s3api.conformance.listings import fill, page
from tests.s3api.conformance.wire import Reply, Wire, parse, refused, texts


def body_of(*keys: str, quiet: str = "") -> bytes:
    inside = "".join(f"<Object><Key>{escape(key)}</Key></Object>" for key in keys)
    return f"<Delete>{inside}{f'<Quiet>{quiet}</Quiet>' if quiet else ''}</Delete>".encode()


def delete(wire: Wire, bucket: str, body: bytes, headers: dict[str, str] | None = None) -> Reply:
    return wire.post(f"/{bucket}?delete", body, headers)


def test_what_it_answers(wire: Wire, bucket: str) -> None:
    fill(wire, bucket, ["key0", "key1", "key2", "dir/a b&c"])
    reply = delete(wire, bucket, body_of("key0", "key1", "dir/a b&c", "never"))
    assert (reply.status, parse(reply).tag) == (200, "DeleteResult")
    assert sorted(texts(reply, "Deleted/Key")) == ["dir/a b&c", "key0", "key1", "never"]
    assert texts(reply, "Deleted/DeleteMarker") == ["true"] * 3  # S3 makes one of what is not there, too
    assert page(wire, bucket, 2).keys == ["key2"]
    again = delete(wire, bucket, body_of("key0"))
    assert texts(again, "Deleted/Key") == ["key0"]


@pytest.mark.parametrize(("quiet", "shown"), [("true", 0), ("false", 1), ("", 1), ("TRUE", 0)])
def test_quiet_shows_errors_only(wire: Wire, bucket: str, quiet: str, shown: int) -> None:
    fill(wire, bucket, ["k"])
    reply = delete(wire, bucket, body_of("k", "x" * 1025, quiet=quiet))
    assert len(texts(reply, "Deleted/Key")) == shown
    assert texts(reply, "Error/Code") == ["KeyTooLongError"]
    assert texts(reply, "Error/Key") == ["x" * 1025]
    assert texts(reply, "Error/Message")
    assert page(wire, bucket, 2).keys == []


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<Delete/>",
        b"<Delete></Delete>",
        b"<Delete><Object/></Delete>",
        b"<Delete><Object><Key></Key></Object></Delete>",
        b"<Other><Object><Key>k</Key></Object></Other>",
        b"<Delete><Object><Key>k</Key>",
        b"not xml",
        body_of(*map(str, range(1001))),
        b'<?xml version="1.0"?><!DOCTYPE d [<!ENTITY e "k">]><Delete><Object><Key>&e;</Key></Object></Delete>',
    ],
    ids=range(10),
)
def test_lists_that_are_refused_delete_nothing(wire: Wire, bucket: str, body: bytes) -> None:
    fill(wire, bucket, ["k", "1"])
    refused(delete(wire, bucket, body), 400, "MalformedXML")
    assert page(wire, bucket, 2).keys == ["1", "k"]


def test_a_thousand_at_once(wire: Wire, bucket: str) -> None:
    reply = delete(wire, bucket, body_of(*map(str, range(1000))))
    assert len(texts(reply, "Deleted/Key")) == 1000


@pytest.mark.parametrize(
    ("header", "value", "code"),
    [
        ("Content-MD5", None, ""),
        ("Content-MD5", "AAAAAAAAAAAAAAAAAAAAAA==", "BadDigest"),
        ("Content-MD5", "nonsense", "InvalidDigest"),
        ("x-amz-checksum-crc32", "AAAAAA==", "BadDigest"),
        ("x-amz-checksum-crc32", "AAAA", "InvalidRequest"),
    ],
)
def test_the_list_itself_is_checked(wire: Wire, bucket: str, header: str, value: str | None, code: str) -> None:
    fill(wire, bucket, ["k"])
    body = body_of("k")
    sent = value or base64.b64encode(hashlib.md5(body).digest()).decode()
    reply = delete(wire, bucket, body, {header: sent})
    assert (reply.status, reply.code) == (400 if code else 200, code)
    assert page(wire, bucket, 2).keys == (["k"] if code else [])


def test_with_a_namespace_a_declaration_and_blanks(wire: Wire, bucket: str) -> None:
    fill(wire, bucket, ["k", " k ", "ü"])
    inside = b"<Object>\n <Key> k </Key>\n</Object>\n<Object><Key>\xc3\xbc</Key></Object>"
    head = b'<?xml version="1.0" encoding="UTF-8"?>\n<Delete xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
    assert texts(delete(wire, bucket, head + inside + b"</Delete>"), "Deleted/Key") == [" k ", "ü"]
    assert page(wire, bucket, 2).keys == ["k"]


def test_a_key_twice_is_deleted_once(wire: Wire, bucket: str) -> None:
    fill(wire, bucket, ["k"])
    assert set(texts(delete(wire, bucket, body_of("k", "k")), "Deleted/Key")) == {"k"}


@pytest.mark.parametrize("algorithm", ["CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256"])
def test_an_sdk_with_every_checksum(s3: BaseClient, bucket: str, algorithm: str) -> None:
    keys = ["a", "a/b", "ü", "x y+z%20"]
    for key in keys:
        s3.put_object(Bucket=bucket, Key=key, Body=b"")
    listed = {"Objects": [{"Key": key} for key in keys]}
    answer = s3.delete_objects(Bucket=bucket, Delete=listed, ChecksumAlgorithm=algorithm)
    assert [one["Key"] for one in answer["Deleted"]] == keys
    assert "Errors" not in answer
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 0
