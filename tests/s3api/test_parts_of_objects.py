"""Objects that were uploaded in parts: reading a part by its number, and GetObjectAttributes."""

from __future__ import annotations

import base64
import hashlib
import zlib
from itertools import pairwise
from xml.etree import ElementTree

import pytest
from botocore.client import BaseClient
from botocore.exceptions import ClientError
from hypothesis import given
from hypothesis import strategies as st

from pfs.trees.page import pack_aux, unpack_aux
from s3api.multipart.layout import AUX, MAX_CHECKSUM_BYTES, Layout, layout_of
from tests.s3api.conftest import Server
from tests.s3api.test_list_versions import delete, put

MIB = 1 << 20
BODIES = (b"a" * (5 * MIB), b"b" * (5 * MIB), b"end")
EVERYTHING = ["ETag", "Checksum", "ObjectParts", "StorageClass", "ObjectSize"]


def upload(s3: BaseClient, bucket: str, key: str = "k", *, numbers: tuple[int, ...] = (1, 2, 3), **options: str) -> str:
    upload_id = s3.create_multipart_upload(Bucket=bucket, Key=key, **options)["UploadId"]
    place = {"Bucket": bucket, "Key": key, "UploadId": upload_id}
    named = {name: value for name, value in options.items() if name == "ChecksumAlgorithm"}
    parts = []
    for number, body in zip(numbers, BODIES, strict=True):
        done = s3.upload_part(**place, **named, PartNumber=number, Body=body)
        checksums = {name: value for name, value in done.items() if name.startswith("Checksum")}
        parts.append({"PartNumber": number, "ETag": done["ETag"], **checksums})
    return str(s3.complete_multipart_upload(**place, MultipartUpload={"Parts": parts})["VersionId"])


def crc32(data: bytes) -> str:
    return base64.b64encode(zlib.crc32(data).to_bytes(4, "big")).decode()


@pytest.fixture(scope="module")
def bucket(server: Server) -> str:
    """One for all: only read."""
    server.store.create_repo("parts").create_branch("master")
    s3 = server.client()
    upload(s3, "parts", "plain", numbers=(2, 30, 4000))
    upload(s3, "parts", "composite", ChecksumAlgorithm="CRC32", ChecksumType="COMPOSITE")
    upload(s3, "parts", "full", ChecksumAlgorithm="CRC32", ChecksumType="FULL_OBJECT")
    upload(s3, "parts", "sha", ChecksumAlgorithm="SHA256")
    put(s3, "parts", "single", b"hello")
    put(s3, "parts", "empty", b"")
    s3.close()
    return "parts"


@pytest.mark.parametrize("key", ["plain", "composite", "full", "sha"])
def test_a_part_is_read_by_its_number(s3: BaseClient, bucket: str, key: str) -> None:
    offset = 0
    for number, body in enumerate(BODIES, 1):
        got = s3.get_object(Bucket=bucket, Key=key, PartNumber=number, ChecksumMode="ENABLED")
        head = s3.head_object(Bucket=bucket, Key=key, PartNumber=number, ChecksumMode="ENABLED")
        assert got["Body"].read() == body
        assert got["ContentRange"] == f"bytes {offset}-{offset + len(body) - 1}/{10 * MIB + 3}"
        for answer in (got, head):
            assert (answer["PartsCount"], answer["ContentLength"]) == (3, len(body))
            assert answer["ResponseMetadata"]["HTTPStatusCode"] == 206
            assert answer["ETag"].endswith('-3"')
            wanted = {"composite": crc32(body), "full": crc32(body)}.get(key)
            assert answer.get("ChecksumCRC32") == wanted
        offset += len(body)


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize(
    ("key", "query", "headers", "status", "code"),
    [
        ("plain", "partNumber=4", {}, 416, "InvalidPartNumber"),
        ("single", "partNumber=2", {}, 416, "InvalidPartNumber"),
        ("empty", "partNumber=2", {}, 416, "InvalidPartNumber"),
        ("plain", "partNumber=0", {}, 400, "InvalidArgument"),
        ("plain", "partNumber=10001", {}, 400, "InvalidArgument"),
        ("plain", "partNumber=-1", {}, 400, "InvalidArgument"),
        ("plain", "partNumber=x", {}, 400, "InvalidArgument"),
        ("plain", "partNumber=", {}, 400, "InvalidArgument"),
        ("plain", "partNumber=1", {"Range": "bytes=0-1"}, 400, "InvalidRequest"),
        ("none", "partNumber=1", {}, 404, "NoSuchKey"),
        ("plain", "partNumber=1", {"If-Match": "x"}, 412, "PreconditionFailed"),
    ],
)
def test_numbers_of_no_part(
    server: Server, bucket: str, method: str, key: str, query: str, headers: dict[str, str], status: int, code: str
) -> None:
    reply = server.request(method, f"/{bucket}/{key}?{query}", headers=headers)
    assert reply.status == status
    if method == "GET":
        assert reply.code == code
    if status == 416 and method == "GET":
        assert b"<ActualPartCount>" in reply.body


