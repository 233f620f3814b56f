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
from s3api.auth.carried import with_carried_headers
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
    sent = {"host": HOST} | {name.lower(): value for name, value in headers.items()}
    pairs = [(name.encode(), value.encode()) for name, value in sent.items()]
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
    alone = with_carried_headers(received("PUT", f"http://{HOST}/b/k?{url}", {}))
    assert check(alone).key == KEY
    assert {name: alone.headers.get(name.lower()) for name in CARRIED} == CARRIED
    assert set(alone.params) == {"AWSAccessKeyId", "Signature", "Expires"}
    beside = with_carried_headers(received("PUT", f"http://{HOST}/b/k?{url}", CARRIED))
    assert check(beside).key == KEY
    for name in CARRIED:
        changed = with_carried_headers(received("PUT", f"http://{HOST}/b/k?{url}", {**CARRIED, name: "other"}))
        with pytest.raises(S3Error, match="SignatureDoesNotMatch"):
            check(changed)


def test_without_a_signature_of_version_2_the_query_holds_no_headers() -> None:
    request = received("PUT", f"http://{HOST}/b/k?content-type=x", {})
    assert with_carried_headers(request) is request


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
    with pytest.raises(S3Error, match="Only one auth mechanism"):
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


def resigned(request: Request, *, path: str | None = None, query: str | None = None, **headers: str) -> Request:
    """Return a signed request as another client would send it: what was signed stays, its spelling changes."""
    sent = {**request.headers, **{name.replace("_", "-"): value for name, value in headers.items()}}
    wanted = request.raw_query if query is None else query
    return received(request.method, f"http://{HOST}{path or request.raw_path}?{wanted}", sent)


@pytest.mark.parametrize("signer", [S3SigV4Auth, S3SigV4QueryAuth])
@pytest.mark.parametrize(
    "path",
    [
        "/b/a%2Fb",
        "/b/%7Etilde",
        "/b/lower%c3%a9",
        "/b/a+b",
        "/b//x///",
        "/b/./x/../y",
        "/b/%2e%2e/x",
        "/b/a'b(c)*!",
        "/b/a:b@c,d;e=f&g$h",
    ],
)
def test_a_path_is_checked_as_it_was_sent(signer: type, path: str) -> None:
    options = {"expires": 60} if signer is S3SigV4QueryAuth else {}
    assert check(signed(signer, "GET", f"http://{HOST}{path}", **options)).key == KEY


@pytest.mark.parametrize(
    ("signs", "sends"),
    [("/b/~x", "/b/%7Ex"), ("/b/a%2Bb", "/b/a+b"), ("/b/%C3%A9", "/b/%c3%a9"), ("/b/a%21", "/b/a!")],
)
def test_a_path_that_was_encoded_otherwise_on_the_way_is_the_same(signs: str, sends: str) -> None:
    request = signed(S3SigV4Auth, "GET", f"http://{HOST}{signs}")
    assert check(resigned(request, path=sends)).key == KEY


def test_dots_and_slashes_in_a_path_are_not_folded() -> None:
    request = signed(S3SigV4Auth, "GET", f"http://{HOST}/b/x/y")
    for path in ("/b/x//y", "/b/x/./y", "/b/z/../x/y", "/b/x/y/"):
        with pytest.raises(S3Error, match="SignatureDoesNotMatch"):
            check(resigned(request, path=path))


@pytest.mark.parametrize(
    ("signs", "sends"), [("host:80", "host"), ("host", "host:80"), ("host", "host:443"), ("[::1]", "[::1]:443")]
)
def test_a_default_port_may_come_or_go_on_the_way(signs: str, sends: str) -> None:
    request = AWSRequest(method="GET", url=f"http://{signs}/b", headers={"Host": signs})
    S3SigV4Auth(CREDENTIALS, "s3", "r").add_auth(request)
    headers = {name: str(value) for name, value in request.headers.items()}
    assert check(received("GET", f"http://{signs}/b", {**headers, "Host": sends})).key == KEY
    for other in ("host:81", "other", "[::1]:81"):
        with pytest.raises(S3Error, match="SignatureDoesNotMatch"):
            check(received("GET", f"http://{signs}/b", {**headers, "Host": other}))


