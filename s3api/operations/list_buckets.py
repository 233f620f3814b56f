"""ListBuckets: one bucket a branch that the key may read; a repo's own name stands for its branch master."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Self

from pfs.model import RepoInfo
from s3api.auth.access import Permission, may
from s3api.errors import S3Error
from s3api.gateway import Context
from s3api.http.headers import OWNER
from s3api.http.request import Request
from s3api.http.response import Response, xml_response
from s3api.http.times import iso_date
from s3api.http.xml import document, leaf, node
from s3api.objects.listing import parse_count
from s3api.objects.names import MASTER, BucketName
from s3api.operation import Operation

_DEFAULT_MAX = 10_000


@dataclass(frozen=True, slots=True)
class ListBuckets(Operation):
    """List the buckets by name."""

    permission: ClassVar[Permission | None] = None
    prefix: str = ""
    after: str = ""
    max_buckets: int = _DEFAULT_MAX

    @classmethod
    def parse(cls, request: Request) -> Self:
        """Read paging; the token is the last name of the page before."""
        params = request.params
        count = params.get("max-buckets")
        maximum = parse_count(count, "max-buckets") if count else _DEFAULT_MAX
        return cls(params.get("prefix", ""), params.get("continuation-token", ""), maximum)

    async def handle(self, context: Context) -> Response:
        """List; an anonymous caller sees nothing."""
        if context.caller.key is None:
            raise S3Error("AccessDenied", "this needs a signed request")
        return await context.gateway.run(self._answer, context)

    def _answer(self, context: Context) -> Response:
        anonymous = context.gateway.anonymous_read
        names = dict[str, int]()
        for info in context.store.list_repos():
            if may(context.caller.key, Permission.READ, info.name, anonymous_read=anonymous):
                names |= dict.fromkeys(_names(info), info.created_ns)
        wanted = sorted(name for name in names if name.startswith(self.prefix) and name > self.after)
        page = wanted[: self.max_buckets]
        buckets = (node("Bucket", leaf("Name", name), leaf("CreationDate", iso_date(names[name]))) for name in page)
        more = [leaf("ContinuationToken", page[-1])] if page and len(wanted) > len(page) else []
        owner = node("Owner", leaf("ID", OWNER), leaf("DisplayName", OWNER))
        return xml_response(document("ListAllMyBucketsResult", owner, node("Buckets", *buckets), *more))


def _names(info: RepoInfo) -> Iterator[str]:
    yield info.name
    for branch in info.branches:
        if branch != MASTER:
            yield str(BucketName(info.name, branch))
