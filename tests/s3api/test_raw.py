"""Plain HTTP, for what SDKs hide: framing, headers, sub-resources, connections, damage."""

import hashlib
import http.client
import socket
from contextlib import closing
from pathlib import Path

import pytest
from botocore.client import BaseClient

from pfs.store import Store
from s3api.http.request import MAX_HEADERS_BYTES
from tests.s3api.conftest import Server, running

TRAILER = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
CHUNKED = b"5\r\nhello\r\n0\r\nx-amz-checksum-crc32:NhCmhg==\r\n\r\n"


def has(server: Server, bucket: str, key: str) -> bool:
    return server.request("HEAD", f"/{bucket}/{key}").status == 200


def streaming(body: bytes, trailer: str = "x-amz-checksum-crc32") -> dict[str, str]:
    return {
        "Content-Encoding": "gzip,aws-chunked",
        "X-Amz-Trailer": trailer,
        "X-Amz-Decoded-Content-Length": "5",
        "Content-Length": str(len(body)),
    }


def test_aws_chunked_with_a_trailer(server: Server, bucket: str) -> None:
    reply = server.request("PUT", f"/{bucket}/k", body=CHUNKED, headers=streaming(CHUNKED), payload=TRAILER)
    assert reply.status == 200, reply.body
    assert reply.headers["x-amz-checksum-crc32"] == "NhCmhg=="
    got = server.request("GET", f"/{bucket}/k")
    assert got.body == b"hello"
    assert got.headers["content-encoding"] == "gzip"
    assert got.headers["etag"] == f'"{hashlib.md5(b"hello").hexdigest()}"'


@pytest.mark.parametrize(
    ("body", "change", "code"),
    [
        (CHUNKED.replace(b"NhCmhg", b"AAAAAA"), {}, "BadDigest"),
        (CHUNKED.replace(b"x-amz-checksum-crc32:NhCmhg==\r\n", b""), {}, "InvalidRequest"),
        (CHUNKED[:-2], {}, "IncompleteBody"),
        (CHUNKED, {"X-Amz-Decoded-Content-Length": "6"}, "IncompleteBody"),
        (b"x" + CHUNKED, {}, "InvalidRequest"),
    ],
)
def test_a_damaged_streamed_body_changes_nothing(
    server: Server, bucket: str, body: bytes, change: dict[str, str], code: str
) -> None:
    headers = streaming(body) | change
    reply = server.request("PUT", f"/{bucket}/k", body=body, headers=headers, payload=TRAILER)
    assert reply.code == code
    assert not has(server, bucket, "k")


@pytest.mark.parametrize(
    ("headers", "payload", "code"),
    [
        ({"Content-MD5": "AAAAAAAAAAAAAAAAAAAAAA=="}, "UNSIGNED-PAYLOAD", "BadDigest"),
        ({}, hashlib.sha256(b"other").hexdigest(), "XAmzContentSHA256Mismatch"),
        ({"x-amz-checksum-crc64nvme": "AAAAAAAAAAA="}, "UNSIGNED-PAYLOAD", "BadDigest"),
        ({}, "nonsense", "InvalidArgument"),
        ({}, "STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD", "NotImplemented"),
        ({"x-amz-server-side-encryption": "AES256"}, "UNSIGNED-PAYLOAD", "NotImplemented"),
        ({"x-amz-website-redirect-location": "/x"}, "UNSIGNED-PAYLOAD", "NotImplemented"),
        ({"x-amz-if-match-size": "5"}, "UNSIGNED-PAYLOAD", "NotImplemented"),
        ({"x-amz-storage-class": "CLOUD"}, "UNSIGNED-PAYLOAD", "InvalidStorageClass"),
        ({"x-amz-tagging": "a=1&a=2"}, "UNSIGNED-PAYLOAD", "InvalidArgument"),
        ({"x-amz-acl": "public-read-write"}, "UNSIGNED-PAYLOAD", "NotImplemented"),
        ({"x-amz-expected-bucket-owner": "somebody"}, "UNSIGNED-PAYLOAD", "AccessDenied"),
        ({"x-amz-source-expected-bucket-owner": "somebody"}, "UNSIGNED-PAYLOAD", "AccessDenied"),
    ],
)
def test_puts_that_are_refused_change_nothing(
    server: Server, bucket: str, headers: dict[str, str], payload: str, code: str
) -> None:
    reply = server.request("PUT", f"/{bucket}/k", body=b"hello", headers=headers, payload=payload)
    assert reply.code == code
    assert not has(server, bucket, "k")


