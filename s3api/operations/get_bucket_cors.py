"""GetBucketCors: which pages of other origins a browser may let use a bucket."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

from s3api.auth.access import Permission
from s3api.errors import S3Error
from s3api.gateway import Context
from s3api.http.request import Request
from s3api.http.response import Response, xml_response
from s3api.objects.cors import cors_xml
from s3api.objects.settings import get_cors
from s3api.operation import Operation


@dataclass(frozen=True, slots=True)
class GetBucketCors(Operation):
    """Say which CORS rules a bucket has."""

    permission: ClassVar[Permission | None] = Permission.READ

    @classmethod
    def parse(cls, request: Request) -> Self:
        """Nothing to read."""
        return cls()

    async def handle(self, context: Context) -> Response:
        """Answer with the rules; none at all is NoSuchCORSConfiguration."""
        rules = get_cors(await context.gateway.run(context.bucket))
        if rules is None:
            raise S3Error("NoSuchCORSConfiguration", fields={"BucketName": context.request.bucket})
        return xml_response(cors_xml(rules))
