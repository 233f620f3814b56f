"""Signatures on the wire: header and query of versions 4 and 2, and what is refused."""

import base64
import hashlib
import hmac
from collections.abc import Iterator
from contextlib import closing
from email.utils import formatdate
from urllib.parse import quote

import pytest
from botocore.auth import S3SigV4Auth, S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.client import BaseClient
from botocore.credentials import Credentials

from pfs.keys import Key
from tests.s3api.conformance.wire import Wire, refused, text
from tests.s3api.conftest import Reply, Server


@pytest.fixture
def path(wire: Wire, bucket: str) -> str:
    wire.put(f"/{bucket}/k", b"hello")
    return f"/{bucket}/k"


def plain(wire: Wire, path: str, headers: dict[str, str] | None = None, method: str = "GET") -> Reply:
    return wire.send(method, path, b"", headers, sign=False)


@pytest.fixture(params=["s3v4", "s3"])
def presigner(request: pytest.FixtureRequest, server: Server) -> Iterator[BaseClient]:
    with closing(server.client(signature_version=request.param)) as client:
        yield client


def test_presigned_addresses(wire: Wire, presigner: BaseClient, path: str) -> None:
    bucket = path.split("/")[1]
    for operation, method, params, body in [
        ("get_object", "GET", {"Key": "k"}, b"hello"),
        ("head_object", "HEAD", {"Key": "k"}, b""),
        ("put_object", "PUT", {"Key": "a b/ü+c"}, b""),
        ("get_object", "GET", {"Key": "k", "ResponseContentType": "text/x"}, b"hello"),
        ("delete_object", "DELETE", {"Key": "a b/ü+c"}, b""),
    ]:
        url = presigner.generate_presigned_url(operation, Params={"Bucket": bucket, **params})
        reply = plain(wire, url.removeprefix(wire.server.url), method=method)
        assert (reply.status, reply.body) == (204 if method == "DELETE" else 200, body), operation
    url = presigner.generate_presigned_url("list_objects_v2", Params={"Bucket": bucket, "Prefix": "k"})
    assert b"<Key>k</Key>" in plain(wire, url.removeprefix(wire.server.url)).body


@pytest.mark.parametrize("said", ["X-Amz-Content-Sha256=UNSIGNED-PAYLOAD", ""])
def test_the_body_of_a_presigned_address_is_what_its_header_says(wire: Wire, path: str, said: str) -> None:
    """A header that nobody signed cannot make the framing part of the object, nor a digest of something else pass."""
    server, place = wire.server, f"{path}?x-amz-decoded-content-length=5&{said}"
    digest = hashlib.sha256(b"hello").hexdigest()
    for payload, body, code in [
        ("STREAMING-UNSIGNED-PAYLOAD-TRAILER", b"5\r\nhello\r\n0\r\n\r\n", ""),
        ("STREAMING-AWS4-HMAC-SHA256-PAYLOAD", b"5;chunk-signature=0\r\nhello\r\n0\r\n\r\n", "NotImplemented"),
        (digest, b"hello", ""),
        (digest, b"other", "XAmzContentSHA256Mismatch"),
        ("UNSIGNED-PAYLOAD", b"hello", ""),
        ("junk", b"hello", "InvalidArgument"),
    ]:
        request = AWSRequest(method="PUT", url=server.url + place)
        S3SigV4QueryAuth(Credentials(server.key.access_key, server.secret), "s3", "us-east-1").add_auth(request)
        sent = {"x-amz-content-sha256": payload}
        reply = wire.send("PUT", request.url.removeprefix(server.url), body, sent, sign=False)
        assert reply.code == code, reply.body
        assert wire.get(path).body == b"hello"


@pytest.mark.parametrize("name", ["X-Amz-Signature", "X-Amz-Expires", "Signature", "Expires", "AWSAccessKeyId"])
def test_a_parameter_of_the_signature_comes_once(wire: Wire, presigner: BaseClient, path: str, name: str) -> None:
    url = presigner.generate_presigned_url("get_object", Params={"Bucket": path.split("/")[1], "Key": "k"})
    place = url.removeprefix(wire.server.url)
    if name in {pair.partition("=")[0] for pair in place.partition("?")[2].split("&")}:
        assert plain(wire, place).status == 200
        reply = plain(wire, f"{place}&{name}=1")
        assert reply.code == ("AccessDenied" if name[0] != "X" else "AuthorizationQueryParametersError")


