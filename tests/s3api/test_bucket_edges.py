"""Making and deleting buckets: names, configurations, and writes that come in between."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from botocore.client import BaseClient

from pfs.changes.branches import delete as delete_branch
from pfs.changes.repos import delete_repo
from pfs.errors import ConflictError
from pfs.refs.body import RefsBody
from pfs.store import Store
from tests.s3api.conftest import Server

CONFIGURATION = "<CreateBucketConfiguration>{}</CreateBucketConfiguration>"


@pytest.mark.parametrize("name", ["a", "My_Repo", "x--y", "dev.My_Repo", "n" * 63, "0", "b.c.default"])
def test_names_of_new_buckets(server: Server, name: str) -> None:
    reply = server.request("PUT", f"/{name}")
    assert (reply.status, reply.headers["location"]) == (200, f"/{name}")
    assert server.request("HEAD", f"/{name}").headers["x-amz-bucket-region"] == "us-east-1"
    assert server.request("PUT", f"/{name}").status == 200


@pytest.mark.parametrize(
    "name",
    ["-a", "a-", "_a", "a_", "n" * 64, "10.0.0.1", "a..b", "a.", ".a", "a.-b", "a-.b", "a%20b", "%C3%BC", "a.b.c"],
)
def test_names_that_no_new_bucket_has(server: Server, name: str) -> None:
    reply = server.request("PUT", f"/{name}")
    assert (reply.status, reply.code) == (400, "InvalidBucketName")


def test_a_repo_may_have_such_a_name_all_the_same(server: Server) -> None:
    server.store.create_repo("_made_otherwise_")
    assert server.request("PUT", "/_made_otherwise_/k", body=b"1").status == 200
    assert server.request("PUT", "/_made_otherwise_").status == 200


@pytest.mark.parametrize(
    ("inside", "status", "code"),
    [
        ("<LocationConstraint>us-east-1</LocationConstraint>", 200, ""),
        ("<LocationConstraint>a region</LocationConstraint>", 400, "InvalidLocationConstraint"),
        ("<Tags><Tag><Key>a</Key><Value>1</Value></Tag></Tags>", 200, ""),
        ("<Tags><Tag><Key>a,</Key><Value>1</Value></Tag></Tags>", 400, "InvalidTag"),
        ("<Location><Name>x</Name></Location>", 501, "NotImplemented"),
        ("<Location", 400, "MalformedXML"),
    ],
)
def test_configurations(server: Server, inside: str, status: int, code: str) -> None:
    name = f"c{abs(hash(inside)):x}"
    reply = server.request("PUT", f"/{name}", body=CONFIGURATION.format(inside).encode())
    assert (reply.status, reply.code) == (status, code)
    assert server.request("HEAD", f"/{name}").status == (200 if status == 200 else 404)


def test_tags_come_with_a_new_bucket_and_leave_an_old_one_alone(s3: BaseClient) -> None:
    for value in ("first", "second"):
        tags = [{"Key": "made", "Value": value}]
        s3.create_bucket(Bucket="tagged", CreateBucketConfiguration={"Tags": tags})
    assert s3.get_bucket_tagging(Bucket="tagged")["TagSet"] == [{"Key": "made", "Value": "first"}]


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({"x-amz-object-ownership": "BucketOwnerEnforced"}, ""),
        ({"x-amz-object-ownership": "ObjectWriter", "x-amz-acl": "private"}, ""),
        ({"x-amz-object-ownership": "Nobody"}, "InvalidArgument"),
        ({"x-amz-object-ownership": ""}, "InvalidArgument"),
        ({"x-amz-bucket-object-lock-enabled": "false"}, ""),
        ({"x-amz-bucket-object-lock-enabled": "true"}, "NotImplemented"),
        ({"x-amz-grant-read": "id=x"}, "NotImplemented"),
    ],
)
def test_headers_of_new_buckets(server: Server, headers: dict[str, str], code: str) -> None:
    name = f"h{abs(hash(str(headers))):x}"
    assert server.request("PUT", f"/{name}", headers=headers).code == code
    assert server.request("HEAD", f"/{name}").status == (404 if code else 200)


def test_a_bucket_with_objects_stays(server: Server, bucket: str) -> None:
    server.request("PUT", f"/{bucket}/k", body=b"1")
    reply = server.request("DELETE", f"/{bucket}")
    assert (reply.status, reply.code) == (409, "BucketNotEmpty")
    assert f"<BucketName>{bucket}</BucketName>".encode() in reply.body


def test_an_upload_under_way_goes_with_its_bucket(s3: BaseClient, bucket: str, server: Server) -> None:
    upload = s3.create_multipart_upload(Bucket=bucket, Key="k")["UploadId"]
    s3.delete_bucket(Bucket=bucket)
    s3.create_bucket(Bucket=bucket)
    assert "Uploads" not in s3.list_multipart_uploads(Bucket=bucket)
    reply = server.request("PUT", f"/{bucket}/k?partNumber=1&uploadId={upload}", body=b"1")
    assert (reply.status, reply.code) == (404, "NoSuchUpload")


def test_what_was_written_meanwhile_is_not_deleted(home: Store) -> None:
    repo = home.create_repo("r")
    repo.create_branch("master")
    repo.create_branch("other")
    seen = home.refs.read("r").body.branches["master"].head
    with repo.commit("master") as commit:
        commit.put_file("/a", b"1")

    def guard(body: RefsBody) -> None:
        if body.branches["master"].head != seen:
            raise ConflictError("written to")

    with pytest.raises(ConflictError, match="written to"):
        delete_branch(home, "r", "master", force=False, guard=guard)
    with pytest.raises(ConflictError, match="written to"):
        delete_repo(home, "r", force=False, guard=guard)
    assert repo["master"].read("/a") == b"1"


@pytest.mark.parametrize("alone", [True, False])
def test_an_acknowledged_write_outlives_a_racing_delete(server: Server, alone: bool) -> None:
    name = f"race-{alone}".lower()
    with ThreadPoolExecutor(4) as pool:
        for number in range(12):
            server.request("PUT", f"/{name}")
            if not alone:
                server.request("PUT", f"/other.{name}")
            put = [pool.submit(server.request, "PUT", f"/{name}/{number}-{n}", body=b"1") for n in range(3)]
            deleted = pool.submit(server.request, "DELETE", f"/{name}").result()
            written = [one.result() for one in put]
            assert {one.status for one in written} <= {200, 404, 409}
            assert deleted.status in {204, 409}
            for n in range(3):  # a write behind the deletion may make the branch anew
                if written[n].status == 200:
                    assert server.request("GET", f"/{name}/{number}-{n}").body == b"1"
                    server.request("DELETE", f"/{name}/{number}-{n}")
