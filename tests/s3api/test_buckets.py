"""Buckets are branches; keys have roles; listings page."""

from collections.abc import Iterator
from contextlib import closing

import pytest
from botocore.client import BaseClient
from botocore.exceptions import ClientError

from pfs.model import BranchRef
from pfs.provenance.bind import Binding, bind
from pfs.store import Store
from s3api.http.times import iso_date
from tests.s3api.conftest import Server, running


@pytest.fixture
def live(home: Store) -> Iterator[Server]:
    with running(home) as server:
        yield server


@pytest.fixture
def client(live: Server) -> Iterator[BaseClient]:
    with closing(live.client()) as made:
        yield made


def code(error: pytest.ExceptionInfo[ClientError]) -> str:
    return str(error.value.response["Error"]["Code"])


def names(client: BaseClient) -> list[str]:
    return [one["Name"] for one in client.list_buckets()["Buckets"]]


def test_a_repo_is_a_bucket_before_its_first_write(home: Store, client: BaseClient) -> None:
    home.create_repo("images")
    assert names(client) == ["images"]
    assert client.list_objects_v2(Bucket="images")["KeyCount"] == 0
    client.head_bucket(Bucket="images")
    client.put_object(Bucket="images", Key="a.png", Body=b"1")
    assert home.repo("images")["master"].read("/a.png") == b"1"


