"""GetBucketAcl: a fixed answer, for keys and their roles say who may do what."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

from s3api.auth.access import Permission
from s3api.gateway import Context
from s3api.http.request import Request
from s3api.http.response import Response, xml_response
from s3api.objects.acl import acl_xml
from s3api.operation import Operation


@dataclass(frozen=True, slots=True)
class GetBucketAcl(Operation):
    """Say who may use a bucket."""

    permission: ClassVar[Permission | None] = Permission.READ

    @classmethod
    def parse(cls, request: Request) -> Self:
        """Nothing to read."""
        return cls()

    async def handle(self, context: Context) -> Response:
        """Answer for a bucket that exists."""
        await context.gateway.run(context.bucket)
        return xml_response(acl_xml(context))
