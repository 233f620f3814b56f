"""PutBucketVersioning: takes what is so anyway. Versions are commits, and no bucket is without them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

from s3api.auth.access import Permission
from s3api.bodies.checksums import Digests
from s3api.errors import S3Error
from s3api.gateway import Context
from s3api.http.request import Request
from s3api.http.response import Response
from s3api.http.xml import parse, text_of
from s3api.operation import Operation

_MAX_BYTES = 64 << 10


@dataclass(frozen=True, slots=True)
class PutBucketVersioning(Operation):
    """Enable what is enabled; anything else is refused."""

    permission: ClassVar[Permission | None] = Permission.OWN

    @classmethod
    def parse(cls, request: Request) -> Self:
        """The state is in the body."""
        return cls()

    async def handle(self, context: Context) -> Response:
        """Answer 200 to Enabled."""
        await context.gateway.run(context.bucket)
        digests = Digests(context.request.headers, payload=context.caller.payload)
        _check(await context.body.read(digests, limit=_MAX_BYTES))
        return Response(200)


def _check(body: bytes) -> None:
    root = parse(body, "VersioningConfiguration")
    status, deletion = text_of(root, "Status"), text_of(root, "MfaDelete")
    if status not in {None, "Enabled", "Suspended"} or deletion not in {None, "Enabled", "Disabled"}:
        raise S3Error("MalformedXML", "Status is Enabled or Suspended, MfaDelete Enabled or Disabled")
    if deletion == "Enabled":
        raise S3Error("IllegalVersioningConfigurationException", "no version can be deleted, with or without MFA")
    if status is None:
        raise S3Error("IllegalVersioningConfigurationException", "the Status is missing")
    if status == "Suspended":
        raise S3Error("InvalidBucketState", "versions are commits: they cannot be suspended")
