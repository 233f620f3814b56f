"""Objects: put, get, head, delete, and the headers that go with them."""

import hashlib
import os
from email.utils import parsedate_to_datetime

import pytest
from botocore.client import BaseClient

from tests.s3api.conformance.wire import Wire, refused, text
from tests.s3api.conftest import Server

MD5 = f'"{hashlib.md5(b"hello").hexdigest()}"'


def test_put_answers_an_etag_and_a_version(wire: Wire, bucket: str) -> None:
    reply = wire.put(f"/{bucket}/k", b"hello")
    assert (reply.status, reply.body, reply.headers["etag"]) == (200, b"", MD5)
    assert reply.headers["x-amz-version-id"]
    assert reply.headers["content-length"] == "0"
    again = wire.put(f"/{bucket}/k", b"hello")
    assert again.headers["etag"] == MD5
    assert again.headers["x-amz-version-id"] != reply.headers["x-amz-version-id"]


def test_get_answers_what_was_put(wire: Wire, bucket: str) -> None:
    put = wire.put(f"/{bucket}/k", b"hello")
    reply = wire.get(f"/{bucket}/k")
    assert (reply.status, reply.body) == (200, b"hello")
    assert reply.headers["etag"] == MD5
    assert reply.headers["content-length"] == "5"
    assert reply.headers["content-type"] == "binary/octet-stream"
    assert reply.headers["accept-ranges"] == "bytes"
    assert reply.headers["x-amz-version-id"] == put.headers["x-amz-version-id"]
    assert parsedate_to_datetime(reply.headers["last-modified"]).tzinfo is not None
    assert "content-range" not in reply.headers
    for name in ("date", "server", "x-amz-request-id", "x-amz-id-2"):
        assert reply.headers[name]


def test_head_is_get_without_bytes(wire: Wire, bucket: str) -> None:
    sent = {"Content-Type": "text/x", "x-amz-meta-a": "1", "Cache-Control": "no-cache"}
    wire.put(f"/{bucket}/k", b"hello", sent)
    for headers in ({}, {"Range": "bytes=1-2"}, {"x-amz-checksum-mode": "ENABLED"}):
        head, get = wire.head(f"/{bucket}/k", headers), wire.get(f"/{bucket}/k", headers)
        assert (head.status, head.body) == (get.status, b"")
        volatile = {"date", "x-amz-request-id"}
        assert head.headers.items() - get.headers.items() <= {(n, head.headers[n]) for n in volatile}
        assert head.headers.keys() == get.headers.keys()


@pytest.mark.parametrize("size", [0, 1, 4096, 300_000, 3 << 20])
def test_any_size(wire: Wire, bucket: str, size: int) -> None:
    data = os.urandom(size)
    assert wire.put(f"/{bucket}/k", data).headers["etag"] == f'"{hashlib.md5(data).hexdigest()}"'
    got = wire.get(f"/{bucket}/k")
    assert (got.body, got.headers["content-length"]) == (data, str(size))


def test_an_object_that_is_not_there(wire: Wire, bucket: str) -> None:
    reply = wire.get(f"/{bucket}/none")
    refused(reply, 404, "NoSuchKey")
    assert text(reply, "Key") == "none"
    assert text(reply, "Resource") == f"/{bucket}/none"
    head = wire.head(f"/{bucket}/none")
    assert (head.status, head.body) == (404, b"")


def test_a_folder_is_no_object(wire: Wire, bucket: str) -> None:
    wire.put(f"/{bucket}/dir/k", b"1")
    for path in (f"/{bucket}/dir", f"/{bucket}/dir/", f"/{bucket}/di"):
        refused(wire.get(path), 404, "NoSuchKey")


def test_overwriting_replaces_everything(wire: Wire, bucket: str) -> None:
    wire.put(
        f"/{bucket}/k", b"first", {"x-amz-meta-a": "1", "Content-Type": "text/a", "x-amz-checksum-crc32": "iCyAkg=="}
    )
    wire.put(f"/{bucket}/k", b"second")
    got = wire.get(f"/{bucket}/k", {"x-amz-checksum-mode": "ENABLED"})
    assert (got.body, got.headers["content-type"]) == (b"second", "binary/octet-stream")
    assert "x-amz-meta-a" not in got.headers
    assert got.headers.get("x-amz-checksum-crc32") != "iCyAkg=="


