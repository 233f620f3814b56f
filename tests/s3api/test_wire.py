"""The small rules of the protocol: names, ranges, conditions, XML, errors, checksums, request parsing."""

import base64
import hashlib
import importlib
import pkgutil
import re
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import pfs
import s3api
from pfs.errors import PfsError, RepoNotFoundError, StorageFullError
from pfs.ids import NO_PAGE, CommitId, TreeId
from pfs.trees.page import Changed, Kind
from pfs.trees.tree import Row
from s3api.bodies.checksums import ALGORITHMS, CRC_BYTES, Digests, encode, join_parts, new_digest, sent_checksums
from s3api.errors import CODES, KINDS, NotModifiedError, S3Error, from_pfs
from s3api.http import xml
from s3api.http.ranges import parse_copy_range, parse_range
from s3api.http.request import Request, parse_request
from s3api.http.times import parse_http_date
from s3api.objects.conditions import check_copy, check_read, write_check
from s3api.objects.copysource import CopySource, parse_source
from s3api.objects.metadata import aux_from_headers, etag_of, mime_of, object_headers
from s3api.objects.names import BucketName, parse_bucket, parse_key

COMMIT = CommitId("0123456789abcdef0123456789abcdef")
MD5 = hashlib.md5(b"hello").hexdigest()


def row(aux: dict[str, object] | None = None, *, key: bytes = b"k") -> Row:
    changed = Changed(bytes.fromhex(COMMIT), 1_700_000_000_500_000_000)
    return Row(key, Kind.FILE, 5, TreeId(bytes(range(32))), 1, NO_PAGE, changed, aux)


def leaves(base: type[PfsError]) -> Iterator[type[PfsError]]:
    yield base
    for cls in base.__subclasses__():
        yield from leaves(cls)


# errors


def test_every_kind_of_error_has_a_code() -> None:
    for module in pkgutil.walk_packages(pfs.__path__, "pfs."):
        if not module.name.endswith("_cdc"):
            importlib.import_module(module.name)
    kinds = {cls.kind for cls in leaves(PfsError) if cls.__module__.startswith("pfs.")}
    assert kinds <= KINDS.keys()
    assert set(KINDS.values()) <= CODES.keys()


def test_every_code_that_is_raised_is_in_the_table() -> None:
    raised = set[str]()
    for source in Path(s3api.__path__[0]).rglob("*.py"):
        raised |= set(re.findall(r'\bS3Error\(\s*"(\w+)"', source.read_text()))
    assert len(raised) > 30
    assert raised <= CODES.keys()


def test_errors_are_translated_in_their_own_words() -> None:
    error = from_pfs(RepoNotFoundError("x"))
    assert (error.code, error.status) == ("NoSuchBucket", 404)
    assert "repo 'x' not found" in error.message
    assert from_pfs(StorageFullError("write", "full")).status == 507


# names


@pytest.mark.parametrize(
    ("name", "meaning"),
    [
        ("repo", BucketName("repo")),
        ("b.repo", BucketName("repo", "b")),
        ("b.repo.default", BucketName("repo", "b")),
        (f"{COMMIT}.repo", BucketName("repo", "", COMMIT)),
        (f"{COMMIT}.b.repo", BucketName("repo", "b", COMMIT)),
        (f"{COMMIT}.b.repo.default", BucketName("repo", "b", COMMIT)),
        (COMMIT, BucketName(COMMIT)),
        ("repo.default", BucketName("default", "repo")),
    ],
)
def test_bucket_names(name: str, meaning: BucketName) -> None:
    assert parse_bucket(name) == meaning


@pytest.mark.parametrize("name", ["", ".", "a.", ".a", "a b", "a.b.c", "a.b.c.d", "ü", "..", ".spec.repo", "a/b"])
def test_names_that_are_no_buckets(name: str) -> None:
    with pytest.raises(S3Error, match="InvalidBucketName"):
        parse_bucket(name)


