"""HeadObject: what GetObject answers, without the bytes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

from pfs.trees.tree import Row
from s3api.auth.access import Permission
from s3api.gateway import Context
from s3api.http.request import Request
from s3api.http.response import Headers, Response
from s3api.multipart.layout import parse_wanted_part
from s3api.objects.conditions import check_read
from s3api.operation import BlockingOperation
from s3api.operations.get_object import Shown, answer_headers, find_span, parse_overrides
from s3api.versions.find import find_object


@dataclass(frozen=True, slots=True)
class HeadObject(BlockingOperation):
    """Describe an object."""

    permission: ClassVar[Permission | None] = Permission.READ
    key: bytes
    version: str | None = None
    overrides: Headers = ()
    part: int | None = None

    @classmethod
    def parse(cls, request: Request) -> Self:
        """Read the parameters."""
        version, part = request.params.get("versionId"), parse_wanted_part(request)
        return cls(request.key, version, parse_overrides(request), part)

    def answer(self, context: Context) -> Response:
        """Answer 200, 206 or 304 with the headers that GET would have."""
        row = self._open(context)
        span = find_span(context.request, row, self.part)
        headers = answer_headers(context.request, row, self.overrides, Shown(span, self.part))
        if span is None:
            return Response(200, headers, length=row.size)
        return Response(206, headers, length=span.stop - span.start)

    def _open(self, context: Context) -> Row:
        row = find_object(context.bucket(), self.key, self.version)
        check_read(context.request.headers, row)
        return row
