"""PutObject: the body becomes the object, in a commit that is durable before the answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

from s3api.auth.access import Permission
from s3api.bodies.receive import receive
from s3api.gateway import Context
from s3api.http.request import Request
from s3api.http.response import Response
from s3api.objects.conditions import write_check
from s3api.objects.metadata import aux_from_headers, checksum_headers, with_checksums
from s3api.objects.writing import put_row
from s3api.operation import Operation


@dataclass(frozen=True, slots=True)
class PutObject(Operation):
    """Write an object; an equal body is a new version all the same."""

    permission: ClassVar[Permission | None] = Permission.WRITE
    key: bytes
    aux: dict[str, object]

    @classmethod
    def parse(cls, request: Request) -> Self:
        """Read metadata and system headers."""
        return cls(request.key, aux_from_headers(request.headers))

    async def handle(self, context: Context) -> Response:
        """Store the body, then commit it; conditions hold at the commit."""
        bucket = await context.gateway.run(context.bucket, write=True)
        check = write_check(context.request.headers)
        if check is not None:
            await context.gateway.run(lambda: check(bucket.tree().stat(self.key, want="file")))
        received = await receive(context)
        aux = with_checksums({**self.aux, "e": received.md5}, received.checksums)
        headers = await put_row(context, bucket, self.key, received.ref, aux=aux, check=check, session=received.session)
        return Response(200, (("etag", f'"{received.md5}"'), *headers, *checksum_headers(aux)))
