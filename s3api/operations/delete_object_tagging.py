"""DeleteObjectTagging: an object without tags, as a commit; without any there is nothing to do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

from s3api.auth.access import Permission
from s3api.gateway import Context
from s3api.http.request import Request
from s3api.http.response import Response
from s3api.objects.tagging import retag
from s3api.operation import Operation


@dataclass(frozen=True, slots=True)
class DeleteObjectTagging(Operation):
    """Take the tags of an object away."""

    permission: ClassVar[Permission | None] = Permission.WRITE
    key: bytes
    version: str | None = None

    @classmethod
    def parse(cls, request: Request) -> Self:
        """Read the parameters."""
        return cls(request.key, request.params.get("versionId"))

    async def handle(self, context: Context) -> Response:
        """Take the tags away."""
        return Response(204, await retag(context, self.key, self.version, {}))
