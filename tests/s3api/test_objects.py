"""Objects through an unmodified boto3: what is put comes back, conditions hold, versions are commits."""

import hashlib
import io
import os
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import pytest
from botocore.client import BaseClient
from botocore.exceptions import ClientError

from pfs.lifecycle.purge import purge
from pfs.model import CommitInfo
from tests.s3api.conftest import Server, running


def code(error: pytest.ExceptionInfo[ClientError]) -> str:
    return str(error.value.response["Error"]["Code"])


def commits(server: Server, bucket: str) -> list[CommitInfo]:
    return list(server.store.repo(bucket).commits("master"))


@pytest.mark.parametrize("size", [0, 1, 5, 300_000, 3 << 20, (1 << 20) + 17])
def test_put_and_get(s3: BaseClient, bucket: str, size: int) -> None:
    data = os.urandom(size)
    put = s3.put_object(Bucket=bucket, Key="k", Body=data)
    got = s3.get_object(Bucket=bucket, Key="k")
    assert got["Body"].read() == data
    assert got["ETag"] == put["ETag"] == f'"{hashlib.md5(data).hexdigest()}"'
    assert got["VersionId"] == put["VersionId"]
    assert got["ContentLength"] == size


@pytest.mark.parametrize(
    "key",
    [
        "a b+c&d=e'f",
        "é/日本/😀",
        "100%25",
        "a//b",
        "/",
        "//",
        "..",
        "./x",
        "a?b#c",
        "x" * 1024,
        "dir/",
        "\x01\x7f",
        "a\nb",
    ],
)
def test_any_key(s3: BaseClient, bucket: str, key: str) -> None:
    s3.put_object(Bucket=bucket, Key=key, Body=b"1")
    assert s3.get_object(Bucket=bucket, Key=key)["Body"].read() == b"1"
    listed = s3.list_objects_v2(Bucket=bucket)
    assert [entry["Key"] for entry in listed["Contents"]] == [key]
    s3.copy_object(Bucket=bucket, Key="copy", CopySource={"Bucket": bucket, "Key": key})
    s3.delete_object(Bucket=bucket, Key=key)
    assert [entry["Key"] for entry in s3.list_objects(Bucket=bucket)["Contents"]] == ["copy"]


def test_a_file_and_a_directory_of_one_name(s3: BaseClient, bucket: str) -> None:
    for key in ["a", "a/b", "a/", "a/b/c"]:
        s3.put_object(Bucket=bucket, Key=key, Body=key.encode())
    listed = [entry["Key"] for entry in s3.list_objects_v2(Bucket=bucket)["Contents"]]
    assert listed == ["a", "a/", "a/b", "a/b/c"]
    for key in listed:
        assert s3.get_object(Bucket=bucket, Key=key)["Body"].read() == key.encode()
    top = s3.list_objects_v2(Bucket=bucket, Delimiter="/")
    assert [entry["Key"] for entry in top["Contents"]] == ["a"]
    assert [entry["Prefix"] for entry in top["CommonPrefixes"]] == ["a/"]


def test_headers_and_metadata_are_kept_and_versioned(s3: BaseClient, bucket: str) -> None:
    first = s3.put_object(
        Bucket=bucket,
        Key="k",
        Body=b"x",
        ContentType="text/x",
        CacheControl="no-cache",
        ContentDisposition='attachment; filename="é"'.encode().decode("ascii", "ignore"),
        ContentEncoding="gzip",
        ContentLanguage="de",
        Metadata={"mtime": "1.5", "owner": "me"},
    )
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    now, then = (
        s3.head_object(Bucket=bucket, Key="k"),
        s3.head_object(Bucket=bucket, Key="k", VersionId=first["VersionId"]),
    )
    assert then["Metadata"] == {"mtime": "1.5", "owner": "me"}
    assert (then["ContentType"], then["CacheControl"], then["ContentEncoding"]) == ("text/x", "no-cache", "gzip")
    assert then["ContentLanguage"] == "de"
    assert (now["Metadata"], now["ContentType"]) == ({}, "binary/octet-stream")
    assert now["ETag"] == then["ETag"]
    assert now["VersionId"] != then["VersionId"]


def test_versions_are_commits(s3: BaseClient, server: Server, bucket: str) -> None:
    versions = [s3.put_object(Bucket=bucket, Key="k", Body=body)["VersionId"] for body in (b"1", b"2")]
    other = s3.put_object(Bucket=bucket, Key="other", Body=b"x")["VersionId"]
    gone = s3.delete_object(Bucket=bucket, Key="k")
    assert gone["DeleteMarker"]
    assert [info.id for info in commits(server, bucket)] == [gone["VersionId"], other, *reversed(versions)]
    bodies = [s3.get_object(Bucket=bucket, Key="k", VersionId=version)["Body"].read() for version in versions]
    assert bodies == [b"1", b"2"]
    for version in (other, "null", "0" * 32):
        with pytest.raises(ClientError) as caught:
            s3.get_object(Bucket=bucket, Key="k", VersionId=version)
        assert code(caught) == "NoSuchVersion"
    with pytest.raises(ClientError) as caught:
        s3.delete_object(Bucket=bucket, Key="k", VersionId=versions[0])
    assert code(caught) == "AccessDenied"


