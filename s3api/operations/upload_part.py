"""UploadPart: the body is stored and durable at once, as chunks; the object comes with CompleteMultipartUpload."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

from s3api.auth.access import Permission
from s3api.bodies.checksums import HEADER, require_algorithm
from s3api.bodies.receive import receive
from s3api.gateway import Context
from s3api.http.request import Request
from s3api.http.response import Response
from s3api.multipart.parts import find_upload, parse_part_number, store_part
from s3api.operation import Operation


@dataclass(frozen=True, slots=True)
class UploadPart(Operation):
    """Store one part; a part of the same number is replaced."""

    permission: ClassVar[Permission | None] = Permission.WRITE
    number: int
    upload_id: str

    @classmethod
    def parse(cls, request: Request) -> Self:
        """Read the parameters."""
        return cls(parse_part_number(request), request.params["uploadId"])

    async def handle(self, context: Context) -> Response:
        """Store the body; nothing is read for an upload that does not exist."""
        upload = await context.gateway.run(find_upload, context, self.upload_id)
        require_algorithm(context.request.headers, upload.algorithm)
        received = await receive(context, keep=upload.algorithm)
        part = await context.gateway.run(store_part, context, upload, received, number=self.number)
        checksums = ((HEADER + name, value) for name, value in part.checksums.items())
        return Response(200, (("etag", f'"{part.md5}"'), *checksums))