@pytest.mark.parametrize("query", ["a=1&a=2", "a=2&a=1", "b&a=1", "prefix=a+b", "prefix=%FF", "x=%7E&y=~", "a=b=c"])
@pytest.mark.parametrize("signer", [S3SigV4Auth, S3SigV4QueryAuth])
def test_any_query_is_signed_alike(signer: type, query: str) -> None:
    options = {"expires": 60} if signer is S3SigV4QueryAuth else {}
    request = signed(signer, "GET", f"http://{HOST}/b?{query}", **options)
    assert check(request).key == KEY
    with pytest.raises(S3Error, match="SignatureDoesNotMatch"):
        check(resigned(request, query=request.raw_query + "&a=3"))


def test_headers_that_are_sent_twice_or_with_blanks() -> None:
    request = AWSRequest(method="PUT", url=f"http://{HOST}/b/k")
    for value in ("  one  two ", "three", "four\tfive"):
        request.headers.add_header("x-amz-meta-a", value)
    request.headers["User-Agent"] = "signed by some"
    S3SigV4Auth(CREDENTIALS, "s3", "r").add_auth(request)
    pairs = [(name.encode(), str(value).encode()) for name, value in request.headers.items()]
    got = parse_request("PUT", b"/b/k", b"", headers=[(b"Host", HOST.encode()), *pairs])
    assert check(got).key == KEY


def test_signed_headers_that_botocore_leaves_out() -> None:
    """Go signs content-length and accept-encoding, JavaScript x-amz-user-agent: whatever is listed is taken."""
    sent = {"x-amz-user-agent": "aws-sdk-js/3", "content-length": "3", "accept-encoding": "identity", "expect": "x"}

    class Signer(S3SigV4Auth):
        def headers_to_sign(self, request: AWSRequest) -> object:
            found = super().headers_to_sign(request)
            for name in sent:
                if name not in found:
                    found[name] = request.headers[name]
            return found

    request = AWSRequest(method="PUT", url=f"http://{HOST}/b/k", headers=dict(sent))
    Signer(CREDENTIALS, "s3", "r").add_auth(request)
    got = received("PUT", f"http://{HOST}/b/k", {name: str(value) for name, value in request.headers.items()})
    assert check(got).key == KEY
    with pytest.raises(S3Error, match="SignatureDoesNotMatch"):
        check(resigned(got, content_length="4"))


def presigned_put(query: str = "", headers: dict[str, str] | None = None) -> Request:
    return signed(S3SigV4QueryAuth, "PUT", f"http://{HOST}/b/k{query}", headers, expires=60)


def test_a_presigned_address_does_not_let_its_holder_add_headers() -> None:
    for name in ("x-amz-copy-source", "x-amz-meta-a", "x-amz-acl", "x-amz-checksum-crc32"):
        with pytest.raises(S3Error) as caught:
            check(with_carried_headers(resigned(presigned_put(), **{name: "x"})))
        assert (caught.value.code, caught.value.fields["HeadersNotSigned"]) == ("AccessDenied", name)
    for name in ("content-type", "if-none-match", "origin", "range", "expect", "x-custom"):
        assert check(with_carried_headers(resigned(presigned_put(), **{name: "x"}))).key == KEY


def test_headers_that_a_presigned_address_of_version_4_carries_are_headers() -> None:
    request = with_carried_headers(presigned_put("?x-amz-meta-a=1&X-Amz-Storage-Class=STANDARD&x-amz-checksum-crc32=x"))
    assert check(request).key == KEY
    assert request.headers["x-amz-meta-a"] == "1"
    assert request.headers["x-amz-storage-class"] == "STANDARD"
    assert not {"x-amz-checksum-crc32", "x-amz-date", "x-amz-signature", "x-amz-credential"} & set(request.headers)
    same = with_carried_headers(resigned(request, x_amz_meta_a="1"))
    assert check(same).key == KEY
    with pytest.raises(S3Error, match="not signed"):
        check(with_carried_headers(resigned(request, x_amz_meta_a="2")))


