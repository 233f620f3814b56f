"""Buckets of commits: the past, read as any bucket and never written; and how names of buckets are understood."""

from __future__ import annotations

import pytest
from botocore.client import BaseClient
from botocore.exceptions import ClientError

from tests.s3api.conftest import Server
from tests.s3api.test_list_versions import delete, put, versions


@pytest.fixture
def commits(s3: BaseClient, bucket: str) -> list[str]:
    """Three commits: a and b, a deleted, b and c."""
    first = put(s3, bucket, "a", b"1")
    second = put(s3, bucket, "dir/b", b"2")
    third = delete(s3, bucket, "a")
    fourth = put(s3, bucket, "c", b"4")
    return [first, second, third, fourth]


def keys(s3: BaseClient, bucket: str) -> list[str]:
    return [one["Key"] for one in s3.list_objects_v2(Bucket=bucket).get("Contents", ())]


def test_each_commit_is_listed_as_it_was(s3: BaseClient, bucket: str, commits: list[str]) -> None:
    wanted = [["a"], ["a", "dir/b"], ["dir/b"], ["c", "dir/b"]]
    for commit, names in zip(commits, wanted, strict=True):
        for place in (f"{commit}.{bucket}", f"{commit}.master.{bucket}", f"{commit}.master.{bucket}.default"):
            assert keys(s3, place) == names
            assert [one["Key"] for one in s3.list_objects(Bucket=place).get("Contents", ())] == names
            assert s3.head_bucket(Bucket=place)["ResponseMetadata"]["HTTPStatusCode"] == 200
            assert s3.get_bucket_versioning(Bucket=place)["Status"] == "Enabled"
            assert "Uploads" not in s3.list_multipart_uploads(Bucket=place)
    page = s3.list_objects_v2(Bucket=f"{commits[1]}.{bucket}", Delimiter="/")
    assert [one["Prefix"] for one in page["CommonPrefixes"]] == ["dir/"]


def test_objects_of_a_commit(s3: BaseClient, server: Server, bucket: str, commits: list[str]) -> None:
    place = f"{commits[1]}.{bucket}"
    got = s3.get_object(Bucket=place, Key="a")
    assert (got["Body"].read(), got["VersionId"]) == (b"1", commits[0])
    assert s3.head_object(Bucket=place, Key="dir/b", VersionId=commits[1])["ContentLength"] == 1
    with pytest.raises(ClientError, match="NoSuchVersion"):
        s3.get_object(Bucket=place, Key="c", VersionId=commits[3])
    gone = server.request("HEAD", f"/{commits[3]}.{bucket}/a")
    assert (gone.status, gone.headers["x-amz-version-id"]) == (404, commits[2])
    assert server.request("GET", f"/{commits[2]}.{bucket}/a?versionId={commits[2]}").status == 405
    listed = versions(s3, f"{commits[3]}.{bucket}", Prefix="a")
    assert listed == [("a", commits[0], False, False), ("a", commits[2], True, True)]
    assert s3.get_object_attributes(Bucket=place, Key="a", ObjectAttributes=["ObjectSize"])["ObjectSize"] == 1


def test_the_past_is_not_written(s3: BaseClient, bucket: str, commits: list[str]) -> None:
    place = f"{commits[0]}.{bucket}"
    for work in (
        lambda: s3.put_object(Bucket=place, Key="k", Body=b""),
        lambda: s3.delete_object(Bucket=place, Key="a"),
        lambda: s3.delete_objects(Bucket=place, Delete={"Objects": [{"Key": "a"}]}),
        lambda: s3.copy_object(Bucket=place, Key="k", CopySource=f"{bucket}/c"),
        lambda: s3.create_multipart_upload(Bucket=place, Key="k"),
        lambda: s3.put_object_tagging(Bucket=place, Key="a", Tagging={"TagSet": []}),
    ):
        with pytest.raises(ClientError, match="AccessDenied"):
            work()
    s3.copy_object(Bucket=bucket, Key="back", CopySource=f"{place}/a")
    assert s3.get_object(Bucket=bucket, Key="back")["Body"].read() == b"1"


def test_ids_of_every_write(s3: BaseClient, server: Server, bucket: str) -> None:
    ids = [put(s3, bucket, "k"), s3.copy_object(Bucket=bucket, Key="c", CopySource=f"{bucket}/k")["VersionId"]]
    upload = s3.create_multipart_upload(Bucket=bucket, Key="m")["UploadId"]
    tag = s3.upload_part(Bucket=bucket, Key="m", UploadId=upload, PartNumber=1, Body=b"x")["ETag"]
    parts = {"Parts": [{"PartNumber": 1, "ETag": tag}]}
    ids.append(
        s3.complete_multipart_upload(Bucket=bucket, Key="m", UploadId=upload, MultipartUpload=parts)["VersionId"]
    )
    ids.append(
        s3.put_object_tagging(Bucket=bucket, Key="k", Tagging={"TagSet": [{"Key": "a", "Value": "b"}]})["VersionId"]
    )
    ids.append(delete(s3, bucket, "k"))
    done = s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "c"}]})["Deleted"][0]
    ids.append(done["DeleteMarkerVersionId"])
    assert [info.id for info in server.store.repo(bucket).commits("master")] == ids[::-1]


@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("{commit}.{repo}", 200),
        ("{commit}.side.{repo}", 404),
        ("{commit}.none.{repo}", 404),
        ("{short}.{repo}", 404),
        ("side.{repo}", 200),
        ("none.{repo}", 404),
        ("a.b.{repo}", 400),
        ("{commit}.a.b.{repo}", 400),
        ("{zeros}.{repo}", 404),
        (".side.{repo}", 400),
        ("master^.{repo}", 400),
    ],
)
def test_names(server: Server, s3: BaseClient, bucket: str, name: str, status: int) -> None:
    put(s3, bucket, "other")
    server.store.repo(bucket).create_branch("side", head="master")
    commit = put(s3, bucket, "k")
    full = name.format(commit=commit, short=commit[:12], repo=bucket, zeros="0" * 32)
    assert server.request("GET", f"/{full}").status == status