def test_a_commit_is_a_read_only_bucket(s3: BaseClient, bucket: str) -> None:
    version = s3.put_object(Bucket=bucket, Key="k", Body=b"old")["VersionId"]
    s3.put_object(Bucket=bucket, Key="k", Body=b"new")
    frozen = f"{version}.{bucket}"
    assert s3.get_object(Bucket=frozen, Key="k")["Body"].read() == b"old"
    assert s3.list_objects_v2(Bucket=frozen)["KeyCount"] == 1
    for write in (
        lambda: s3.put_object(Bucket=frozen, Key="k", Body=b"x"),
        lambda: s3.delete_object(Bucket=frozen, Key="k"),
        lambda: s3.create_multipart_upload(Bucket=frozen, Key="k"),
        lambda: s3.delete_bucket(Bucket=frozen),
        lambda: s3.create_bucket(Bucket=frozen),
    ):
        with pytest.raises(ClientError) as caught:
            write()
        assert code(caught) == "AccessDenied"


def test_ranges(s3: BaseClient, bucket: str) -> None:
    data = os.urandom(5 << 20)
    s3.put_object(Bucket=bucket, Key="k", Body=data)
    for header, part in [
        ("bytes=0-0", data[:1]),
        ("bytes=1000000-4000000", data[1_000_000:4_000_001]),
        ("bytes=-7", data[-7:]),
        (f"bytes={len(data) - 3}-", data[-3:]),
    ]:
        got = s3.get_object(Bucket=bucket, Key="k", Range=header)
        assert got["Body"].read() == part
        assert got["ResponseMetadata"]["HTTPStatusCode"] == 206
        assert got["ContentRange"].endswith(f"/{len(data)}")
    with pytest.raises(ClientError) as caught:
        s3.get_object(Bucket=bucket, Key="k", Range=f"bytes={len(data)}-")
    assert code(caught) == "InvalidRange"
    assert s3.head_object(Bucket=bucket, Key="k", Range="bytes=2-4")["ContentLength"] == 3


def test_conditional_reads(s3: BaseClient, bucket: str) -> None:
    tag = s3.put_object(Bucket=bucket, Key="k", Body=b"x")["ETag"]
    assert s3.get_object(Bucket=bucket, Key="k", IfMatch=tag)["Body"].read() == b"x"
    for options, status in [({"IfNoneMatch": tag}, "304"), ({"IfMatch": '"no"'}, "PreconditionFailed")]:
        with pytest.raises(ClientError) as caught:
            s3.get_object(Bucket=bucket, Key="k", **options)
        assert code(caught) == status
    with pytest.raises(ClientError) as caught:
        s3.head_object(Bucket=bucket, Key="k", IfNoneMatch=tag)
    assert code(caught) == "304"


def test_conditional_writes(s3: BaseClient, bucket: str) -> None:
    tag = s3.put_object(Bucket=bucket, Key="k", Body=b"1", IfNoneMatch="*")["ETag"]
    with pytest.raises(ClientError) as caught:
        s3.put_object(Bucket=bucket, Key="k", Body=b"2", IfNoneMatch="*")
    assert code(caught) == "PreconditionFailed"
    with pytest.raises(ClientError) as caught:
        s3.put_object(Bucket=bucket, Key="none", Body=b"2", IfMatch=tag)
    assert code(caught) == "NoSuchKey"
    s3.put_object(Bucket=bucket, Key="k", Body=b"2", IfMatch=tag)
    with pytest.raises(ClientError) as caught:
        s3.delete_object(Bucket=bucket, Key="k", IfMatch=tag)
    assert code(caught) == "PreconditionFailed"
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"2"


def test_one_of_many_racing_writers_wins(server: Server, bucket: str) -> None:
    clients = [server.client() for _ in range(12)]

    def put(number: int) -> bool:
        try:
            clients[number].put_object(Bucket=bucket, Key="k", Body=str(number).encode(), IfNoneMatch="*")
        except ClientError as error:
            return bool(error.response["Error"]["Code"] != "PreconditionFailed")
        return True

    with ThreadPoolExecutor(len(clients)) as pool:
        won = list(pool.map(put, range(len(clients))))
    body = clients[0].get_object(Bucket=bucket, Key="k")["Body"].read()
    for client in clients:
        client.close()
    assert won.count(True) == 1
    assert body == str(won.index(True)).encode()