def test_a_signed_header_may_come_in_the_query_only() -> None:
    request = presigned_put("?x-amz-meta-a=1", {"x-amz-meta-a": "1"})
    headers = {name: value for name, value in request.headers.items() if name != "x-amz-meta-a"}
    assert "x-amz-meta-a" in request.params["X-Amz-SignedHeaders"]
    assert check(with_carried_headers(received("PUT", f"http://{HOST}/b/k?{request.raw_query}", headers))).key == KEY


def test_the_digest_beside_a_presigned_address_counts_signed_or_not() -> None:
    """It is no part of the signature when it is not signed, and still what the body must be."""
    assert check(presigned_put()).payload == UNSIGNED
    for form in ("0" * 64, "STREAMING-UNSIGNED-PAYLOAD-TRAILER", UNSIGNED):
        assert check(resigned(presigned_put(), x_amz_content_sha256=form)).payload == form
    signed_too = presigned_put(headers={"X-Amz-Content-SHA256": "0" * 64})
    assert check(signed_too).payload == "0" * 64


def code_of(request: Request, *, later_s: float = 0) -> tuple[str, int]:
    with pytest.raises(S3Error) as caught:
        check(request, later_s=later_s)
    return caught.value.code, caught.value.status


@pytest.mark.parametrize(
    ("name", "value", "answer"),
    [
        ("X-Amz-Algorithm", "AWS4-ECDSA-P256-SHA256", ("NotImplemented", 501)),
        ("X-Amz-Algorithm", "AWS4-HMAC-SHA1", ("AuthorizationQueryParametersError", 400)),
        ("X-Amz-Credential", "AKID", ("AuthorizationQueryParametersError", 400)),
        ("X-Amz-Credential", "AKID/20260101/r/ec2/aws4_request", ("AuthorizationQueryParametersError", 400)),
        ("X-Amz-Credential", "AKID/20260101/r/s3/aws4_request", ("AuthorizationQueryParametersError", 400)),
        ("X-Amz-Credential", "AKID/2026/r/s3/aws4_request", ("AuthorizationQueryParametersError", 400)),
        ("X-Amz-Credential", "OTHER/20260101/r/s3/aws4_request", ("InvalidAccessKeyId", 403)),
        ("X-Amz-Date", "Tue, 07 Jul 2026 21:53:04 GMT", ("AuthorizationQueryParametersError", 400)),
        ("X-Amz-Date", "", ("AuthorizationQueryParametersError", 400)),
        ("X-Amz-Expires", "0", ("AuthorizationQueryParametersError", 400)),
        ("X-Amz-SignedHeaders", "x-amz-date", ("AccessDenied", 403)),
        ("X-Amz-Signature", "0" * 64, ("SignatureDoesNotMatch", 403)),
        ("X-Amz-Signature", "\u00e9", ("SignatureDoesNotMatch", 403)),
    ],
)
def test_what_is_wrong_with_a_presigned_address_is_said(name: str, value: str, answer: tuple[str, int]) -> None:
    request = signed(S3SigV4QueryAuth, "GET", f"http://{HOST}/b", expires=60)
    query = "&".join(f"{n}={quote(value if n == name else v, safe='')}" for n, v in request.query)
    assert code_of(resigned(request, query=query)) == answer


def test_a_presigned_address_is_not_valid_before_its_date() -> None:
    request = signed(S3SigV4QueryAuth, "GET", f"http://{HOST}/b", expires=60)
    assert check(request, later_s=-14 * 60).key == KEY
    with pytest.raises(S3Error, match="not valid yet"):
        check(request, later_s=-16 * 60)


