"""ListObjectVersions: what commits did to each key, held against dictionaries, page by page."""

from __future__ import annotations

from contextlib import closing

import pytest
from botocore.client import BaseClient
from botocore.exceptions import ClientError

from pfs.changes.replay import merge
from pfs.store import Store
from s3api.versions import index
from tests.s3api.conftest import Server, running

Listed = list[tuple[str, str, bool, bool]]
"""Key, version, is it a marker, is it the latest."""


def versions(s3: BaseClient, bucket: str, **options: object) -> Listed:
    """List everything with boto3's paginator; of each page the versions first, then the markers."""
    found: Listed = []
    for page in s3.get_paginator("list_object_versions").paginate(Bucket=bucket, **options):
        both = [(one, False) for one in page.get("Versions", ())] + [
            (one, True) for one in page.get("DeleteMarkers", ())
        ]
        found += [(one["Key"], one["VersionId"], marker, one["IsLatest"]) for one, marker in both]
    return found


def put(s3: BaseClient, bucket: str, key: str, body: bytes = b"") -> str:
    return str(s3.put_object(Bucket=bucket, Key=key, Body=body)["VersionId"])


def delete(s3: BaseClient, bucket: str, key: str) -> str:
    return str(s3.delete_object(Bucket=bucket, Key=key)["VersionId"])


def test_puts_and_deletes_are_versions_newest_first(s3: BaseClient, bucket: str) -> None:
    one, same = put(s3, bucket, "a", b"1"), put(s3, bucket, "a", b"1")
    gone = delete(s3, bucket, "a")
    back = put(s3, bucket, "a", b"2")
    other, dropped = put(s3, bucket, "b"), delete(s3, bucket, "b")
    page = s3.list_object_versions(Bucket=bucket)
    assert [(v["Key"], v["VersionId"], v["IsLatest"]) for v in page["Versions"]] == [
        ("a", back, True),
        ("a", same, False),
        ("a", one, False),
        ("b", other, False),
    ]
    assert [(v["Key"], v["VersionId"], v["IsLatest"]) for v in page["DeleteMarkers"]] == [
        ("a", gone, False),
        ("b", dropped, True),
    ]
    first = page["Versions"][0]
    head = s3.head_object(Bucket=bucket, Key="a", ChecksumMode="ENABLED")
    assert (first["ETag"], first["Size"], first["StorageClass"]) == (head["ETag"], 1, "STANDARD")
    assert first["LastModified"].replace(microsecond=0) == head["LastModified"]
    assert (first["ChecksumAlgorithm"], first["ChecksumType"]) == (["CRC32"], "FULL_OBJECT")
    assert first["Owner"] == page["DeleteMarkers"][0]["Owner"] == {"ID": "pfs", "DisplayName": "pfs"}
    assert (page["IsTruncated"], page["MaxKeys"], page["Name"]) == (False, 1000, bucket)
    for version in page["Versions"]:
        s3.head_object(Bucket=bucket, Key=version["Key"], VersionId=version["VersionId"])


def test_the_answer_is_s3s(server: Server, s3: BaseClient, bucket: str) -> None:
    put(s3, bucket, "a b/c")
    delete(s3, bucket, "a b/c")
    reply = server.request("GET", f"/{bucket}?versions&encoding-type=url&max-keys=1&prefix=a%20b%2F")
    text = reply.body.decode()
    assert reply.status == 200
    assert text.startswith(
        '<?xml version="1.0" encoding="UTF-8"?>\n<ListVersionsResult xmlns="http://s3.amazonaws.com/'
    )
    for part in (
        f"<Name>{bucket}</Name><Prefix>a%20b/</Prefix><KeyMarker></KeyMarker><VersionIdMarker></VersionIdMarker>",
        "<NextKeyMarker>a%20b/c</NextKeyMarker><NextVersionIdMarker>",
        "<MaxKeys>1</MaxKeys><EncodingType>url</EncodingType><IsTruncated>true</IsTruncated><DeleteMarker>",
        "<IsLatest>true</IsLatest>",
        "<Owner><ID>pfs</ID><DisplayName>pfs</DisplayName></Owner></DeleteMarker></ListVersionsResult>",
    ):
        assert part in text
    assert "<ETag>" not in text


