"""Buckets: create, head, delete, list, location, versioning."""

import uuid
from collections.abc import Callable

import pytest
from botocore.client import BaseClient

from tests.s3api.conformance.wire import Wire, parse, refused, text, texts
from tests.s3api.conftest import Server

CONFIGURATION = (
    '<CreateBucketConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/">{}</CreateBucketConfiguration>'
)


def test_create_answers_the_place_and_again_200(wire: Wire, bucket: str) -> None:
    for name in (f"{bucket}x", f"{bucket}x", bucket):
        reply = wire.put(f"/{name}")
        assert (reply.status, reply.headers["location"], reply.body) == (200, f"/{name}", b"")


@pytest.mark.parametrize("inside", ["", "<LocationConstraint>eu-west-1</LocationConstraint>", "<LocationConstraint/>"])
def test_create_with_a_region(wire: Wire, bucket: str, inside: str) -> None:
    assert wire.put(f"/{bucket}y", CONFIGURATION.format(inside).encode()).status == 200
    assert wire.head(f"/{bucket}y").status == 200


@pytest.mark.parametrize("body", [b"<a>", b"<Other/>", b"no xml", b"\xff\xfe"])
def test_create_with_a_damaged_configuration_makes_nothing(wire: Wire, bucket: str, body: bytes) -> None:
    refused(wire.put(f"/{bucket}z", body), 400, "MalformedXML")
    assert wire.head(f"/{bucket}z").status == 404


@pytest.mark.parametrize("name", ["a.b.c.d", "a..b", ".a", "a.", "a%20b", "a%00b", "%C3%A9", "a%09", "b" * 300])
def test_names_that_no_bucket_has(wire: Wire, name: str) -> None:
    refused(wire.put(f"/{name}"), 400, "InvalidBucketName")
    assert wire.head(f"/{name}").status == 400


@pytest.mark.parametrize("size", [3, 60, 63])
def test_long_names(wire: Wire, size: int) -> None:
    name = uuid.uuid4().hex.ljust(size, "x")[:size]
    assert wire.put(f"/{name}").status == 200
    assert wire.put(f"/{name}/k", b"1").status == 200
    assert text(wire.get(f"/{name}"), "Name") == name


def test_head(wire: Wire, bucket: str) -> None:
    for path in (f"/{bucket}", f"/{bucket}/"):
        reply = wire.head(path)
        assert (reply.status, reply.body) == (200, b"")
        assert reply.headers["x-amz-bucket-region"] == "us-east-1"
        assert reply.headers["x-amz-access-point-alias"] == "false"
    missing = wire.head(f"/{bucket}none")
    assert (missing.status, missing.body) == (404, b"")


@pytest.mark.parametrize(
    ("method", "tail"),
    [
        ("GET", ""),
        ("GET", "?list-type=2"),
        ("GET", "?location"),
        ("GET", "?versioning"),
        ("GET", "?uploads"),
        ("DELETE", ""),
        ("GET", "/k"),
        ("PUT", "/k"),
        ("DELETE", "/k"),
        ("POST", "/k?uploads"),
        ("GET", "/k?uploadId=1"),
        ("PUT", "/k?uploadId=1&partNumber=1"),
        ("DELETE", "/k?uploadId=1"),
    ],
)
def test_a_bucket_that_is_not_there(wire: Wire, method: str, tail: str) -> None:
    reply = wire.send(method, f"/nobody-has-this{tail}")
    refused(reply, 404, "NoSuchBucket")
    assert text(reply, "BucketName") == "nobody-has-this"


def test_delete_needs_an_empty_bucket(wire: Wire, bucket: str) -> None:
    wire.put(f"/{bucket}/k", b"1")
    refused(wire.delete(f"/{bucket}"), 409, "BucketNotEmpty")
    wire.delete(f"/{bucket}/k")
    reply = wire.delete(f"/{bucket}")
    assert (reply.status, reply.body) == (204, b"")
    refused(wire.delete(f"/{bucket}"), 404, "NoSuchBucket")
    assert wire.put(f"/{bucket}").status == 200
    assert texts(wire.get(f"/{bucket}"), "Contents/Key") == []


def test_location_is_empty_for_us_east_1(wire: Wire, s3: BaseClient, bucket: str) -> None:
    root = parse(wire.get(f"/{bucket}?location"))
    assert (root.tag, root.text, len(root)) == ("LocationConstraint", None, 0)
    assert s3.get_bucket_location(Bucket=bucket)["LocationConstraint"] is None


def test_versioning_is_enabled(wire: Wire, bucket: str) -> None:
    reply = wire.get(f"/{bucket}?versioning")
    assert (parse(reply).tag, text(reply, "Status")) == ("VersioningConfiguration", "Enabled")


def test_all_buckets_are_listed_with_their_owner(wire: Wire, make_bucket: Callable[[], str]) -> None:
    names = sorted(make_bucket() for _ in range(3))
    reply = wire.get("/")
    assert parse(reply).tag == "ListAllMyBucketsResult"
    assert text(reply, "Owner/ID") == text(reply, "Owner/DisplayName") == "pfs"
    listed = texts(reply, "Buckets/Bucket/Name")
    assert listed == sorted(listed)
    assert set(names) <= set(listed)
    dates = texts(reply, "Buckets/Bucket/CreationDate")
    assert len(dates) == len(listed)
    assert all(len(date) == 24 and date.endswith("Z") for date in dates)


def test_pages_of_buckets(s3: BaseClient, server: Server, bucket: str) -> None:
    names = [f"{bucket}-{number}" for number in range(5)]
    for name in names:
        server.store.create_repo(name)
    found, token = list[str](), {}
    while True:
        page = s3.list_buckets(MaxBuckets=2, Prefix=f"{bucket}-", **token)
        assert page["Prefix"] == f"{bucket}-"
        assert all(one["BucketRegion"] == "us-east-1" for one in page["Buckets"])
        assert len(page["Buckets"]) <= 2
        found += [one["Name"] for one in page["Buckets"]]
        if "ContinuationToken" not in page:
            break
        token = {"ContinuationToken": page["ContinuationToken"]}
    assert found == names


def test_buckets_of_a_region(s3: BaseClient, bucket: str) -> None:
    assert [one["Name"] for one in s3.list_buckets(BucketRegion="us-east-1", Prefix=bucket)["Buckets"]] == [bucket]
    assert s3.list_buckets(BucketRegion="eu-west-1", Prefix=bucket)["Buckets"] == []


@pytest.mark.parametrize("query", ["max-buckets=0", "max-buckets=-1", "max-buckets=x", "max-buckets=10001"])
def test_counts_of_buckets_that_are_refused(wire: Wire, query: str) -> None:
    refused(wire.get(f"/?{query}"), 400, "InvalidArgument")


def test_another_owner_than_expected(wire: Wire, bucket: str) -> None:
    refused(wire.get(f"/{bucket}", {"x-amz-expected-bucket-owner": "111122223333"}), 403, "AccessDenied")
    assert wire.get(f"/{bucket}", {"x-amz-expected-bucket-owner": "pfs"}).status == 200


def test_a_bucket_name_is_not_a_key(wire: Wire, bucket: str) -> None:
    for method in ("PUT", "GET"):
        refused(wire.send(method, f"//{bucket}/k"), 400, "InvalidURI")
