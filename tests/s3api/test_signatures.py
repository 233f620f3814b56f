"""Signatures, held to botocore's own signers: what it signs we accept, and nothing else."""

import itertools
from collections.abc import Mapping
from datetime import UTC, datetime
from urllib.parse import quote, urlsplit

import pytest
from botocore.auth import HmacV1Auth, HmacV1QueryAuth, S3SigV4Auth, S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import given
from hypothesis import strategies as st

from pfs.keys import Key
from s3api.auth.caller import UNSIGNED, Caller, authenticate
from s3api.auth.sigv2 import with_signed_query
from s3api.errors import S3Error
from s3api.http.request import Request, parse_request

KEY = Key("root", "AKID", "owner", ())
SECRET = "secret/key+"
CREDENTIALS = Credentials("AKID", SECRET)
HOST = "host:9000"


def find(access_key: str) -> tuple[Key, str] | None:
    return (KEY, SECRET) if access_key == "AKID" else None


def received(method: str, url: str, headers: Mapping[str, str]) -> Request:
    parts = urlsplit(url)
    pairs = [(name.encode(), value.encode()) for name, value in {"Host": HOST, **headers}.items()]
    return parse_request(method, parts.path.encode(), parts.query.encode(), headers=pairs)


def check(request: Request, *, later_s: float = 0) -> Caller:
    return authenticate(request, find, now_s=datetime.now(UTC).timestamp() + later_s)


def signed(signer: type, method: str, url: str, headers: dict[str, str] | None = None, **options: object) -> Request:
    """Let botocore sign, and return what the server would see."""
    request = AWSRequest(method=method, url=url, headers=headers or {})
    request.context["payload_signing_enabled"] = False
    scope = ("s3", "eu-west-3") if signer in (S3SigV4Auth, S3SigV4QueryAuth) else ()
    signer(CREDENTIALS, *scope, **options).add_auth(request)
    return received(method, request.url, {k: str(v) for k, v in request.headers.items()})


SIGNERS = [(S3SigV4Auth, {}), (S3SigV4QueryAuth, {"expires": 60}), (HmacV1Auth, {}), (HmacV1QueryAuth, {"expires": 60})]
SIGNERS_IDS = [signer.__name__ for signer, _ in SIGNERS]


@pytest.mark.parametrize(("signer", "options"), SIGNERS, ids=SIGNERS_IDS)
@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/b",
        "/b?uploads",
        "/b/k?uploadId=a%2Bb&partNumber=2",
        "/b/a%20b%2Bc%26%C3%A9//x?versionId=null",
        "/b?prefix=a%20b",
    ],
)
def test_what_botocore_signs_is_accepted(signer: type, options: dict[str, int], path: str) -> None:
    headers = {"x-amz-meta-a": "  two   blanks ", "Content-Type": "text/x", "Content-MD5": "abc"}
    caller = check(signed(signer, "PUT", f"http://{HOST}{path}", headers, **options))
    assert caller.key == KEY


@pytest.mark.parametrize("signer", [HmacV1Auth, HmacV1QueryAuth])
@pytest.mark.parametrize(("signs", "sends"), [("/b/", "/b"), ("/b", "/b/"), ("/b/?uploads", "/b?uploads")])
def test_a_bucket_may_be_signed_with_a_slash_and_sent_without(signer: type, signs: str, sends: str) -> None:
    request = signed(signer, "GET", f"http://{HOST}{signs}")
    query = "&".join({*request.raw_query.split("&"), *urlsplit(sends).query.split("&")})
    assert check(received("GET", f"http://{HOST}{urlsplit(sends).path}?{query}", request.headers)).key == KEY
    with pytest.raises(S3Error, match="SignatureDoesNotMatch"):
        check(received("GET", f"http://{HOST}/c?{query}", request.headers))


CARRIED = {"Content-Type": "text/x; a=b", "Content-MD5": "abc", "x-amz-meta-a": "1", "x-amz-acl": "private"}


def test_headers_that_a_presigned_address_of_version_2_carries_are_headers() -> None:
    url = signed(HmacV1QueryAuth, "PUT", f"http://{HOST}/b/k", CARRIED).raw_query
    alone = with_signed_query(received("PUT", f"http://{HOST}/b/k?{url}", {}))
    assert check(alone).key == KEY
    assert {name: alone.headers.get(name.lower()) for name in CARRIED} == CARRIED
    assert set(alone.params) == {"AWSAccessKeyId", "Signature", "Expires"}
    beside = with_signed_query(received("PUT", f"http://{HOST}/b/k?{url}", CARRIED))
    assert check(beside).key == KEY
    for name in CARRIED:
        changed = with_signed_query(received("PUT", f"http://{HOST}/b/k?{url}", {**CARRIED, name: "other"}))
        with pytest.raises(S3Error, match="SignatureDoesNotMatch"):
            check(changed)


def test_without_a_signature_of_version_2_the_query_holds_no_headers() -> None:
    request = received("PUT", f"http://{HOST}/b/k?content-type=x", {})
    assert with_signed_query(request) is request