def test_control_characters_encode_the_page(server: Server, s3: BaseClient, bucket: str) -> None:
    put(s3, bucket, "a\x01b")
    text = server.request("GET", f"/{bucket}?versions").body.decode()
    assert "<EncodingType>url</EncodingType>" in text
    assert "<Key>a%01b</Key>" in text


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("version-id-marker=x", "InvalidArgument"),
        ("key-marker=a&version-id-marker=", "InvalidArgument"),
        ("max-keys=-1", "InvalidArgument"),
        ("encoding-type=x", "InvalidArgument"),
        ("unknown=1", "NotImplemented"),
    ],
)
def test_odd_parameters_are_refused(server: Server, bucket: str, query: str, code: str) -> None:
    assert server.request("GET", f"/{bucket}?versions&{query}").code == code


def test_no_bucket_and_nothing_in_it(server: Server, s3: BaseClient, bucket: str) -> None:
    with pytest.raises(ClientError, match="NoSuchBucket"):
        s3.list_object_versions(Bucket="nowhere")
    page = s3.list_object_versions(Bucket=bucket)
    assert ("Versions" in page, "DeleteMarkers" in page, page["IsTruncated"]) == (False, False, False)
    put(s3, bucket, "k")
    none = s3.list_object_versions(Bucket=bucket, MaxKeys=0)
    assert ("Versions" in none, none["IsTruncated"]) == (False, False)


def test_a_delimiter_rolls_up_markers_too(s3: BaseClient, bucket: str) -> None:
    for key in ("a/1", "a/2", "b", "c/x/1", "c/x/2", "c//y", "d"):
        put(s3, bucket, key)
    delete(s3, bucket, "a/1")
    delete(s3, bucket, "a/2")
    page = s3.list_object_versions(Bucket=bucket, Delimiter="/")
    assert [one["Prefix"] for one in page["CommonPrefixes"]] == ["a/", "c/"]
    assert [one["Key"] for one in page["Versions"]] == ["b", "d"]
    page = s3.list_object_versions(Bucket=bucket, Delimiter="x/", Prefix="c/")
    assert [one["Prefix"] for one in page["CommonPrefixes"]] == ["c/x/"]
    assert [one["Key"] for one in page["Versions"]] == ["c//y"]
    pages = list(
        s3.get_paginator("list_object_versions").paginate(
            Bucket=bucket, Delimiter="/", PaginationConfig={"PageSize": 1}
        )
    )
    found = [one["Prefix"] for page in pages for one in page.get("CommonPrefixes", ())]
    assert (found, len(pages)) == (["a/", "c/"], 4)
    assert "NextVersionIdMarker" not in pages[0]


def test_an_open_commit_is_the_newest(server: Server, s3: BaseClient, bucket: str) -> None:
    old = put(s3, bucket, "k", b"1")
    repo = server.store.repo(bucket)
    opened = repo.start_commit("master")
    new = put(s3, bucket, "k", b"2")
    put(s3, bucket, "other")
    gone = delete(s3, bucket, "other")
    assert new == gone == opened.id
    assert versions(s3, bucket) == [("k", new, False, True), ("k", old, False, False)]
    gone = delete(s3, bucket, "k")
    assert versions(s3, bucket, PaginationConfig={"PageSize": 1}) == [("k", gone, True, True), ("k", old, False, False)]
    repo.finish_commit("master")
    assert versions(s3, bucket) == [("k", old, False, False), ("k", gone, True, True)]


def test_a_merge_brings_versions_along(server: Server, s3: BaseClient, bucket: str) -> None:
    first = put(s3, bucket, "k", b"0")
    repo = server.store.repo(bucket)
    repo.create_branch("side", head=first)
    side = f"side.{bucket}"
    passed, kept = put(s3, side, "k", b"1"), put(s3, side, "k", b"2")
    put(s3, side, "new")
    put(s3, bucket, "own")
    merged = merge(server.store, bucket, "side", "master").id
    latest = [("k", merged, False, True), ("k", first, False, False)]
    assert [one for one in versions(s3, bucket) if one[0] == "k"] == latest
    assert [one[1] for one in versions(s3, side) if one[0] == "k"] == [kept, passed, first]
    assert s3.get_object(Bucket=bucket, Key="k", VersionId=merged)["Body"].read() == b"2"


