"""HeadObject: what GetObject answers, without the bytes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

from pfs.trees.tree import Row
from s3api.auth.access import Permission
from s3api.gateway import Context
from s3api.http.ranges import parse_range
from s3api.http.request import Request
from s3api.http.response import Headers, Response
from s3api.objects.conditions import check_read, range_holds
from s3api.operation import BlockingOperation
from s3api.operations.get_object import answer_headers, parse_overrides
from s3api.versions.find import find_object


@dataclass(frozen=True, slots=True)
class HeadObject(BlockingOperation):
    """Describe an object."""

    permission: ClassVar[Permission | None] = Permission.READ
    key: bytes
    version: str | None = None
    range: str | None = None
    overrides: Headers = ()

    @classmethod
    def parse(cls, request: Request) -> Self:
        """Read the parameters."""
        return cls(request.key, request.params.get("versionId"), request.header("range"), parse_overrides(request))

    def answer(self, context: Context) -> Response:
        """Answer 200, 206 or 304 with the headers that GET would have."""
        row = self._open(context)
        span = parse_range(self.range, row.size) if range_holds(context.request.headers, row) else None
        headers = answer_headers(context.request, row, self.overrides, whole=span is None)
        if span is None:
            return Response(200, headers, length=row.size)
        headers += (("content-range", f"bytes {span.start}-{span.stop - 1}/{row.size}"),)
        return Response(206, headers, length=span.stop - span.start)

    def _open(self, context: Context) -> Row:
        row = find_object(context.bucket(), self.key, self.version)
        check_read(context.request.headers, row)
        return row
