"""Multipart uploads: parts in any order, the same chunks as one put, and every way to get it wrong."""

import hashlib
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest
from botocore.client import BaseClient
from botocore.exceptions import ClientError

from pfs.gc.collect import collect
from pfs.gc.uploads import LIFETIME_NS
from pfs.ids import PackId
from pfs.store import Store
from pfs.upkeep.check import fsck
from s3api.bodies.checksums import join_parts
from s3api.multipart.uploads import Part, Upload, Uploads, new_upload_id
from tests.pfs.collect_world import condemn, sweep
from tests.s3api.conftest import Server, running

MIB = 1 << 20
CRC32C = "rth90Q=="  # of b"data"


def code(error: pytest.ExceptionInfo[ClientError]) -> str:
    return str(error.value.response["Error"]["Code"])


def upload(s3: BaseClient, bucket: str, parts: dict[int, bytes], key: str = "k", **options: object) -> str:
    """Begin an upload and send parts, highest number first; return its id."""
    upload_id = str(s3.create_multipart_upload(Bucket=bucket, Key=key, **options)["UploadId"])
    for number in sorted(parts, reverse=True):
        s3.upload_part(Bucket=bucket, Key=key, UploadId=upload_id, PartNumber=number, Body=parts[number])
    return upload_id


def listed(parts: dict[int, bytes], numbers: Sequence[int] | None = None) -> dict[str, list[dict[str, object]]]:
    chosen = sorted(parts) if numbers is None else numbers
    return {"Parts": [{"PartNumber": n, "ETag": f'"{hashlib.md5(parts[n]).hexdigest()}"'} for n in chosen]}


def test_parts_become_the_object_of_one_put(s3: BaseClient, server: Server, bucket: str) -> None:
    parts = {1: os.urandom(5 * MIB + 1), 2: os.urandom(6 * MIB), 7: b"end"}
    upload_id = upload(s3, bucket, parts, Metadata={"a": "b"}, ContentType="text/x")
    done = s3.complete_multipart_upload(Bucket=bucket, Key="k", UploadId=upload_id, MultipartUpload=listed(parts))
    data = b"".join(parts.values())
    digest = hashlib.md5(b"".join(hashlib.md5(part).digest() for part in parts.values())).hexdigest()
    got = s3.get_object(Bucket=bucket, Key="k")
    assert got["Body"].read() == data
    assert got["ETag"] == done["ETag"] == f'"{digest}-3"'
    assert (got["Metadata"], got["ContentType"]) == ({"a": "b"}, "text/x")
    s3.put_object(Bucket=bucket, Key="one", Body=data)
    view = server.store.repo(bucket)["master"]
    assert view.stat("/k").hash == view.stat("/one").hash
    assert "Uploads" not in s3.list_multipart_uploads(Bucket=bucket)
    with pytest.raises(ClientError) as caught:
        s3.list_parts(Bucket=bucket, Key="k", UploadId=upload_id)
    assert code(caught) == "NoSuchUpload"


def test_parts_in_parallel(server: Server, bucket: str) -> None:
    parts = {number: os.urandom(5 * MIB) for number in (1, 2, 3, 4)}
    clients = [server.client() for _ in parts]
    upload_id = upload(clients[0], bucket, {})

    def send(number: int) -> None:
        clients[number - 1].upload_part(
            Bucket=bucket, Key="k", UploadId=upload_id, PartNumber=number, Body=parts[number]
        )

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(send, parts))
    clients[0].complete_multipart_upload(Bucket=bucket, Key="k", UploadId=upload_id, MultipartUpload=listed(parts))
    assert clients[0].get_object(Bucket=bucket, Key="k")["Body"].read() == b"".join(parts.values())
    for client in clients:
        client.close()


def test_a_part_sent_again_counts_last(s3: BaseClient, bucket: str) -> None:
    upload_id = upload(s3, bucket, {1: b"old"})
    s3.upload_part(Bucket=bucket, Key="k", UploadId=upload_id, PartNumber=1, Body=b"new")
    found = s3.list_parts(Bucket=bucket, Key="k", UploadId=upload_id)["Parts"]
    assert [(part["PartNumber"], part["Size"]) for part in found] == [(1, 3)]
    with pytest.raises(ClientError) as caught:
        s3.complete_multipart_upload(Bucket=bucket, Key="k", UploadId=upload_id, MultipartUpload=listed({1: b"old"}))
    assert code(caught) == "InvalidPart"
    s3.complete_multipart_upload(Bucket=bucket, Key="k", UploadId=upload_id, MultipartUpload=listed({1: b"new"}))
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"new"


