"""ListObjects, the first version: markers."""

import pytest

from tests.s3api.conformance.listings import fill, page
from tests.s3api.conformance.wire import Wire, text

KEYS = ["bar", "baz", "foo", "quxx"]


@pytest.fixture
def four(wire: Wire, bucket: str) -> str:
    fill(wire, bucket, KEYS)
    return bucket


@pytest.mark.parametrize(
    ("marker", "keys"),
    [
        ("", KEYS),
        ("bar", KEYS[1:]),
        ("blah", KEYS[2:]),
        ("zzz", []),
        ("aaa", KEYS),
        ("\n", KEYS),
        ("quxx", []),
        ("bar/", KEYS[1:]),
    ],
)
def test_what_is_behind_a_marker(wire: Wire, four: str, marker: str, keys: list[str]) -> None:
    found = page(wire, four, 1, marker=marker)
    assert (found.keys, found.truncated) == (keys, False)
    assert text(found.reply, "Marker") == marker


def test_without_a_marker_it_is_empty(wire: Wire, four: str) -> None:
    assert text(page(wire, four, 1).reply, "Marker") == ""


def test_the_next_marker_comes_with_a_delimiter_only(wire: Wire, four: str) -> None:
    plain = page(wire, four, 1, max_keys=2)
    assert (plain.truncated, text(plain.reply, "NextMarker")) == (True, None)
    split = page(wire, four, 1, max_keys=2, delimiter="/")
    assert (split.truncated, text(split.reply, "NextMarker")) == (True, "baz")
    assert text(page(wire, four, 1, max_keys=4, delimiter="/").reply, "NextMarker") is None


def test_markers_are_encoded_too(wire: Wire, bucket: str) -> None:
    fill(wire, bucket, ["a+b", "c d", "e"])
    found = page(wire, bucket, 1, marker="a+b", max_keys=1, delimiter="/", encoding_type="url")
    assert found.keys == ["c d"]
    assert text(found.reply, "Marker") == "a%2Bb"
    assert text(found.reply, "NextMarker") == "c%20d"


def test_there_is_no_key_count(wire: Wire, four: str) -> None:
    for absent in ("KeyCount", "ContinuationToken", "StartAfter"):
        assert text(page(wire, four, 1).reply, absent) is None
