"""What listings of both versions show: prefixes, delimiters, pages, encodings."""

import hashlib
from urllib.parse import quote

import pytest

from tests.s3api.conformance.listings import Listed, fill, page
from tests.s3api.conformance.wire import Wire, parse, refused, text, texts

VERSIONS = pytest.mark.parametrize("version", [1, 2])
TREE = ["asdf", "boo/bar", "boo/baz/xyzzy", "cquux/thud", "cquux/bla"]


@pytest.fixture
def tree(wire: Wire, bucket: str) -> str:
    fill(wire, bucket, TREE)
    return bucket


@VERSIONS
def test_an_empty_bucket(wire: Wire, bucket: str, version: int) -> None:
    found = page(wire, bucket, version)
    assert (found.keys, found.prefixes, found.truncated) == ([], [], False)
    assert text(found.reply, "Name") == bucket
    assert text(found.reply, "MaxKeys") == "1000"
    assert text(found.reply, "Prefix") == ""
    for absent in ("Delimiter", "NextMarker", "NextContinuationToken", "EncodingType"):
        assert text(found.reply, absent) is None


@VERSIONS
@pytest.mark.parametrize(
    ("params", "keys", "prefixes"),
    [
        ({}, sorted(TREE), []),
        ({"delimiter": "/"}, ["asdf"], ["boo/", "cquux/"]),
        ({"delimiter": "/", "prefix": "boo/"}, ["boo/bar"], ["boo/baz/"]),
        ({"delimiter": "/", "prefix": "boo"}, [], ["boo/"]),
        ({"delimiter": "/", "prefix": "cq"}, [], ["cquux/"]),
        ({"delimiter": "/", "prefix": "none/"}, [], []),
        ({"delimiter": "a"}, ["cquux/thud"], ["a", "boo/ba", "cquux/bla"]),
        ({"delimiter": "oo/"}, ["asdf", "cquux/bla", "cquux/thud"], ["boo/"]),
        ({"delimiter": "/baz"}, ["asdf", "boo/bar", "cquux/bla", "cquux/thud"], ["boo/baz"]),
        ({"delimiter": "nowhere"}, sorted(TREE), []),
        ({"delimiter": "\n"}, sorted(TREE), []),
        ({"delimiter": ""}, sorted(TREE), []),
        ({"prefix": "boo/"}, ["boo/bar", "boo/baz/xyzzy"], []),
        ({"prefix": "asdf"}, ["asdf"], []),
        ({"prefix": "asdf/"}, [], []),
        ({"prefix": ""}, sorted(TREE), []),
        ({"prefix": "\n"}, [], []),
        ({"prefix": "boo/ba", "delimiter": "z"}, ["boo/bar"], ["boo/baz"]),
        ({"prefix": "boo/bar", "delimiter": "/"}, ["boo/bar"], []),
    ],
)
def test_prefix_and_delimiter(
    wire: Wire, tree: str, version: int, params: dict[str, str], keys: list[str], prefixes: list[str]
) -> None:
    found = page(wire, tree, version, **params)
    assert (found.keys, found.prefixes, found.truncated) == (keys, prefixes, False)
    assert text(found.reply, "Prefix") == params.get("prefix", "")
    assert text(found.reply, "Delimiter") == (params.get("delimiter") or None)
    if version == 2:
        assert text(found.reply, "KeyCount") == str(len(keys) + len(prefixes))