def test_many_writers_share_commits_and_lose_nothing(server: Server, bucket: str) -> None:
    clients = [server.client() for _ in range(8)]

    def put(number: int) -> str:
        key = f"k{number % 40}"
        version = clients[number % 8].put_object(Bucket=bucket, Key=key, Body=str(number).encode())["VersionId"]
        return str(version)

    with ThreadPoolExecutor(8) as pool:
        versions = list(pool.map(put, range(80)))
    for number in range(80):
        got = clients[0].get_object(Bucket=bucket, Key=f"k{number % 40}", VersionId=versions[number])
        assert got["Body"].read() == str(number).encode()
    for client in clients:
        client.close()
    made = commits(server, bucket)
    assert {info.id for info in made} == set(versions)
    assert len(made) < 80


def test_the_same_bytes_again_are_a_new_version(s3: BaseClient, bucket: str) -> None:
    versions = {s3.put_object(Bucket=bucket, Key="k", Body=b"x")["VersionId"] for _ in range(2)}
    assert len(versions) == 2


def test_an_open_commit_takes_the_writes(s3: BaseClient, server: Server, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="a", Body=b"1")
    repo = server.store.repo(bucket)
    head = repo.branch("master").head
    opened = repo.start_commit("master")
    put = s3.put_object(Bucket=bucket, Key="b", Body=b"2")
    s3.delete_object(Bucket=bucket, Key="a")
    assert put["VersionId"] == opened.id
    assert [entry["Key"] for entry in s3.list_objects_v2(Bucket=bucket)["Contents"]] == ["b"]
    assert repo.branch("master").head == head
    repo.finish_commit(opened.id)
    assert repo.branch("master").head == opened.id
    assert s3.get_object(Bucket=bucket, Key="b", VersionId=opened.id)["Body"].read() == b"2"


def test_delete(s3: BaseClient, server: Server, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"1")
    made = len(commits(server, bucket))
    s3.delete_object(Bucket=bucket, Key="nothing")
    assert len(commits(server, bucket)) == made
    s3.delete_object(Bucket=bucket, Key="k")
    for call in (s3.get_object, s3.head_object):
        with pytest.raises(ClientError) as caught:
            call(Bucket=bucket, Key="k")
        assert code(caught) in {"NoSuchKey", "404"}


def test_delete_many(s3: BaseClient, server: Server, bucket: str) -> None:
    for number in range(5):
        s3.put_object(Bucket=bucket, Key=f"k&{number}", Body=b"1")
    made = len(commits(server, bucket))
    wanted = [{"Key": f"k&{number}"} for number in range(4)] + [{"Key": "none"}, {"Key": "k&4", "VersionId": "v"}]
    result = s3.delete_objects(Bucket=bucket, Delete={"Objects": wanted})
    assert [one["Key"] for one in result["Deleted"]] == [one["Key"] for one in wanted[:5]]
    assert [(one["Key"], one["Code"]) for one in result["Errors"]] == [("k&4", "AccessDenied")]
    assert [entry["Key"] for entry in s3.list_objects_v2(Bucket=bucket)["Contents"]] == ["k&4"]
    assert len(commits(server, bucket)) == made + 1
    quiet = s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "k&4"}], "Quiet": True})
    assert "Deleted" not in quiet


def test_copy(s3: BaseClient, server: Server, bucket: str) -> None:
    first = s3.put_object(Bucket=bucket, Key="a", Body=b"1", Metadata={"m": "1"}, ContentType="text/x")
    s3.put_object(Bucket=bucket, Key="a", Body=b"2")
    other = f"{bucket}-2"
    s3.create_bucket(Bucket=other)
    source = {"Bucket": bucket, "Key": "a", "VersionId": first["VersionId"]}
    copied = s3.copy_object(Bucket=other, Key="b", CopySource=source)
    assert copied["CopyObjectResult"]["ETag"] == first["ETag"]
    assert copied["CopySourceVersionId"] == first["VersionId"]
    got = s3.get_object(Bucket=other, Key="b")
    assert (got["Body"].read(), got["Metadata"], got["ContentType"]) == (b"1", {"m": "1"}, "text/x")
    with pytest.raises(ClientError) as caught:
        s3.copy_object(Bucket=other, Key="b", CopySource={"Bucket": other, "Key": "b"})
    assert code(caught) == "InvalidRequest"
    s3.copy_object(
        Bucket=other,
        Key="b",
        CopySource={"Bucket": other, "Key": "b"},
        MetadataDirective="REPLACE",
        Metadata={"n": "2"},
    )
    assert s3.head_object(Bucket=other, Key="b")["Metadata"] == {"n": "2"}
    for options in ({"CopySourceIfMatch": "no"}, {"IfNoneMatch": "*"}):
        with pytest.raises(ClientError) as caught:
            s3.copy_object(Bucket=other, Key="b", CopySource={"Bucket": bucket, "Key": "a"}, **options)
        assert code(caught) == "PreconditionFailed"
    with pytest.raises(ClientError) as caught:
        s3.copy_object(Bucket=other, Key="b", CopySource={"Bucket": bucket, "Key": "none"})
    assert code(caught) == "NoSuchKey"


