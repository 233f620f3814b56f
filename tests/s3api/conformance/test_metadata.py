"""System headers and user metadata: kept, given back, versioned."""

import pytest
from botocore.client import BaseClient

from tests.s3api.conformance.uploads import begin
from tests.s3api.conformance.wire import Wire, refused

SYSTEM = {
    "Content-Type": "text/plain; charset=utf-8",
    "Cache-Control": "public, max-age=14400",
    "Content-Disposition": 'attachment; filename="a b.txt"',
    "Content-Encoding": "gzip",
    "Content-Language": "de, en",
    "Expires": "Thu, 01 Dec 2036 16:00:00 GMT",
}


@pytest.mark.parametrize("name", SYSTEM)
def test_one_system_header(wire: Wire, bucket: str, name: str) -> None:
    wire.put(f"/{bucket}/k", b"1", {name: SYSTEM[name]})
    for reply in (wire.get(f"/{bucket}/k"), wire.head(f"/{bucket}/k")):
        assert reply.headers[name.lower()] == SYSTEM[name]
        others = {other.lower() for other in SYSTEM} - {name.lower(), "content-type"}
        assert not others & reply.headers.keys()


def test_all_of_an_upload_in_parts(wire: Wire, bucket: str) -> None:
    upload = begin(wire, f"/{bucket}/k", {**SYSTEM, "x-amz-meta-a": "1"})
    upload.put(1, b"1", {"Content-Type": "ignored/here", "x-amz-meta-a": "not this"})
    upload.complete()
    got = wire.head(f"/{bucket}/k").headers
    assert {name: got[name.lower()] for name in SYSTEM} == SYSTEM
    assert got["x-amz-meta-a"] == "1"


@pytest.mark.parametrize(
    ("sent", "kept"),
    [("aws-chunked", None), ("gzip,aws-chunked", "gzip"), ("aws-chunked, br", "br"), ("gzip", "gzip"), ("", None)],
)
def test_the_framing_is_no_encoding(wire: Wire, bucket: str, sent: str, kept: str | None) -> None:
    body, headers = b"1", {"Content-Encoding": sent}
    if "aws-chunked" in sent:
        body = b"1\r\n1\r\n0\r\n\r\n"
        headers["x-amz-decoded-content-length"] = "1"
    assert wire.put(f"/{bucket}/k", body, headers).status == 200
    got = wire.get(f"/{bucket}/k")
    assert (got.body, got.headers.get("content-encoding")) == (b"1", kept)


@pytest.mark.parametrize(
    "value",
    [
        "plain",
        "",
        "with  two blanks",
        "a,b;c=d",
        "x" * 1000,
        "=?UTF-8?Q?=C3=A9?=",
        '"quoted"',
        "h\tt",
        "é",
    ],
)
def test_user_metadata(wire: Wire, bucket: str, value: str) -> None:
    wire.put(f"/{bucket}/k", b"1", {"x-amz-meta-MiXed": value})
    for reply in (wire.get(f"/{bucket}/k"), wire.head(f"/{bucket}/k")):
        assert reply.headers["x-amz-meta-mixed"].encode("latin-1").decode() == value


def test_names_of_user_metadata(wire: Wire, bucket: str) -> None:
    sent = {"x-amz-meta-a": "1", "x-amz-meta-A-b_c.d": "2", "x-amz-meta-123": "3"}
    wire.put(f"/{bucket}/k", b"1", sent)
    got = wire.head(f"/{bucket}/k").headers
    assert {name: got[name.lower()] for name in sent} == sent


def test_an_sdk_sets_and_empties_metadata(s3: BaseClient, bucket: str) -> None:
    place = {"Bucket": bucket, "Key": "k"}
    for metadata in ({"meta1": "bar", "Meta2": "x y"}, {}, {"meta1": ""}):
        s3.put_object(**place, Body=b"1", Metadata=metadata)
        assert s3.get_object(**place)["Metadata"] == {name.lower(): value for name, value in metadata.items()}


def test_metadata_is_versioned(wire: Wire, bucket: str) -> None:
    versions = [
        wire.put(f"/{bucket}/k", b"same", {"x-amz-meta-a": str(number)}).headers["x-amz-version-id"]
        for number in range(3)
    ]
    found = [wire.head(f"/{bucket}/k?versionId={one}").headers["x-amz-meta-a"] for one in versions]
    assert found == ["0", "1", "2"]


@pytest.mark.parametrize(("size", "status"), [(2046, 200), (2047, 400), (6000, 400)])
def test_two_kilobytes_of_metadata_are_enough(wire: Wire, bucket: str, size: int, status: int) -> None:
    value = "x" * size
    for reply in (
        wire.put(f"/{bucket}/k", b"1", {"x-amz-meta-ab": value}),
        wire.post(f"/{bucket}/k?uploads", b"", {"x-amz-meta-ab": value}),
    ):
        assert reply.status == status
        if status == 400:
            refused(reply, 400, "MetadataTooLarge")


def test_without_a_type_there_is_the_usual_one(wire: Wire, bucket: str) -> None:
    for key in ("page.html", "data.json", "none"):
        wire.put(f"/{bucket}/{key}", b"1")
        assert wire.head(f"/{bucket}/{key}").headers["content-type"] == "binary/octet-stream"
    wire.put(f"/{bucket}/k", b"1", {"Content-Type": ""})
    assert wire.head(f"/{bucket}/k").headers["content-type"] == "binary/octet-stream"