def test_an_object_without_parts_is_its_first_part(server: Server, s3: BaseClient, bucket: str) -> None:
    got = s3.get_object(Bucket=bucket, Key="single", PartNumber=1, ChecksumMode="ENABLED")
    assert (got["Body"].read(), got["ContentRange"], "PartsCount" in got) == (b"hello", "bytes 0-4/5", False)
    assert got["ChecksumCRC32"] == crc32(b"hello")
    empty = server.request("GET", f"/{bucket}/empty?partNumber=1")
    assert (empty.status, empty.body, "content-range" in empty.headers) == (200, b"", False)


def test_a_copy_has_the_parts_of_its_source(s3: BaseClient, server: Server) -> None:
    server.store.create_repo("copied").create_branch("master")
    upload(s3, "copied", ChecksumAlgorithm="CRC32")
    s3.copy_object(Bucket="copied", Key="c", CopySource="copied/k", MetadataDirective="REPLACE", Metadata={"x": "y"})
    assert s3.head_object(Bucket="copied", Key="c", PartNumber=3)["ContentLength"] == 3
    row = server.store.repo("copied")["master"].row("/c")
    assert "i" in (server.store.repo("copied")["master"].row("/k").aux or {})
    assert "i" not in (row.aux or {})


@pytest.mark.parametrize(
    ("key", "algorithm", "kind"),
    [
        ("plain", None, None),
        ("composite", "CRC32", "COMPOSITE"),
        ("full", "CRC32", "FULL_OBJECT"),
        ("sha", "SHA256", "COMPOSITE"),
    ],
)
def test_attributes_of_parts(s3: BaseClient, bucket: str, key: str, algorithm: str | None, kind: str | None) -> None:
    head = s3.head_object(Bucket=bucket, Key=key, ChecksumMode="ENABLED")
    found = s3.get_object_attributes(Bucket=bucket, Key=key, ObjectAttributes=EVERYTHING)
    assert (found["ETag"], found["ObjectSize"], found["StorageClass"]) == (
        head["ETag"].strip('"'),
        10 * MIB + 3,
        "STANDARD",
    )
    assert (found["VersionId"], found["LastModified"]) == (head["VersionId"], head["LastModified"])
    parts = found["ObjectParts"]
    assert (parts["TotalPartsCount"], parts["IsTruncated"], parts["MaxParts"], parts["PartNumberMarker"]) == (
        3,
        False,
        1000,
        0,
    )
    assert [(part["PartNumber"], part["Size"]) for part in parts["Parts"]] == [
        (n, len(b)) for n, b in enumerate(BODIES, 1)
    ]
    if algorithm is None:
        assert "Checksum" not in found
        return
    name = f"Checksum{algorithm}"
    assert found["Checksum"] == {name: head[name], "ChecksumType": kind}
    sums = [
        base64.b64encode(hashlib.sha256(b).digest()).decode() if algorithm == "SHA256" else crc32(b) for b in BODIES
    ]
    assert [part[name] for part in parts["Parts"]] == sums