@pytest.mark.parametrize(
    "headers",
    [
        {"x-amz-acl": "private"},
        {"x-amz-acl": "public-read"},
        {"x-amz-storage-class": "GLACIER_IR"},
        {"x-amz-request-payer": "requester"},
        {"x-amz-expected-bucket-owner": "pfs", "x-amz-source-expected-bucket-owner": "pfs"},
        {"x-amz-bypass-governance-retention": "true"},
    ],
)
def test_headers_that_ask_for_what_is_so_anyway_are_taken(server: Server, bucket: str, headers: dict[str, str]) -> None:
    assert server.request("PUT", f"/{bucket}/k", body=b"1", headers=headers).status == 200


def test_a_copy_does_not_check_the_md5_of_an_empty_body(server: Server, bucket: str) -> None:
    server.request("PUT", f"/{bucket}/k", body=b"hello")
    headers = {"x-amz-copy-source": f"/{bucket}/k", "Content-MD5": "XUFAKrxLKna5cZ2REBfFkg=="}
    assert server.request("PUT", f"/{bucket}/copy", headers=headers).status == 200
    assert server.request("GET", f"/{bucket}/copy").body == b"hello"


SUBRESOURCES = [
    "policy",
    "policyStatus",
    "lifecycle",
    "encryption",
    "website",
    "logging",
    "notification",
    "replication",
    "analytics",
    "metrics",
    "inventory",
    "accelerate",
    "requestPayment",
    "publicAccessBlock",
    "object-lock",
    "ownershipControls",
    "intelligent-tiering",
    "retention",
    "legal-hold",
    "torrent",
    "restore",
    "select",
    "unheard-of",
]


@pytest.mark.parametrize("name", SUBRESOURCES)
def test_a_sub_resource_never_falls_through(server: Server, bucket: str, name: str) -> None:
    server.request("PUT", f"/{bucket}/k", body=b"1")
    for method in ("GET", "HEAD", "PUT", "POST", "DELETE"):
        for path in (f"/{bucket}", f"/{bucket}/k"):
            reply = server.request(method, f"{path}?{name}", body=b"x" if method == "PUT" else b"")
            assert reply.status == 501
            assert method == "HEAD" or reply.code == "NotImplemented"
    assert server.request("GET", f"/{bucket}/k").body == b"1"


@pytest.mark.parametrize("query", ["x-id=GetObject", "X-Amz-Request-Note=1", "x-custom="])
def test_parameters_that_are_nobodys_are_passed_over(server: Server, bucket: str, query: str) -> None:
    server.request("PUT", f"/{bucket}/k", body=b"1")
    assert server.request("GET", f"/{bucket}/k?{query}").body == b"1"


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("PATCH", "/b/k", 501), ("OPTIONS", "/b", 400), ("POST", "/b", 412), ("POST", "/b/k", 405), ("PUT", "/", 405)],
)
def test_methods_that_are_not_served(server: Server, method: str, path: str, status: int) -> None:
    assert server.request(method, path).status == status


def test_head_has_the_headers_of_get_and_no_body(server: Server, bucket: str) -> None:
    server.request("PUT", f"/{bucket}/k", body=b"hello", headers={"Content-Type": "text/x"})
    head, get = server.request("HEAD", f"/{bucket}/k"), server.request("GET", f"/{bucket}/k")
    assert head.body == b""
    volatile = {"date", "x-amz-request-id"}
    assert {k: v for k, v in head.headers.items() if k not in volatile} == {
        k: v for k, v in get.headers.items() if k not in volatile
    }
    missing = server.request("HEAD", f"/{bucket}/none")
    assert (missing.status, missing.body) == (404, b"")


def test_not_modified_has_an_etag(server: Server, bucket: str) -> None:
    tag = server.request("PUT", f"/{bucket}/k", body=b"hello").headers["etag"]
    reply = server.request("GET", f"/{bucket}/k", headers={"If-None-Match": tag})
    assert (reply.status, reply.body, reply.headers["etag"]) == (304, b"", tag)


def test_errors_are_xml_that_says_what_and_where(server: Server, bucket: str) -> None:
    reply = server.request("GET", f"/{bucket}/no%26ne")
    assert reply.status == 404
    assert reply.headers["content-type"] == "application/xml"
    assert b"<Key>no&amp;ne</Key>" in reply.body
    assert f"<RequestId>{reply.headers['x-amz-request-id']}</RequestId>".encode() in reply.body