@pytest.mark.parametrize(
    ("keys", "delimiter", "prefixes"),
    [
        (["bar", "baz", "cab", "foo"], "a", ["ba", "ca"]),
        (["b%ar", "b%az", "c%ab", "foo"], "%", ["b%", "c%"]),
        (["b ar", "b az", "c ab", "foo"], " ", ["b ", "c "]),
        (["b.ar", "b.az", "c.ab", "foo"], ".", ["b.", "c."]),
        (["0/", "0/1", "x/y"], "/", ["0/", "x/"]),
        (["/a", "/b", "c"], "/", ["/"]),
        (["a//b", "a//c", "a/d"], "//", ["a//"]),
        (["_obj1_", "_under1/bar", "_under1/baz/xyzzy", "_under2/thud"], "/", ["_under1/", "_under2/"]),
        (["é1", "é2", "f"], "é", ["é"]),
    ],
)
def test_delimiters_of_any_kind(wire: Wire, bucket: str, keys: list[str], delimiter: str, prefixes: list[str]) -> None:
    fill(wire, bucket, keys)
    found = page(wire, bucket, 2, delimiter=delimiter)
    plain = [key for key in sorted(keys) if delimiter not in key]
    assert (found.keys, found.prefixes) == (plain, prefixes)


def walk(wire: Wire, bucket: str, version: int, **params: object) -> list[Listed]:
    """Return all pages, continued as the version does it."""
    pages = [page(wire, bucket, version, **params)]
    while pages[-1].truncated:
        last = pages[-1]
        if version == 2:
            more = {"continuation_token": text(last.reply, "NextContinuationToken")}
        else:
            more = {"marker": text(last.reply, "NextMarker") or last.keys[-1]}
        pages.append(page(wire, bucket, version, **params, **more))
        assert len(pages) < 50
    return pages


@VERSIONS
@pytest.mark.parametrize("size", [1, 2, 3, 5])
@pytest.mark.parametrize("delimiter", ["", "/", "a"])
def test_pages_hold_prefixes_and_keys_together(wire: Wire, tree: str, version: int, size: int, delimiter: str) -> None:
    whole = page(wire, tree, version, delimiter=delimiter)
    pages = walk(wire, tree, version, delimiter=delimiter, max_keys=size)
    assert [key for one in pages for key in one.keys] == whole.keys
    assert [prefix for one in pages for prefix in one.prefixes] == whole.prefixes
    counts = [len(one.keys) + len(one.prefixes) for one in pages]
    assert all(count == size for count in counts[:-1])
    assert 0 < counts[-1] <= size
    assert {text(one.reply, "MaxKeys") for one in pages} == {str(size)}


def test_a_delimiter_and_a_prefix_page_by_page(wire: Wire, bucket: str) -> None:
    fill(wire, bucket, ["_obj1_", "_under1/bar", "_under1/baz/xyzzy", "_under2/thud", "_under2/bla"])
    first = page(wire, bucket, 1, delimiter="/", max_keys=1)
    assert (first.keys, first.prefixes, text(first.reply, "NextMarker")) == (["_obj1_"], [], "_obj1_")
    second = page(wire, bucket, 1, delimiter="/", max_keys=1, marker="_obj1_")
    assert (second.keys, second.prefixes, text(second.reply, "NextMarker")) == ([], ["_under1/"], "_under1/")
    third = page(wire, bucket, 1, delimiter="/", max_keys=1, marker="_under1/")
    assert (third.keys, third.prefixes, third.truncated) == ([], ["_under2/"], False)


@VERSIONS
def test_no_keys_are_no_page(wire: Wire, tree: str, version: int) -> None:
    found = page(wire, tree, version, max_keys=0)
    assert (found.keys, found.prefixes, found.truncated) == ([], [], False)
    assert text(found.reply, "MaxKeys") == "0"


@VERSIONS
def test_more_than_a_thousand_are_a_thousand(wire: Wire, tree: str, version: int) -> None:
    assert text(page(wire, tree, version, max_keys=5000).reply, "MaxKeys") == "1000"


@VERSIONS
@pytest.mark.parametrize("value", ["-1", "x", "1e3", "0x10", "99999999999999", "%0A", "1.5", "%D9%A1"])
def test_counts_that_are_none(wire: Wire, bucket: str, version: int, value: str) -> None:
    reply = wire.get(f"/{bucket}?list-type=2&max-keys={value}" if version == 2 else f"/{bucket}?max-keys={value}")
    refused(reply, 400, "InvalidArgument")
    assert text(reply, "ArgumentName") == "max-keys"
    assert text(reply, "ArgumentValue") is not None


