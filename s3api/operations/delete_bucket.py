"""DeleteBucket: takes an empty branch away, and the repo with its last branch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

from s3api.auth.access import Permission
from s3api.errors import S3Error
from s3api.gateway import Context
from s3api.http.request import Request
from s3api.http.response import Response
from s3api.operation import Operation


@dataclass(frozen=True, slots=True)
class DeleteBucket(Operation):
    """Delete an empty bucket."""

    permission: ClassVar[Permission | None] = Permission.OWN

    @classmethod
    def parse(cls, request: Request) -> Self:
        """Nothing to read."""
        return cls()

    async def handle(self, context: Context) -> Response:
        """Delete; what others compute from it keeps it."""
        await context.gateway.run(_delete, context)
        return Response(204)


def _delete(context: Context) -> None:
    bucket = context.bucket(write=True)
    if bucket.tree().root.count:
        raise S3Error("BucketNotEmpty")
    for upload in context.gateway.uploads.list(bucket.repo.name):
        if upload.branch == bucket.name.branch:
            context.gateway.uploads.remove(upload)
    others = [branch for branch in bucket.repo.branches(hidden=True) if branch.name != bucket.name.branch]
    if others and bucket.branch is not None:
        bucket.repo.delete_branch(bucket.name.branch)
    elif others:
        raise S3Error("BucketNotEmpty", f"repo {bucket.repo.name!r} has other branches: delete their buckets first")
    else:
        context.store.delete_repo(bucket.repo.name)
