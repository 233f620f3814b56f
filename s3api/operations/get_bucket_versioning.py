"""GetBucketVersioning: enabled, for versions are commits; but for buckets that have none."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

from s3api.auth.access import Permission
from s3api.gateway import Context
from s3api.http.request import Request
from s3api.http.response import Response, xml_response
from s3api.http.xml import document, leaf
from s3api.operation import Operation


@dataclass(frozen=True, slots=True)
class GetBucketVersioning(Operation):
    """Say whether a bucket keeps versions."""

    permission: ClassVar[Permission | None] = Permission.READ

    @classmethod
    def parse(cls, request: Request) -> Self:
        """Nothing to read."""
        return cls()

    async def handle(self, context: Context) -> Response:
        """Answer for a bucket that exists."""
        bucket = await context.gateway.run(context.bucket)
        return xml_response(document("VersioningConfiguration", leaf("Status", "Enabled") if bucket.versioned else ""))
