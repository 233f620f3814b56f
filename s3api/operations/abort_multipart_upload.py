"""AbortMultipartUpload: forgets an upload and its parts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

from s3api.auth.access import Permission
from s3api.errors import S3Error
from s3api.gateway import Context
from s3api.http.request import Request
from s3api.http.response import Response
from s3api.http.times import SECOND_NS, parse_http_date
from s3api.multipart.parts import find_upload
from s3api.operation import Operation

MATCH_INITIATED = "x-amz-if-match-initiated-time"


@dataclass(frozen=True, slots=True)
class AbortMultipartUpload(Operation):
    """Abort an upload, if ``initiated`` (a header's text) is when it was begun, or None."""

    permission: ClassVar[Permission | None] = Permission.WRITE
    upload_id: str
    initiated: str | None = None

    @classmethod
    def parse(cls, request: Request) -> Self:
        """Read the parameters."""
        return cls(request.params["uploadId"], request.header(MATCH_INITIATED))

    async def handle(self, context: Context) -> Response:
        """Forget it."""
        upload = await context.gateway.run(find_upload, context, self.upload_id)
        if self.initiated is not None and parse_http_date(self.initiated) != upload.created_ns // SECOND_NS:
            raise S3Error("PreconditionFailed", fields={"Condition": MATCH_INITIATED})
        await context.gateway.run(context.gateway.uploads.remove, upload)
        return Response(204)
