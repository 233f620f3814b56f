"""HeadBucket: says whether the bucket exists and may be read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

from s3api.auth.access import Permission
from s3api.gateway import Context
from s3api.http.request import Request
from s3api.http.response import Response
from s3api.operation import BlockingOperation
from s3api.operations.get_bucket_location import REGION


@dataclass(frozen=True, slots=True)
class HeadBucket(BlockingOperation):
    """Look for a bucket."""

    permission: ClassVar[Permission | None] = Permission.READ

    @classmethod
    def parse(cls, request: Request) -> Self:
        """Nothing to read."""
        return cls()

    def answer(self, context: Context) -> Response:
        """Answer 200 or 404."""
        context.bucket()
        return Response(200, (("x-amz-bucket-region", REGION), ("x-amz-access-point-alias", "false")))