@pytest.mark.parametrize(
    ("numbers", "answer"), [([2, 1], "InvalidPartOrder"), ([1, 1], "InvalidPartOrder"), ([1, 2], "EntityTooSmall")]
)
def test_lists_that_are_refused(s3: BaseClient, bucket: str, numbers: list[int], answer: str) -> None:
    parts = {1: b"a", 2: b"b"}
    upload_id = upload(s3, bucket, parts)
    with pytest.raises(ClientError) as caught:
        s3.complete_multipart_upload(Bucket=bucket, Key="k", UploadId=upload_id, MultipartUpload=listed(parts, numbers))
    assert code(caught) == answer
    assert len(s3.list_parts(Bucket=bucket, Key="k", UploadId=upload_id)["Parts"]) == 2


def test_a_part_that_was_never_sent(s3: BaseClient, bucket: str) -> None:
    upload_id = upload(s3, bucket, {1: b"a"})
    with pytest.raises(ClientError) as caught:
        s3.complete_multipart_upload(
            Bucket=bucket, Key="k", UploadId=upload_id, MultipartUpload=listed({1: b"a", 2: b"b"}, [2])
        )
    assert code(caught) == "InvalidPart"


def test_abort(s3: BaseClient, server: Server, bucket: str) -> None:
    upload_id = upload(s3, bucket, {1: b"a", 2: b"b"})
    s3.abort_multipart_upload(Bucket=bucket, Key="k", UploadId=upload_id)
    assert list(server.store.backend.entries(f"uploads/{bucket}/")) == []
    for call in (
        lambda: s3.abort_multipart_upload(Bucket=bucket, Key="k", UploadId=upload_id),
        lambda: s3.upload_part(Bucket=bucket, Key="k", UploadId=upload_id, PartNumber=1, Body=b"x"),
        lambda: s3.upload_part(Bucket=bucket, Key="k", UploadId="../../etc", PartNumber=1, Body=b"x"),
    ):
        with pytest.raises(ClientError) as caught:
            call()
        assert code(caught) == "NoSuchUpload"


def test_an_upload_is_of_its_key_and_bucket(s3: BaseClient, bucket: str) -> None:
    upload_id = upload(s3, bucket, {1: b"a"})
    with pytest.raises(ClientError) as caught:
        s3.list_parts(Bucket=bucket, Key="other", UploadId=upload_id)
    assert code(caught) == "NoSuchUpload"


@pytest.mark.parametrize("number", [0, 10_001])
def test_part_numbers(s3: BaseClient, bucket: str, number: int) -> None:
    upload_id = upload(s3, bucket, {})
    with pytest.raises(ClientError) as caught:
        s3.upload_part(Bucket=bucket, Key="k", UploadId=upload_id, PartNumber=number, Body=b"x")
    assert code(caught) == "InvalidArgument"


def test_paging_of_parts_and_uploads(s3: BaseClient, bucket: str) -> None:
    ids = {key: upload(s3, bucket, {}, key=key) for key in ["a/1", "a/2", "b", "c"]}
    twice = upload(s3, bucket, {}, key="b")
    pages = s3.get_paginator("list_multipart_uploads").paginate(Bucket=bucket, PaginationConfig={"PageSize": 2})
    found = [(one["Key"], one["UploadId"]) for page in pages for one in page.get("Uploads", [])]
    assert found == [("a/1", ids["a/1"]), ("a/2", ids["a/2"]), ("b", ids["b"]), ("b", twice), ("c", ids["c"])]
    rolled = s3.list_multipart_uploads(Bucket=bucket, Delimiter="/")
    assert [one["Prefix"] for one in rolled["CommonPrefixes"]] == ["a/"]
    assert len(s3.list_multipart_uploads(Bucket=bucket, Prefix="a/")["Uploads"]) == 2
    for number in range(1, 6):
        s3.upload_part(Bucket=bucket, Key="c", UploadId=ids["c"], PartNumber=number, Body=b"x")
    parts = s3.get_paginator("list_parts").paginate(
        Bucket=bucket, Key="c", UploadId=ids["c"], PaginationConfig={"PageSize": 2}
    )
    assert [part["PartNumber"] for page in parts for part in page["Parts"]] == [1, 2, 3, 4, 5]


