"""Conditions on GET and HEAD, alone and together, in the order of RFC 9110."""

from dataclasses import dataclass
from email.utils import formatdate, parsedate_to_datetime

import pytest

from tests.s3api.conformance.wire import Wire, refused, text


@dataclass(frozen=True)
class Known:
    """An object and what a client knows of it; times around its last change."""

    path: str
    tag: str
    at: str
    before: str
    after: str

    def fill(self, template: str) -> str:
        return template.format(tag=self.tag, bare=self.tag.strip('"'), at=self.at, before=self.before, after=self.after)


@pytest.fixture
def known(wire: Wire, bucket: str) -> Known:
    wire.put(f"/{bucket}/k", b"hello")
    headers = wire.head(f"/{bucket}/k").headers
    seconds = parsedate_to_datetime(headers["last-modified"]).timestamp()
    before, after = (formatdate(seconds + shift, usegmt=True) for shift in (-100, 1))
    return Known(f"/{bucket}/k", headers["etag"], headers["last-modified"], before, after)


CASES = [
    ({"If-Match": "{tag}"}, 200),
    ({"If-Match": "{bare}"}, 200),
    ({"If-Match": "*"}, 200),
    ({"If-Match": '"a", {tag}'}, 200),
    ({"If-Match": '"ABCORZ"'}, 412),
    ({"If-None-Match": "{tag}"}, 304),
    ({"If-None-Match": "W/{tag}"}, 304),
    ({"If-None-Match": "*"}, 304),
    ({"If-None-Match": '"a",{tag}'}, 304),
    ({"If-None-Match": "ABCORZ"}, 200),
    ({"If-Modified-Since": "{before}"}, 200),
    ({"If-Modified-Since": "{at}"}, 304),
    ({"If-Modified-Since": "{after}"}, 304),
    ({"If-Modified-Since": "yesterday"}, 200),
    ({"If-Unmodified-Since": "{before}"}, 412),
    ({"If-Unmodified-Since": "{at}"}, 200),
    ({"If-Unmodified-Since": "{after}"}, 200),
    ({"If-Unmodified-Since": "never"}, 200),
    ({"If-Match": "{tag}", "If-Unmodified-Since": "{before}"}, 200),
    ({"If-Match": '"a"', "If-Unmodified-Since": "{after}"}, 412),
    ({"If-None-Match": "{tag}", "If-Modified-Since": "{before}"}, 304),
    ({"If-None-Match": '"a"', "If-Modified-Since": "{after}"}, 200),
    ({"If-Match": "{tag}", "If-None-Match": "{tag}"}, 304),
    ({"If-Match": '"a"', "If-None-Match": "{tag}"}, 412),
    ({"If-Unmodified-Since": "{before}", "If-Modified-Since": "{before}"}, 412),
]


@pytest.mark.parametrize(("headers", "status"), CASES)
def test_conditions(wire: Wire, known: Known, headers: dict[str, str], status: int) -> None:
    sent = {name: known.fill(value) for name, value in headers.items()}
    got, head = wire.get(known.path, sent), wire.head(known.path, sent)
    assert (got.status, head.status, head.body) == (status, status, b"")
    if status == 412:
        refused(got, 412, "PreconditionFailed")
        assert text(got, "Condition") in {"If-Match", "If-Unmodified-Since"}
    if status == 304:
        assert got.body == b""
        assert (got.headers["etag"], got.headers["last-modified"]) == (known.tag, known.at)
        assert "content-type" not in got.headers


def test_a_failed_condition_comes_before_a_range(wire: Wire, known: Known) -> None:
    assert wire.get(known.path, {"If-Match": '"a"', "Range": "bytes=99-"}).status == 412
    assert wire.get(known.path, {"If-None-Match": known.tag, "Range": "bytes=99-"}).status == 304
    assert wire.get(known.path, {"If-Match": known.tag, "Range": "bytes=1-2"}).body == b"el"


def test_what_is_not_there_is_404_with_any_condition(wire: Wire, bucket: str) -> None:
    for name in ("If-Match", "If-None-Match"):
        refused(wire.get(f"/{bucket}/none", {name: "*"}), 404, "NoSuchKey")
