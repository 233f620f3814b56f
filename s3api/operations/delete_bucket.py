"""DeleteBucket: takes an empty branch away, and the repo with its last branch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

from pfs.changes.branches import delete as delete_branch
from pfs.changes.repos import delete_repo
from pfs.refs.body import RefsBody
from s3api.auth.access import Permission
from s3api.errors import S3Error
from s3api.gateway import Context
from s3api.http.request import Request
from s3api.http.response import Response
from s3api.objects.buckets import Bucket
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
    name, head = bucket.name, bucket.branch.head if bucket.branch is not None else None
    if bucket.tree().root.count:
        raise S3Error("BucketNotEmpty", fields={"BucketName": context.request.bucket})

    def guard(body: RefsBody) -> None:
        """Refuse when something was written since the bucket was found to be empty."""
        bucket.require_same(body)
        branch, opened = body.branches.get(name.branch), body.open_on(name.branch)
        moved = (branch.head if branch is not None else None) != head
        if moved or (opened is not None and body.open[opened].root.count):
            raise S3Error("OperationAborted")

    _remove_uploads(context, bucket)
    others = [branch for branch in bucket.repo.branches(hidden=True) if branch.name != name.branch]
    if others and bucket.branch is not None:
        delete_branch(context.store, name.repo, name.branch, force=False, guard=guard)
    elif others:
        raise S3Error("BucketNotEmpty", f"repo {name.repo!r} has other branches: delete their buckets first")
    else:
        delete_repo(context.store, name.repo, force=False, guard=guard)


def _remove_uploads(context: Context, bucket: Bucket) -> None:
    for upload in context.gateway.uploads.list(bucket.repo.name):
        if upload.branch == bucket.name.branch:
            context.gateway.uploads.remove(upload)