@pytest.mark.parametrize("seconds", ["0", "604801", "9999999999", "9" * 5000, "1e3", "-1", "٣", "1_0", " 1"])
def test_how_long_a_presigned_address_may_be_valid(seconds: str) -> None:
    request = signed(S3SigV4QueryAuth, "GET", f"http://{HOST}/b", expires=60)
    query = request.raw_query.replace("X-Amz-Expires=60", f"X-Amz-Expires={quote(seconds)}")
    with pytest.raises(S3Error, match="604800"):
        check(received("GET", f"http://{HOST}/b?{query}", {}))
    assert check(signed(S3SigV4QueryAuth, "GET", f"http://{HOST}/b", expires=604800)).key == KEY


@pytest.mark.parametrize(("signer", "options"), SIGNERS, ids=SIGNERS_IDS)
@pytest.mark.parametrize("part", ["method", "path", "query", "header"])
def test_what_was_changed_after_signing_is_refused(signer: type, options: dict[str, int], part: str) -> None:
    request = signed(signer, "GET", f"http://{HOST}/b/k?versionId=1", {"x-amz-meta-a": "1"}, **options)
    headers = dict(request.headers)
    query, path, method = request.raw_query, request.raw_path, request.method
    if part == "method":
        method = "PUT"
    elif part == "path":
        path = "/b/other"
    elif part == "query":
        query = query.replace("versionId=1", "versionId=2")
    elif "x-amz-meta-a" in headers:
        headers["x-amz-meta-a"] = "2"
    else:  # a presigned address of version 2 carries no headers of its own
        query = query.replace("Expires=", "Expires=9")
    with pytest.raises(S3Error) as caught:
        check(received(method, f"http://{HOST}{path}?{query}", headers))
    assert caught.value.status == 403


@given(st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0"), min_size=1, max_size=40))
def test_any_key_is_signed_alike(key: str) -> None:
    assert check(signed(S3SigV4Auth, "GET", f"http://{HOST}/b/{quote(key)}")).key == KEY


@pytest.mark.parametrize("seconds", [-16 * 60, 16 * 60])
@pytest.mark.parametrize("signer", [S3SigV4Auth, HmacV1Auth])
def test_a_clock_that_is_off_is_refused(signer: type, seconds: int) -> None:
    request = signed(signer, "GET", f"http://{HOST}/b")
    with pytest.raises(S3Error) as caught:
        check(request, later_s=seconds)
    assert caught.value.code == "RequestTimeTooSkewed"


@pytest.mark.parametrize("signer", [S3SigV4QueryAuth, HmacV1QueryAuth])
def test_a_presigned_address_expires(signer: type) -> None:
    request = signed(signer, "GET", f"http://{HOST}/b/k", expires=60)
    assert check(request, later_s=30).key == KEY
    with pytest.raises(S3Error, match="expired"):
        check(request, later_s=62)


def test_an_unknown_access_key() -> None:
    request = signed(S3SigV4Auth, "GET", f"http://{HOST}/b")
    with pytest.raises(S3Error) as caught:
        authenticate(request, lambda _: None, now_s=datetime.now(UTC).timestamp())
    assert caught.value.code == "InvalidAccessKeyId"


def test_a_header_that_is_not_signed() -> None:
    request = signed(S3SigV4Auth, "GET", f"http://{HOST}/b")
    added = received("GET", f"http://{HOST}/b", {**request.headers, "x-amz-copy-source": "other/key"})
    with pytest.raises(S3Error, match="not signed"):
        check(added)


@pytest.mark.parametrize(
    "header",
    [
        "AWS4-HMAC-SHA256",
        "AWS4-HMAC-SHA256 Credential=AKID/x, SignedHeaders=host, Signature=0",
        "AWS4-HMAC-SHA256 Credential=AKID/20260101/r/ec2/aws4_request, SignedHeaders=host, Signature=0",
        "AWS4-HMAC-SHA256 SignedHeaders=host, Signature=0",
        "AWS AKID",
        "AWS :",
        "Basic abc",
        "Bearer abc",
    ],
)
def test_malformed_headers_are_refused(header: str) -> None:
    request = received("GET", f"http://{HOST}/b", {"Authorization": header, "x-amz-content-sha256": UNSIGNED})
    with pytest.raises(S3Error) as caught:
        check(request)
    assert 400 <= caught.value.status < 404


def test_header_and_query_together_are_refused() -> None:
    request = signed(S3SigV4QueryAuth, "GET", f"http://{HOST}/b", expires=60)
    with pytest.raises(S3Error, match="only one way"):
        check(received("GET", f"http://{HOST}/b?{request.raw_query}", {"Authorization": "AWS AKID:x"}))


def test_no_signature_is_nobody() -> None:
    assert check(received("GET", f"http://{HOST}/b", {})).key is None


def test_missing_parts_of_a_presigned_address() -> None:
    request = signed(S3SigV4QueryAuth, "GET", f"http://{HOST}/b", expires=60)
    pairs = request.raw_query.split("&")
    for left in itertools.combinations(pairs, len(pairs) - 1):
        with pytest.raises(S3Error) as caught:
            check(received("GET", f"http://{HOST}/b?{'&'.join(left)}", {}))
        assert caught.value.status in {400, 403}