def test_keys() -> None:
    for key in [b"a", b"/", b"a//b", b"..", b"\x01", "é/日本".encode(), b"x" * 1024]:
        assert parse_key(key) == key
    for key in [b"", b"a\0b", b"\xff", b"x" * 1025]:
        with pytest.raises(S3Error):
            parse_key(key)


# ranges


@pytest.mark.parametrize(
    ("header", "span"),
    [
        (None, None),
        ("bytes=0-3", (0, 4)),
        ("bytes=2-", (2, 10)),
        ("bytes=-3", (7, 10)),
        ("bytes=-99", (0, 10)),
        ("bytes=9-99", (9, 10)),
        ("bytes=0-1,3-4", None),
        ("bytes=-", None),
        ("bytes=5-2", None),
        ("lines=0-3", None),
        ("bytes=a-b", None),
        ("bytes=" + "9" * 5000 + "-", None),
    ],
)
def test_ranges(header: str | None, span: tuple[int, int] | None) -> None:
    assert parse_range(header, 10) == span


@pytest.mark.parametrize(("header", "size"), [("bytes=10-", 10), ("bytes=-0", 10), ("bytes=0-0", 0), ("bytes=-1", 0)])
def test_ranges_outside(header: str, size: int) -> None:
    with pytest.raises(S3Error, match="InvalidRange"):
        parse_range(header, size)


def test_copy_ranges_lie_inside() -> None:
    assert parse_copy_range("bytes=2-9", 10) == (2, 10)
    for header in ["bytes=2-10", "bytes=2-", "bytes=-3", "2-9", "bytes=5-2"]:
        with pytest.raises(S3Error):
            parse_copy_range(header, 10)


# conditions

BEFORE, AFTER = "Tue, 14 Nov 2023 22:13:19 GMT", "Tue, 14 Nov 2023 22:13:20 GMT"


@pytest.mark.parametrize(
    ("headers", "outcome"),
    [
        ({}, None),
        ({"if-match": f'"{MD5}"'}, None),
        ({"if-match": f'"x", W/"{MD5}"'}, None),
        ({"if-match": "*"}, None),
        ({"if-match": '"x"'}, S3Error),
        ({"if-match": MD5, "if-unmodified-since": BEFORE}, None),
        ({"if-none-match": MD5}, NotModifiedError),
        ({"if-none-match": "*"}, NotModifiedError),
        ({"if-none-match": "x", "if-modified-since": AFTER}, None),
        ({"if-modified-since": AFTER}, NotModifiedError),
        ({"if-modified-since": BEFORE}, None),
        ({"if-unmodified-since": BEFORE}, S3Error),
        ({"if-unmodified-since": AFTER}, None),
        ({"if-modified-since": "yesterday"}, None),
        ({"if-match": "x", "if-none-match": MD5}, S3Error),
    ],
)
def test_conditions_of_reads(headers: dict[str, str], outcome: type[Exception] | None) -> None:
    if outcome is None:
        check_read(headers, row({"e": MD5}))
    else:
        with pytest.raises(outcome):
            check_read(headers, row({"e": MD5}))


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("Sun, 06 Nov 1994 08:49:37 GMT", 784111777),
        ("Sun, 06 Nov 1994 08:49:37", 784111777),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 253402300799),
        ("Fri, 31 Dec 9999 23:59:59 -2359", None),
        ("yesterday", None),
        ("", None),
    ],
)
def test_dates(text: str, seconds: int | None) -> None:
    assert parse_http_date(text) == seconds


def test_conditions_of_copies_all_answer_412() -> None:
    check_copy({"x-amz-copy-source-if-match": MD5, "x-amz-copy-source-if-none-match": "x"}, row({"e": MD5}))
    for headers in [{"if-none-match": MD5}, {"if-match": "x"}, {"if-modified-since": AFTER}]:
        with pytest.raises(S3Error, match="PreconditionFailed"):
            check_copy({f"x-amz-copy-source-{name}": value for name, value in headers.items()}, row({"e": MD5}))