@VERSIONS
@pytest.mark.parametrize("value", ["xml", "URL", "base64"])
def test_encodings_that_are_none(wire: Wire, bucket: str, version: int, value: str) -> None:
    kind = "list-type=2&" if version == 2 else ""
    reply = wire.get(f"/{bucket}?{kind}encoding-type={value}")
    refused(reply, 400, "InvalidArgument")
    assert text(reply, "ArgumentName") == "encoding-type"


@VERSIONS
def test_names_are_encoded_when_asked(wire: Wire, bucket: str, version: int) -> None:
    fill(wire, bucket, ["foo+1/bar", "foo/bar/xyzzy", "quux ab/thud", "asdf+b", "é&<>"])
    kind = "list-type=2&" if version == 2 else ""
    reply = wire.get(f"/{bucket}?{kind}encoding-type=url&delimiter=%2F&prefix=")
    assert text(reply, "EncodingType") == "url"
    assert texts(reply, "Contents/Key") == ["asdf%2Bb", "%C3%A9%26%3C%3E"]
    assert texts(reply, "CommonPrefixes/Prefix") == ["foo%2B1/", "foo/", "quux%20ab/"]
    plain = wire.get(f"/{bucket}?{kind}prefix=%C3%A9")
    assert texts(plain, "Contents/Key") == ["é&<>"]
    assert text(plain, "Prefix") == "é"


@VERSIONS
def test_all_that_is_said_of_an_object(wire: Wire, bucket: str, version: int) -> None:
    put = wire.put(f"/{bucket}/k", b"hello", {"x-amz-checksum-crc32": "NhCmhg=="})
    found = page(wire, bucket, version)
    row = parse(found.reply).find("Contents")
    assert row is not None
    assert {leaf.tag: leaf.text for leaf in row if not len(leaf)} == {
        "Key": "k",
        "LastModified": row.findtext("LastModified"),
        "ETag": f'"{hashlib.md5(b"hello").hexdigest()}"',
        "Size": "5",
        "StorageClass": "STANDARD",
        "ChecksumAlgorithm": "CRC32",
        "ChecksumType": "FULL_OBJECT",
    }
    assert row.findtext("ETag") == put.headers["etag"]
    assert row.findtext("LastModified", "").endswith("Z")
    assert (row.find("Owner") is not None) == (version == 1)


@VERSIONS
def test_keys_come_in_the_order_of_their_bytes(wire: Wire, bucket: str, version: int) -> None:
    keys = ["a", "a!", "a-", "a/", "a/b", "a/b/c", "a0", "A", "Z", "é", "\uffee", "\U0001f600", "~", " ", "0"]
    fill(wire, bucket, keys)
    assert page(wire, bucket, version).keys == sorted(keys, key=str.encode)


@VERSIONS
def test_a_file_beside_a_folder_of_its_name(wire: Wire, bucket: str, version: int) -> None:
    keys = ["a", "a/", "a/b", "a//b", "a.b"]
    fill(wire, bucket, keys)
    assert page(wire, bucket, version).keys == sorted(keys)
    split = page(wire, bucket, version, delimiter="/")
    assert (split.keys, split.prefixes) == (["a", "a.b"], ["a/"])
    inside = page(wire, bucket, version, delimiter="/", prefix="a/")
    assert (inside.keys, inside.prefixes) == (["a/", "a/b"], ["a//"])
    for key in keys:
        assert wire.get(f"/{bucket}/{quote(key)}").body == key.encode()


def test_anybody_lists_what_is_public(wire: Wire, bucket: str) -> None:
    assert wire.send("GET", "/public?list-type=2", sign=False).status == 200
    refused(wire.send("GET", f"/{bucket}", sign=False), 403, "AccessDenied")
    refused(wire.send("GET", "/", sign=False), 403, "AccessDenied")
