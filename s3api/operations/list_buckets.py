"""ListBuckets: one bucket a branch that the key may read; a repo's own name stands for its branch master."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

from s3api.auth.access import Permission
from s3api.errors import S3Error, invalid_argument
from s3api.gateway import Context
from s3api.http.request import Request
from s3api.http.response import Response, xml_response
from s3api.http.times import iso_date
from s3api.http.xml import document, leaf, node
from s3api.objects.listing import owner_node, parse_count
from s3api.operation import BlockingOperation
from s3api.operations.get_bucket_location import REGION

_MAX_BUCKETS = 10_000


@dataclass(frozen=True, slots=True)
class ListBuckets(BlockingOperation):
    """List the buckets by name."""

    permission: ClassVar[Permission | None] = None
    prefix: str = ""
    after: str = ""
    max_buckets: int = _MAX_BUCKETS
    region: str | None = None
    paged: bool = False
    """Whether a parameter was sent at all: only then the answer says the region of each bucket."""

    @classmethod
    def parse(cls, request: Request) -> Self:
        """Read paging; the token is the last name of the page before."""
        params = request.params
        count = parse_count(params.get("max-buckets", ""), "max-buckets", default=_MAX_BUCKETS)
        if not 1 <= count <= _MAX_BUCKETS:
            raise invalid_argument("max-buckets", str(count), f"max-buckets must be 1 to {_MAX_BUCKETS}")
        return cls(
            prefix=params.get("prefix", ""),
            after=params.get("continuation-token", ""),
            max_buckets=count,
            region=params.get("bucket-region"),
            paged=not params.keys().isdisjoint(("prefix", "continuation-token", "max-buckets", "bucket-region")),
        )

    def answer(self, context: Context) -> Response:
        """List; an anonymous caller sees nothing."""
        if context.caller.key is None:
            raise S3Error("AccessDenied", "this needs a signed request")
        names = context.gateway.buckets.names(context.caller.key)
        here = self.region in {None, REGION}
        wanted = sorted(name for name in names if here and name.startswith(self.prefix) and name > self.after)
        page = wanted[: self.max_buckets]
        buckets = (self._bucket(name, names[name]) for name in page)
        more = leaf("ContinuationToken", page[-1]) if len(wanted) > len(page) else ""
        prefix = leaf("Prefix", self.prefix) if self.prefix else ""
        return xml_response(document("ListAllMyBucketsResult", owner_node(), node("Buckets", *buckets), more, prefix))

    def _bucket(self, name: str, created_ns: int) -> str:
        region = leaf("BucketRegion", REGION) if self.paged else ""
        return node("Bucket", leaf("Name", name), leaf("CreationDate", iso_date(created_ns)), region)