def test_attributes_page_by_page(s3: BaseClient, bucket: str) -> None:
    seen, marker = [], 0
    for _ in range(3):
        options = {"PartNumberMarker": marker} if marker else {}
        page = s3.get_object_attributes(
            Bucket=bucket, Key="plain", ObjectAttributes=["ObjectParts"], MaxParts=1, **options
        )["ObjectParts"]
        seen += [part["PartNumber"] for part in page["Parts"]]
        assert (page["PartNumberMarker"], page["MaxParts"]) == (marker, 1)
        marker = page["NextPartNumberMarker"]
        assert page["IsTruncated"] == (marker < 3)
    assert seen == [1, 2, 3]
    behind = s3.get_object_attributes(Bucket=bucket, Key="plain", ObjectAttributes=["ObjectParts"], PartNumberMarker=9)
    assert "Parts" not in behind["ObjectParts"]


def test_the_answer_is_s3s(server: Server, bucket: str) -> None:
    headers = {"x-amz-object-attributes": "ObjectSize, ETag,Checksum"}
    reply = server.request("GET", f"/{bucket}/single?attributes", headers=headers)
    root = ElementTree.fromstring(reply.body)
    assert root.tag == "{http://s3.amazonaws.com/doc/2006-03-01/}GetObjectAttributesResponse"
    assert [child.tag.partition("}")[2] for child in root] == ["ETag", "Checksum", "ObjectSize"]
    assert root[0].text == hashlib.md5(b"hello").hexdigest()
    parts = server.request("GET", f"/{bucket}/single?attributes", headers={"x-amz-object-attributes": "ObjectParts"})
    assert b"ObjectParts" not in parts.body


@pytest.mark.parametrize(
    ("names", "code"), [("", "InvalidRequest"), ("ETag,Owner", "InvalidArgument"), ("etag", "InvalidArgument")]
)
def test_attributes_that_are_none(server: Server, bucket: str, names: str, code: str) -> None:
    headers = {"x-amz-object-attributes": names} if names else {}
    assert server.request("GET", f"/{bucket}/single?attributes", headers=headers).code == code


def test_attributes_of_versions(s3: BaseClient, server: Server) -> None:
    server.store.create_repo("attributed").create_branch("master")
    old, _ = put(s3, "attributed", "k", b"old"), put(s3, "attributed", "k", b"newer")
    gone = delete(s3, "attributed", "k")
    found = s3.get_object_attributes(Bucket="attributed", Key="k", VersionId=old, ObjectAttributes=["ObjectSize"])
    assert (found["ObjectSize"], found["VersionId"]) == (3, old)
    for version, code in ((gone, "MethodNotAllowed"), ("0" * 32, "NoSuchVersion")):
        with pytest.raises(ClientError, match=code):
            s3.get_object_attributes(Bucket="attributed", Key="k", VersionId=version, ObjectAttributes=["ObjectSize"])
    reply = server.request("GET", "/attributed/k?attributes", headers={"x-amz-object-attributes": "ETag"})
    assert (reply.code, reply.headers["x-amz-delete-marker"]) == ("NoSuchKey", "true")


@given(
    st.lists(st.integers(1, 1 << 40) | st.just(8 << 20), min_size=1, max_size=60),
    st.sampled_from([("crc32", 4), ("sha256", 32), ("", 0)]),
)
def test_a_layout_comes_back_from_the_aux(sizes: list[int], checksum: tuple[str, int]) -> None:
    name, size = checksum
    sums = [base64.b64encode(bytes([n]) * size).decode() for n in range(len(sizes))] if name else []
    found = layout_of(unpack_aux(pack_aux({AUX: Layout(sizes, name, sums).to_aux()})))
    assert found is not None
    assert (list(found.sizes), list(found.checksums)) == (sizes, sums)
    ends = [found.span(number) for number in range(1, len(sizes) + 1)]
    assert [stop - start for start, stop in ends] == sizes
    assert all(stop == start for (_, stop), (start, _) in pairwise(ends))


def test_a_row_stays_small_whatever_the_number_of_parts() -> None:
    sums = [base64.b64encode(n.to_bytes(4, "big")).decode() for n in range(10_000)]
    packed = pack_aux({AUX: Layout([8 << 20] * 9_999 + [5], "crc32", sums).to_aux()})
    assert packed is not None
    assert len(packed) < 40
    few = Layout([8 << 20] * 2_000, "crc32", sums[:2_000]).to_aux()
    assert len(pack_aux(few) or b"") < MAX_CHECKSUM_BYTES + 40
    assert layout_of({AUX: few}) == Layout([8 << 20] * 2_000, "crc32", sums[:2_000])