def test_a_presigned_address_is_of_its_method_and_key(wire: Wire, presigner: BaseClient, path: str) -> None:
    bucket = path.split("/")[1]
    url = presigner.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "k"})
    place = url.removeprefix(wire.server.url)
    refused(plain(wire, place, method="PUT"), 403, "SignatureDoesNotMatch")
    refused(plain(wire, place.replace("/k?", "/l?")), 403, "SignatureDoesNotMatch")
    refused(plain(wire, place + "&versionId=1"), 403, "SignatureDoesNotMatch")
    assert plain(wire, place, method="HEAD").status == 403


@pytest.mark.parametrize(("seconds", "status"), [(1, 200), (100_000, 200), (0, 403), (-1, 403), (604_801, 403)])
def test_how_long_a_presigned_address_is_valid(
    wire: Wire, server: Server, path: str, seconds: int, status: int
) -> None:
    request = AWSRequest(method="GET", url=server.url + path)
    S3SigV4QueryAuth(Credentials(server.key.access_key, server.secret), "s3", "us-east-1", expires=seconds).add_auth(
        request
    )
    reply = plain(wire, request.url.removeprefix(server.url))
    assert reply.status in ({200} if status == 200 else {400, 403})
    if status != 200:
        assert reply.code in {"AuthorizationQueryParametersError", "AccessDenied"}


@pytest.mark.parametrize("headers", [None, {"Authorization": ""}])
def test_nobody_is_refused(wire: Wire, path: str, headers: dict[str, str] | None) -> None:
    for method in ("GET", "PUT", "DELETE", "POST"):
        reply = plain(wire, path + ("?uploads" if method == "POST" else ""), headers, method)
        refused(reply, 403, "AccessDenied")
    head = plain(wire, path, headers, "HEAD")
    assert (head.status, head.body) == (403, b"")
    assert wire.get(path).body == b"hello"


@pytest.mark.parametrize(
    "value", ["AWS HAHAHA", "Basic dXNlcjpwYXNz", "Bearer x", "AWS4-HMAC-SHA256 Credential=HAHAHA", "x"]
)
def test_headers_that_are_no_signatures(wire: Wire, path: str, value: str) -> None:
    reply = plain(wire, path, {"Authorization": value, "x-amz-date": "20260101T000000Z"})
    assert reply.status == 400
    assert reply.code in {"InvalidArgument", "AuthorizationHeaderMalformed"}


def spoiled(wire: Wire, path: str, **change: str) -> Reply:
    headers = wire.server.sign("GET", path, {})
    for name, value in change.items():
        old, new = value.split("->")
        name = name.replace("_", "-")
        assert old in headers[name], headers
        headers[name] = headers[name].replace(old, new)
    return plain(wire, path, headers)


def test_a_wrong_signature(wire: Wire, path: str) -> None:
    headers = wire.server.sign("GET", path, {})
    start, right = headers["Authorization"][:-64], headers["Authorization"][-64:]
    reply = plain(wire, path, {**headers, "Authorization": start + right[::-1]})
    refused(reply, 403, "SignatureDoesNotMatch")
    assert text(reply, "AWSAccessKeyId") == wire.server.key.access_key
    assert text(reply, "SignatureProvided") == right[::-1]
    assert text(reply, "StringToSign")
    assert right not in reply.body.decode()


def test_an_unknown_key(wire: Wire, path: str) -> None:
    reply = spoiled(wire, path, Authorization="Credential=->Credential=X")
    refused(reply, 403, "InvalidAccessKeyId")
    assert text(reply, "AWSAccessKeyId") == f"X{wire.server.key.access_key}"


@pytest.mark.parametrize(
    ("old", "new"),
    [("/s3/", "/sqs/"), ("aws4_request", "aws5_request"), ("SignedHeaders=", "Other="), ("AWS4-HMAC-SHA256", "AWS4-X")],
)
def test_malformed_authorization(wire: Wire, path: str, old: str, new: str) -> None:
    reply = spoiled(wire, path, Authorization=f"{old}->{new}")
    assert (reply.status, reply.code in {"AuthorizationHeaderMalformed", "InvalidArgument"}) == (400, True), reply.body


@pytest.mark.parametrize("date", ["20200101T000000Z", "20991231T235959Z"])
def test_a_clock_that_is_off(wire: Wire, path: str, date: str) -> None:
    headers = wire.server.sign("GET", path, {})
    day = headers["X-Amz-Date"][:8]
    headers["Authorization"] = headers["Authorization"].replace(f"/{day}/", f"/{date[:8]}/")
    reply = plain(wire, path, {**headers, "X-Amz-Date": date})
    refused(reply, 403, "RequestTimeTooSkewed")
    assert {text(reply, name) is not None for name in ("RequestTime", "ServerTime", "MaxAllowedSkewMilliseconds")} == {
        True
    }


