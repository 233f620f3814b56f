"""GetObject: an object or a range of it, as it is now or in one version."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import ClassVar, Self

from pfs.trees.tree import Row
from s3api.auth.access import Permission
from s3api.bodies.checksums import HEADER
from s3api.errors import S3Error
from s3api.gateway import Context
from s3api.http.ranges import Span, parse_range
from s3api.http.request import Request
from s3api.http.response import Headers, Response, Stream
from s3api.multipart.layout import layout_of, parse_wanted_part, span_of_part
from s3api.objects.conditions import check_read, range_holds
from s3api.objects.metadata import object_headers
from s3api.objects.reading import LEAST_BYTES, Extent
from s3api.operation import BlockingOperation
from s3api.versions.find import find_object

_OVERRIDE = "response-"


@dataclass(frozen=True, slots=True)
class _Opened:
    """What is to be sent, and the first of it."""

    extent: Extent
    first: list[memoryview]


@dataclass(frozen=True, slots=True)
class GetObject(BlockingOperation):
    """Read an object; ``overrides`` replace headers of the answer."""

    permission: ClassVar[Permission | None] = Permission.READ
    key: bytes
    version: str | None = None
    overrides: Headers = field(default=())
    part: int | None = None

    @classmethod
    def parse(cls, request: Request) -> Self:
        """Read the parameters."""
        version, part = request.params.get("versionId"), parse_wanted_part(request)
        return cls(request.key, version, parse_overrides(request), part)

    def answer(self, context: Context) -> Response:
        """Answer 200, 206 or 304; the body is read ahead piece by piece."""
        reading = context.gateway.reading
        row, span, opened = self._open(context, reading.first_size())
        headers = answer_headers(context.request, row, self.overrides, Shown(span, self.part))
        size = row.size if span is None else span.stop - span.start
        small = size <= LEAST_BYTES
        body = b"".join(opened.first) if small else Stream(size, partial(reading.pieces, opened.extent, opened.first))
        return Response(200 if span is None else 206, headers, body)

    def _open(self, context: Context, first: int) -> tuple[Row, Span | None, _Opened]:
        """Find the row, check the conditions, and read the first bytes."""
        row = find_object(context.bucket(), self.key, self.version)
        check_read(context.request.headers, row)
        span = find_span(context.request, row, self.part)
        start, stop = span or Span(0, row.size)
        extent = Extent(context.store.objects, row, start=start, stop=stop)
        return row, span, _Opened(extent, extent.read(first))


def parse_overrides(request: Request) -> Headers:
    """Return the headers that ``response-`` parameters set; only signed requests may.

    Raises:
        S3Error: InvalidArgument; a value that cannot be a header.
    """
    found = tuple((n.removeprefix(_OVERRIDE), v) for n, v in request.params.items() if n.startswith(_OVERRIDE))
    for name, value in found:
        if any(ord(char) < 0x20 or ord(char) == 0x7F for char in value):
            raise S3Error("InvalidArgument", f"{_OVERRIDE}{name} has control characters")
    return found


@dataclass(frozen=True, slots=True)
class Shown:
    """What of an object an answer is about: all of it without a ``span``; ``part``: the number that was asked for."""

    span: Span | None
    part: int | None = None


def find_span(request: Request, row: Row, part: int | None) -> Span | None:
    """Return the bytes that a range or a part's number asks for; None: all.

    Raises:
        S3Error: InvalidRange, InvalidPartNumber.
    """
    if part is not None:
        return span_of_part(row, part)
    return parse_range(request.header("range"), row.size) if range_holds(request.headers, row) else None


def answer_headers(request: Request, row: Row, overrides: Headers, shown: Shown) -> Headers:
    """Return an object's headers. Checksums, when asked for, come with the whole, and that of a part with the part."""
    asked = (request.header("x-amz-checksum-mode") or "").upper() == "ENABLED"
    replaced = {name for name, _ in overrides}
    layout = layout_of(row.aux) if shown.part is not None else None
    whole = shown.span is None or (layout is None and shown.span == (0, row.size) and shown.part is not None)
    headers = object_headers(row, checksums=asked and whole)
    if shown.span is not None:
        headers += (("content-range", f"bytes {shown.span.start}-{shown.span.stop - 1}/{row.size}"),)
    if layout is not None and shown.part is not None:
        headers += (("x-amz-mp-parts-count", str(len(layout.sizes))),)
        kept = layout.checksum(shown.part) if asked else {}
        headers += tuple((HEADER + name, value) for name, value in kept.items())
    return (*(header for header in headers if header[0] not in replaced), *overrides)
