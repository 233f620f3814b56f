"""The gateway of one job, with Pachyderm's list for workers (TestWorkerDriver) and what is ours beyond it."""

from __future__ import annotations

import hashlib
import os
import socket
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest
from botocore.client import BaseClient
from botocore.exceptions import ClientError

import pfs
from pfs.keys import Key, Keys
from pfs.store import Store
from s3api.job.attempt import Traffic
from s3api.job.server import Admission, JobGateway
from tests.s3api.conftest import Server

PART = 5 << 20
LARGE = 68_157_450
"""Bytes of the large object of Pachyderm's test."""


@dataclass
class Job:
    """A gateway with the inputs ``in1`` and ``in2``, and one attempt in it."""

    store: Store
    gateway: JobGateway
    admission: Admission
    ended: bool = False

    def server(self, admission: Admission | None = None) -> Server:
        one = admission or self.admission
        key = Key("datum", one.access_key, "writer", ())
        return Server(self.store, Keys(self.store), self.gateway.url, key, one.secret_key)

    def end(self) -> Traffic:
        self.ended = True
        return self.admission.end()

    def written(self) -> dict[bytes, int]:
        """End the attempt; return what it wrote, with sizes."""
        traffic = self.end()
        assert traffic.session is not None
        traffic.session.abandon()
        return {one.key: one.ref.size for one in traffic.written}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with pfs.init(tmp_path_factory.mktemp("job")) as store:
        with store.create_repo("images").commit("master") as commit:
            commit.put_file("/0", b"content")
            for number in range(1001):
                commit.put_file(f"/dir/{number}", b"%d" % number)
        with store.create_repo("more").commit("master") as commit:
            for name in ("rootdir/a", "rootdir/subdir/b", "rootfile", "subfile"):
                commit.put_file(f"/{name}", name.encode())
        store.create_repo("edges")
        yield store


@pytest.fixture
def job(store: Store) -> Iterator[Job]:
    inputs = {"in1": ("images", store.repo("images").inspect("master").id)}
    inputs["in2"] = ("more", store.repo("more").inspect("master").id)
    gateway = JobGateway(store, pipeline="edges", inputs=inputs, out=True)
    found = Job(store, gateway, gateway.admit())
    yield found
    if not found.ended:
        found.written()
    gateway.close()


@pytest.fixture
def s3(job: Job) -> Iterator[BaseClient]:
    with closing(job.server().client()) as client:
        yield client


def code_of(error: pytest.ExceptionInfo[ClientError]) -> tuple[int, str]:
    answer = error.value.response
    return answer["ResponseMetadata"]["HTTPStatusCode"], answer["Error"]["Code"]


def refused(call: str, client: BaseClient, **parameters: object) -> tuple[int, str]:
    with pytest.raises(ClientError) as error:
        getattr(client, call)(**parameters)
    return code_of(error)


def test_list_buckets_is_exactly_inputs_and_out(s3: BaseClient) -> None:
    assert [one["Name"] for one in s3.list_buckets()["Buckets"]] == ["in1", "in2", "out"]


def test_get_and_stat_objects_of_inputs(s3: BaseClient) -> None:
    got = s3.get_object(Bucket="in1", Key="0")
    assert got["Body"].read() == b"content"
    head = s3.head_object(Bucket="in1", Key="0")
    assert (head["ContentLength"], head["ETag"]) == (7, got["ETag"])
    assert "VersionId" not in head
    assert s3.get_object(Bucket="in1", Key="0", Range="bytes=-3")["Body"].read() == b"ent"
    assert refused("get_object", s3, Bucket="in1", Key="none") == (404, "NoSuchKey")
    assert refused("get_object", s3, Bucket="in1", Key="0", IfMatch='"x"')[0] == 412


@pytest.mark.row("3.6 input is pinned")
def test_inputs_are_pinned(job: Job, s3: BaseClient) -> None:
    with job.store.repo("images").commit("master") as commit:
        commit.put_file("/0", b"later")
        commit.put_file("/new", b"later")
    assert s3.get_object(Bucket="in1", Key="0")["Body"].read() == b"content"
    assert refused("head_object", s3, Bucket="in1", Key="new")[0] == 404
    with job.store.repo("images").commit("master") as commit:
        commit.put_file("/0", b"content")
        commit.delete_file("/new")