@pytest.mark.parametrize(
    ("headers", "exists", "code"),
    [
        ({"if-none-match": "*"}, False, None),
        ({"if-none-match": "*"}, True, "PreconditionFailed"),
        ({"if-none-match": MD5}, True, "PreconditionFailed"),
        ({"if-none-match": "x"}, True, None),
        ({"if-match": MD5}, True, None),
        ({"if-match": "x"}, True, "PreconditionFailed"),
        ({"if-match": MD5}, False, "NoSuchKey"),
    ],
)
def test_conditions_of_writes(headers: dict[str, str], exists: bool, code: str | None) -> None:
    check = write_check(headers)
    assert check is not None
    found = row({"e": MD5}) if exists else None
    if code is None:
        check(found)
    else:
        with pytest.raises(S3Error, match=code):
            check(found)


def test_no_condition_is_no_check() -> None:
    assert write_check({"content-type": "x"}) is None


# metadata


def test_etag_of_a_file_that_came_in_another_way_is_no_md5() -> None:
    assert etag_of(row()) == bytes(range(16)).hex() + "-1"


def test_metadata_round_trip() -> None:
    headers = {
        "content-type": "text/x",
        "cache-control": "no-cache",
        "content-encoding": "gzip,aws-chunked",
        "x-amz-meta-a": "1",
        "x-amz-meta-b": "é",
        "x-other": "no",
    }
    back = dict(object_headers(row({**aux_from_headers(headers), "e": MD5}), checksums=False))
    assert back["content-encoding"] == "gzip"
    assert {back[name] for name in ("content-type", "cache-control", "x-amz-meta-a", "x-amz-meta-b")} == {
        "text/x",
        "no-cache",
        "1",
        "é",
    }
    assert "x-other" not in back
    assert back["x-amz-version-id"] == COMMIT
    assert back["last-modified"] == AFTER


def test_metadata_that_no_header_can_have_is_counted() -> None:
    back = dict(object_headers(row({"u": {"fine": "1", "not fine": "2", "é": "3"}}), checksums=False))
    assert (back["x-amz-meta-fine"], back["x-amz-missing-meta"]) == ("1", "2")
    assert len([name for name in back if name.startswith("x-amz-meta-")]) == 1


def test_framing_is_not_kept_as_encoding() -> None:
    assert aux_from_headers({"content-encoding": "aws-chunked"}) == {}


def test_too_much_metadata() -> None:
    with pytest.raises(S3Error, match="MetadataTooLarge"):
        aux_from_headers({"x-amz-meta-a": "x" * 2048})


def test_type_is_guessed_only_for_files_that_came_in_another_way() -> None:
    assert mime_of(row(key=b"a.png")) == "image/png"
    assert mime_of(row({"e": MD5}, key=b"a.png")) == "binary/octet-stream"


# checksums


@given(st.binary(max_size=300), st.integers(0, 300))
def test_digests_of_pieces(data: bytes, at: int) -> None:
    for name in ALGORITHMS:
        split, whole = new_digest(name), new_digest(name)
        split.update(data[:at])
        split.update(memoryview(data)[at:])
        whole.update(data)
        assert split.digest() == whole.digest()


def test_known_checksums() -> None:
    known = {
        "crc32": "NhCmhg==",
        "crc32c": "mnG7TA==",
        "crc64nvme": "M3eFcAZSQlc=",
        "sha1": base64.b64encode(hashlib.sha1(b"hello").digest()).decode(),
    }
    for name, value in known.items():
        digest = new_digest(name)
        digest.update(b"hello")
        assert encode(digest.digest()) == value


@given(st.lists(st.binary(max_size=50), min_size=1, max_size=5), st.sampled_from(sorted(CRC_BYTES)))
def test_crcs_of_parts_join_to_that_of_the_whole(parts: list[bytes], name: str) -> None:
    def of(data: bytes) -> str:
        digest = new_digest(name)
        digest.update(data)
        return encode(digest.digest())

    assert join_parts(name, "FULL_OBJECT", [(of(part), len(part)) for part in parts]) == of(b"".join(parts))


