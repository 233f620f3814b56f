"""GetObjectAttributes: what is known of an object without its bytes, its parts page by page."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Self

from pfs.trees.tree import Row
from s3api.auth.access import Permission
from s3api.errors import S3Error, invalid_argument
from s3api.gateway import Context
from s3api.http.request import Request
from s3api.http.response import Headers, Response, xml_response
from s3api.http.times import http_date
from s3api.http.xml import checksum_leaves, document, leaf, node
from s3api.multipart.layout import Layout, layout_of
from s3api.objects.listing import parse_count, parse_page_size
from s3api.objects.metadata import checksums_of, etag_of, modified_ns, version_of
from s3api.operation import Operation
from s3api.versions.find import find_object

_NAMES = ("ETag", "Checksum", "ObjectParts", "StorageClass", "ObjectSize")
"""In the order of the answer."""
_HEADER = "x-amz-object-attributes"


@dataclass(frozen=True, slots=True)
class GetObjectAttributes(Operation):
    """Describe an object: ``names`` of attributes, and ``max_parts`` parts behind the number ``after``."""

    permission: ClassVar[Permission | None] = Permission.READ
    key: bytes
    version: str | None
    names: frozenset[str]
    max_parts: int
    after: int

    @classmethod
    def parse(cls, request: Request) -> Self:
        """Read the parameters."""
        return cls(
            request.key,
            request.params.get("versionId"),
            _parse_names(request.headers.get(_HEADER, "")),
            parse_page_size(request.header("x-amz-max-parts") or "", "x-amz-max-parts"),
            parse_count(request.header("x-amz-part-number-marker") or "", "x-amz-part-number-marker", default=0),
        )

    async def handle(self, context: Context) -> Response:
        """Describe what is there."""
        row = await context.gateway.run(lambda: find_object(context.bucket(), self.key, self.version))
        described = (self._attribute(name, row) for name in _NAMES if name in self.names)
        return xml_response(document("GetObjectAttributesResponse", *described), _headers(row))

    def _attribute(self, name: str, row: Row) -> str:
        if name == "Checksum":
            kept = checksums_of(row.aux)
            return node("Checksum", checksum_leaves(kept)) if kept else ""
        if name == "ObjectParts":
            layout = layout_of(row.aux)
            return "" if layout is None else node("ObjectParts", *self._parts(layout))
        texts: dict[str, str | int] = {"ETag": etag_of(row), "StorageClass": "STANDARD", "ObjectSize": row.size}
        return leaf(name, texts[name])

    def _parts(self, layout: Layout) -> Iterator[str]:
        count = len(layout.sizes)
        stop = min(self.after + self.max_parts, count)
        yield leaf("IsTruncated", str(self.after < stop < count).lower())
        yield leaf("MaxParts", self.max_parts)
        yield leaf("NextPartNumberMarker", stop if self.after < stop else 0)
        yield leaf("PartNumberMarker", self.after)
        yield leaf("PartsCount", count)
        for number in range(self.after + 1, stop + 1):
            checksum, size = checksum_leaves(layout.checksum(number)), leaf("Size", layout.sizes[number - 1])
            yield node("Part", leaf("PartNumber", number), size, checksum)


def _parse_names(header: str) -> frozenset[str]:
    names = frozenset(name.strip() for name in header.split(",")) - {""}
    if not names:
        raise S3Error("InvalidRequest", f"The {_HEADER} header specifying the attributes to be retrieved is missing")
    unknown = sorted(names - set(_NAMES))
    if unknown:
        raise invalid_argument(_HEADER, ",".join(unknown), "Invalid attribute name specified.")
    return names


def _headers(row: Row) -> Headers:
    version = version_of(row)
    return (
        ("last-modified", http_date(modified_ns(row))),
        *((("x-amz-version-id", version),) if version is not None else ()),
    )
