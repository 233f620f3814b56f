"""ListObjects, the first version: a page of keys, continued by a marker."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

from s3api.auth.access import Permission
from s3api.gateway import Context
from s3api.http.request import Request
from s3api.http.response import Response, xml_response
from s3api.http.xml import document, leaf
from s3api.objects.listing import Query, Writer, list_page, parse_query
from s3api.operation import BlockingOperation


@dataclass(frozen=True, slots=True)
class ListObjects(BlockingOperation):
    """List objects behind ``marker``; NextMarker comes with a delimiter only, else the last key is the marker."""

    permission: ClassVar[Permission | None] = Permission.READ
    bucket: str
    query: Query
    marker: str = ""

    @classmethod
    def parse(cls, request: Request) -> Self:
        """Read the parameters."""
        return cls(request.bucket, parse_query(request), request.params.get("marker", ""))

    def answer(self, context: Context) -> Response:
        """List one page."""
        page = list_page(context.bucket().tree(), self.query, self.marker.encode())
        last = page.last.decode()
        out = Writer(self.query, page, self.marker)
        body = document(
            "ListBucketResult",
            leaf("Name", self.bucket),
            out.leaf("Prefix", self.query.prefix),
            out.leaf("Marker", self.marker),
            out.leaf("NextMarker", last) if page.truncated and self.query.delimiter else "",
            leaf("MaxKeys", self.query.max_keys),
            out.leaf("Delimiter", self.query.delimiter) if self.query.delimiter else "",
            leaf("EncodingType", "url") if out.encoded else "",
            leaf("IsTruncated", str(page.truncated).lower()),
            out.contents(owner=True),
        )
        return xml_response(body)