def test_create_makes_repo_and_branch(home: Store, client: BaseClient) -> None:
    client.create_bucket(Bucket="images")
    client.create_bucket(Bucket="images")
    client.create_bucket(Bucket="dev.images", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    assert [branch.name for branch in home.repo("images").branches()] == ["dev", "master"]
    client.put_object(Bucket="dev.images", Key="k", Body=b"dev")
    assert client.list_objects_v2(Bucket="images")["KeyCount"] == 0
    assert client.get_object(Bucket="dev.images.default", Key="k")["Body"].read() == b"dev"
    assert names(client) == ["dev.images", "images"]
    created = client.list_buckets()["Buckets"][1]["CreationDate"]
    assert iso_date(home.repo("images").info().created_ns) == created.strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


def test_list_buckets_pages(home: Store, client: BaseClient) -> None:
    for name in "abcde":
        home.create_repo(name)
    pages = client.get_paginator("list_buckets").paginate(PaginationConfig={"PageSize": 2})
    assert [one["Name"] for page in pages for one in page["Buckets"]] == list("abcde")
    assert [one["Name"] for one in client.list_buckets(Prefix="c")["Buckets"]] == ["c"]


def test_delete_takes_the_branch_and_with_the_last_one_the_repo(home: Store, client: BaseClient) -> None:
    for bucket in ("r", "dev.r"):
        client.create_bucket(Bucket=bucket)
    client.put_object(Bucket="dev.r", Key="k", Body=b"1")
    with pytest.raises(ClientError) as caught:
        client.delete_bucket(Bucket="dev.r")
    assert code(caught) == "BucketNotEmpty"
    client.delete_object(Bucket="dev.r", Key="k")
    client.create_multipart_upload(Bucket="dev.r", Key="k")
    client.delete_bucket(Bucket="dev.r")
    assert [branch.name for branch in home.repo("r").branches()] == ["master"]
    client.delete_bucket(Bucket="r")
    assert names(client) == []
    assert list(home.backend.entries("uploads/")) == []
    with pytest.raises(ClientError) as caught:
        client.delete_bucket(Bucket="r")
    assert code(caught) == "NoSuchBucket"


@pytest.mark.parametrize("bucket", ["none", "dev.images", "0" * 32 + ".images", "images.dev", "0" * 32 + ".none"])
def test_buckets_that_do_not_exist(home: Store, client: BaseClient, bucket: str) -> None:
    home.create_repo("images")
    for call in (
        lambda: client.list_objects_v2(Bucket=bucket),
        lambda: client.get_object(Bucket=bucket, Key="k"),
        lambda: client.put_object(Bucket=bucket, Key="k", Body=b"x"),
        lambda: client.delete_object(Bucket=bucket, Key="k"),
        lambda: client.get_bucket_location(Bucket=bucket),
    ):
        with pytest.raises(ClientError) as caught:
            call()
        assert code(caught) == "NoSuchBucket"
    with pytest.raises(ClientError) as caught:
        client.head_bucket(Bucket=bucket)
    assert code(caught) == "404"


def test_a_commit_id_prefix_is_no_branch(client: BaseClient) -> None:
    client.create_bucket(Bucket="r")
    version = client.put_object(Bucket="r", Key="k", Body=b"1")["VersionId"]
    with pytest.raises(ClientError) as caught:
        client.get_object(Bucket=f"{version[:8]}.r", Key="k")
    assert code(caught) == "NoSuchBucket"


def test_location_and_versioning(client: BaseClient) -> None:
    client.create_bucket(Bucket="r")
    assert client.get_bucket_location(Bucket="r")["LocationConstraint"] is None
    assert client.get_bucket_versioning(Bucket="r")["Status"] == "Enabled"


def test_output_branches_of_pipelines_are_read_only(home: Store, client: BaseClient) -> None:
    client.create_bucket(Bucket="source")
    client.create_bucket(Bucket="out")
    client.put_object(Bucket="out", Key="k", Body=b"1")
    bind(home, "out", {"master": Binding((BranchRef("source", "master"),), pipeline=True)})
    for call in (
        lambda: client.put_object(Bucket="out", Key="k", Body=b"2"),
        lambda: client.delete_object(Bucket="out", Key="k"),
        lambda: client.delete_bucket(Bucket="out"),
        lambda: client.create_multipart_upload(Bucket="out", Key="k"),
    ):
        with pytest.raises(ClientError) as caught:
            call()
        assert code(caught) == "AccessDenied"
        assert "pipeline" in str(caught.value)
    assert client.get_object(Bucket="out", Key="k")["Body"].read() == b"1"


@pytest.mark.parametrize("version", ["list_objects", "list_objects_v2"])
def test_paging_through_boto3(client: BaseClient, version: str) -> None:
    client.create_bucket(Bucket="r")
    keys = sorted([f"dir{i}/{j} é+%" for i in range(3) for j in range(4)] + ["top", "dir1x"])
    for key in keys:
        client.put_object(Bucket="r", Key=key, Body=b"")
    for size in (1, 3, 1000):
        pages = list(client.get_paginator(version).paginate(Bucket="r", PaginationConfig={"PageSize": size}))
        assert [one["Key"] for page in pages for one in page.get("Contents", [])] == keys
        rolled = client.get_paginator(version).paginate(Bucket="r", Delimiter="/", PaginationConfig={"PageSize": size})
        prefixes = [one["Prefix"] for page in rolled for one in page.get("CommonPrefixes", [])]
        assert prefixes == ["dir0/", "dir1/", "dir2/"]
    assert client.list_objects_v2(Bucket="r", StartAfter="dir2/9")["Contents"][0]["Key"] == "top"
    assert "Owner" not in client.list_objects_v2(Bucket="r")["Contents"][0]
    assert client.list_objects_v2(Bucket="r", FetchOwner=True)["Contents"][0]["Owner"]["ID"] == "pfs"
    with pytest.raises(ClientError) as caught:
        client.list_objects_v2(Bucket="r", ContinuationToken="é")
    assert code(caught) == "InvalidArgument"


def test_roles(live: Server, client: BaseClient) -> None:
    for bucket in ("mine", "other"):
        client.create_bucket(Bucket=bucket)
        client.put_object(Bucket=bucket, Key="k", Body=b"1")
    attempts = {
        "list": lambda c, b: c.list_objects_v2(Bucket=b),
        "get": lambda c, b: c.get_object(Bucket=b, Key="k")["Body"].read(),
        "put": lambda c, b: c.put_object(Bucket=b, Key="new", Body=b"2"),
        "copy": lambda c, b: c.copy_object(Bucket=b, Key="copy", CopySource={"Bucket": b, "Key": "k"}),
        "delete": lambda c, b: c.delete_objects(Bucket=b, Delete={"Objects": [{"Key": "new"}]}),
        "create": lambda c, b: c.create_bucket(Bucket=f"dev.{b}"),
    }
    allowed = {"reader": {"list", "get"}, "writer": attempts.keys() - {"create"}, "owner": attempts.keys()}
    for role, may in allowed.items():
        key, secret = live.keys.create(role, role=role, repos=["mine"])
        with closing(live.client(key=key, secret=secret)) as limited:
            assert all("other" not in name for name in names(limited))
            for name, attempt in attempts.items():
                for bucket in ("mine", "other"):
                    if name in may and bucket == "mine":
                        attempt(limited, bucket)
                        continue
                    with pytest.raises(ClientError) as caught:
                        attempt(limited, bucket)
                    assert code(caught) == "AccessDenied"
            with pytest.raises(ClientError) as caught:
                limited.copy_object(Bucket="mine", Key="stolen", CopySource={"Bucket": "other", "Key": "k"})
            assert code(caught) == "AccessDenied"


def test_a_deleted_key_is_refused_at_once(live: Server, client: BaseClient) -> None:
    client.create_bucket(Bucket="r")
    key, secret = live.keys.create("temp")
    with closing(live.client(key=key, secret=secret)) as limited:
        limited.put_object(Bucket="r", Key="k", Body=b"1")
        live.keys.delete("temp")
        with pytest.raises(ClientError) as caught:
            limited.get_object(Bucket="r", Key="k")
    assert code(caught) == "InvalidAccessKeyId"


def test_a_wrong_secret_reads_and_writes_nothing(live: Server, client: BaseClient) -> None:
    client.create_bucket(Bucket="r")
    client.put_object(Bucket="r", Key="k", Body=b"1")
    with closing(live.client(secret="wrong")) as wrong:
        for call in (
            lambda: wrong.get_object(Bucket="r", Key="k"),
            lambda: wrong.put_object(Bucket="r", Key="k", Body=b"2"),
            lambda: wrong.list_buckets(),
            lambda: wrong.delete_object(Bucket="r", Key="k"),
        ):
            with pytest.raises(ClientError) as caught:
                call()
            assert code(caught) == "SignatureDoesNotMatch"
            assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403
    assert client.get_object(Bucket="r", Key="k")["Body"].read() == b"1"


def test_anonymous_reads_only_where_allowed(home: Store) -> None:
    with running(home, anonymous_read=["public"]) as live, closing(live.client()) as client:
        for bucket in ("public", "private"):
            client.create_bucket(Bucket=bucket)
            client.put_object(Bucket=bucket, Key="k", Body=b"1")
        assert live.request("GET", "/public/k", sign=False).body == b"1"
        assert live.request("GET", "/public", sign=False).status == 200
        for method, path in [("GET", "/private/k"), ("PUT", "/public/k"), ("DELETE", "/public/k"), ("GET", "/")]:
            reply = live.request(method, path, sign=False)
            assert (reply.status, reply.code) == (403, "AccessDenied")


def test_a_commit_and_a_version_belong_to_a_branch(s3: BaseClient, server: Server, bucket: str) -> None:
    repo = server.store.repo(bucket)
    first = s3.put_object(Bucket=bucket, Key="k", Body=b"1")["VersionId"]
    second = s3.put_object(Bucket=bucket, Key="k", Body=b"2")["VersionId"]
    repo.create_branch("dev", head="master")
    own = s3.put_object(Bucket=f"dev.{bucket}", Key="k", Body=b"3")["VersionId"]
    third = s3.put_object(Bucket=bucket, Key="k", Body=b"4")["VersionId"]
    has = {
        f"dev.{bucket}": {first, second, own},
        bucket: {first, second, third},
        f"{second}.{bucket}": {first, second},
        f"{second}.dev.{bucket}": {first, second},
        f"{own}.dev.{bucket}": {first, second, own},
    }
    for place, versions in has.items():
        for version in (first, second, own, third):
            if version in versions:
                assert s3.get_object(Bucket=place, Key="k", VersionId=version)["VersionId"] == version
            else:
                with pytest.raises(ClientError, match="NoSuchVersion"):
                    s3.get_object(Bucket=place, Key="k", VersionId=version)
    for place in (f"{own}.master.{bucket}", f"{third}.dev.{bucket}", f"{first}.none.{bucket}"):
        with pytest.raises(ClientError, match="NoSuchBucket"):
            s3.get_object(Bucket=place, Key="k")


def test_a_branch_made_anew_has_not_the_commits_of_the_old_one(s3: BaseClient, server: Server, bucket: str) -> None:
    repo = server.store.repo(bucket)
    repo.create_branch("dev")
    old = s3.put_object(Bucket=f"dev.{bucket}", Key="k", Body=b"1")["VersionId"]
    repo.delete_branch("dev")
    repo.create_branch("dev")
    with pytest.raises(ClientError, match="NoSuchVersion"):
        s3.get_object(Bucket=f"dev.{bucket}", Key="k", VersionId=old)
    with pytest.raises(ClientError, match="NoSuchBucket"):
        s3.get_object(Bucket=f"{old}.dev.{bucket}", Key="k")
    assert s3.get_object(Bucket=f"{old}.{bucket}", Key="k")["Body"].read() == b"1"


def test_a_version_in_an_open_commit(s3: BaseClient, server: Server, bucket: str) -> None:
    server.store.repo(bucket).start_commit("master")
    version = s3.put_object(Bucket=bucket, Key="k", Body=b"1")["VersionId"]
    assert s3.get_object(Bucket=bucket, Key="k", VersionId=version)["Body"].read() == b"1"
