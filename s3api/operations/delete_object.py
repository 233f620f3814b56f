"""DeleteObject: a commit without the object; its older versions stay."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

from pfs.trees.edit import Delete
from s3api.auth.access import Permission
from s3api.errors import S3Error
from s3api.gateway import Context
from s3api.http.request import Request
from s3api.http.response import Response
from s3api.objects.conditions import delete_check
from s3api.objects.groupcommit import Write
from s3api.objects.metadata import is_object
from s3api.operation import Operation
from s3api.versions.find import parse_version

IMMUTABLE = "a version is a commit, and history is immutable: squash, purge and retention are the ways to forget"


@dataclass(frozen=True, slots=True)
class DeleteObject(Operation):
    """Delete an object; one that is not there is no error and makes no commit."""

    permission: ClassVar[Permission | None] = Permission.WRITE
    key: bytes
    version: str | None = None

    @classmethod
    def parse(cls, request: Request) -> Self:
        """Read the parameters."""
        return cls(request.key, request.params.get("versionId"))

    async def handle(self, context: Context) -> Response:
        """Delete; the conditions hold at the commit."""
        if self.version is not None:
            parse_version(self.version)
            raise S3Error("AccessDenied", IMMUTABLE)
        check = delete_check(context.request.headers)
        bucket = await context.gateway.run(context.bucket, write=True)
        row = await context.gateway.run(lambda: bucket.tree().stat(self.key, want="file"))
        if check is not None:
            check(row)
        if not is_object(row):
            return Response(204)
        checks = () if check is None else ((self.key, check),)
        info = await context.commit(bucket, Write([Delete(self.key)], checks=checks))
        version = (("x-amz-version-id", info.id),) if info is not None else ()
        return Response(204, (("x-amz-delete-marker", "true"), *version))