def test_overrides_cannot_forge_headers(server: Server, bucket: str) -> None:
    server.request("PUT", f"/{bucket}/k", body=b"1")
    reply = server.request("GET", f"/{bucket}/k?response-content-type=a%0D%0AX-Forged%3A1")
    assert (reply.status, reply.code) == (400, "InvalidArgument")


def test_headers_over_the_limit(server: Server, bucket: str) -> None:
    reply = server.request("GET", f"/{bucket}/k", headers={"x-amz-meta-a": "x" * MAX_HEADERS_BYTES})
    assert reply.code == "MaxMessageLengthExceeded"


def test_xml_with_entities_is_refused(server: Server, bucket: str) -> None:
    body = b'<!DOCTYPE d [<!ENTITY a "aaaa">]><Delete><Object><Key>&a;</Key></Object></Delete>'
    assert server.request("POST", f"/{bucket}?delete", body=body).code == "MalformedXML"


def test_transfer_encoding_chunked_without_a_length(server: Server, bucket: str) -> None:
    headers = server.sign("PUT", f"/{bucket}/k", {})
    with closing(http.client.HTTPConnection(*server.address, timeout=30)) as connection:
        connection.request("PUT", f"/{bucket}/k", iter([b"hel", b"lo"]), headers, encode_chunked=True)
        assert connection.getresponse().status == 200
    assert server.request("GET", f"/{bucket}/k").body == b"hello"


def exchange(server: Server, head: str) -> tuple[socket.socket, bytes]:
    """Send a request's head and return the socket with what came at once."""
    sock = socket.create_connection(server.address, timeout=20)
    sock.sendall(head.encode())
    return sock, sock.recv(65536)


