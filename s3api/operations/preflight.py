"""Preflight: a browser asks, with OPTIONS and without a signature, whether a page may send a request."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

from s3api.auth.access import Permission
from s3api.errors import S3Error
from s3api.gateway import Context
from s3api.http.request import Request
from s3api.http.response import Headers, Response
from s3api.objects.cors import METHODS, Rules, find_headers
from s3api.objects.settings import get_cors
from s3api.operation import Operation

_NOT_ALLOWED = (
    "CORSResponse: This CORS request is not allowed. No rule of the bucket allows all of Origin, request method / "
    "Access-Control-Request-Method and Access-Control-Request-Headers."
)


@dataclass(frozen=True, slots=True)
class Preflight(Operation):
    """Ask for ``method``; the address may be that of any request, signed or not, and whatever it asks for."""

    permission: ClassVar[Permission | None] = None
    level: str
    method: str | None

    @classmethod
    def parse(cls, request: Request) -> Self:
        """Read the headers; the query is that of the request to come."""
        if not request.header("origin"):
            raise S3Error("BadRequest", "Insufficient information. Origin request header needed.")
        return cls(request.level, request.header("access-control-request-method"))

    async def handle(self, context: Context) -> Response:
        """Answer 200 with what is allowed, or AccessForbidden."""
        return Response(200, await context.gateway.run(self._headers, context))

    def _headers(self, context: Context) -> Headers:
        rules = self._rules(context)
        if self.method not in METHODS:
            raise S3Error("BadRequest", f"Invalid Access-Control-Request-Method: {self.method or 'null'}")
        found = find_headers(rules, context.request.headers, self.method)
        if found is None:
            raise self._forbidden(_NOT_ALLOWED, self.level)
        return found

    def _rules(self, context: Context) -> Rules:
        """Return the bucket's rules. That there is no such bucket is told as S3 tells it, and to anyone."""
        try:
            rules = get_cors(context.bucket())
        except S3Error as error:
            raise self._forbidden("CORSResponse: Bucket not found", "bucket") from error
        if rules is None:
            raise self._forbidden("CORSResponse: CORS is not enabled for this bucket.", "bucket")
        return rules

    def _forbidden(self, message: str, level: str) -> S3Error:
        fields = {"Method": self.method or "OPTIONS", "ResourceType": level.upper()}
        return S3Error("AccessForbidden", message, fields=fields)