def test_the_output_cannot_be_read(s3: BaseClient) -> None:
    for body in (b"content1", b"content2"):
        s3.put_object(Bucket="out", Key="file", Body=body)
        assert refused("get_object", s3, Bucket="out", Key="file") == (404, "NoSuchKey")
    assert refused("get_object", s3, Bucket="out", Key="none") == (404, "NoSuchKey")
    assert refused("get_object", s3, Bucket="edges", Key="file") == (404, "NoSuchKey")


def test_the_notes_of_the_magic_committer_can_be_read_back(s3: BaseClient) -> None:
    key = "table/__magic_job-1/job-1/00/tasks/attempt_1/__base/part.pending"
    s3.put_object(Bucket="out", Key=key, Body=b"notes")
    assert s3.get_object(Bucket="out", Key=key)["Body"].read() == b"notes"
    for plain in ("table/x__magic/k", "table/__magic"):
        s3.put_object(Bucket="out", Key=plain, Body=b"1")
        assert refused("get_object", s3, Bucket="out", Key=plain) == (404, "NoSuchKey")


def test_the_attempt_sees_by_head_and_list_what_it_wrote(job: Job, s3: BaseClient) -> None:
    s3.put_object(Bucket="out", Key="a/b", Body=b"12345", Metadata={"k": "v"}, ContentType="text/x")
    head = s3.head_object(Bucket="out", Key="a/b")
    assert (head["ContentLength"], head["Metadata"], head["ContentType"]) == (5, {"k": "v"}, "text/x")
    assert "VersionId" not in head
    assert s3.head_object(Bucket="edges", Key="a/b")["ETag"] == head["ETag"]
    listed = s3.list_objects_v2(Bucket="out", Delimiter="/")
    assert [one["Prefix"] for one in listed["CommonPrefixes"]] == ["a/"]
    assert [one["Key"] for one in s3.list_objects(Bucket="out", Prefix="a/")["Contents"]] == ["a/b"]
    other = job.gateway.admit()
    with closing(job.server(other).client()) as client:
        assert "Contents" not in client.list_objects_v2(Bucket="out")
        assert refused("head_object", client, Bucket="out", Key="a/b")[0] == 404
    traffic = other.end()
    assert traffic.written == ()
    assert traffic.session is not None
    traffic.session.abandon()


def test_renaming_by_copies_inside_the_output(job: Job, s3: BaseClient) -> None:
    s3.put_object(Bucket="out", Key="_temporary/part", Body=b"rows", Metadata={"k": "v"})
    s3.copy_object(Bucket="out", Key="part", CopySource={"Bucket": "out", "Key": "_temporary/part"})
    s3.delete_objects(Bucket="out", Delete={"Objects": [{"Key": "_temporary/part"}, {"Key": "never"}]})
    assert s3.head_object(Bucket="out", Key="part")["Metadata"] == {"k": "v"}
    upload = {"Bucket": "edges", "Key": "joined", "UploadId": ""}
    upload["UploadId"] = s3.create_multipart_upload(Bucket="edges", Key="joined")["UploadId"]
    s3.put_object(Bucket="out", Key="long", Body=os.urandom(PART))
    etags = [
        s3.upload_part_copy(**upload, PartNumber=n, CopySource=f"{bucket}/{key}")["CopyPartResult"]["ETag"]
        for n, (bucket, key) in enumerate((("out", "long"), ("edges", "part"), ("in1", "0")), start=1)
        if n != 2
    ]
    parts = [{"PartNumber": n, "ETag": etag} for n, etag in zip((1, 3), etags, strict=True)]
    s3.complete_multipart_upload(**upload, MultipartUpload={"Parts": parts})
    assert job.written() == {b"joined": PART + 7, b"long": PART, b"part": 4}


def test_copies_from_an_input_share_its_bytes(job: Job, s3: BaseClient) -> None:
    s3.copy_object(Bucket="out", Key="copy", CopySource={"Bucket": "in1", "Key": "0"})
    assert refused("copy_object", s3, Bucket="out", Key="x", CopySource={"Bucket": "in9", "Key": "0"})[1] == (
        "NoSuchBucket"
    )
    traffic = job.end()
    (one,) = traffic.written
    row = job.store.repo("images")["master"].tree.stat(b"0")
    assert row is not None
    assert one.ref.tid == row.tid
    assert traffic.session is not None
    traffic.session.abandon()