def test_part_copy(s3: BaseClient, bucket: str) -> None:
    data = os.urandom(11 * MIB)
    s3.put_object(Bucket=bucket, Key="source", Body=data)
    upload_id = upload(s3, bucket, {})
    source = {"Bucket": bucket, "Key": "source"}
    spans = {1: (0, 6 * MIB + 5), 2: (3 * MIB, 11 * MIB), 3: None}
    etags = []
    for number, span in spans.items():
        options = {"CopySourceRange": f"bytes={span[0]}-{span[1] - 1}"} if span else {}
        copied = s3.upload_part_copy(
            Bucket=bucket, Key="k", UploadId=upload_id, PartNumber=number, CopySource=source, **options
        )
        etags.append({"PartNumber": number, "ETag": copied["CopyPartResult"]["ETag"]})
    s3.complete_multipart_upload(Bucket=bucket, Key="k", UploadId=upload_id, MultipartUpload={"Parts": etags})
    expected = b"".join(data if span is None else data[span[0] : span[1]] for span in spans.values())
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == expected


@pytest.mark.parametrize(
    ("algorithm", "kind"),
    [("CRC32", "COMPOSITE"), ("CRC32C", "FULL_OBJECT"), ("CRC64NVME", "FULL_OBJECT"), ("SHA256", "COMPOSITE")],
)
def test_checksums_of_parts(s3: BaseClient, bucket: str, algorithm: str, kind: str) -> None:
    parts = {1: os.urandom(5 * MIB), 2: b"end"}
    created = s3.create_multipart_upload(Bucket=bucket, Key="k", ChecksumAlgorithm=algorithm, ChecksumType=kind)
    done = []
    for number, data in parts.items():
        sent = s3.upload_part(
            Bucket=bucket,
            Key="k",
            UploadId=created["UploadId"],
            PartNumber=number,
            Body=data,
            ChecksumAlgorithm=algorithm,
        )
        name = f"Checksum{algorithm}"
        done.append({"PartNumber": number, "ETag": sent["ETag"], name: sent[name]})
    result = s3.complete_multipart_upload(
        Bucket=bucket, Key="k", UploadId=created["UploadId"], MultipartUpload={"Parts": done}
    )
    head = s3.head_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED")
    assert head[f"Checksum{algorithm}"] == result[f"Checksum{algorithm}"]
    assert head[f"Checksum{algorithm}"].endswith("-2") == (kind == "COMPOSITE")
    assert head["ChecksumType"] == kind
    assert s3.get_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED")["Body"].read() == b"".join(parts.values())


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ("{}", ""),
        ("{}-1", ""),
        ("{}-2", "BadDigest"),
        ("AAAAAA==", "BadDigest"),
        ("AAAAAA==-1", "BadDigest"),
        ("no", "InvalidRequest"),
    ],
)
def test_a_composite_is_said_with_or_without_the_number_of_parts(
    server: Server, bucket: str, said: str, code: str
) -> None:
    created = server.request("POST", f"/{bucket}/k?uploads", headers={"x-amz-checksum-algorithm": "CRC32C"})
    upload_id = created.body.partition(b"<UploadId>")[2].partition(b"</UploadId>")[0].decode()
    sent = server.request(
        "PUT", f"/{bucket}/k?partNumber=1&uploadId={upload_id}", body=b"data", headers={"x-amz-checksum-crc32c": CRC32C}
    )
    composite = join_parts("crc32c", "COMPOSITE", [(CRC32C, 4)]).partition("-")[0]
    part = f"<Part><PartNumber>1</PartNumber><ETag>{sent.headers['etag']}</ETag></Part>"
    reply = server.request(
        "POST",
        f"/{bucket}/k?uploadId={upload_id}",
        body=f"<CompleteMultipartUpload>{part}</CompleteMultipartUpload>".encode(),
        headers={"x-amz-checksum-crc32c": said.format(composite)},
    )
    assert (reply.status, reply.code) == (400 if code else 200, code)


def test_complete_is_conditional(s3: BaseClient, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"there")
    upload_id = upload(s3, bucket, {1: b"a"})
    with pytest.raises(ClientError) as caught:
        s3.complete_multipart_upload(
            Bucket=bucket, Key="k", UploadId=upload_id, MultipartUpload=listed({1: b"a"}), IfNoneMatch="*"
        )
    assert code(caught) == "PreconditionFailed"
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"there"


