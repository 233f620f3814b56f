"""ACLs: a fixed answer, and what may be put since it changes nothing."""

import pytest
from botocore.client import BaseClient
from botocore.exceptions import ClientError

import pfs
from s3api.objects.acl import ALL_USERS
from tests.s3api.conftest import Server, running

OWNER = {"ID": "pfs", "DisplayName": "pfs"}
FULL = {"Grantee": {**OWNER, "Type": "CanonicalUser"}, "Permission": "FULL_CONTROL"}
READ = {"Grantee": {"Type": "Group", "URI": ALL_USERS}, "Permission": "READ"}


def policy(*grants: object) -> dict[str, object]:
    return {"Owner": OWNER, "Grants": list(grants)}


def refusal(error: pytest.ExceptionInfo[ClientError]) -> tuple[int, str]:
    response = error.value.response
    return response["ResponseMetadata"]["HTTPStatusCode"], response["Error"]["Code"]


def test_the_owner_has_everything(s3: BaseClient, bucket: str) -> None:
    version = s3.put_object(Bucket=bucket, Key="k", Body=b"1")["VersionId"]
    s3.put_object(Bucket=bucket, Key="k", Body=b"2")
    for acl in (
        s3.get_bucket_acl(Bucket=bucket),
        s3.get_object_acl(Bucket=bucket, Key="k"),
        s3.get_object_acl(Bucket=bucket, Key="k", VersionId=version),
    ):
        assert (acl["Owner"], acl["Grants"]) == (OWNER, [FULL])


def test_everyone_reads_where_that_is_allowed(tmp_path_factory: pytest.TempPathFactory) -> None:
    home = tmp_path_factory.mktemp("home")
    with pfs.init(home) as store, running(store, anonymous_read=["open"]) as server:
        for name in ("open", "closed"):
            store.create_repo(name)
        client = server.client()
        assert client.get_bucket_acl(Bucket="open")["Grants"] == [FULL, READ]
        assert client.get_bucket_acl(Bucket="closed")["Grants"] == [FULL]
        client.close()


def test_what_changes_nothing_is_taken(s3: BaseClient, bucket: str, server: Server) -> None:
    head = s3.put_object(Bucket=bucket, Key="k", Body=b"1")["VersionId"]
    for canned in ("private", "public-read", "bucket-owner-full-control"):
        s3.put_bucket_acl(Bucket=bucket, ACL=canned)
        s3.put_object_acl(Bucket=bucket, Key="k", ACL=canned)
    for acl in (policy(FULL), policy(FULL, READ)):
        s3.put_bucket_acl(Bucket=bucket, AccessControlPolicy=acl)
        s3.put_object_acl(Bucket=bucket, Key="k", AccessControlPolicy=acl)
    assert s3.get_bucket_acl(Bucket=bucket)["Grants"] == [FULL]
    assert server.store.repo(bucket).branch("master").head == head


def test_what_would_change_something_is_not_done(s3: BaseClient, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"1")
    other = {"Grantee": {"Type": "CanonicalUser", "ID": "somebody"}, "Permission": "READ"}
    write = {**READ, "Permission": "WRITE"}
    for change in (
        {"ACL": "public-read-write"},
        {"ACL": "authenticated-read"},
        {"GrantRead": "id=somebody"},
        {"AccessControlPolicy": policy(FULL, other)},
        {"AccessControlPolicy": policy(FULL, write)},
    ):
        for put in (s3.put_bucket_acl, s3.put_object_acl):
            named = {"Key": "k"} if put == s3.put_object_acl else {}
            with pytest.raises(ClientError) as refused:
                put(Bucket=bucket, **named, **change)
            assert refusal(refused) == (501, "NotImplemented")


@pytest.mark.parametrize(
    ("headers", "body", "code"),
    [
        ({}, b"", "MissingSecurityHeader"),
        ({"x-amz-acl": "private"}, b"<AccessControlPolicy/>", "UnexpectedContent"),
        ({}, b"<AccessControlPolicy/>", "MalformedACLError"),
        ({}, b"no xml", "MalformedACLError"),
        (
            {},
            b"<AccessControlPolicy><AccessControlList><Grant/></AccessControlList></AccessControlPolicy>",
            "MalformedACLError",
        ),
    ],
)
def test_lists_that_are_none(server: Server, bucket: str, headers: dict[str, str], body: bytes, code: str) -> None:
    server.request("PUT", f"/{bucket}/k", body=b"1")
    for path in (f"/{bucket}?acl", f"/{bucket}/k?acl"):
        reply = server.request("PUT", path, body=body, headers=headers)
        assert (reply.status, reply.code) == (400, code)


def test_what_is_not_there_has_none(server: Server, bucket: str) -> None:
    for method in ("GET", "PUT"):
        headers = {"x-amz-acl": "private"} if method == "PUT" else {}
        assert server.request(method, f"/{bucket}/none?acl", headers=headers).code == "NoSuchKey"
        assert server.request(method, "/no-such-bucket?acl", headers=headers).code == "NoSuchBucket"
    commit = server.request("PUT", f"/{bucket}/k", body=b"1").headers["x-amz-version-id"] + f".{bucket}"
    assert server.request("GET", f"/{commit}/k?acl").status == 200
    assert server.request("PUT", f"/{commit}/k?acl", headers={"x-amz-acl": "private"}).code == "AccessDenied"
