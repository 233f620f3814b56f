"""Tags of objects and buckets: their XML, their header, their limits."""

import pytest

from tests.s3api.conformance.uploads import begin
from tests.s3api.conformance.wire import Wire, parse, refused, text, texts


def tagging(*pairs: tuple[str, str]) -> bytes:
    inside = "".join(f"<Tag><Key>{key}</Key><Value>{value}</Value></Tag>" for key, value in pairs)
    return f"<Tagging><TagSet>{inside}</TagSet></Tagging>".encode()


def tags_of(wire: Wire, path: str) -> dict[str, str]:
    reply = wire.get(f"{path}?tagging")
    assert (reply.status, parse(reply).tag) == (200, "Tagging")
    return dict(zip(texts(reply, "TagSet/Tag/Key"), texts(reply, "TagSet/Tag/Value"), strict=True))


@pytest.fixture
def path(wire: Wire, bucket: str) -> str:
    wire.put(f"/{bucket}/k", b"1")
    return f"/{bucket}/k"


def test_put_get_delete(wire: Wire, path: str) -> None:
    assert tags_of(wire, path) == {}
    put = wire.put(f"{path}?tagging", tagging(("a", "1"), ("b c", "é")))
    assert (put.status, put.body) == (200, b"")
    assert tags_of(wire, path) == {"a": "1", "b c": "é"}
    assert wire.head(path).headers["x-amz-tagging-count"] == "2"
    wire.put(f"{path}?tagging", tagging(("a", "2")))
    assert tags_of(wire, path) == {"a": "2"}
    gone = wire.delete(f"{path}?tagging")
    assert (gone.status, gone.body) == (204, b"")
    assert tags_of(wire, path) == {}
    assert "x-amz-tagging-count" not in wire.head(path).headers
    assert wire.get(path).body == b"1"


def test_tags_in_a_header(wire: Wire, bucket: str, path: str) -> None:
    reply = wire.put(path, b"1", {"x-amz-tagging": "a=1&b%20c=d%2Fe&empty="})
    assert reply.status == 200, reply.body
    assert tags_of(wire, path) == {"a": "1", "b c": "d/e", "empty": ""}
    upload = begin(wire, f"/{bucket}/parts", {"x-amz-tagging": "p=1"})
    upload.put(1, b"1")
    upload.complete()
    assert tags_of(wire, f"/{bucket}/parts") == {"p": "1"}
    wire.put(f"/{bucket}/copy", b"", {"x-amz-copy-source": path})
    assert tags_of(wire, f"/{bucket}/copy") == {"a": "1", "b c": "d/e", "empty": ""}
    replace = {"x-amz-tagging-directive": "REPLACE", "x-amz-tagging": "n=2"}
    wire.put(f"/{bucket}/other", b"", {"x-amz-copy-source": path, **replace})
    assert tags_of(wire, f"/{bucket}/other") == {"n": "2"}


@pytest.mark.parametrize(
    ("pairs", "code"),
    [
        ([(str(n), "") for n in range(11)], "BadRequest"),
        ([("k" * 129, "v")], "InvalidTag"),
        ([("k", "v" * 257)], "InvalidTag"),
        ([("", "v")], "InvalidTag"),
        ([("a", "1"), ("a", "2")], "InvalidTag"),
    ],
    ids=["many", "long key", "long value", "no key", "twice"],
)
def test_sets_that_are_refused(wire: Wire, path: str, pairs: list[tuple[str, str]], code: str) -> None:
    wire.put(f"{path}?tagging", tagging(("old", "1")))
    refused(wire.put(f"{path}?tagging", tagging(*pairs)), 400, code)
    assert tags_of(wire, path) == {"old": "1"}


@pytest.mark.parametrize("body", [b"", b"<Tagging>", b"<Other/>", b"<Tagging><TagSet><Tag/></TagSet></Tagging>"])
def test_xml_that_is_refused(wire: Wire, path: str, body: bytes) -> None:
    reply = wire.put(f"{path}?tagging", body)
    assert (reply.status, reply.code in {"MalformedXML", "InvalidTag"}) == (400, True), reply.body


@pytest.mark.parametrize(
    "body",
    [
        b"<Tagging><TagSet/><TagSet><Tag><Key>a</Key><Value>1</Value></Tag></TagSet></Tagging>",
        b"<Tagging><TagSet/><Other/></Tagging>",
        b'<Tagging xmlns="http://example.com/"><TagSet/></Tagging>',
        b'<Tagging><TagSet xmlns="http://example.com/"/></Tagging>',
    ],
)
def test_documents_of_another_form(wire: Wire, bucket: str, path: str, body: bytes) -> None:
    refused(wire.put(f"{path}?tagging", body), 400, "MalformedXML")
    refused(wire.put(f"/{bucket}?tagging", body), 400, "MalformedXML")


@pytest.mark.parametrize("namespace", ["", ' xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'])
def test_with_and_without_the_namespace(wire: Wire, path: str, namespace: str) -> None:
    body = f"<Tagging{namespace}><TagSet><Tag><Key>a</Key><Value>1</Value></Tag></TagSet></Tagging>".encode()
    assert wire.put(f"{path}?tagging", body).status == 200
    assert tags_of(wire, path) == {"a": "1"}


def test_tags_of_what_is_not_there(wire: Wire, bucket: str) -> None:
    for reply in (
        wire.get(f"/{bucket}/none?tagging"),
        wire.put(f"/{bucket}/none?tagging", tagging(("a", "1"))),
        wire.delete(f"/{bucket}/none?tagging"),
    ):
        refused(reply, 404, "NoSuchKey")


def test_tags_of_a_version(wire: Wire, path: str) -> None:
    old = wire.head(path).headers["x-amz-version-id"]
    put = wire.put(f"{path}?tagging", tagging(("a", "1")))
    new = put.headers["x-amz-version-id"]
    assert new != old
    assert texts(wire.get(f"{path}?tagging&versionId={old}"), "TagSet/Tag/Key") == []
    assert texts(wire.get(f"{path}?tagging&versionId={new}"), "TagSet/Tag/Key") == ["a"]


def test_tags_of_a_bucket(wire: Wire, bucket: str) -> None:
    refused(wire.get(f"/{bucket}?tagging"), 404, "NoSuchTagSet")
    assert wire.put(f"/{bucket}?tagging", tagging(("a", "1"))).status == 204
    assert tags_of(wire, f"/{bucket}") == {"a": "1"}
    assert wire.delete(f"/{bucket}?tagging").status == 204
    assert text(wire.get(f"/{bucket}?tagging"), "BucketName") == bucket
