"""Forms that browsers post: what is answered, and the whole way over both schemes."""

import hashlib
from datetime import UTC, datetime, timedelta
from urllib.parse import quote

import pytest
from botocore.client import BaseClient
from urllib3.filepost import encode_multipart_formdata

from tests.s3api.conformance.wire import Reply, Wire, refused
from tests.s3api.conftest import Server


def post(wire: Wire, bucket: str, fields: dict[str, str], data: bytes = b"hello", name: str = "f.txt") -> Reply:
    body, kind = encode_multipart_formdata([*fields.items(), ("file", (name, data, "text/plain"))])
    return wire.send("POST", f"/{bucket}", body, {"Content-Type": kind}, sign=False)


def signed(s3: BaseClient, bucket: str, key: str, **fields: str) -> dict[str, str]:
    conditions = [{name: value} for name, value in fields.items()]
    made = s3.generate_presigned_post(bucket, key, Fields=fields, Conditions=conditions)
    found: dict[str, str] = made["fields"]
    return found


@pytest.mark.parametrize("size", [0, 5, 300_000, 3 << 20])
def test_a_file_of_any_size(wire: Wire, s3: BaseClient, bucket: str, size: int) -> None:
    data = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    reply = post(wire, bucket, signed(s3, bucket, "k"), data)
    assert (reply.status, reply.body) == (204, b"")
    assert reply.headers["etag"] == f'"{hashlib.md5(data).hexdigest()}"'
    assert wire.get(f"/{bucket}/k").body == data


@pytest.mark.parametrize(("asked", "status"), [("200", 200), ("201", 201), ("204", 204), ("404", 204), ("", 204)])
def test_statuses(wire: Wire, s3: BaseClient, bucket: str, asked: str, status: int) -> None:
    reply = post(wire, bucket, signed(s3, bucket, "k", success_action_status=asked))
    assert reply.status == status
    if status == 201:
        assert reply.body.startswith(b"<?xml")
        for part in (
            f"<Bucket>{bucket}</Bucket>",
            "<Key>k</Key>",
            f"<Location>{wire.server.url}/{bucket}/k</Location>",
        ):
            assert part.encode() in reply.body


def test_a_redirect(wire: Wire, s3: BaseClient, bucket: str) -> None:
    reply = post(wire, bucket, signed(s3, bucket, "k", success_action_redirect="https://example.test/done"))
    tag = quote(f'"{hashlib.md5(b"hello").hexdigest()}"', safe="")
    assert (reply.status, reply.headers["location"]) == (
        303,
        f"https://example.test/done?bucket={bucket}&key=k&etag={tag}",
    )


def test_the_name_of_the_file_in_the_key(wire: Wire, s3: BaseClient, bucket: str) -> None:
    assert post(wire, bucket, signed(s3, bucket, "up/${filename}"), name="a b.txt").status == 204
    assert wire.get(f"/{bucket}/up/a%20b.txt").body == b"hello"


def test_metadata_and_types(wire: Wire, s3: BaseClient, bucket: str) -> None:
    fields = signed(s3, bucket, "k", **{"Content-Type": "text/x", "x-amz-meta-a": "1"})
    assert post(wire, bucket, fields).status == 204
    got = wire.head(f"/{bucket}/k").headers
    assert (got["content-type"], got["x-amz-meta-a"]) == ("text/x", "1")


def test_what_the_policy_does_not_allow(wire: Wire, s3: BaseClient, bucket: str) -> None:
    fields = signed(s3, bucket, "k")
    refused(post(wire, bucket, {**fields, "key": "other"}), 403, "AccessDenied")
    refused(post(wire, bucket, {**fields, "x-amz-meta-a": "1"}), 403, "AccessDenied")
    refused(post(wire, bucket, {**fields, "x-amz-signature": "0" * 64}), 403, "SignatureDoesNotMatch")
    refused(post(wire, bucket, {"key": "k"}), 403, "AccessDenied")
    old = s3.generate_presigned_post(bucket, "k", ExpiresIn=-10)["fields"]
    refused(post(wire, bucket, old), 403, "AccessDenied")
    made = s3.generate_presigned_post(bucket, "k", Conditions=[["content-length-range", 1, 3]])["fields"]
    refused(post(wire, bucket, made), 400, "EntityTooLarge")
    assert wire.head(f"/{bucket}/k").status == 404


def test_conditions_of_a_form_hold(wire: Wire, s3: BaseClient, bucket: str) -> None:
    fields = signed(s3, bucket, "k", **{"If-None-Match": "*"})
    assert post(wire, bucket, fields).status == 204
    refused(post(wire, bucket, fields, b"again"), 412, "PreconditionFailed")
    body, kind = encode_multipart_formdata([*signed(s3, bucket, "k").items(), ("file", ("f", b"again", "text/plain"))])
    for name, value, status in [("If-None-Match", "*", 412), ("If-Match", '"0"', 412), ("If-Modified-Since", "x", 501)]:
        sent = {"Content-Type": kind, name: value}
        assert wire.send("POST", f"/{bucket}", body, sent, sign=False).status == status
    assert wire.get(f"/{bucket}/k").body == b"hello"


def test_a_field_that_comes_twice(wire: Wire, s3: BaseClient, bucket: str) -> None:
    fields = [*signed(s3, bucket, "k").items(), ("key", "other"), ("file", ("f", b"1", "text/plain"))]
    body, kind = encode_multipart_formdata(fields)
    reply = wire.send("POST", f"/{bucket}", body, {"Content-Type": kind}, sign=False)
    refused(reply, 400, "InvalidArgument")
    assert b"<ArgumentName>key</ArgumentName>" in reply.body


def test_a_form_that_is_signed_for_tomorrow(
    wire: Wire, s3: BaseClient, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    monkeypatch.setattr("botocore.auth.get_current_datetime", lambda remove_tzinfo=True: tomorrow)
    fields = signed(s3, bucket, "k")
    monkeypatch.undo()
    assert fields["x-amz-date"][:8] == tomorrow.strftime("%Y%m%d")
    refused(post(wire, bucket, fields), 403, "AccessDenied")


def test_forms_that_are_none(wire: Wire, server: Server, bucket: str) -> None:
    for kind, body, status, code in [
        ("text/plain", b"x", 412, "PreconditionFailed"),
        ("multipart/form-data", b"x", 400, "MalformedPOSTRequest"),
        ("multipart/form-data; boundary=x", b"junk", 400, "MalformedPOSTRequest"),
        ("multipart/form-data; boundary=x", b"--x--\r\n", 400, ""),
    ]:
        reply = wire.send("POST", f"/{bucket}", body, {"Content-Type": kind}, sign=False)
        assert reply.status == status, reply.body
        assert not code or reply.code == code