def test_delete(wire: Wire, bucket: str) -> None:
    wire.put(f"/{bucket}/k", b"1")
    reply = wire.delete(f"/{bucket}/k")
    assert (reply.status, reply.body, reply.headers["x-amz-delete-marker"]) == (204, b"", "true")
    assert "content-length" not in reply.headers
    refused(wire.get(f"/{bucket}/k"), 404, "NoSuchKey")
    assert wire.delete(f"/{bucket}/k").status == 204
    assert wire.delete(f"/{bucket}/never").status == 204


def test_a_version_is_read_by_its_id(wire: Wire, bucket: str) -> None:
    old = wire.put(f"/{bucket}/k", b"old", {"x-amz-meta-a": "1"}).headers["x-amz-version-id"]
    wire.put(f"/{bucket}/k", b"new")
    got = wire.get(f"/{bucket}/k?versionId={old}")
    assert (got.body, got.headers["x-amz-version-id"], got.headers["x-amz-meta-a"]) == (b"old", old, "1")
    assert wire.head(f"/{bucket}/k?versionId={old}").headers["content-length"] == "3"
    wire.delete(f"/{bucket}/k")
    assert wire.get(f"/{bucket}/k?versionId={old}").body == b"old"


@pytest.mark.parametrize(
    ("query", "header", "value"),
    [
        ("response-cache-control", "cache-control", "no-cache"),
        ("response-content-disposition", "content-disposition", 'attachment; filename="bla é"'),
        ("response-content-encoding", "content-encoding", "aaa"),
        ("response-content-language", "content-language", "esperanto"),
        ("response-content-type", "content-type", "foo/bar"),
        ("response-expires", "expires", "Thu, 01 Jan 1970 00:00:00 GMT"),
    ],
)
def test_headers_of_the_answer_can_be_overridden(
    s3: BaseClient, bucket: str, query: str, header: str, value: str
) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"1", ContentType="text/a", CacheControl="private")
    name = "".join(part.capitalize() for part in query.split("-"))
    for call in (s3.get_object, s3.head_object):
        answer = call(Bucket=bucket, Key="k", **{name: value})
        got = answer["ResponseMetadata"]["HTTPHeaders"][header]
        assert got.encode("latin-1").decode() == value


def test_nobody_overrides_headers_without_a_signature(wire: Wire, bucket: str) -> None:
    wire.put("/public/k", b"1")
    assert wire.send("GET", "/public/k", sign=False).body == b"1"
    refused(wire.send("GET", "/public/k?response-content-type=text/html", sign=False), 400, "InvalidRequest")


def test_a_body_without_a_length_is_refused(wire: Wire, server: Server, bucket: str) -> None:
    headers = server.sign("PUT", f"/{bucket}/k", {})
    with server.socket() as sock:
        head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        sock.sendall(f"PUT /{bucket}/k HTTP/1.1\r\n{head}\r\n".encode())
        answer = b""
        while b"</Error>" not in answer:
            answer += sock.recv(65536)
        assert b"MissingContentLength" in answer
    assert wire.head(f"/{bucket}/k").status == 404


@pytest.mark.parametrize("acl", ["private", "public-read", "bucket-owner-full-control"])
def test_canned_acls_mean_nothing(wire: Wire, bucket: str, acl: str) -> None:
    assert wire.put(f"/{bucket}/k", b"1", {"x-amz-acl": acl}).status == 200
    refused(wire.send("GET", f"/{bucket}/k", sign=False), 403, "AccessDenied")


@pytest.mark.parametrize("name", ["STANDARD", "REDUCED_REDUNDANCY"])
def test_storage_classes_are_all_the_standard_one(wire: Wire, bucket: str, name: str) -> None:
    assert wire.put(f"/{bucket}/k", b"1", {"x-amz-storage-class": name}).status == 200
    assert "x-amz-storage-class" not in wire.head(f"/{bucket}/k").headers


def test_an_object_in_the_library_and_over_s3(wire: Wire, server: Server, bucket: str) -> None:
    with server.store.repo(bucket).commit("master") as commit:
        commit.put_file("/dir/page.html", b"<html>")
    got = wire.get(f"/{bucket}/dir/page.html")
    assert (got.body, got.headers["content-type"]) == (b"<html>", "text/html")
    assert got.headers["etag"].endswith('-1"')
    wire.put(f"/{bucket}/over", b"s3")
    assert server.store.repo(bucket)["master"].read("/over") == b"s3"
