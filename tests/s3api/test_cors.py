"""What a browser is told: preflights and the headers of actual answers, errors included."""

import re
from urllib.parse import urlsplit

import pytest
from botocore.client import BaseClient
from hypothesis import given
from hypothesis import strategies as st

import pfs
from s3api.objects.cors import (
    MAX_REQUESTED,
    Rule,
    cors_xml,
    decode_rules,
    encode_rules,
    find_headers,
    matches,
    parse_cors,
)
from tests.s3api.conftest import Reply, Server, running

ORIGIN = "https://localhost:4200"
VARY = "Origin, Access-Control-Request-Headers, Access-Control-Request-Method"
WORDS = st.text(st.sampled_from("ab.-"), max_size=4)
PATTERNS = WORDS | st.tuples(WORDS, WORDS).map("*".join)


@st.composite
def rules(draw: st.DrawFn) -> Rule:
    some = st.lists(PATTERNS, min_size=1, max_size=3).map(tuple)
    return Rule(
        origins=draw(some),
        methods=draw(st.lists(st.sampled_from(["GET", "PUT"]), min_size=1, max_size=2, unique=True).map(tuple)),
        headers=draw(st.just(()) | some),
        expose=draw(st.lists(WORDS.filter(lambda text: "." not in text), max_size=2).map(tuple)),
        max_age=draw(st.none() | st.integers(0, 10**9)),
        id=draw(st.just("")),
    )


# the rules


@given(PATTERNS, WORDS)
def test_a_pattern_is_as_a_regular_expression(pattern: str, text: str) -> None:
    assert matches(pattern, text) == (re.fullmatch(re.escape(pattern).replace(r"\*", ".*"), text) is not None)


@given(st.lists(rules(), min_size=1, max_size=4).map(tuple))
def test_rules_are_kept_as_they_are(kept: tuple[Rule, ...]) -> None:
    assert decode_rules(encode_rules(kept)) == kept
    assert parse_cors(cors_xml(kept)) == kept


@given(
    st.lists(rules(), max_size=4).map(tuple),
    WORDS,
    st.sampled_from(["GET", "PUT", "DELETE"]),
    st.lists(WORDS, max_size=3),
)
def test_the_first_rule_that_allows_it_counts(
    kept: tuple[Rule, ...], origin: str, method: str, names: list[str]
) -> None:
    def as_model(pattern: str, text: str) -> bool:
        return re.fullmatch(re.escape(pattern).replace(r"\*", ".*"), text) is not None

    asked = [name for name in names if name]
    fitting = [
        rule
        for rule in kept
        if method in rule.methods
        and any(as_model(one, origin) for one in rule.origins)
        and all(any(as_model(one, name) for one in rule.headers) for name in asked)
    ]
    headers = {"origin": origin, "access-control-request-headers": " , ".join(name.upper() for name in names)}
    found = find_headers(kept, headers, method)
    assert (found is not None) == bool(fitting)
    if found is not None:
        told = dict(found)
        assert told["access-control-allow-methods"] == ", ".join(fitting[0].methods)
        star = "*" in fitting[0].origins
        assert told["access-control-allow-origin"] == ("*" if star else origin)
        assert ("access-control-allow-credentials" in told) == (not star)
        assert told.get("access-control-max-age") == (None if fitting[0].max_age is None else str(fitting[0].max_age))


def test_a_request_that_asks_for_endless_headers_is_not_allowed() -> None:
    kept = (Rule(("*",), ("GET",), ("*",)),)
    for count, allowed in ((MAX_REQUESTED, True), (MAX_REQUESTED + 1, False)):
        names = ",".join(f"x{number}" for number in range(count))
        found = find_headers(kept, {"origin": "a", "access-control-request-headers": names}, "GET")
        assert (found is not None) == allowed


# over HTTP


def configure(s3: BaseClient, bucket: str, **change: object) -> None:
    rule = {
        "AllowedOrigins": [ORIGIN],
        "AllowedMethods": ["GET", "PUT"],
        "AllowedHeaders": ["*"],
        "MaxAgeSeconds": 3000,
    }
    made = {name: value for name, value in (rule | change).items() if value is not None}
    s3.put_bucket_cors(Bucket=bucket, CORSConfiguration={"CORSRules": [made]})


def preflight(server: Server, path: str, **headers: str) -> Reply:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return server.request("OPTIONS", path, headers=named, sign=False)


def cors_of(reply: Reply) -> dict[str, str]:
    return {
        name.removeprefix("access-control-"): value
        for name, value in reply.headers.items()
        if name.startswith("access-control-") or name == "vary"
    }


def fields_of(reply: Reply) -> dict[str, str]:
    return dict(re.findall(r"<(Code|Method|ResourceType)>([^<]*)<", reply.body.decode()))