def test_an_upload_survives_a_restart(home: Store) -> None:
    parts = {1: os.urandom(5 * MIB), 2: os.urandom(100)}
    with running(home) as first, closing(first.client()) as client:
        client.create_bucket(Bucket="b")
        upload_id = upload(client, "b", parts)
    with running(home) as second, closing(second.client()) as client:
        client.complete_multipart_upload(Bucket="b", Key="k", UploadId=upload_id, MultipartUpload=listed(parts))
        assert client.get_object(Bucket="b", Key="k")["Body"].read() == b"".join(parts.values())


@pytest.mark.parametrize("swept", [False, True])
def test_a_collection_that_does_not_see_a_part_costs_nothing_but_work(
    home: Store, monkeypatch: pytest.MonkeyPatch, *, swept: bool
) -> None:
    """It listed uploads before the part was recorded, and condemned its packs; the client tries again if need be."""
    real, listed_packs = Uploads.put_part, list[set[PackId]]()

    def late(self: Uploads, upload: Upload, part: Part) -> None:
        real(self, upload, part)
        if len(listed_packs) < 2:
            listed_packs.append({PackId(pack) for pack in part.packs})
            condemn(home.backend, listed_packs[-1])
            if swept:
                sweep(home.backend, listed_packs[-1])

    monkeypatch.setattr(Uploads, "put_part", late)
    parts = {1: os.urandom(5 * MIB), 2: os.urandom(100)}
    with running(home) as server, closing(server.client()) as client:
        client.create_bucket(Bucket="b")
        upload_id = upload(client, "b", parts)
        for packs in listed_packs:
            sweep(home.backend, packs)
        client.complete_multipart_upload(Bucket="b", Key="k", UploadId=upload_id, MultipartUpload=listed(parts))
        assert client.get_object(Bucket="b", Key="k")["Body"].read() == b"".join(parts.values())
        client.copy_object(Bucket="b", Key="copy", CopySource="b/k")
        assert client.get_object(Bucket="b", Key="copy")["Body"].read() == b"".join(parts.values())
    assert [packs for packs in listed_packs if packs] == listed_packs
    assert list(fsck(home, deep=True)) == []


def test_uploads_expire(home: Store) -> None:
    uploads = Uploads(home.backend)
    upload = Upload(new_upload_id(), "r", "master", b"k", 0, "me", {}, None, "COMPOSITE")
    uploads.create(upload)
    uploads.put_part(upload, Part(1, 0, 0, bytes(32), "", {}, home.clock_ns(), []))
    now = home.clock_ns()
    assert uploads.expire(now + LIFETIME_NS - 10**9 * 60) == 0
    assert uploads.expire(now + LIFETIME_NS + 10**9 * 60) == 2
    assert uploads.list("r") == []


@pytest.mark.parametrize("how", ["the server begins", "the client asks again"])
def test_what_a_killed_server_left_of_a_completed_upload_goes(
    s3: BaseClient, server: Server, bucket: str, how: str
) -> None:
    parts = {1: b"part"}
    place = {"Bucket": bucket, "Key": "k", "UploadId": upload(s3, bucket, parts)}
    backend = server.store.backend
    before = {entry.name: backend.get(entry.name) for entry in backend.entries(f"uploads/{bucket}/")}
    done = s3.complete_multipart_upload(**place, MultipartUpload=listed(parts))
    for name, data in before.items():
        backend.put_new(name, data)
    assert len(s3.list_multipart_uploads(Bucket=bucket)["Uploads"]) == 1
    if how == "the server begins":
        assert Uploads(backend).expire(server.store.clock_ns()) >= len(before)
    else:
        again = s3.complete_multipart_upload(**place, MultipartUpload=listed(parts))
        assert again["VersionId"] == done["VersionId"]
    assert "Uploads" not in s3.list_multipart_uploads(Bucket=bucket)
    assert [entry.name.rpartition("/")[2] for entry in backend.entries(f"uploads/{bucket}/")] == ["completed"]