def head_of(server: Server, path: str, headers: dict[str, str]) -> str:
    lines = [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([f"PUT {path} HTTP/1.1", *lines, "", ""])


def test_expect_100_continue_is_answered_at_once(server: Server, bucket: str) -> None:
    path = f"/{bucket}/k"
    headers = server.sign("PUT", path, {}) | {"Content-Length": "5", "Expect": "100-continue"}
    sock, first = exchange(server, head_of(server, path, headers))
    with sock:
        assert first == b"HTTP/1.1 100 Continue\r\n\r\n"
        sock.sendall(b"hello")
        assert sock.recv(65536).startswith(b"HTTP/1.1 200")


def test_a_refused_request_is_never_asked_for_its_body(server: Server, bucket: str) -> None:
    path = f"/{bucket}/k"
    headers = server.sign("PUT", path, {}) | {"Content-Length": "5", "Expect": "100-continue"}
    headers["Authorization"] = headers["Authorization"][:-4] + "0000"
    sock, first = exchange(server, head_of(server, path, headers))
    with sock:
        assert first.startswith(b"HTTP/1.1 403")
        assert b"connection: close" in first
        while first:
            first = sock.recv(65536)


def test_a_torn_upload_leaves_nothing(server: Server, bucket: str) -> None:
    path = f"/{bucket}/k"
    headers = server.sign("PUT", path, {}) | {"Content-Length": str(5 << 20)}
    with socket.create_connection(server.address, timeout=20) as sock:
        sock.sendall(head_of(server, path, headers).encode() + b"x" * (3 << 20))
    assert not has(server, bucket, "k")
    assert server.request("PUT", path, body=b"after").status == 200


def test_one_connection_serves_many_requests(server: Server, bucket: str) -> None:
    with closing(http.client.HTTPConnection(*server.address, timeout=30)) as connection:
        for number in range(20):
            path = f"/{bucket}/k{number % 3}"
            connection.request("PUT", path, b"1", server.sign("PUT", path, {}))
            assert connection.getresponse().read() == b""
            bad = f"/{bucket}/none"
            connection.request("GET", bad, headers=server.sign("GET", bad, {}))
            assert b"NoSuchKey" in connection.getresponse().read()


@pytest.mark.parametrize(
    "junk", [b"\x00\x01\x02\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"GET /\xff HTTP/1.1\r\nHost: x\r\n\r\n"]
)
def test_junk_gets_a_400(server: Server, junk: bytes) -> None:
    with socket.create_connection(server.address, timeout=20) as sock:
        sock.sendall(junk)
        assert sock.recv(65536).startswith(b"HTTP/1.1 400")
    assert server.request("GET", "/").status == 200


def test_a_head_without_end_is_cut_off(server: Server) -> None:
    with socket.create_connection(server.address, timeout=20) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n" + b"a: b\r\n" * 40_000)
        assert sock.recv(65536).startswith(b"HTTP/1.1 400")


def test_a_head_that_does_not_come_is_not_waited_for(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("s3api.http.protocol.HEAD_TIMEOUT_S", 0.05)
    for start in (b"", b"GET / HT", b"GET / HTTP/1.1\r\nHost: x\r\n"):
        with socket.create_connection(server.address, timeout=20) as sock:
            sock.sendall(start)
            assert sock.recv(100) == b""


def test_a_body_that_stops_coming(server: Server, bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("s3api.bodies.body.IDLE_TIMEOUT_S", 0.05)
    path = f"/{bucket}/k"
    headers = server.sign("PUT", path, {}) | {"Content-Length": "10"}
    sock, first = exchange(server, head_of(server, path, headers) + "half")
    with sock:
        while b"</Error>" not in first:
            more = sock.recv(65536)
            assert more, first
            first += more
        assert first.startswith(b"HTTP/1.1 400")
        assert b"RequestTimeout" in first
    assert not has(server, bucket, "k")


def test_a_client_that_leaves_in_the_middle_of_an_answer(server: Server, bucket: str) -> None:
    path = f"/{bucket}/k"
    data = bytes(range(256)) * (48 << 12)
    server.request("PUT", path, body=data)
    for _ in range(3):
        with closing(http.client.HTTPConnection(*server.address, timeout=30)) as connection:
            connection.request("GET", path, headers=server.sign("GET", path, {}))
            assert connection.getresponse().read(100) == data[:100]
    assert server.request("GET", path).body == data


def test_a_trailer_that_was_not_announced(server: Server, bucket: str) -> None:
    headers = streaming(CHUNKED, "x-amz-checksum-sha1")
    reply = server.request("PUT", f"/{bucket}/k", body=CHUNKED, headers=headers, payload=TRAILER)
    assert reply.code == "InvalidRequest"
    assert not has(server, bucket, "k")


@pytest.mark.parametrize("send", [True, False])
def test_a_presigned_put_with_a_content_type(server: Server, bucket: str, send: bool) -> None:
    with closing(server.client(signature_version="s3")) as client:
        place = {"Bucket": bucket, "Key": "k"}
        params = {**place, "ContentType": "text/x", "Metadata": {"a": "1"}}
        url = client.generate_presigned_url("put_object", Params=params).removeprefix(server.url)
        headers = {"Content-Type": "text/x", "x-amz-meta-a": "1"} if send else {}
        assert server.request("PUT", url, body=b"1", headers=headers, sign=False).status == 200
        assert server.request("PUT", url, body=b"1", headers={"Content-Type": "other"}, sign=False).status == 403
        found = client.head_object(**place)
        assert (found["ContentType"], found["Metadata"]) == ("text/x", {"a": "1"})
        listing = client.generate_presigned_url("list_objects_v2", Params={"Bucket": bucket})
        assert server.request("GET", listing.removeprefix(server.url), sign=False).status == 200


def test_a_framed_body_without_its_real_length(server: Server, bucket: str) -> None:
    headers = streaming(CHUNKED)
    del headers["X-Amz-Decoded-Content-Length"]
    reply = server.request("PUT", f"/{bucket}/k", body=CHUNKED, headers=headers, payload=TRAILER)
    assert (reply.status, reply.code) == (411, "MissingContentLength")
    assert not has(server, bucket, "k")


def test_delete_objects_with_keys_that_xml_cannot_hold(server: Server, bucket: str, s3: BaseClient) -> None:
    keys = ["\x01", "a\x1fb", "\uf8ff", "plain"]
    for key in keys:
        s3.put_object(Bucket=bucket, Key=key, Body=b"")
    answer = s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": key} for key in keys]})
    assert len(answer["Deleted"]) == len(keys)
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 0


def test_what_the_server_cannot_do_is_told_without_its_files(home: Store, caplog: pytest.LogCaptureFixture) -> None:
    home.create_repo("r")
    with running(home) as server:
        for name, code in [("root-key", "ServiceUnavailable"), ("refs/r.json", "InternalError")]:
            signed = server.sign("GET", "/r/k", {})
            place = next(found for found in home.path.rglob(Path(name).name))
            place.rename(place.with_name("away"))
            if name != "root-key":
                place.mkdir()  # cannot be read as a file
            reply = server.request("GET", "/r/k", headers=signed, sign=False)
            assert (reply.status // 100, reply.code) == (5, code)
            assert str(home.path).encode() not in reply.body
            assert "root-key" in caplog.text
            assert place.name in caplog.text
            if name != "root-key":
                place.rmdir()
            place.with_name("away").rename(place)