def test_a_preflight_is_told_what_is_allowed(server: Server, s3: BaseClient, bucket: str) -> None:
    configure(s3, bucket, ExposeHeaders=["ETag", "x-amz-version-id"])
    reply = preflight(
        server,
        f"/{bucket}/k",
        Origin=ORIGIN,
        Access_Control_Request_Method="PUT",
        Access_Control_Request_Headers="X-Amz-Meta-A, content-type",
    )
    assert (reply.status, reply.body, reply.headers["content-length"]) == (200, b"", "0")
    assert cors_of(reply) == {
        "allow-origin": ORIGIN,
        "allow-credentials": "true",
        "allow-methods": "GET, PUT",
        "allow-headers": "x-amz-meta-a, content-type",
        "expose-headers": "ETag, x-amz-version-id",
        "max-age": "3000",
        "vary": VARY,
    }


def test_any_origin_is_told_so(server: Server, s3: BaseClient, bucket: str) -> None:
    configure(s3, bucket, AllowedOrigins=["*"], AllowedMethods=["GET"], AllowedHeaders=None, MaxAgeSeconds=None)
    told = {"allow-origin": "*", "allow-methods": "GET", "vary": VARY}
    reply = preflight(server, f"/{bucket}", Origin="http://random:1234", Access_Control_Request_Method="GET")
    assert (reply.status, cors_of(reply)) == (200, told)
    reply = server.request("GET", f"/{bucket}/none", headers={"Origin": "http://random:1234"})
    assert (reply.status, cors_of(reply)) == (404, told)


def test_preflights_that_are_not_allowed(server: Server, s3: BaseClient, bucket: str) -> None:
    configure(s3, bucket, AllowedHeaders=["x-amz-meta-a"])
    for path, kind in ((f"/{bucket}", "BUCKET"), (f"/{bucket}/k", "OBJECT")):
        for origin, method, names in (
            ("http://localhost:4200", "PUT", ""),
            (ORIGIN, "DELETE", ""),
            (ORIGIN, "PUT", "x-amz-meta-b"),
            (ORIGIN, "PUT", "x-amz-meta-a, x-amz-meta-b"),
        ):
            asked = {"Origin": origin, "Access_Control_Request_Method": method}
            reply = preflight(server, path, **asked, **({"Access_Control_Request_Headers": names} if names else {}))
            assert (reply.status, cors_of(reply)) == (403, {})
            assert fields_of(reply) == {"Code": "AccessForbidden", "Method": method, "ResourceType": kind}


def test_preflights_that_say_too_little(server: Server, s3: BaseClient, bucket: str) -> None:
    for path in (f"/{bucket}/k", "/no-such-bucket/k", "/"):
        reply = preflight(server, path)
        assert (reply.status, reply.code) == (400, "BadRequest")
        assert b"Origin request header needed" in reply.body
    configure(s3, bucket)
    for method, shown in ((None, "null"), ("PATCH", "PATCH")):
        asked = {} if method is None else {"Access_Control_Request_Method": method}
        reply = preflight(server, f"/{bucket}/k", Origin=ORIGIN, **asked)
        assert (reply.status, reply.code) == (400, "BadRequest")
        assert f"Invalid Access-Control-Request-Method: {shown}<".encode() in reply.body


@pytest.mark.parametrize(("method", "shown"), [("PUT", "PUT"), (None, "OPTIONS")])
def test_preflights_where_nothing_is_configured(server: Server, bucket: str, method: str | None, shown: str) -> None:
    asked = {} if method is None else {"Access_Control_Request_Method": method}
    for path, words in (
        (f"/{bucket}/k", "CORS is not enabled for this bucket"),
        ("/no-such-bucket/k", "Bucket not found"),
        ("/a.b.c.d", "Bucket not found"),
        ("/", "Bucket not found"),
    ):
        reply = preflight(server, path, Origin=ORIGIN, **asked)
        assert reply.status == 403
        assert fields_of(reply) == {"Code": "AccessForbidden", "Method": shown, "ResourceType": "BUCKET"}
        assert f"CORSResponse: {words}".encode() in reply.body


def test_the_preflight_of_a_presigned_address_needs_no_signature(server: Server, s3: BaseClient, bucket: str) -> None:
    configure(s3, bucket)
    for operation, more in (
        ("put_object", {}),
        ("upload_part", {"UploadId": "0" * 32, "PartNumber": 1}),
        ("get_object", {"ResponseContentType": "text/x"}),
    ):
        url = urlsplit(s3.generate_presigned_url(operation, {"Bucket": bucket, "Key": "k", **more}))
        asked = {"Origin": ORIGIN, "Access_Control_Request_Method": "PUT"}
        assert preflight(server, f"{url.path}?{url.query}", **asked).status == 200