def test_composite_checksum() -> None:
    raw = [zlib.crc32(part).to_bytes(4, "big") for part in (b"a", b"b")]
    joined = encode(zlib.crc32(b"".join(raw)).to_bytes(4, "big"))
    assert join_parts("crc32", "COMPOSITE", [(encode(one), 1) for one in raw]) == f"{joined}-2"
    with pytest.raises(S3Error, match="FULL_OBJECT"):
        join_parts("sha256", "FULL_OBJECT", [])


@pytest.mark.parametrize(
    ("headers", "payload", "code"),
    [
        ({}, "", None),
        ({"content-md5": "XUFAKrxLKna5cZ2REBfFkg=="}, "", None),
        ({"content-md5": "XUFAKrxLKna5cZ2REBfFkQ=="}, "", "BadDigest"),
        ({"content-md5": "x"}, "", "InvalidDigest"),
        ({"x-amz-checksum-crc32": "NhCmhg=="}, "", None),
        ({"x-amz-checksum-crc32": "NhCmhA=="}, "", "BadDigest"),
        ({"x-amz-checksum-crc32": "NhCm"}, "", "InvalidRequest"),
        ({"x-amz-checksum-md6": "NhCmhA=="}, "", "InvalidRequest"),
        ({"x-amz-trailer": "x-amz-checksum-crc32"}, "", "InvalidRequest"),
        ({}, hashlib.sha256(b"hello").hexdigest(), None),
        ({}, hashlib.sha256(b"hello!").hexdigest(), "XAmzContentSHA256Mismatch"),
    ],
)
def test_digests_are_compared(headers: dict[str, str], payload: str, code: str | None) -> None:
    def run() -> None:
        digests = Digests(headers, payload=payload, md5=True)
        digests.update([b"hel", b"lo"])
        digests.verify({})
        assert digests.md5 == MD5

    if code is None:
        run()
    else:
        with pytest.raises(S3Error, match=code):
            run()


def test_headers_about_checksums_are_none() -> None:
    assert sent_checksums({"x-amz-checksum-mode": "ENABLED", "x-amz-checksum-algorithm": "CRC32"}) == {}


# xml


def test_xml_escapes_and_parses() -> None:
    data = xml.document("R", xml.leaf("K", 'a<&>"é'), xml.node("N", xml.leaf("M", 1)))
    assert data.startswith(b'<?xml version="1.0" encoding="UTF-8"?>\n<R xmlns="http://s3')
    parsed = xml.parse(data, "R")
    assert xml.text_of(parsed, "K") == 'a<&>"é'
    assert xml.text_of(parsed, "none") is None


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"<R>",
        b"<Q/>",
        b'<!DOCTYPE R [<!ENTITY a "b">]><R>&a;</R>',
        b"<R>&undefined;</R>",
        b"\xff<R/>",
        "<R/>".encode("utf-16"),
        b"<R>\0</R>",
        b"<R\x01/>",
        b"<R a='\x01'>",
        b"<R>&#0;</R>",
        b"<R>&#xd800;</R>",
    ],
)
def test_xml_that_is_refused(data: bytes) -> None:
    with pytest.raises(S3Error, match="MalformedXML"):
        xml.parse(data, "R")


@given(st.text(max_size=30))
def test_what_xml_can_hold_comes_back(text: str) -> None:
    try:
        data = xml.document("R", xml.leaf("K", text))
    except UnicodeEncodeError:
        return
    found = xml.text_of(xml.parse(data, "R"), "K")
    assert (found == text) or not xml.is_xml_text(text)


# requests


def parse(path: bytes, *, host: bytes = b"h:1", domains: tuple[str, ...] = (), query: bytes = b"") -> Request:
    return parse_request("GET", path, query, headers=[(b"Host", host)], domains=domains)