@pytest.mark.parametrize(
    ("signer", "options", "name"),
    [(S3SigV4Auth, {}, "x-amz-date"), (HmacV1Auth, {}, "date")],
)
@pytest.mark.parametrize(
    ("date", "code"),
    [
        ("", "AccessDenied"),
        ("Bad Date", "AccessDenied"),
        ("Tue, 07 Jul 1950 21:53:04 GMT", "AccessDenied"),
        ("Tue, 07 Jul 2010 21:53:04 GMT", "RequestTimeTooSkewed"),
        ("Tue, 07 Jul 2099 21:53:04 GMT", "RequestTimeTooSkewed"),
        ("Tue, 07 Jul 9999 21:53:04 GMT", "RequestTimeTooSkewed"),
    ],
)
def test_dates_that_cannot_be(signer: type, options: dict[str, int], name: str, date: str, code: str) -> None:
    request = signed(signer, "GET", f"http://{HOST}/b", **options)
    assert code_of(resigned(request, **{name: date})) == (code, 403)


@pytest.mark.parametrize(("signer", "options"), SIGNERS, ids=SIGNERS_IDS)
def test_a_session_token_is_refused_by_name(signer: type, options: dict[str, int]) -> None:
    owner = Credentials("AKID", SECRET, "left over")
    request = AWSRequest(method="GET", url=f"http://{HOST}/b")
    scope = ("s3", "eu-west-3") if signer in (S3SigV4Auth, S3SigV4QueryAuth) else ()
    signer(owner, *scope, **options).add_auth(request)
    sent = received("GET", request.url, {name: str(value) for name, value in request.headers.items()})
    assert code_of(with_carried_headers(sent)) == ("InvalidToken", 400)


def test_a_wrong_signature_is_explained_without_the_right_one() -> None:
    request = signed(S3SigV4Auth, "GET", f"http://{HOST}/b?uploads")
    good = request.headers["authorization"].rpartition("=")[2]
    with pytest.raises(S3Error) as caught:
        check(resigned(request, authorization=request.headers["authorization"].replace(good, "0" * 64)))
    fields = caught.value.fields
    assert fields["CanonicalRequest"].startswith("GET\n/b\nuploads=\n")
    assert fields["StringToSign"].startswith("AWS4-HMAC-SHA256\n")
    assert bytes.fromhex(fields["StringToSignBytes"]).decode() == fields["StringToSign"]
    assert fields["SignatureProvided"] == "0" * 64
    assert good not in str(fields)
    assert SECRET not in str(fields)
    with pytest.raises(S3Error) as caught:
        check(resigned(signed(HmacV1Auth, "GET", f"http://{HOST}/b"), authorization="AWS AKID:AAAA"))
    assert caught.value.fields["StringToSign"].startswith("GET\n")


@pytest.mark.parametrize(
    ("header", "answer"),
    [
        ("AWS4-ECDSA-P256-SHA256 Credential=AKID/20260101/s3/aws4_request", ("NotImplemented", 501)),
        ("AWS4-HMAC-SHA1 Credential=AKID/20260101/s3/aws4_request", ("AuthorizationHeaderMalformed", 400)),
        ("AWS4-HMAC-SHA256Credential=AKID", ("AuthorizationHeaderMalformed", 400)),
        ("AWS HAHAHA", ("InvalidArgument", 400)),
        ("Basic abc", ("InvalidArgument", 400)),
    ],
)
def test_other_ways_to_authorize_are_named(header: str, answer: tuple[str, int]) -> None:
    sent = {"Authorization": header, "x-amz-content-sha256": UNSIGNED}
    assert code_of(received("GET", f"http://{HOST}/b", sent)) == answer


def test_no_digest_of_the_body() -> None:
    request = signed(S3SigV4Auth, "GET", f"http://{HOST}/b")
    headers = {name: value for name, value in request.headers.items() if name != "x-amz-content-sha256"}
    assert code_of(received("GET", f"http://{HOST}/b", headers)) == ("InvalidRequest", 400)


@pytest.mark.parametrize("region", ["us-east-1", "auto", "x", "mars-north-7"])
def test_any_region_will_do(region: str) -> None:
    request = AWSRequest(method="GET", url=f"http://{HOST}/b")
    S3SigV4Auth(CREDENTIALS, "s3", region).add_auth(request)
    sent = received("GET", request.url, {name: str(value) for name, value in request.headers.items()})
    assert check(sent).key == KEY
