"""The Range header: which bytes of an object an answer has."""

from __future__ import annotations

import re
from typing import NamedTuple

from s3api.errors import S3Error

_RANGE = re.compile(r"bytes=(\d{0,1000})-(\d{0,1000})", re.ASCII)


class Span(NamedTuple):
    """Half-open: bytes from ``start`` to ``stop``."""

    start: int
    stop: int


def parse_range(header: str | None, size: int) -> Span | None:
    """Return the part of an object of ``size`` bytes that a Range header asks for; None means all of it.

    A header that is not one plain byte range is ignored, as HTTP wants it (several ranges too). ``bytes=-N`` are the
    last N bytes.

    Raises:
        S3Error: InvalidRange; no byte of the range is in the object.
    """
    match = _RANGE.fullmatch(header.strip()) if header else None
    if match is None or not (match[1] or match[2]):
        return None
    if not match[1]:
        wanted = int(match[2])
        span = Span(max(size - wanted, 0), size) if wanted else Span(size, size)
    else:
        start = int(match[1])
        stop = min(int(match[2]) + 1, size) if match[2] else size
        if match[2] and int(match[2]) < start:
            return None
        span = Span(start, stop)
    if span.start >= size:
        raise S3Error("InvalidRange", fields={"RangeRequested": header or "", "ActualObjectSize": str(size)})
    return span


def parse_copy_range(header: str, size: int) -> Span:
    """Return the bytes of ``x-amz-copy-source-range``, which must lie wholly in the source.

    Raises:
        S3Error: InvalidArgument, InvalidRange.
    """
    match = _RANGE.fullmatch(header.strip())
    if match is None or not match[1] or not match[2] or int(match[2]) < int(match[1]):
        raise S3Error("InvalidArgument", "x-amz-copy-source-range must be bytes=first-last")
    span = Span(int(match[1]), int(match[2]) + 1)
    if span.stop > size:
        raise S3Error("InvalidRange", "the range is not within the source object")
    return span
