"""Versions: ListObjectVersions, reads and heads of them, delete markers, and what cannot be done to them."""

from urllib.parse import quote

import pytest
from botocore.client import BaseClient

from tests.s3api.conformance.wire import Wire, parse, refused, text, texts


@pytest.fixture
def history(wire: Wire, bucket: str) -> dict[str, str]:
    """Three versions of `k`, the second a deletion, and one of `dir/l`; ids by name."""
    path = f"/{bucket}/k"
    return {
        "first": wire.put(path, b"first").headers["x-amz-version-id"],
        "marker": wire.delete(path).headers["x-amz-version-id"],
        "last": wire.put(path, b"last").headers["x-amz-version-id"],
        "other": wire.put(f"/{bucket}/dir/l", b"other").headers["x-amz-version-id"],
    }


def test_the_form_of_the_list(wire: Wire, bucket: str, history: dict[str, str]) -> None:
    reply = wire.get(f"/{bucket}?versions")
    assert (reply.status, parse(reply).tag) == (200, "ListVersionsResult")
    wanted = {"Name": bucket, "Prefix": "", "KeyMarker": "", "MaxKeys": "1000", "IsTruncated": "false"}
    assert {name: text(reply, name) for name in wanted} == wanted
    entries = [element for element in parse(reply) if element.tag in {"Version", "DeleteMarker"}]
    found = [(e.tag, e.findtext("Key"), e.findtext("VersionId"), e.findtext("IsLatest")) for e in entries]
    assert found == [
        ("Version", "dir/l", history["other"], "true"),
        ("Version", "k", history["last"], "true"),
        ("DeleteMarker", "k", history["marker"], "false"),
        ("Version", "k", history["first"], "false"),
    ]
    for entry in entries:
        names = {leaf.tag for leaf in entry}
        assert {"Key", "VersionId", "IsLatest", "LastModified", "Owner"} <= names
        assert ({"ETag", "Size", "StorageClass"} <= names) == (entry.tag == "Version")
    assert texts(reply, "Version/Size") == ["5", "4", "5"]


@pytest.mark.parametrize("size", [1, 2, 3])
def test_pages(wire: Wire, s3: BaseClient, bucket: str, history: dict[str, str], size: int) -> None:
    found, after = list[str](), ""
    while True:
        reply = wire.get(f"/{bucket}?versions&max-keys={size}{after}")
        found += [e.findtext("VersionId") or "" for e in parse(reply) if e.tag in {"Version", "DeleteMarker"}]
        if text(reply, "IsTruncated") == "false":
            break
        key, version = text(reply, "NextKeyMarker") or "", text(reply, "NextVersionIdMarker")
        after = f"&key-marker={quote(key, safe='')}&version-id-marker={version}"
    assert found == [history[name] for name in ("other", "last", "marker", "first")]
    pages = s3.get_paginator("list_object_versions").paginate(Bucket=bucket, PaginationConfig={"PageSize": size})
    assert sum(len(page.get("Versions", [])) + len(page.get("DeleteMarkers", [])) for page in pages) == 4


def test_prefix_and_delimiter(wire: Wire, bucket: str, history: dict[str, str]) -> None:
    split = wire.get(f"/{bucket}?versions&delimiter=%2F")
    assert (texts(split, "CommonPrefixes/Prefix"), set(texts(split, "Version/Key"))) == (["dir/"], {"k"})
    assert texts(wire.get(f"/{bucket}?versions&prefix=dir"), "Version/VersionId") == [history["other"]]
    assert texts(wire.get(f"/{bucket}?versions&key-marker=dir%2Fl"), "Version/Key") == ["k", "k"]
    assert texts(wire.get(f"/{bucket}?versions&encoding-type=url"), "Version/Key") == ["dir/l", "k", "k"]


def test_reads(wire: Wire, bucket: str, history: dict[str, str]) -> None:
    path = f"/{bucket}/k"
    for name in ("first", "last"):
        got = wire.get(f"{path}?versionId={history[name]}")
        assert (got.status, got.body, got.headers["x-amz-version-id"]) == (200, name.encode(), history[name])
        assert wire.head(f"{path}?versionId={history[name]}").headers["content-length"] == str(len(name))
        ranged = wire.get(f"{path}?versionId={history[name]}", {"Range": "bytes=1-2"})
        assert (ranged.status, ranged.body) == (206, name.encode()[1:3])
    gone = wire.get(f"{path}?versionId={history['marker']}")
    refused(gone, 405, "MethodNotAllowed")
    assert gone.headers["x-amz-delete-marker"] == "true"
    head = wire.head(f"{path}?versionId={history['marker']}")
    assert (head.status, head.body) == (405, b"")


@pytest.mark.parametrize(
    ("version", "status", "code"),
    [("0" * 32, 404, "NoSuchVersion"), ("null", 404, "NoSuchVersion"), ("x", 400, "InvalidArgument")],
)
def test_versions_that_are_not_there(
    wire: Wire, bucket: str, history: dict[str, str], version: str, status: int, code: str
) -> None:
    refused(wire.get(f"/{bucket}/k?versionId={version}"), status, code)
    assert wire.head(f"/{bucket}/k?versionId={version}").status == status
    refused(wire.get(f"/{bucket}/k?versionId={history['other']}"), 404, "NoSuchVersion")


def test_a_deleted_object_says_so(wire: Wire, bucket: str) -> None:
    path = f"/{bucket}/k"
    wire.put(path, b"1")
    marker = wire.delete(path)
    assert marker.headers["x-amz-delete-marker"] == "true"
    gone = wire.get(path)
    refused(gone, 404, "NoSuchKey")
    assert gone.headers["x-amz-delete-marker"] == "true"
    assert gone.headers["x-amz-version-id"] == marker.headers["x-amz-version-id"]


def test_history_cannot_be_changed(wire: Wire, bucket: str, history: dict[str, str]) -> None:
    for name in ("first", "marker", "last"):
        refused(wire.delete(f"/{bucket}/k?versionId={history[name]}"), 403, "AccessDenied")
    inside = f"<Object><Key>k</Key><VersionId>{history['last']}</VersionId></Object>"
    reply = wire.post(f"/{bucket}?delete", f"<Delete>{inside}</Delete>".encode())
    assert texts(reply, "Error/Code") == ["AccessDenied"]
    assert wire.get(f"/{bucket}/k").body == b"last"


@pytest.mark.parametrize(("status", "answer"), [("Enabled", 200), ("Suspended", None), ("Other", 400)])
def test_versioning_is_always_on(wire: Wire, bucket: str, status: str, answer: int | None) -> None:
    body = f"<VersioningConfiguration><Status>{status}</Status></VersioningConfiguration>".encode()
    reply = wire.put(f"/{bucket}?versioning", body)
    assert reply.status == answer or (answer is None and reply.status >= 400), reply.body
    assert text(wire.get(f"/{bucket}?versioning"), "Status") == "Enabled"
