"""GetObjectTagging: the tags of an object, as it is now or in one version."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

from s3api.auth.access import Permission
from s3api.gateway import Context
from s3api.http.request import Request
from s3api.http.response import Response, xml_response
from s3api.objects.tagging import version_headers
from s3api.objects.tags import tagging_xml, tags_of
from s3api.operation import Operation
from s3api.versions.find import find_object


@dataclass(frozen=True, slots=True)
class GetObjectTagging(Operation):
    """Say which tags an object has."""

    permission: ClassVar[Permission | None] = Permission.READ
    key: bytes
    version: str | None = None

    @classmethod
    def parse(cls, request: Request) -> Self:
        """Read the parameters."""
        return cls(request.key, request.params.get("versionId"))

    async def handle(self, context: Context) -> Response:
        """Answer with the tags, none when there are none."""
        row = await context.gateway.run(lambda: find_object(context.bucket(), self.key, self.version))
        return xml_response(tagging_xml(tags_of(row)), version_headers(row))
