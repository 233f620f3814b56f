"""PutObjectTagging: new tags in place of all that an object has, as a commit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

from s3api.auth.access import Permission
from s3api.bodies.checksums import Digests
from s3api.gateway import Context
from s3api.http.request import Request
from s3api.http.response import Response
from s3api.objects.tagging import retag
from s3api.objects.tags import MAX_XML_BYTES, OBJECT, parse_tagging
from s3api.operation import Operation


@dataclass(frozen=True, slots=True)
class PutObjectTagging(Operation):
    """Replace the tags of an object."""

    permission: ClassVar[Permission | None] = Permission.WRITE
    key: bytes
    version: str | None = None

    @classmethod
    def parse(cls, request: Request) -> Self:
        """Read the parameters."""
        return cls(request.key, request.params.get("versionId"))

    async def handle(self, context: Context) -> Response:
        """Read the tags, then commit them."""
        digests = Digests(context.request.headers, payload=context.caller.payload)
        tags = parse_tagging(await context.body.read(digests, limit=MAX_XML_BYTES), OBJECT)
        return Response(200, await retag(context, self.key, self.version, tags))
