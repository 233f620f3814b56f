"""CreateBucket: makes the repo and the branch; an existing bucket is answered with 200, as us-east-1 does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

from s3api.auth.access import Permission
from s3api.bodies.checksums import Digests
from s3api.errors import S3Error
from s3api.gateway import Context
from s3api.http.request import Request
from s3api.http.response import Response
from s3api.http.xml import parse
from s3api.objects.buckets import bucket_exists
from s3api.objects.names import BucketName, parse_bucket
from s3api.operation import Operation

_MAX_BYTES = 64 << 10


@dataclass(frozen=True, slots=True)
class CreateBucket(Operation):
    """Make a bucket; the region in the body is read for its form and means nothing here."""

    permission: ClassVar[Permission | None] = Permission.OWN
    bucket: str

    @classmethod
    def parse(cls, request: Request) -> Self:
        """Read the name."""
        return cls(request.bucket)

    async def handle(self, context: Context) -> Response:
        """Create what is missing."""
        digests = Digests(context.request.headers, payload=context.caller.payload)
        body = await context.body.read(digests, limit=_MAX_BYTES)
        if body.strip():
            parse(body, "CreateBucketConfiguration")
        await context.gateway.run(_create, context, parse_bucket(self.bucket))
        return Response(200, (("location", f"/{self.bucket}"),))


def _create(context: Context, name: BucketName) -> None:
    if name.commit is not None:
        raise S3Error("AccessDenied", "a bucket of a commit exists when the commit does; it cannot be created")
    if bucket_exists(context.store, name) and name.branch in context.store.repo(name.repo).info().branches:
        return
    repo = context.store.create_repo(name.repo, exist_ok=True)
    repo.create_branch(name.branch)