@pytest.mark.parametrize("algorithm", ["CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256"])
def test_checksums_are_kept_and_given_back(s3: BaseClient, bucket: str, algorithm: str) -> None:
    put = s3.put_object(Bucket=bucket, Key="k", Body=b"hello", ChecksumAlgorithm=algorithm)
    got = s3.get_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED")
    assert got["Body"].read() == b"hello"
    assert got[f"Checksum{algorithm}"] == put[f"Checksum{algorithm}"]
    assert f"Checksum{algorithm}" in s3.head_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED")
    with pytest.raises(ClientError):
        s3.put_object(Bucket=bucket, Key="k", Body=b"hello!", **{f"Checksum{algorithm}": put[f"Checksum{algorithm}"]})
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"hello"


def test_a_file_that_came_in_through_the_library(s3: BaseClient, server: Server, bucket: str) -> None:
    with server.store.repo(bucket).commit("master") as commit:
        commit.put_file("/dir/a.png", b"png")
    head = s3.head_object(Bucket=bucket, Key="dir/a.png")
    assert head["ContentType"] == "image/png"
    assert head["ETag"].endswith('-1"')
    assert s3.list_objects_v2(Bucket=bucket)["Contents"][0]["ETag"] == head["ETag"]
    with server.store.repo(bucket).commit("master") as commit:
        aux = {"m": "text/x\r\nforged: 1", "u": {"a": "é\n", "no header": "1"}}  # as another writer might leave it
        commit.put_ref(b"x.txt", commit.put_file("/y.txt", b"1"), aux=aux)
    odd = s3.head_object(Bucket=bucket, Key="x.txt")
    assert odd["ContentType"] == "text/x  forged: 1"
    assert list(odd["Metadata"]) == ["a"]
    s3.put_object(Bucket=bucket, Key="s3.txt", Body=b"over s3")
    assert server.store.repo(bucket)["master"].read("/s3.txt") == b"over s3"


def test_presigned_addresses(server: Server, bucket: str) -> None:
    for version in ("s3v4", "s3", None):
        client = server.client(**({"signature_version": version} if version else {}))
        put = client.generate_presigned_url("put_object", Params={"Bucket": bucket, "Key": "a b"})
        request = urllib.request.Request(put, data=b"presigned", method="PUT", headers={"Content-Type": ""})
        with urllib.request.urlopen(request) as answer:
            assert answer.status == 200
        overrides = {"ResponseContentType": "text/y", "ResponseContentDisposition": "inline"}
        get = client.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "a b", **overrides})
        with urllib.request.urlopen(get) as answer:
            assert answer.read() == b"presigned"
            assert (answer.headers["Content-Type"], answer.headers["Content-Disposition"]) == ("text/y", "inline")
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(get.replace("a%20b", "a%20c"))
        assert caught.value.code == 403
        caught.value.close()
        client.close()


def test_a_stream_without_a_length_in_advance(s3: BaseClient, bucket: str) -> None:
    data = os.urandom(2 << 20)
    s3.upload_fileobj(io.BytesIO(data), bucket, "k")
    out = io.BytesIO()
    s3.download_fileobj(bucket, "k", out)
    assert out.getvalue() == data


def test_what_was_acknowledged_is_there_after_a_restart(server: Server, s3: BaseClient, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"durable")
    with running(server.store) as again:
        client = again.client()
        assert client.get_object(Bucket=bucket, Key="k")["Body"].read() == b"durable"
        client.close()


def test_a_purged_object_is_not_there(server: Server, s3: BaseClient, bucket: str) -> None:
    for body in (b"secret", b"new"):
        s3.put_object(Bucket=bucket, Key="d/k", Body=body)
    s3.put_object(Bucket=bucket, Key="kept", Body=b"1")
    purge(server.store, bucket, "/d/k")
    for call in (s3.get_object, s3.head_object):
        with pytest.raises(ClientError) as caught:
            call(Bucket=bucket, Key="d/k")
        assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 404
    assert [entry["Key"] for entry in s3.list_objects_v2(Bucket=bucket)["Contents"]] == ["kept"]
    s3.put_object(Bucket=bucket, Key="d/k", Body=b"again")
    assert s3.get_object(Bucket=bucket, Key="d/k")["Body"].read() == b"again"