def test_answers_say_who_may_see_them(server: Server, s3: BaseClient, bucket: str) -> None:
    configure(s3, bucket)
    told = {
        "allow-origin": ORIGIN,
        "allow-credentials": "true",
        "allow-methods": "GET, PUT",
        "max-age": "3000",
        "vary": VARY,
    }
    put = server.request("PUT", f"/{bucket}/k", body=b"1", headers={"Origin": ORIGIN})
    assert (put.status, cors_of(put)) == (200, told)
    etag = put.headers["etag"]
    for method, path, more, status in (
        ("GET", f"/{bucket}/k", {}, 200),
        ("GET", f"/{bucket}/k", {"If-None-Match": etag}, 304),
        ("GET", f"/{bucket}/k", {"If-Match": '"x"'}, 412),
        ("GET", f"/{bucket}/none", {}, 404),
        ("GET", f"/{bucket}?list-type=2", {}, 200),
        ("GET", f"/{bucket}?policy", {}, 501),
    ):
        reply = server.request(method, path, headers={"Origin": ORIGIN, **more})
        assert (reply.status, cors_of(reply)) == (status, told)
    unsigned = server.request("GET", f"/{bucket}/k", headers={"Origin": ORIGIN}, sign=False)
    assert (unsigned.status, cors_of(unsigned)) == (403, told)


def test_answers_to_others_say_nothing(server: Server, s3: BaseClient, bucket: str) -> None:
    server.request("PUT", f"/{bucket}/k", body=b"1")
    assert cors_of(server.request("GET", f"/{bucket}/k", headers={"Origin": ORIGIN})) == {}
    configure(s3, bucket, AllowedHeaders=["x-amz-meta-a"])
    for headers in (
        {},
        {"Referer": ORIGIN},
        {"Origin": "http://localhost:4200"},
        {"Origin": ORIGIN, "Access-Control-Request-Method": "DELETE"},
        {"Origin": ORIGIN, "Access-Control-Request-Headers": "x-amz-meta-b"},
    ):
        reply = server.request("GET", f"/{bucket}/k", headers=headers)
        assert (reply.status, cors_of(reply)) == (200, {})
    assert cors_of(server.request("DELETE", f"/{bucket}/k", headers={"Origin": ORIGIN})) == {}
    assert cors_of(server.request("GET", "/", headers={"Origin": ORIGIN})) == {}
    assert cors_of(server.request("GET", "/no-such-bucket/k", headers={"Origin": ORIGIN})) == {}


def test_a_method_that_is_asked_about_takes_the_place_of_the_one_sent(
    server: Server, s3: BaseClient, bucket: str
) -> None:
    configure(s3, bucket, AllowedMethods=["GET"])
    headers = {"Origin": ORIGIN, "Access-Control-Request-Method": "GET"}
    assert cors_of(server.request("PUT", f"/{bucket}/k", headers=headers))["allow-methods"] == "GET"


@pytest.mark.parametrize(
    ("origin", "allowed"),
    [
        ("foo.suffix", "GET"),
        ("foo.bar", None),
        ("foo.suffix.get", None),
        ("startend", "GET"),
        ("start12end", "GET"),
        ("0start12end", None),
        ("prefix", "GET"),
        ("prefix.suffix", "GET"),
        ("bla.prefix", None),
        ("foo.put", None),
    ],
)
def test_patterns_of_origins(server: Server, s3: BaseClient, bucket: str, origin: str, allowed: str | None) -> None:
    patterns = [("*suffix", "GET"), ("start*end", "GET"), ("prefix*", "GET"), ("*.put", "PUT")]
    rules = [{"AllowedOrigins": [pattern], "AllowedMethods": [method]} for pattern, method in patterns]
    s3.put_bucket_cors(Bucket=bucket, CORSConfiguration={"CORSRules": rules})
    reply = server.request("GET", f"/{bucket}", headers={"Origin": origin})
    assert reply.headers.get("access-control-allow-methods") == allowed
    assert reply.headers.get("access-control-allow-origin") == (origin if allowed else None)


def test_both_styles_of_addresses(tmp_path_factory: pytest.TempPathFactory) -> None:
    home = tmp_path_factory.mktemp("home")
    with pfs.init(home) as store, running(store, domains=["s3.test"]) as server:
        store.create_repo("b")
        client = server.client()
        configure(client, "b")
        client.close()
        for host, path in (("b.s3.test", "/k"), ("b.s3.test", "/"), ("s3.test", "/b/k")):
            asked = {"Host": host, "Origin": ORIGIN, "Access_Control_Request_Method": "GET"}
            assert preflight(server, path, **asked).status == 200
