"""ListObjectsV2: a page of keys, continued by an opaque token."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import ClassVar, Self

from s3api.auth.access import Permission
from s3api.errors import invalid_argument
from s3api.gateway import Context
from s3api.http.request import Request
from s3api.http.response import Response, xml_response
from s3api.http.xml import document, leaf
from s3api.objects.listing import Page, Query, Writer, list_page, parse_query
from s3api.operation import BlockingOperation


@dataclass(frozen=True, slots=True)
class ListObjectsV2(BlockingOperation):
    """List objects; the token says behind which key to go on and wins over ``start_after``."""

    permission: ClassVar[Permission | None] = Permission.READ
    bucket: str
    query: Query
    start_after: str = ""
    token: str | None = None
    fetch_owner: bool = False

    @classmethod
    def parse(cls, request: Request) -> Self:
        """Read the parameters; ``list-type`` must be 2."""
        params = request.params
        if params["list-type"] != "2":
            raise invalid_argument("list-type", params["list-type"], "list-type must be 2")
        owner = params.get("fetch-owner", "").lower() == "true"
        start, token = params.get("start-after", ""), params.get("continuation-token")
        return cls(request.bucket, parse_query(request), start, token, owner)

    def answer(self, context: Context) -> Response:
        """List one page."""
        start = self.start_after.encode() if self.token is None else _parse_token(self.token)
        page = list_page(context.bucket().tree(), self.query, start)
        return xml_response(self._xml(page))

    def _xml(self, page: Page) -> bytes:
        out = Writer(self.query, page, self.start_after)
        return document(
            "ListBucketResult",
            leaf("Name", self.bucket),
            out.leaf("Prefix", self.query.prefix),
            out.leaf("Delimiter", self.query.delimiter) if self.query.delimiter else "",
            out.leaf("StartAfter", self.start_after) if self.start_after else "",
            leaf("ContinuationToken", self.token) if self.token is not None else "",
            leaf("NextContinuationToken", _token(page.last)) if page.truncated else "",
            leaf("KeyCount", len(page.rows) + len(page.prefixes)),
            leaf("MaxKeys", self.query.max_keys),
            leaf("EncodingType", "url") if out.encoded else "",
            leaf("IsTruncated", str(page.truncated).lower()),
            out.contents(owner=self.fetch_owner),
        )


def _token(last: bytes) -> str:
    return base64.urlsafe_b64encode(last).decode()


def _parse_token(token: str) -> bytes:
    try:
        last = base64.b64decode(token, altchars=b"-_", validate=True)
        last.decode()
        return last
    except ValueError as error:
        raise invalid_argument("continuation-token", token, "the continuation token is not one of ours") from error
