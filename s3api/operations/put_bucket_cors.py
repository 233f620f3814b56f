"""PutBucketCors: new CORS rules in place of all that a bucket has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

from s3api.auth.access import Permission
from s3api.bodies.checksums import Digests
from s3api.gateway import Context
from s3api.http.request import Request
from s3api.http.response import Response
from s3api.objects.cors import MAX_XML_BYTES, encode_rules, parse_cors
from s3api.objects.settings import CORS, set_setting
from s3api.operation import Operation


@dataclass(frozen=True, slots=True)
class PutBucketCors(Operation):
    """Replace the CORS rules of a bucket."""

    permission: ClassVar[Permission | None] = Permission.OWN

    @classmethod
    def parse(cls, request: Request) -> Self:
        """It is in the body."""
        return cls()

    async def handle(self, context: Context) -> Response:
        """Read the rules and keep them with the branch."""
        digests = Digests(context.request.headers, payload=context.caller.payload)
        rules = parse_cors(await context.body.read(digests, limit=MAX_XML_BYTES))
        await context.gateway.run(set_setting, context, CORS, encode_rules(rules))
        return Response(200)
