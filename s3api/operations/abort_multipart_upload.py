"""AbortMultipartUpload: forgets an upload and its parts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

from s3api.auth.access import Permission
from s3api.gateway import Context
from s3api.http.request import Request
from s3api.http.response import Response
from s3api.multipart.parts import find_upload
from s3api.operation import Operation


@dataclass(frozen=True, slots=True)
class AbortMultipartUpload(Operation):
    """Abort an upload."""

    permission: ClassVar[Permission | None] = Permission.WRITE
    upload_id: str

    @classmethod
    def parse(cls, request: Request) -> Self:
        """Read the parameters."""
        return cls(request.params["uploadId"])

    async def handle(self, context: Context) -> Response:
        """Forget it."""
        upload = await context.gateway.run(find_upload, context, self.upload_id)
        await context.gateway.run(context.gateway.uploads.remove, upload)
        return Response(204)