@pytest.mark.parametrize(
    ("path", "host", "bucket", "key"),
    [
        (b"/", b"h:1", "", b""),
        (b"/b", b"h:1", "b", b""),
        (b"/b/", b"h:1", "b", b""),
        (b"/b/a/c", b"h:1", "b", b"a/c"),
        (b"/b//a", b"h:1", "b", b"/a"),
        (b"/b/a%2Fb%20%2B", b"h:1", "b", b"a/b +"),
        (b"/a/c", b"b.s3.test:1", "b", b"a/c"),
        (b"/", b"x.b.s3.test", "x.b", b""),
        (b"/b/k", b"s3.test:1", "b", b"k"),
        (b"/b/k", b"[::1]:80", "b", b"k"),
        (b"/b/k", b"[::1]", "b", b"k"),
        (b"/b/k", b"", "b", b"k"),
        (b"/b/k", b":", "b", b"k"),
        (b"/b/k", b"s3.test.evil", "b", b"k"),
        (b"/b/k", b"xs3.test", "b", b"k"),
        (b"/b/k", b"eu.s3.test:1", "b", b"k"),
        (b"/k", b"b.EU.S3.Test:1", "b", b"k"),
        (b"/k", b"Branch.Repo.S3.TEST.:443", "Branch.Repo", b"k"),
        (b"/k", b"b.s3.test:", "b", b"k"),
    ],
)
def test_path_and_virtual_host_style(path: bytes, host: bytes, bucket: str, key: bytes) -> None:
    request = parse(path, host=host, domains=("s3.test", "eu.s3.test"))
    assert (request.bucket, request.key) == (bucket, key)


@pytest.mark.parametrize("path", [b"b/k", b"//k", b"*", b"/b/%ff", b"/b/%00"])
def test_paths_that_are_refused(path: bytes) -> None:
    with pytest.raises(S3Error, match="InvalidURI"):
        parse(path)


def test_query_is_decoded_once() -> None:
    request = parse(b"/b", query=b"a=1%2520&b&a=2&c=x+y%2B")
    assert request.params == {"a": "1%20", "b": "", "c": "x y+"}


def test_headers_have_a_limit() -> None:
    with pytest.raises(S3Error, match="MaxMessageLengthExceeded"):
        parse_request("GET", b"/", b"", headers=[(b"x-amz-meta-a", b"x" * 40_000)])


@pytest.mark.parametrize(
    ("header", "source"),
    [
        ("b/k", CopySource("b", b"k")),
        ("/b/k", CopySource("b", b"k")),
        ("b/a%20b%2Bc+d", CopySource("b", b"a b+c d")),
        ("b%2Fa+b%2Bc", CopySource("b", b"a b+c")),
        ("b%2Fk%2Fx", CopySource("b", b"k/x")),
        ("b/k?versionId=v", CopySource("b", b"k", "v")),
        ("b/k%3FversionId=v", CopySource("b", b"k?versionId=v")),
        ("b/100%2525", CopySource("b", b"100%25")),
    ],
)
def test_copy_sources(header: str, source: CopySource) -> None:
    assert parse_source(header) == source


@pytest.mark.parametrize("header", ["", "b", "/", "b/", "/b/", "b/k?versionId="])
def test_copy_sources_that_are_refused(header: str) -> None:
    with pytest.raises(S3Error, match="InvalidArgument"):
        parse_source(header)


KEYS = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0\r"), min_size=1, max_size=20)
ODD = st.text(st.sampled_from("\x01\x0b\x1f\ufffe\uffff\uf8ff\u0101\uf9ffa&<#;x1"), min_size=1, max_size=12)


@given(KEYS | ODD, st.sampled_from(["raw", "decimal", "hex"]))
def test_keys_that_xml_cannot_hold_are_read_all_the_same(key: str, form: str) -> None:
    forms = {"raw": "{}", "decimal": "&#{};", "hex": "&#x{:x};"}
    special = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
    sent = "".join(special.get(char, char if form == "raw" else forms[form].format(ord(char))) for char in key)
    parsed = xml.parse(f"<R><K>{sent}</K><L>&#xf8ff;\u0101</L></R>".encode(), "R")
    assert xml.text_of(parsed, "K") == key
    assert xml.text_of(parsed, "L") == "\uf8ff\u0101"


def test_references_in_cdata_are_text() -> None:
    parsed = xml.parse(b"<R><K><![CDATA[&#1;]]></K></R>", "R")
    assert xml.text_of(parsed, "K") == "&#1;"
