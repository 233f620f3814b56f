"""CORS: rules, preflights, and what browsers are told on every answer."""

import pytest

from tests.s3api.conformance.wire import Reply, Wire, parse, refused, texts

RULE = (
    "<CORSRule><ID>one</ID><AllowedMethod>GET</AllowedMethod><AllowedMethod>PUT</AllowedMethod>"
    "<AllowedOrigin>https://*.example.test</AllowedOrigin><AllowedHeader>x-amz-*</AllowedHeader>"
    "<ExposeHeader>ETag</ExposeHeader><MaxAgeSeconds>300</MaxAgeSeconds></CORSRule>"
)
ORIGIN = "https://www.example.test"


@pytest.fixture
def ruled(wire: Wire, bucket: str) -> str:
    reply = wire.put(f"/{bucket}?cors", f"<CORSConfiguration>{RULE}</CORSConfiguration>".encode())
    assert (reply.status, reply.body) == (200, b"")
    wire.put(f"/{bucket}/k", b"1")
    return bucket


def test_rules_come_back(wire: Wire, ruled: str) -> None:
    reply = wire.get(f"/{ruled}?cors")
    assert parse(reply).tag == "CORSConfiguration"
    assert texts(reply, "CORSRule/AllowedMethod") == ["GET", "PUT"]
    assert texts(reply, "CORSRule/ExposeHeader") == ["ETag"]
    assert texts(reply, "CORSRule/MaxAgeSeconds") == ["300"]
    assert wire.delete(f"/{ruled}?cors").status == 204
    refused(wire.get(f"/{ruled}?cors"), 404, "NoSuchCORSConfiguration")


def preflight(wire: Wire, path: str, headers: dict[str, str]) -> Reply:
    return wire.send("OPTIONS", path, b"", headers, sign=False)


@pytest.mark.parametrize("method", ["GET", "PUT"])
def test_preflights(wire: Wire, ruled: str, method: str) -> None:
    asked = {"Origin": ORIGIN, "Access-Control-Request-Method": method}
    reply = preflight(wire, f"/{ruled}/k", {**asked, "Access-Control-Request-Headers": "x-amz-date, X-Amz-Meta-A"})
    assert (reply.status, reply.body) == (200, b"")
    assert reply.headers["access-control-allow-origin"] == ORIGIN
    assert method in reply.headers["access-control-allow-methods"]
    assert reply.headers["access-control-max-age"] == "300"
    assert "x-amz-date" in reply.headers["access-control-allow-headers"]
    assert "Origin" in reply.headers["vary"]


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        ({"Origin": "https://other.test"}, 403, "AccessForbidden"),
        ({"Access-Control-Request-Method": "DELETE"}, 403, "AccessForbidden"),
        ({"Access-Control-Request-Headers": "content-type"}, 403, "AccessForbidden"),
        ({"Access-Control-Request-Method": ""}, 400, "BadRequest"),
        ({"Origin": ""}, 400, "BadRequest"),
    ],
)
def test_preflights_that_are_refused(wire: Wire, ruled: str, change: dict[str, str], status: int, code: str) -> None:
    asked = {"Origin": ORIGIN, "Access-Control-Request-Method": "GET", **change}
    sent = {name: value for name, value in asked.items() if value}
    refused(preflight(wire, f"/{ruled}/k", sent), status, code)


@pytest.mark.parametrize("key", ["k", "none"])
def test_answers_tell_browsers(wire: Wire, ruled: str, key: str) -> None:
    reply = wire.get(f"/{ruled}/{key}", {"Origin": ORIGIN})
    assert reply.status == (200 if key == "k" else 404)
    assert reply.headers["access-control-allow-origin"] == ORIGIN
    assert reply.headers["access-control-expose-headers"] == "ETag"
    other = wire.get(f"/{ruled}/{key}", {"Origin": "https://other.test"})
    assert "access-control-allow-origin" not in other.headers
    assert "access-control-allow-origin" not in wire.get(f"/{ruled}/{key}").headers


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<CORSConfiguration>",
        b"<CORSConfiguration/>",
        b"<Other/>",
        RULE.replace("GET", "PATCH").encode().join([b"<CORSConfiguration>", b"</CORSConfiguration>"]),
        RULE.replace("300", "soon").encode().join([b"<CORSConfiguration>", b"</CORSConfiguration>"]),
    ],
    ids=range(6),
)
def test_rules_that_are_refused(wire: Wire, ruled: str, body: bytes) -> None:
    reply = wire.put(f"/{ruled}?cors", body)
    assert (reply.status, reply.code in {"MalformedXML", "InvalidRequest"}) == (400, True), reply.body
    assert texts(wire.get(f"/{ruled}?cors"), "CORSRule/ID") == ["one"]
