"""GetObject: an object or a range of it, as it is now or in one version."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterator
from dataclasses import dataclass, field
from typing import ClassVar, Self

from pfs.backends.base import Buffer
from pfs.reader import iter_range
from pfs.tree import Row
from s3api.access import Permission
from s3api.conditions import check_read
from s3api.errors import S3Error
from s3api.gateway import Context, Gateway
from s3api.metadata import object_headers
from s3api.operation import Operation
from s3api.ranges import Span, parse_range
from s3api.request import Request
from s3api.response import Headers, Response, Stream

SMALL_BYTES = 1 << 20
"""Answers up to this are read in one go, without threads of their own."""
READ_AHEAD_JOBS = 2
_OVERRIDE = "response-"


@dataclass(frozen=True, slots=True)
class GetObject(Operation):
    """Read an object; ``overrides`` replace headers of the answer."""

    permission: ClassVar[Permission | None] = Permission.READ
    key: bytes
    version: str | None = None
    range: str | None = None
    overrides: Headers = field(default=())

    @classmethod
    def parse(cls, request: Request) -> Self:
        """Read the parameters."""
        version = request.params.get("versionId")
        return cls(request.key, version, request.header("range"), parse_overrides(request))

    async def handle(self, context: Context) -> Response:
        """Answer 200, 206 or 304; the body is read ahead piece by piece."""
        row, span, small = await context.gateway.run(self._open, context)
        whole = span or Span(0, row.size)
        headers = answer_headers(context.request, row, self.overrides, whole=span is None)
        if span is not None:
            headers += (("content-range", f"bytes {span.start}-{span.stop - 1}/{row.size}"),)
        body = small if small is not None else Stream(whole.stop - whole.start, _pieces(context.gateway, row, whole))
        return Response(200 if span is None else 206, headers, body)

    def _open(self, context: Context) -> tuple[Row, Span | None, bytes | None]:
        """Find the row and check the conditions; small content is read at once."""
        row = context.bucket().find(self.key, self.version)
        check_read(context.request.headers, row)
        span = parse_range(self.range, row.size)
        start, stop = span or Span(0, row.size)
        if stop - start > SMALL_BYTES:
            return row, span, None
        return row, span, b"".join(iter_range(context.store.objects, row, start=start, stop=stop, jobs=1))


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


def answer_headers(request: Request, row: Row, overrides: Headers, *, whole: bool) -> Headers:
    """Return an object's headers; checksums, which are of the whole object, come only when asked for with the whole."""
    asked = (request.header("x-amz-checksum-mode") or "").upper() == "ENABLED"
    replaced = {name for name, _ in overrides}
    kept = object_headers(row, checksums=asked and whole)
    return (*(header for header in kept if header[0] not in replaced), *overrides)


async def _pieces(gateway: Gateway, row: Row, span: Span) -> AsyncGenerator[Buffer, None]:
    """Yield a range in pieces; each is fetched while the one before is sent."""
    pieces = iter_range(gateway.store.objects, row, start=span.start, stop=span.stop, jobs=READ_AHEAD_JOBS)
    coming = asyncio.ensure_future(gateway.run(_next, pieces))
    try:
        while batch := await coming:
            coming = asyncio.ensure_future(gateway.run(_next, pieces))
            for piece in batch:
                yield piece
    finally:
        await asyncio.wait([coming])
        coming.exception()
        await gateway.run(_close, pieces)


def _next(pieces: Iterator[Buffer]) -> list[Buffer]:
    """Return the next 1 MiB or so, in the pieces in which they are stored; empty at the end."""
    batch, size = list[Buffer](), 0
    while size < SMALL_BYTES and (piece := next(pieces, None)) is not None:
        batch.append(piece)
        size += len(piece)
    return batch


def _close(pieces: Iterator[Buffer]) -> None:
    """End the read-ahead when the client went away in the middle."""
    close = getattr(pieces, "close", None)
    if close is not None:
        close()