def test_objects_are_removed_twice_without_error(job: Job, s3: BaseClient) -> None:
    s3.put_object(Bucket="out", Key="file", Body=b"1")
    for _ in range(2):
        assert s3.delete_object(Bucket="out", Key="file")["ResponseMetadata"]["HTTPStatusCode"] == 204
    assert job.written() == {}


def test_inputs_cannot_be_written(s3: BaseClient) -> None:
    upload = {"Bucket": "in1", "Key": "file"}
    assert refused("put_object", s3, **upload, Body=b"") == (501, "NotImplemented")
    assert refused("delete_object", s3, **upload) == (501, "NotImplemented")
    assert refused("delete_objects", s3, Bucket="in1", Delete={"Objects": [{"Key": "0"}]}) == (501, "NotImplemented")
    assert refused("create_multipart_upload", s3, **upload) == (501, "NotImplemented")
    assert refused("copy_object", s3, **upload, CopySource={"Bucket": "in1", "Key": "0"}) == (501, "NotImplemented")


@pytest.mark.row("3.6 create and delete bucket")
def test_buckets_are_neither_made_nor_removed(s3: BaseClient) -> None:
    for name in ("in1", "out", "foobar", "images"):
        assert refused("create_bucket", s3, Bucket=name) == (501, "NotImplemented")
        assert refused("delete_bucket", s3, Bucket=name) == (501, "NotImplemented")


def test_which_buckets_exist(s3: BaseClient) -> None:
    for name in ("in1", "in2", "out"):
        s3.head_bucket(Bucket=name)
    for name in ("foobar", "images", "more", "later.images"):
        assert refused("head_bucket", s3, Bucket=name)[0] == 404
        assert refused("get_object", s3, Bucket=name, Key="0") == (404, "NoSuchBucket")
        assert refused("put_object", s3, Bucket=name, Key="0") == (404, "NoSuchBucket")


@pytest.mark.row("3.6 versioning")
def test_there_are_no_versions(s3: BaseClient) -> None:
    for bucket in ("in1", "out"):
        assert "Status" not in s3.get_bucket_versioning(Bucket=bucket)
        assert refused("list_object_versions", s3, Bucket=bucket) == (501, "NotImplemented")
    version = "0" * 32
    assert refused("get_object", s3, Bucket="in1", Key="0", VersionId=version) == (501, "NotImplemented")
    source = {"Bucket": "in1", "Key": "0", "VersionId": version}
    assert refused("copy_object", s3, Bucket="out", Key="x", CopySource=source) == (501, "NotImplemented")


def test_listing_by_pages(s3: BaseClient) -> None:
    pages = list(s3.get_paginator("list_objects_v2").paginate(Bucket="in1"))
    keys = [one["Key"] for page in pages for one in page["Contents"]]
    assert len(pages) == 2
    assert keys == sorted(["0", *(f"dir/{n}" for n in range(1001))])
    top = s3.list_objects(Bucket="in1", Delimiter="/")
    assert [one["Key"] for one in top["Contents"]] == ["0"]
    assert [one["Prefix"] for one in top["CommonPrefixes"]] == ["dir/"]
    assert len(s3.list_objects_v2(Bucket="in1", Prefix="dir/100")["Contents"]) == 2


@pytest.mark.parametrize(
    ("prefix", "keys"),
    [
        ("", ["rootdir/a", "rootdir/subdir/b", "rootfile", "subfile"]),
        ("r", ["rootdir/a", "rootdir/subdir/b", "rootfile"]),
        ("rootdir", ["rootdir/a", "rootdir/subdir/b"]),
        ("rootdir/", ["rootdir/a", "rootdir/subdir/b"]),
        ("rootdir/s", ["rootdir/subdir/b"]),
        ("rootdir/subdir/", ["rootdir/subdir/b"]),
        ("subfile", ["subfile"]),
    ],
)
def test_listing_recursively(s3: BaseClient, prefix: str, keys: list[str]) -> None:
    assert [one["Key"] for one in s3.list_objects_v2(Bucket="in2", Prefix=prefix)["Contents"]] == keys


