"""Reads of versions and of delete markers, malformed version ids, and the versioning of a bucket."""

from __future__ import annotations

from email.utils import parsedate_to_datetime

import pytest
from botocore.client import BaseClient
from botocore.exceptions import ClientError

from s3api.versions.find import NEAR
from tests.s3api.conftest import Server
from tests.s3api.test_list_versions import delete, put, versions


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_deleted_key_says_so(server: Server, s3: BaseClient, bucket: str, method: str) -> None:
    put(s3, bucket, "k")
    gone = delete(s3, bucket, "k")
    for _ in range(2):
        reply = server.request(method, f"/{bucket}/k")
        assert (reply.status, reply.headers.get("x-amz-delete-marker")) == (404, "true")
        assert reply.headers["x-amz-version-id"] == gone
        put(s3, bucket, "other")
    never = server.request(method, f"/{bucket}/never")
    assert never.status == 404
    assert not {"x-amz-delete-marker", "x-amz-version-id"} & never.headers.keys()
    if method == "GET":
        assert reply.code == "NoSuchKey"
        assert b"<Key>k</Key>" in reply.body


def test_a_deletion_long_ago_is_told_when_the_index_knows_it(server: Server, s3: BaseClient, bucket: str) -> None:
    put(s3, bucket, "k")
    gone = delete(s3, bucket, "k")
    for number in range(NEAR + 1):
        put(s3, bucket, f"{number}")
    assert "x-amz-delete-marker" not in server.request("HEAD", f"/{bucket}/k").headers
    versions(s3, bucket)
    put(s3, bucket, "one more")
    for key, marker in (("k", gone), ("never", None)):
        reply = server.request("HEAD", f"/{bucket}/{key}")
        assert (reply.status, reply.headers.get("x-amz-version-id")) == (404, marker)


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_delete_marker_can_only_be_deleted(server: Server, s3: BaseClient, bucket: str, method: str) -> None:
    put(s3, bucket, "k")
    gone = delete(s3, bucket, "k")
    back = put(s3, bucket, "k", b"back")
    for _ in range(2):
        reply = server.request(method, f"/{bucket}/k?versionId={gone}")
        assert reply.status == 405
        assert reply.headers["x-amz-delete-marker"] == "true"
        assert reply.headers["x-amz-version-id"] == gone
        assert reply.headers["allow"] == "DELETE"
        assert parsedate_to_datetime(reply.headers["last-modified"])
        versions(s3, bucket)
    assert s3.get_object(Bucket=bucket, Key="k")["VersionId"] == back
    if method == "GET":
        assert reply.code == "MethodNotAllowed"
        assert b"<ResourceType>DeleteMarker</ResourceType>" in reply.body
        with pytest.raises(ClientError, match="InvalidRequest"):
            s3.copy_object(Bucket=bucket, Key="x", CopySource={"Bucket": bucket, "Key": "k", "VersionId": gone})
        with pytest.raises(ClientError, match="MethodNotAllowed"):
            s3.get_object_tagging(Bucket=bucket, Key="k", VersionId=gone)


@pytest.mark.parametrize(
    ("version", "status", "code", "message"),
    [
        ("", 400, "InvalidArgument", "Version id cannot be the empty string"),
        ("x", 400, "InvalidArgument", "Invalid version id specified"),
        ("0" * 31, 400, "InvalidArgument", "Invalid version id specified"),
        ("A" * 32, 400, "InvalidArgument", "Invalid version id specified"),
        ("null", 404, "NoSuchVersion", "there is no such version"),
        ("0" * 32, 404, "NoSuchVersion", "there is no such version"),
    ],
)
def test_ids_of_no_version(
    server: Server, s3: BaseClient, bucket: str, version: str, status: int, code: str, message: str
) -> None:
    put(s3, bucket, "k")
    for query in (f"versionId={version}", f"tagging&versionId={version}"):
        reply = server.request("GET", f"/{bucket}/k?{query}")
        assert (reply.status, reply.code) == (status, code)
        assert message.encode() in reply.body
    assert server.request("HEAD", f"/{bucket}/k?versionId={version}").status == status
    put(s3, bucket, "other")
    versions(s3, bucket)
    assert server.request("HEAD", f"/{bucket}/k?versionId={version}").status == status


def test_versions_stay(server: Server, s3: BaseClient, bucket: str) -> None:
    kept = put(s3, bucket, "k")
    with pytest.raises(ClientError, match="AccessDenied"):
        s3.delete_object(Bucket=bucket, Key="k", VersionId=kept)
    assert server.request("DELETE", f"/{bucket}/k?versionId=").code == "InvalidArgument"
    assert server.request("DELETE", f"/{bucket}/k?versionId=x").code == "InvalidArgument"
    done = s3.delete_objects(
        Bucket=bucket, Delete={"Objects": [{"Key": "k", "VersionId": kept}, {"Key": "other"}], "Quiet": False}
    )
    assert [(e["Key"], e["VersionId"], e["Code"]) for e in done["Errors"]] == [("k", kept, "AccessDenied")]
    assert done["Deleted"] == [{"Key": "other"}]
    assert s3.get_object(Bucket=bucket, Key="k")["VersionId"] == kept


def test_a_key_that_is_not_there_gets_no_marker(s3: BaseClient, bucket: str) -> None:
    put(s3, bucket, "k")
    done = s3.delete_object(Bucket=bucket, Key="never")
    assert not {"DeleteMarker", "VersionId"} & done.keys()
    many = s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "never"}, {"Key": "none"}]})
    assert many["Deleted"] == [{"Key": "never"}, {"Key": "none"}]
    assert len(versions(s3, bucket)) == 1
    both = s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "never"}, {"Key": "k"}]})["Deleted"]
    gone = versions(s3, bucket)[1][1]
    assert both == [{"Key": "never"}, {"Key": "k", "DeleteMarker": True, "DeleteMarkerVersionId": gone}]


def config(status: str) -> bytes:
    return b"<VersioningConfiguration>%s</VersioningConfiguration>" % status.encode()


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (config("<Status>Enabled</Status>"), 200, ""),
        (config("<Status>Enabled</Status><MfaDelete>Disabled</MfaDelete>"), 200, ""),
        (config("<Status>Suspended</Status>"), 409, "InvalidBucketState"),
        (
            config("<Status>Enabled</Status><MfaDelete>Enabled</MfaDelete>"),
            400,
            "IllegalVersioningConfigurationException",
        ),
        (config(""), 400, "IllegalVersioningConfigurationException"),
        (config("<Status>enabled</Status>"), 400, "MalformedXML"),
        (b"<VersioningConfiguration>", 400, "MalformedXML"),
        (b"<Other/>", 400, "MalformedXML"),
        (b"", 400, "MalformedXML"),
    ],
)
def test_versioning_is_always_enabled(
    server: Server, s3: BaseClient, bucket: str, body: bytes, status: int, code: str
) -> None:
    reply = server.request("PUT", f"/{bucket}?versioning", body=body)
    assert (reply.status, reply.code) == (status, code)
    assert s3.get_bucket_versioning(Bucket=bucket)["Status"] == "Enabled"


def test_versioning_of_no_bucket(server: Server) -> None:
    body = config("<Status>Enabled</Status>")
    assert server.request("PUT", "/nowhere?versioning", body=body).code == "NoSuchBucket"
