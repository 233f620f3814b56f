"""GetBucketTagging: the tags of a bucket."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

from s3api.auth.access import Permission
from s3api.errors import S3Error
from s3api.gateway import Context
from s3api.http.request import Request
from s3api.http.response import Response, xml_response
from s3api.objects.settings import get_tags
from s3api.objects.tags import tagging_xml
from s3api.operation import Operation


@dataclass(frozen=True, slots=True)
class GetBucketTagging(Operation):
    """Say which tags a bucket has."""

    permission: ClassVar[Permission | None] = Permission.READ

    @classmethod
    def parse(cls, request: Request) -> Self:
        """Nothing to read."""
        return cls()

    async def handle(self, context: Context) -> Response:
        """Answer with the tags; none at all is NoSuchTagSet."""
        tags = get_tags(await context.gateway.run(context.bucket))
        if not tags:
            raise S3Error("NoSuchTagSet", fields={"BucketName": context.request.bucket})
        return xml_response(tagging_xml(tags))
