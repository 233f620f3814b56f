"""PutObjectAcl: takes what changes nothing, for keys and their roles say who may do what."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

from s3api.auth.access import Permission
from s3api.gateway import Context
from s3api.http.request import Request
from s3api.http.response import Response
from s3api.objects.acl import take_acl
from s3api.operation import Operation
from s3api.versions.find import find_object


@dataclass(frozen=True, slots=True)
class PutObjectAcl(Operation):
    """Take an ACL of an object."""

    permission: ClassVar[Permission | None] = Permission.WRITE
    key: bytes
    version: str | None = None

    @classmethod
    def parse(cls, request: Request) -> Self:
        """Read the parameters; the ACL is in the body, or in a header."""
        return cls(request.key, request.params.get("versionId"))

    async def handle(self, context: Context) -> Response:
        """Check it, for an object that exists in a bucket that can be written."""
        await take_acl(context, type(self).__name__)
        await context.gateway.run(lambda: find_object(context.bucket(write=True), self.key, self.version))
        return Response(200)
