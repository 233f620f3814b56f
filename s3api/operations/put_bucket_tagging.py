"""PutBucketTagging: new tags in place of all that a bucket has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

from s3api.auth.access import Permission
from s3api.bodies.checksums import Digests
from s3api.gateway import Context
from s3api.http.request import Request
from s3api.http.response import Response
from s3api.objects.settings import set_tags
from s3api.objects.tags import BUCKET, MAX_XML_BYTES, parse_tagging
from s3api.operation import Operation


@dataclass(frozen=True, slots=True)
class PutBucketTagging(Operation):
    """Replace the tags of a bucket."""

    permission: ClassVar[Permission | None] = Permission.OWN

    @classmethod
    def parse(cls, request: Request) -> Self:
        """It is in the body."""
        return cls()

    async def handle(self, context: Context) -> Response:
        """Read the tags and keep them with the branch."""
        digests = Digests(context.request.headers, payload=context.caller.payload)
        tags = parse_tagging(await context.body.read(digests, limit=MAX_XML_BYTES), BUCKET)
        await context.gateway.run(set_tags, context, tags)
        return Response(204)
