"""PutBucketAcl: takes what changes nothing, for keys and their roles say who may do what."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

from s3api.auth.access import Permission
from s3api.gateway import Context
from s3api.http.request import Request
from s3api.http.response import Response
from s3api.objects.acl import take_acl
from s3api.operation import Operation


@dataclass(frozen=True, slots=True)
class PutBucketAcl(Operation):
    """Take an ACL of a bucket."""

    permission: ClassVar[Permission | None] = Permission.OWN

    @classmethod
    def parse(cls, request: Request) -> Self:
        """It is in the body, or in a header."""
        return cls()

    async def handle(self, context: Context) -> Response:
        """Check it, for a bucket that can be written."""
        await take_acl(context, type(self).__name__)
        await context.gateway.run(context.bucket, write=True)
        return Response(200)