def version2(server: Server, method: str, path: str, headers: dict[str, str], date: str) -> str:
    """Sign as version 2 does it, from its definition."""
    carried = sorted((n.lower(), v) for n, v in headers.items() if n.lower().startswith("x-amz-"))
    lines = [method, headers.get("Content-MD5", ""), headers.get("Content-Type", ""), date]
    lines += [f"{name}:{value}" for name, value in carried]
    digest = hmac.digest(server.secret.encode(), "\n".join([*lines, path]).encode(), "sha1")
    return base64.b64encode(digest).decode()


def test_version_2_in_the_header(wire: Wire, bucket: str) -> None:
    server = wire.server
    sent = {"Content-Type": "text/x", "x-amz-meta-b": "2", "x-amz-meta-a": "1", "Date": formatdate(usegmt=True)}
    for path in (f"/{bucket}/k", f"/{bucket}/a%20b"):
        signature = version2(server, "PUT", path, sent, sent["Date"])
        headers = {**sent, "Authorization": f"AWS {server.key.access_key}:{signature}"}
        assert wire.send("PUT", path, b"1", headers, sign=False).status == 200
        changed = {**headers, "x-amz-meta-a": "2"}
        refused(wire.send("PUT", path, b"2", changed, sign=False), 403, "SignatureDoesNotMatch")
        assert wire.get(path).body == b"1"


def test_version_2_in_the_query(wire: Wire, path: str) -> None:
    server = wire.server
    for expires, status in (("4102444800", 200), ("1000000000", 403)):
        signature = quote(version2(server, "GET", path, {}, expires), safe="")
        place = f"{path}?AWSAccessKeyId={server.key.access_key}&Expires={expires}&Signature={signature}"
        assert plain(wire, place).status == status
    for left_out in ("Expires", "Signature"):
        parts = [part for part in place.split("?")[1].split("&") if not part.startswith(left_out)]
        refused(plain(wire, f"{path}?{'&'.join(parts)}"), 403, "AccessDenied")


def test_header_and_query_together(wire: Wire, presigner: BaseClient, path: str) -> None:
    url = presigner.generate_presigned_url("get_object", Params={"Bucket": path.split("/")[1], "Key": "k"})
    place = url.removeprefix(wire.server.url)
    refused(plain(wire, place, {"Authorization": "AWS a:b"}), 400, "InvalidArgument")


def test_a_header_that_is_not_signed(wire: Wire, path: str) -> None:
    headers = wire.server.sign("PUT", path, {}) | {"x-amz-meta-a": "1"}
    reply = wire.send("PUT", path, b"new", headers, sign=False)
    refused(reply, 403, "AccessDenied")
    assert text(reply, "HeadersNotSigned") == "x-amz-meta-a"
    assert wire.get(path).body == b"hello"


@pytest.mark.parametrize("region", ["us-east-1", "eu-central-1", "auto", "local"])
def test_any_region_is_ours(wire: Wire, path: str, region: str) -> None:
    server = wire.server
    request = AWSRequest(method="GET", url=server.url + path, headers={"Host": "{}:{}".format(*server.address)})
    S3SigV4Auth(Credentials(server.key.access_key, server.secret), "s3", region).add_auth(request)
    assert plain(wire, path, dict(request.headers.items())).body == b"hello"


@pytest.mark.parametrize(
    ("role", "allowed"), [("reader", {"GET"}), ("writer", {"GET", "PUT"}), ("owner", {"GET", "PUT"})]
)
def test_roles(server: Server, bucket: str, path: str, role: str, allowed: set[str]) -> None:
    key, secret = server.keys.create(f"{role}-{bucket}", role=role, repos=[bucket])
    with closing(Wire(as_key(server, key, secret))) as other:
        for method in ("GET", "PUT"):
            reply = other.send(method, path, b"new" if method == "PUT" else b"")
            if method in allowed:
                assert reply.status == 200
            else:
                refused(reply, 403, "AccessDenied")
        refused(other.get("/public-not/k"), 403, "AccessDenied")


def as_key(server: Server, key: Key, secret: str) -> Server:
    return Server(server.store, server.keys, server.url, key, secret, server.ca)