def test_a_copied_directory_keeps_the_ids_of_its_files(server: Server, s3: BaseClient, bucket: str) -> None:
    """A directory is copied by its page, so its files say that they changed where they were made."""
    made = [put(s3, bucket, f"from/{number:03d}") for number in range(40)]
    with server.store.repo(bucket).commit("master") as commit:
        commit.copy(server.store.repo(bucket)["master"], "/from", "/to")
    assert [one[1] for one in versions(s3, bucket, Prefix="to/")] == made
    gone = delete(s3, bucket, "to/007")
    assert versions(s3, bucket, Prefix="to/007") == [("to/007", made[7], False, False), ("to/007", gone, True, True)]
    for key in ("to/006", "to/007", "from/007"):
        assert s3.head_object(Bucket=bucket, Key=key, VersionId=made[int(key[-3:])])["VersionId"] == made[int(key[-3:])]


def test_what_is_squashed_or_purged_is_gone(server: Server, s3: BaseClient, bucket: str) -> None:
    one, two, three = (put(s3, bucket, "k", body) for body in (b"1", b"2", b"3"))
    other = put(s3, bucket, "other")
    assert [found[1] for found in versions(s3, bucket)] == [three, two, one, other]
    repo = server.store.repo(bucket)
    repo.squash_commit(two)
    assert [found[1] for found in versions(s3, bucket)] == [three, one, other]
    repo.squash_commit(three)
    assert [found[1] for found in versions(s3, bucket)] == [three, one, other]
    assert s3.get_object(Bucket=bucket, Key="k", VersionId=three)["Body"].read() == b"3"
    repo.purge("/k")
    assert [found[1] for found in versions(s3, bucket)] == [other]


def test_a_bucket_of_a_commit_has_the_history_of_that_commit(s3: BaseClient, bucket: str) -> None:
    one = put(s3, bucket, "k", b"1")
    gone = delete(s3, bucket, "k")
    two = put(s3, bucket, "k", b"2")
    latest = [("k", two, False, True), ("k", one, False, False), ("k", gone, True, False)]
    assert versions(s3, bucket) == latest
    assert versions(s3, f"{two}.{bucket}") == versions(s3, f"{two}.master.{bucket}") == latest
    assert versions(s3, f"{gone}.{bucket}") == [("k", one, False, False), ("k", gone, True, True)]
    assert versions(s3, f"{one}.{bucket}") == [("k", one, False, True)]


def test_a_new_repo_of_the_name_has_none_of_the_old_versions(server: Server, s3: BaseClient, bucket: str) -> None:
    put(s3, bucket, "k")
    assert len(versions(s3, bucket)) == 1
    server.store.delete_repo(bucket)
    server.store.create_repo(bucket).create_branch("master")
    assert versions(s3, bucket) == []
    new = put(s3, bucket, "k")
    assert versions(s3, bucket) == [("k", new, False, True)]


def test_the_index_is_a_cache(home: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    home.create_repo("r")
    for large in (0, 10_000):
        monkeypatch.setattr(index, "LARGE", large)
        (home.path / "versions.sqlite").unlink(missing_ok=True)
        with running(home) as server, closing(server.client()) as s3:
            made = [put(s3, "r", "k", str(n).encode()) for n in range(3)]
            before = [found[1] for found in versions(s3, "r")]
            assert before[:3] == made[::-1]
            (home.path / "versions.sqlite").unlink()
            assert [found[1] for found in versions(s3, "r", PaginationConfig={"PageSize": 1})] == before
            for suffix in ("", "-wal"):
                (home.path / f"versions.sqlite{suffix}").write_bytes(b"damaged" * 1000)
            with pytest.raises(ClientError, match="InternalError"):
                versions(s3, "r")
            assert [found[1] for found in versions(s3, "r")] == before
