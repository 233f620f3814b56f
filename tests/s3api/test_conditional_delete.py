"""Deletes with conditions: one key and many, over boto3 and plain HTTP; one of many racing deletes wins."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from botocore.client import BaseClient
from botocore.exceptions import ClientError

from tests.s3api.conftest import Server


def refusal(error: pytest.ExceptionInfo[ClientError]) -> tuple[int, str]:
    response = error.value.response
    return response["ResponseMetadata"]["HTTPStatusCode"], response["Error"]["Code"]


def keys(s3: BaseClient, bucket: str) -> list[str]:
    return [one["Key"] for one in s3.list_objects_v2(Bucket=bucket).get("Contents", [])]


@pytest.fixture
def facts(s3: BaseClient, bucket: str) -> dict[str, object]:
    """An object ``k`` of 5 bytes: its conditions that hold."""
    s3.put_object(Bucket=bucket, Key="k", Body=b"hello")
    head = s3.head_object(Bucket=bucket, Key="k")
    return {"IfMatch": head["ETag"], "IfMatchSize": 5, "IfMatchLastModifiedTime": head["LastModified"]}


WRONG = {
    "IfMatch": '"0123456789abcdef0123456789abcdef"',
    "IfMatchSize": 6,
    "IfMatchLastModifiedTime": datetime(2015, 1, 1, tzinfo=UTC),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_condition_decides(s3: BaseClient, bucket: str, facts: dict[str, object], name: str) -> None:
    with pytest.raises(ClientError) as refused:
        s3.delete_object(Bucket=bucket, Key="k", **(facts | {name: WRONG[name]}))
    assert refusal(refused) == (412, "PreconditionFailed")
    assert keys(s3, bucket) == ["k"]
    deleted = s3.delete_object(Bucket=bucket, Key="k", **{name: facts[name]})
    assert deleted["ResponseMetadata"]["HTTPStatusCode"] == 204
    assert deleted["DeleteMarker"] is True
    assert keys(s3, bucket) == []


@pytest.mark.parametrize("value", ["*", '"5d41402abc4b2a76b9719d911017c592"', "5d41402abc4b2a76b9719d911017c592"])
def test_forms_of_if_match(server: Server, bucket: str, value: str) -> None:
    server.request("PUT", f"/{bucket}/k", body=b"hello")
    assert server.request("DELETE", f"/{bucket}/k", headers={"If-Match": value}).status == 204
    assert server.request("HEAD", f"/{bucket}/k").status == 404


@pytest.mark.parametrize("value", ["*", '"x"'])
def test_if_match_of_what_is_not_there(server: Server, bucket: str, value: str) -> None:
    reply = server.request("DELETE", f"/{bucket}/none", headers={"If-Match": value})
    assert (reply.status, reply.code) == (404, "NoSuchKey")
    server.request("PUT", f"/{bucket}/k", body=b"hello")
    server.request("DELETE", f"/{bucket}/k")
    reply = server.request("DELETE", f"/{bucket}/k", headers={"If-Match": value})
    assert (reply.status, reply.code) == (404, "NoSuchKey")


def test_size_and_time_of_what_is_not_there(s3: BaseClient, bucket: str) -> None:
    for name in ("IfMatchSize", "IfMatchLastModifiedTime"):
        s3.delete_object(Bucket=bucket, Key="none", **{name: WRONG[name]})


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({"x-amz-if-match-size": "five"}, "InvalidArgument"),
        ({"x-amz-if-match-size": "9" * 30}, "InvalidArgument"),
        ({"x-amz-if-match-last-modified-time": "yesterday"}, "InvalidArgument"),
        ({"If-None-Match": "*"}, "NotImplemented"),
        ({"x-amz-mfa": "serial 123456"}, "NotImplemented"),
    ],
)
def test_conditions_that_are_none(server: Server, bucket: str, headers: dict[str, str], code: str) -> None:
    server.request("PUT", f"/{bucket}/k", body=b"hello")
    assert server.request("DELETE", f"/{bucket}/k", headers=headers).code == code
    assert server.request("HEAD", f"/{bucket}/k").status == 200


def test_each_of_many_has_its_own_conditions(s3: BaseClient, bucket: str, server: Server) -> None:
    for key in ("etag", "bad-etag", "size", "bad-size", "time", "bad-time", "plain", "star"):
        s3.put_object(Bucket=bucket, Key=key, Body=b"hello")
    head = s3.head_object(Bucket=bucket, Key="etag")
    before = server.store.repo(bucket).branch("master").head
    found = s3.delete_objects(
        Bucket=bucket,
        Delete={
            "Objects": [
                {"Key": "etag", "ETag": head["ETag"]},
                {"Key": "bad-etag", "ETag": "0" * 32},
                {"Key": "size", "Size": 5},
                {"Key": "bad-size", "Size": 99},
                {"Key": "time", "LastModifiedTime": s3.head_object(Bucket=bucket, Key="time")["LastModified"]},
                {"Key": "bad-time", "LastModifiedTime": head["LastModified"] - timedelta(days=1)},
                {"Key": "plain"},
                {"Key": "star", "ETag": "*"},
                {"Key": "none", "ETag": "*"},
                {"Key": "nothing", "Size": 1},
            ]
        },
    )
    errors = {one["Key"]: one["Code"] for one in found["Errors"]}
    failed = dict.fromkeys(("bad-etag", "bad-size", "bad-time"), "PreconditionFailed")
    assert errors == failed | {"none": "NoSuchKey"}
    assert {one["Key"] for one in found["Deleted"]} == {"etag", "size", "time", "plain", "star", "nothing"}
    assert sorted(keys(s3, bucket)) == ["bad-etag", "bad-size", "bad-time"]
    head_now = server.store.repo(bucket).branch("master").head
    assert head_now is not None
    assert server.store.repo(bucket).inspect(head_now).parents == (before,)  # all in one commit


def test_when_no_condition_holds_nothing_is_committed(s3: BaseClient, bucket: str, server: Server) -> None:
    version = s3.put_object(Bucket=bucket, Key="k", Body=b"hello")["VersionId"]
    found = s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "k", "Size": 1}], "Quiet": True})
    assert [one["Code"] for one in found["Errors"]] == ["PreconditionFailed"]
    assert "Deleted" not in found
    assert server.store.repo(bucket).branch("master").head == version


@pytest.mark.parametrize("element", ["<Size>x</Size>", "<LastModifiedTime>x</LastModifiedTime>"])
def test_a_condition_that_is_none_fails_its_key(server: Server, bucket: str, element: str) -> None:
    server.request("PUT", f"/{bucket}/k", body=b"hello")
    body = f"<Delete><Object><Key>k</Key>{element}</Object></Delete>".encode()
    reply = server.request("POST", f"/{bucket}?delete", body=body)
    assert b"<Code>InvalidArgument</Code>" in reply.body
    assert server.request("HEAD", f"/{bucket}/k").status == 200


def test_times_of_listings_are_taken(server: Server, s3: BaseClient, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"hello")
    listed = server.request("GET", f"/{bucket}?list-type=2").body
    time = listed.partition(b"<LastModified>")[2].partition(b"<")[0].decode()
    body = f"<Delete><Object><Key>k</Key><LastModifiedTime>{time}</LastModifiedTime></Object></Delete>".encode()
    assert b"<Error>" not in server.request("POST", f"/{bucket}?delete", body=body).body
    assert keys(s3, bucket) == []


@pytest.mark.parametrize("many", [False, True])
def test_of_racing_deletes_with_an_etag_one_wins(server: Server, bucket: str, many: bool) -> None:
    etag = server.request("PUT", f"/{bucket}/k", body=b"hello").headers["etag"]
    one = f"<Delete><Object><Key>k</Key><ETag>{etag}</ETag></Object></Delete>".encode()

    def delete(_: int) -> bool:
        if many:
            return b"<Deleted>" in server.request("POST", f"/{bucket}?delete", body=one).body
        return server.request("DELETE", f"/{bucket}/k", headers={"If-Match": etag}).status == 204

    with ThreadPoolExecutor(12) as pool:
        assert sum(pool.map(delete, range(12))) == 1
