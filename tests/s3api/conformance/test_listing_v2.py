"""ListObjectsV2: tokens, start-after, owners."""

from urllib.parse import quote

import pytest
from botocore.client import BaseClient

from tests.s3api.conformance.listings import fill, page
from tests.s3api.conformance.wire import Wire, parse, refused, text

KEYS = ["bar", "baz", "foo", "quxx"]


@pytest.fixture
def four(wire: Wire, bucket: str) -> str:
    fill(wire, bucket, KEYS)
    return bucket


@pytest.mark.parametrize(
    ("start", "keys"),
    [("bar", KEYS[1:]), ("blah", KEYS[2:]), ("zzz", []), ("aaa", KEYS), ("\n", KEYS), ("baz\x00", KEYS[2:])],
)
def test_what_is_behind_a_start(wire: Wire, four: str, start: str, keys: list[str]) -> None:
    found = page(wire, four, 2, start_after=start)
    assert (found.keys, found.truncated) == (keys, False)
    assert text(found.reply, "KeyCount") == str(len(keys))


def test_the_start_is_said(wire: Wire, four: str) -> None:
    assert text(page(wire, four, 2, start_after="bar").reply, "StartAfter") == "bar"
    assert text(page(wire, four, 2).reply, "StartAfter") is None


def test_a_token_goes_on(wire: Wire, four: str) -> None:
    first = page(wire, four, 2, max_keys=1)
    token = text(first.reply, "NextContinuationToken")
    assert (first.keys, first.truncated, text(first.reply, "ContinuationToken")) == (["bar"], True, None)
    rest = page(wire, four, 2, continuation_token=token)
    assert (rest.keys, rest.truncated, text(rest.reply, "ContinuationToken")) == (KEYS[1:], False, token)


def test_a_token_wins_over_a_start(wire: Wire, four: str) -> None:
    token = text(page(wire, four, 2, max_keys=1, start_after="aaa").reply, "NextContinuationToken")
    found = page(wire, four, 2, continuation_token=token, start_after="foo")
    assert found.keys == KEYS[1:]
    assert text(found.reply, "StartAfter") == "foo"


def test_an_empty_token_is_the_beginning(wire: Wire, four: str) -> None:
    found = page(wire, four, 2, continuation_token="")
    assert (found.keys, found.truncated, text(found.reply, "ContinuationToken")) == (KEYS, False, "")


@pytest.mark.parametrize("token", ["not base64!", "YQ", "é", "_____w=="])
def test_tokens_of_somebody_else(wire: Wire, four: str, token: str) -> None:
    reply = wire.get(f"/{four}?list-type=2&continuation-token={quote(token, safe='%')}")
    refused(reply, 400, "InvalidArgument")
    assert text(reply, "ArgumentName") == "continuation-token"


def test_tokens_are_not_encoded(wire: Wire, bucket: str) -> None:
    fill(wire, bucket, ["a b", "c d"])
    found = page(wire, bucket, 2, max_keys=1, encoding_type="url")
    token = text(found.reply, "NextContinuationToken")
    assert page(wire, bucket, 2, continuation_token=token, encoding_type="url").keys == ["c d"]


@pytest.mark.parametrize(("value", "shown"), [("true", True), ("false", False), ("", False), (None, False)])
def test_owners_when_they_are_asked_for(wire: Wire, four: str, value: str | None, shown: bool) -> None:
    found = page(wire, four, 2, **({} if value is None else {"fetch_owner": value}))
    owners = parse(found.reply).findall("Contents/Owner/ID")
    assert [one.text for one in owners] == (["pfs"] * 4 if shown else [])


@pytest.mark.parametrize("kind", ["1", "3", "", "x"])
def test_there_are_two_versions(wire: Wire, bucket: str, kind: str) -> None:
    refused(wire.get(f"/{bucket}?list-type={kind}"), 400, "InvalidArgument")


def test_there_is_no_marker(wire: Wire, four: str) -> None:
    found = page(wire, four, 2, max_keys=1, delimiter="/")
    assert text(found.reply, "Marker") is None
    assert text(found.reply, "NextMarker") is None
    for marker in ("", "zzz"):  # of the first version: it means nothing here
        assert wire.get(f"/{four}?list-type=2&marker={marker}").body == wire.get(f"/{four}?list-type=2").body


def test_an_sdk_pages_to_the_end(s3: BaseClient, wire: Wire, bucket: str) -> None:
    keys = sorted(f"dir {number}/ü+{number}" for number in range(7))
    fill(wire, bucket, keys)
    for operation in ("list_objects_v2", "list_objects"):
        pages = s3.get_paginator(operation).paginate(Bucket=bucket, PaginationConfig={"PageSize": 2})
        assert [row["Key"] for one in pages for row in one.get("Contents", [])] == keys
        pages = s3.get_paginator(operation).paginate(Bucket=bucket, Delimiter="/", PaginationConfig={"PageSize": 3})
        prefixes = [row["Prefix"] for one in pages for row in one.get("CommonPrefixes", [])]
        assert prefixes == [key.partition("/")[0] + "/" for key in keys]
