"""DeleteBucketTagging: a bucket without tags."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

from s3api.auth.access import Permission
from s3api.gateway import Context
from s3api.http.request import Request
from s3api.http.response import Response
from s3api.objects.settings import TAGS, set_setting
from s3api.operation import Operation


@dataclass(frozen=True, slots=True)
class DeleteBucketTagging(Operation):
    """Take the tags of a bucket away."""

    permission: ClassVar[Permission | None] = Permission.OWN

    @classmethod
    def parse(cls, request: Request) -> Self:
        """Nothing to read."""
        return cls()

    async def handle(self, context: Context) -> Response:
        """Take them away; none is no error."""
        await context.gateway.run(set_setting, context, TAGS, None)
        return Response(204)
