"""Keys: any UTF-8 of 1 to 1024 bytes, as it is, in every place that a key comes."""

from urllib.parse import quote, unquote

import pytest
from botocore.client import BaseClient

from tests.s3api.conformance.listings import page
from tests.s3api.conformance.uploads import begin
from tests.s3api.conformance.wire import Wire, refused, text, texts
from tests.s3api.conftest import Server

KEYS = [
    *(
        " ",
        "_",
        "a b",
        "  two  blanks  ",
        "a+b",
        "a%2Bb",
        "%",
        "%%",
        "%00",
        "100%",
        "a%20b",
        "a=b&c=d",
        "?",
        "a?versionId=1",
    ),
    *("#", "a#b", '"', "'", "<>", "&amp;", "\\", "a\\b", "|", "^", "`", "{}", "[]", "~", "$", "@:;,", "(x)*!"),
    *(
        "/",
        "//",
        "a/",
        "a//",
        "a//b",
        "/a",
        "//a",
        ".",
        "..",
        "./a",
        "../a",
        "a/.",
        "a/..",
        "a/./b",
        "a/../b",
        "...",
        ".a",
        "/..",
    ),
    *("ü", "u\u0308", "é/ß", "日本語", "\u202e", "\ufeff", "\U0001f600", "\uffff", "\ue000", "\u2028", "\x7f", "\xa0"),
    *("\x01", "\t", "\n", "\r", "\r\n", "a\x1fb", "\x0b", "\x08"),
    *("soap", "uploads", "delete", "x" * 255, "y" * 256, "a/" * 500, "z" * 1024, "é" * 512),
]


def path_of(bucket: str, key: str) -> str:
    return f"/{bucket}/{quote(key)}"


@pytest.mark.parametrize("key", KEYS, ids=lambda key: quote(key)[:40])
def test_put_get_list_copy_delete(wire: Wire, bucket: str, key: str) -> None:
    path = path_of(bucket, key)
    assert wire.put(path, key.encode()).status == 200
    assert wire.get(path).body == key.encode()
    assert wire.head(path).headers["content-length"] == str(len(key.encode()))
    for version in (1, 2):
        assert page(wire, bucket, version).keys == [key]
        assert page(wire, bucket, version, encoding_type="url").keys == [key]
        assert page(wire, bucket, version, prefix=key).keys == [key]
    reply = wire.put(f"/{bucket}/the-copy", b"", {"x-amz-copy-source": f"{bucket}/{quote(key, safe='')}"})
    assert reply.status == 200, reply.body
    assert wire.get(f"/{bucket}/the-copy").body == key.encode()
    assert wire.delete(path).status == 204
    assert wire.head(path).status == 404
    assert page(wire, bucket, 2).keys == ["the-copy"]


def test_all_of_them_together(wire: Wire, bucket: str, s3: BaseClient) -> None:
    for key in KEYS:
        wire.put(path_of(bucket, key), b"1")
    listed = [
        key
        for one in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, PaginationConfig={"PageSize": 7})
        for key in (row["Key"] for row in one.get("Contents", []))
    ]
    assert listed == sorted(KEYS, key=str.encode)
    answer = s3.delete_objects(
        Bucket=bucket, Delete={"Objects": [{"Key": key} for key in KEYS if key != "\r"], "Quiet": True}
    )
    assert "Errors" not in answer
    assert page(wire, bucket, 2).keys in ([], ["\r"])


@pytest.mark.parametrize("key", ["a b+c&d=é", "//x//", "..", "\x01", "a?b#c"])
def test_uploads_in_parts(wire: Wire, bucket: str, key: str) -> None:
    upload = begin(wire, path_of(bucket, key))
    upload.put(1, b"1")
    coded = wire.get(f"/{bucket}?uploads&encoding-type=url")
    assert [unquote(one) for one in texts(coded, "Upload/Key")] == [key]
    assert upload.complete().status == 200
    assert wire.get(path_of(bucket, key)).body == b"1"


@pytest.mark.parametrize("key", ["x" * 1025, "é" * 513, "a/" * 600])
def test_keys_that_are_too_long(wire: Wire, bucket: str, key: str) -> None:
    for reply in (
        wire.put(path_of(bucket, key), b"1"),
        wire.get(path_of(bucket, key)),
        wire.delete(path_of(bucket, key)),
        wire.post(f"{path_of(bucket, key)}?uploads"),
    ):
        refused(reply, 400, "KeyTooLongError")
        assert (text(reply, "Size"), text(reply, "MaxSizeAllowed")) == (str(len(key.encode())), "1024")


@pytest.mark.parametrize("raw", ["%00", "a%00b", "%FF", "%C3", "a%ED%A0%80"])
def test_keys_that_are_none(wire: Wire, bucket: str, raw: str) -> None:
    refused(wire.put(f"/{bucket}/{raw}", b"1"), 400, "InvalidURI")


@pytest.mark.parametrize(
    ("spelled", "key"),
    [("%61", "a"), ("%2E%2E", ".."), ("a%2Fb", "a/b"), ("a%2fb", "a/b"), ("%c3%a9", "é"), ("+", "+"), ("~%7E", "~~")],
)
def test_a_key_may_be_spelled_in_several_ways(wire: Wire, bucket: str, spelled: str, key: str) -> None:
    assert wire.put(f"/{bucket}/{spelled}", b"1").status == 200
    assert page(wire, bucket, 2).keys == [key]
    assert wire.get(path_of(bucket, key)).body == b"1"


def test_folders_are_objects_too(wire: Wire, server: Server, bucket: str) -> None:
    wire.put(f"/{bucket}/dir/", b"", {"x-amz-meta-mode": "493", "Content-Type": "application/x-directory"})
    wire.put(f"/{bucket}/dir/file", b"1")
    head = wire.head(f"/{bucket}/dir/")
    assert (head.status, head.headers["content-length"], head.headers["x-amz-meta-mode"]) == (200, "0", "493")
    assert wire.head(f"/{bucket}/dir").status == 404
    split = page(wire, bucket, 2, delimiter="/")
    assert (split.keys, split.prefixes) == ([], ["dir/"])
    inside = page(wire, bucket, 2, delimiter="/", prefix="dir/")
    assert (inside.keys, inside.prefixes) == (["dir/", "dir/file"], [])
    wire.delete(f"/{bucket}/dir/")
    assert page(wire, bucket, 2).keys == ["dir/file"]
    wire.put(f"/{bucket}/full/", b"bytes")
    assert wire.get(f"/{bucket}/full/").body == b"bytes"