def test_an_upload_of_a_deleted_repo_is_not_one_of_its_successor(s3: BaseClient, server: Server, bucket: str) -> None:
    parts = {1: b"old"}
    upload_id = upload(s3, bucket, parts)
    done = upload(s3, bucket, parts)
    s3.complete_multipart_upload(Bucket=bucket, Key="k", UploadId=done, MultipartUpload=listed(parts))
    server.store.delete_repo(bucket)
    server.store.create_repo(bucket)
    place = {"Bucket": bucket, "Key": "k"}
    assert "Uploads" not in s3.list_multipart_uploads(Bucket=bucket)
    for one in (upload_id, done):
        with pytest.raises(ClientError) as caught:
            s3.complete_multipart_upload(**place, UploadId=one, MultipartUpload=listed(parts))
        assert code(caught) == "NoSuchUpload"
    with pytest.raises(ClientError) as caught:
        s3.upload_part(**place, UploadId=upload_id, PartNumber=1, Body=b"")
    assert code(caught) == "NoSuchUpload"
    assert "Contents" not in s3.list_objects_v2(Bucket=bucket)


def test_complete_asked_again_answers_the_same(s3: BaseClient, server: Server, bucket: str) -> None:
    parts = {1: os.urandom(5 * MIB), 2: b"end"}
    upload_id = upload(s3, bucket, parts, ChecksumAlgorithm="CRC32")
    place = {"Bucket": bucket, "Key": "k", "UploadId": upload_id}
    stored = server.store.backend.entries(f"uploads/{bucket}/{upload_id}/")
    assert len(list(stored)) == 3

    def complete(chosen: dict[int, bytes] = parts, **conditions: str) -> dict[str, str]:
        done = s3.complete_multipart_upload(**place, MultipartUpload=listed(chosen), **conditions)
        return {name: done[name] for name in ("ETag", "VersionId", "ChecksumCRC32", "Location", "Key")}

    first = complete(IfNoneMatch="*")
    s3.put_object(Bucket=bucket, Key="k", Body=b"later")
    assert complete(IfNoneMatch="*") == complete() == first
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"later"
    names = [entry.name for entry in server.store.backend.entries(f"uploads/{bucket}/{upload_id}/")]
    assert names == [f"uploads/{bucket}/{upload_id}/completed"]
    for wrong in ({1: parts[1]}, {1: b"other", 2: b"end"}):
        with pytest.raises(ClientError) as caught:
            complete(wrong)
        assert code(caught) == "NoSuchUpload"
    with pytest.raises(ClientError) as caught:
        s3.complete_multipart_upload(**{**place, "Key": "other"}, MultipartUpload=listed(parts))
    assert code(caught) == "NoSuchUpload"
    uploads = Uploads(server.store.backend)
    assert uploads.expire(server.store.clock_ns() + LIFETIME_NS + 1) >= 1
    with pytest.raises(ClientError) as caught:
        complete()
    assert code(caught) == "NoSuchUpload"


def test_parts_survive_collections_until_they_expire(s3: BaseClient, server: Server, bucket: str) -> None:
    parts = {1: os.urandom(5 * MIB), 2: b"text " * 1000, 3: b"end"}
    before = collect(server.store).live_bytes
    begun = s3.create_multipart_upload(Bucket=bucket, Key="k")["UploadId"]
    place = {"Bucket": bucket, "Key": "k", "UploadId": begun}
    s3.upload_part(**place, PartNumber=1, Body=parts[1])
    s3.upload_part(**place, PartNumber=1, Body=os.urandom(5 * MIB))
    collect(server.store)
    s3.upload_part(**place, PartNumber=1, Body=parts[1])
    s3.upload_part(**place, PartNumber=2, Body=parts[2])
    with pytest.raises(ClientError) as caught:
        s3.complete_multipart_upload(**place, MultipartUpload=listed({1: parts[1], 2: parts[2], 3: parts[3]}))
    assert code(caught) == "InvalidPart"
    s3.upload_part(**place, PartNumber=2, Body=os.urandom(5 * MIB))
    collect(server.store)
    s3.upload_part(**place, PartNumber=2, Body=parts[3])
    collect(server.store)
    whole = {1: parts[1], 2: parts[3]}
    s3.complete_multipart_upload(**place, MultipartUpload=listed(whole))
    collect(server.store)
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == parts[1] + parts[3]
    assert not list(fsck(server.store, deep=True))
    report = collect(server.store)
    assert report.live_bytes < before + 6 * MIB, "parts that were sent again are gone"
    left = upload(s3, bucket, {1: os.urandom(5 * MIB)})
    server.store.clock_ns = lambda now=server.store.clock_ns: now() + LIFETIME_NS + 10**9 * 60  # type: ignore[misc]
    report = collect(server.store)
    assert any(left in name for name in report.expired.uploads)
    assert report.live_bytes < before + 6 * MIB
