"""Range and If-Range on GET and HEAD."""

import pytest

from tests.s3api.conformance.wire import Wire, refused, text

BYTES = bytes(range(256)) * 4


@pytest.fixture
def path(wire: Wire, bucket: str) -> str:
    wire.put(f"/{bucket}/k", BYTES)
    return f"/{bucket}/k"


@pytest.mark.parametrize(
    ("header", "start", "stop"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=4-7", 4, 8),
        ("bytes=1000-", 1000, 1024),
        ("bytes=-7", 1017, 1024),
        ("bytes=-5000", 0, 1024),
        ("bytes=1020-99999", 1020, 1024),
        ("bytes=0-", 0, 1024),
        ("bytes=1023-1023", 1023, 1024),
        ("bytes=10-9223372036854775807", 10, 1024),
        ("bytes=10-18446744073709551615", 10, 1024),
        ("bytes=-99999999999999999999", 0, 1024),
        ("bytes=5-99999999999999999999999", 5, 1024),
    ],
)
def test_one_range(wire: Wire, path: str, header: str, start: int, stop: int) -> None:
    got = wire.get(path, {"Range": header})
    assert (got.status, got.body) == (206, BYTES[start:stop])
    assert got.headers["content-range"] == f"bytes {start}-{stop - 1}/1024"
    assert got.headers["content-length"] == str(stop - start)
    head = wire.head(path, {"Range": header})
    assert (head.status, head.headers["content-range"]) == (206, got.headers["content-range"])


@pytest.mark.parametrize("header", ["bytes=1024-", "bytes=4000-5000", "bytes=-0", "bytes=99999999999999999999-"])
def test_ranges_outside(wire: Wire, path: str, header: str) -> None:
    got = wire.get(path, {"Range": header})
    refused(got, 416, "InvalidRange")
    assert text(got, "RangeRequested") == header
    assert text(got, "ActualObjectSize") == "1024"
    head = wire.head(path, {"Range": header})
    assert (head.status, head.body) == (416, b"")


@pytest.mark.parametrize(
    "header",
    [
        "bytes=0-1,3-4",
        "bytes=",
        "bytes=-",
        "bytes=x-y",
        "bytes=5-4",
        "items=0-1",
        "0-1",
        "bytes 0-1",
        "",
        "bytes=1-2-3",
    ],
)
def test_what_is_no_range_is_passed_over(wire: Wire, path: str, header: str) -> None:
    got = wire.get(path, {"Range": header})
    assert (got.status, got.body) == (200, BYTES)
    assert "content-range" not in got.headers


@pytest.mark.parametrize("header", ["bytes=0-", "bytes=0-0", "bytes=-1", "bytes=40-50"])
def test_no_range_of_nothing(wire: Wire, bucket: str, header: str) -> None:
    wire.put(f"/{bucket}/empty")
    refused(wire.get(f"/{bucket}/empty", {"Range": header}), 416, "InvalidRange")
    assert wire.get(f"/{bucket}/empty").body == b""


def test_if_range_by_etag(wire: Wire, path: str) -> None:
    tag = wire.head(path).headers["etag"]
    for value, status in [(tag, 206), ('"other"', 200), (f"W/{tag}", 200), ("nonsense", 200)]:
        got = wire.get(path, {"Range": "bytes=0-3", "If-Range": value})
        assert (got.status, len(got.body)) == (status, 4 if status == 206 else 1024), value


def test_if_range_by_date(wire: Wire, path: str) -> None:
    modified = wire.head(path).headers["last-modified"]
    for value, status in [(modified, 206), ("Mon, 01 Jan 2001 00:00:00 GMT", 200)]:
        assert wire.get(path, {"Range": "bytes=0-3", "If-Range": value}).status == status
        assert wire.head(path, {"Range": "bytes=0-3", "If-Range": value}).status == status


def test_ranges_of_a_large_object(wire: Wire, bucket: str) -> None:
    data = BYTES * (6 << 10)
    wire.put(f"/{bucket}/large", data)
    for start, stop in [(3145728, 5242880), (0, len(data) - 1), (len(data) - 8, len(data))]:
        got = wire.get(f"/{bucket}/large", {"Range": f"bytes={start}-{stop - 1}"})
        assert got.body == data[start:stop]


def test_a_range_has_no_checksum_of_the_whole(wire: Wire, bucket: str) -> None:
    wire.put(f"/{bucket}/k", b"hello", {"x-amz-checksum-crc32": "NhCmhg=="})
    asked = {"x-amz-checksum-mode": "ENABLED"}
    assert wire.get(f"/{bucket}/k", asked).headers["x-amz-checksum-crc32"] == "NhCmhg=="
    assert "x-amz-checksum-crc32" not in wire.get(f"/{bucket}/k", {**asked, "Range": "bytes=0-1"}).headers
    assert "x-amz-checksum-crc32" not in wire.get(f"/{bucket}/k").headers