def test_large_objects(job: Job, s3: BaseClient, tmp_path: Path) -> None:
    place = tmp_path / "large"
    place.write_bytes(os.urandom(1 << 20) * (LARGE // (1 << 20)) + b"x" * (LARGE % (1 << 20)))
    with pytest.raises(Exception, match="NoSuchBucket"):
        s3.upload_file(str(place), "missing", "file")
    s3.upload_file(str(place), "out", "file")
    with pytest.raises(ClientError, match="404"):
        s3.download_file("missing", "file", str(tmp_path / "back"))
    with pytest.raises(ClientError) as error:
        s3.get_object(Bucket="out", Key="file")
    assert code_of(error) == (404, "NoSuchKey")
    assert s3.head_object(Bucket="out", Key="file")["ContentLength"] == LARGE
    traffic = job.end()
    assert [one.ref.size for one in traffic.written] == [LARGE]
    assert traffic.session is not None
    with job.store.create_repo("large", exist_ok=True).commit("master") as commit:
        commit.session.adopt(traffic.session)
        commit.put_ref(b"file", traffic.written[0].ref)
    stored = job.store.repo("large")["master"].read("/file")
    assert hashlib.md5(stored).digest() == hashlib.md5(place.read_bytes()).digest()


def test_what_is_left_of_uploads_goes_with_the_attempt(job: Job, s3: BaseClient) -> None:
    def names() -> list[str]:
        return [entry.name for entry in job.store.backend.entries("uploads/")]

    begun = s3.create_multipart_upload(Bucket="out", Key="a")["UploadId"]
    s3.upload_part(Bucket="out", Key="a", UploadId=begun, PartNumber=1, Body=b"never")
    done = s3.create_multipart_upload(Bucket="out", Key="b")["UploadId"]
    etag = s3.upload_part(Bucket="out", Key="b", UploadId=done, PartNumber=1, Body=b"done")["ETag"]
    parts = {"Parts": [{"PartNumber": 1, "ETag": etag}]}
    for _ in range(2):  # the second time is that of a client that missed the answer
        answer = s3.complete_multipart_upload(Bucket="out", Key="b", UploadId=done, MultipartUpload=parts)
        assert answer["ETag"].endswith('-1"')
    assert [one["Key"] for one in s3.list_multipart_uploads(Bucket="out")["Uploads"]] == ["a"]
    assert names()
    assert job.written() == {b"b": 4}
    assert names() == []


def test_conditional_writes_hold(s3: BaseClient) -> None:
    s3.put_object(Bucket="out", Key="once", Body=b"1", IfNoneMatch="*")
    assert refused("put_object", s3, Bucket="out", Key="once", Body=b"2", IfNoneMatch="*")[0] == 412


def test_keys_of_s3_may_be_files_and_folders_at_once(job: Job, s3: BaseClient) -> None:
    for key in ("a", "a/b", "a/", "c//d"):
        s3.put_object(Bucket="out", Key=key, Body=b"1")
    assert job.written() == {b"a": 1, b"a/": 1, b"a/b": 1, b"c//d": 1}


def test_only_the_credentials_of_an_attempt_come_in_and_only_while_it_runs(job: Job, s3: BaseClient) -> None:
    root, secret = Keys(job.store).root()
    with closing(job.server().client(key=root, secret=secret)) as client:
        assert refused("list_buckets", client) == (403, "InvalidAccessKeyId")
    assert job.server().request("GET", "/in1/0", sign=False).code == "AccessDenied"
    assert job.server().request("OPTIONS", "/in1/0", sign=False, headers={"Origin": "http://x"}).status >= 400
    s3.put_object(Bucket="out", Key="a", Body=b"1")
    assert job.written() == {b"a": 1}
    assert refused("put_object", s3, Bucket="out", Key="b", Body=b"1") == (403, "InvalidAccessKeyId")
    assert refused("get_object", s3, Bucket="in1", Key="0") == (403, "InvalidAccessKeyId")


def test_raw_requests_get_errors_by_name(job: Job) -> None:
    server = job.server()
    for method, path in (
        ("PUT", "/out?versioning"),
        ("GET", "/out?acl"),
        ("GET", "/in1?policy"),
        ("PUT", "/in1/0"),
        ("DELETE", "/in1/0"),
        ("POST", "/in1/0?uploads"),
        ("GET", "/in1?versions"),
        ("PUT", "/new"),
        ("PUT", "/out/k?tagging"),
    ):
        reply = server.request(method, path)
        assert (reply.status, reply.code) == (501, "NotImplemented"), (method, path)
    assert server.request("GET", "/in1/0").body == b"content"
    assert server.request("HEAD", "/out/none").status == 404
    assert server.request("PUT", "/out/k", body=b"1").status == 200
    assert (reply := server.request("GET", "/out/k")).status == 404
    assert reply.code == "NoSuchKey"


def test_without_an_output_there_is_no_out(store: Store) -> None:
    commit = store.repo("more").inspect("master").id
    gateway = JobGateway(store, pipeline="edges", inputs={"in2": ("more", commit)}, out=False)
    try:
        admission = gateway.admit()
        server = Job(store, gateway, admission).server()
        with closing(server.client()) as client:
            assert [one["Name"] for one in client.list_buckets()["Buckets"]] == ["in2"]
            assert refused("put_object", client, Bucket="out", Key="k") == (404, "NoSuchBucket")
            assert refused("head_bucket", client, Bucket="edges")[0] == 404
        assert admission.end().session is None
    finally:
        gateway.close()


def test_nothing_listens_afterwards(store: Store) -> None:
    gateway = JobGateway(store, pipeline="edges", inputs={}, out=False)
    address = ("127.0.0.1", int(gateway.url.rpartition(":")[2]))
    with socket.create_connection(address) as idle:  # one that stays open does not hold it up
        gateway.close()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(address)
        assert idle.recv(1) == b""
    gateway.close()


def test_many_writes_leave_no_more_pages_than_they_need(
    job: Job, s3: BaseClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("s3api.job.output._SLACK_BYTES", 1024)
    other = job.gateway.admit()
    with closing(job.server(other).client()) as client:
        for number in range(60):
            client.put_object(Bucket="out", Key=f"{number:02d}", Body=b"1")
        client.delete_object(Bucket="out", Key="07")
        assert client.list_objects_v2(Bucket="out")["KeyCount"] == 59
    traffic = other.end()
    assert [one.key for one in traffic.written] == [b"%02d" % number for number in range(60) if number != 7]
    assert traffic.session is not None
    traffic.session.abandon()


def reads_of(job: Job) -> bool:
    """End the attempt; say whether what it read of the first input can be compared."""
    traffic = job.end()
    assert traffic.session is not None
    traffic.session.abandon()
    assert traffic.reads["in2"] is not None, "the other input was not read at all"
    return traffic.reads["in1"] is not None


@pytest.mark.parametrize(
    ("call", "parameters"),
    [
        ("get_object", {"Key": "0"}),
        ("get_object", {"Key": "0", "Range": "bytes=1-2"}),
        ("head_object", {"Key": "0"}),
        ("list_objects_v2", {}),
        ("list_objects", {"Delimiter": "/"}),
        ("list_objects_v2", {"Delimiter": "i"}),
        ("head_bucket", {}),
        ("get_bucket_location", {}),
    ],
)
def test_these_reads_can_be_compared(job: Job, s3: BaseClient, call: str, parameters: dict[str, object]) -> None:
    getattr(s3, call)(Bucket="in1", **parameters)
    s3.copy_object(Bucket="out", Key="copy", CopySource={"Bucket": "in1", "Key": "0"})
    assert reads_of(job)


@pytest.mark.parametrize(
    ("call", "parameters"),
    [
        ("get_object_tagging", {"Key": "0"}),
        ("get_object", {"Key": "0", "IfUnmodifiedSince": "2100-01-01"}),
        ("head_object", {"Key": "0", "IfModifiedSince": "2000-01-01"}),
    ],
)
def test_these_cannot(job: Job, s3: BaseClient, call: str, parameters: dict[str, object]) -> None:
    getattr(s3, call)(Bucket="in1", **parameters)
    assert not reads_of(job)


def test_a_copy_by_time_cannot(job: Job, s3: BaseClient) -> None:
    source = {"Bucket": "in1", "Key": "0"}
    s3.copy_object(Bucket="out", Key="copy", CopySource=source, CopySourceIfUnmodifiedSince="2100-01-01")
    traffic = job.end()
    assert traffic.session is not None
    traffic.session.abandon()
    assert traffic.reads == {"in1": None, "in2": None}
