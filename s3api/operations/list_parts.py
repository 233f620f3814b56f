"""ListParts: the parts of an upload so far, by number."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

from s3api.auth.access import Permission
from s3api.gateway import Context
from s3api.http.request import Request
from s3api.http.response import Response, xml_response
from s3api.http.times import iso_date
from s3api.http.xml import checksum_leaves, document, leaf, node
from s3api.multipart.parts import find_upload
from s3api.multipart.uploads import Part
from s3api.objects.listing import owner_node, parse_count, parse_page_size
from s3api.operation import Operation


@dataclass(frozen=True, slots=True)
class ListParts(Operation):
    """List parts behind the number ``after``."""

    permission: ClassVar[Permission | None] = Permission.WRITE
    upload_id: str
    max_parts: int
    after: int

    @classmethod
    def parse(cls, request: Request) -> Self:
        """Read the parameters."""
        params = request.params
        after = parse_count(params.get("part-number-marker", ""), "part-number-marker", default=0)
        return cls(params["uploadId"], parse_page_size(params.get("max-parts", ""), "max-parts"), after)

    async def handle(self, context: Context) -> Response:
        """List one page."""
        upload = await context.gateway.run(find_upload, context, self.upload_id)
        parts = await context.gateway.run(context.gateway.uploads.parts, upload)
        behind = [part for number, part in parts.items() if number > self.after]
        page = behind[: self.max_parts]
        truncated = len(behind) > len(page) > 0
        body = document(
            "ListPartsResult",
            leaf("Bucket", context.request.bucket),
            leaf("Key", upload.key.decode()),
            leaf("UploadId", upload.id),
            owner_node("Initiator"),
            owner_node(),
            leaf("StorageClass", "STANDARD"),
            leaf("PartNumberMarker", self.after),
            leaf("NextPartNumberMarker", page[-1].number if page else 0),
            leaf("MaxParts", self.max_parts),
            leaf("IsTruncated", str(truncated).lower()),
            leaf("ChecksumAlgorithm", upload.algorithm.upper()) if upload.algorithm else "",
            leaf("ChecksumType", upload.checksum_type) if upload.algorithm else "",
            *(_part(part) for part in page),
        )
        return xml_response(body)


def _part(part: Part) -> str:
    return node(
        "Part",
        leaf("PartNumber", part.number),
        leaf("LastModified", iso_date(part.modified_ns)),
        leaf("ETag", f'"{part.md5}"'),
        leaf("Size", part.size),
        checksum_leaves(part.checksums),
    )
