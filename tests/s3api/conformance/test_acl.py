"""ACLs: fixed answers, and requests for what they already are."""

import pytest

from tests.s3api.conformance.wire import Wire, parse, refused, text, texts


@pytest.fixture(params=["", "/k"])
def place(request: pytest.FixtureRequest, wire: Wire, bucket: str) -> str:
    wire.put(f"/{bucket}/k", b"1")
    return f"/{bucket}{request.param}"


def test_the_one_grant(wire: Wire, place: str) -> None:
    reply = wire.get(f"{place}?acl")
    assert (reply.status, parse(reply).tag) == (200, "AccessControlPolicy")
    assert text(reply, "Owner/ID") == "pfs"
    assert texts(reply, "AccessControlList/Grant/Permission") == ["FULL_CONTROL"]
    assert texts(reply, "AccessControlList/Grant/Grantee/ID") == ["pfs"]
    assert b'type="CanonicalUser"' in reply.body


def test_what_it_is_may_be_asked_for(wire: Wire, place: str) -> None:
    assert wire.put(f"{place}?acl", b"", {"x-amz-acl": "private"}).status == 200
    policy = wire.get(f"{place}?acl").body
    assert wire.put(f"{place}?acl", policy).status == 200


@pytest.mark.parametrize("header", [{"x-amz-acl": "public-read-write"}, {"x-amz-grant-read": 'id="x"'}])
def test_anything_else_is_refused(wire: Wire, place: str, header: dict[str, str]) -> None:
    reply = wire.put(f"{place}?acl", b"", header)
    assert reply.status in {400, 501}, reply.body
    assert texts(wire.get(f"{place}?acl"), "AccessControlList/Grant/Permission") == ["FULL_CONTROL"]


def test_of_what_is_not_there(wire: Wire, bucket: str) -> None:
    refused(wire.get(f"/{bucket}/none?acl"), 404, "NoSuchKey")
    refused(wire.get("/nobody-has-this?acl"), 404, "NoSuchBucket")
