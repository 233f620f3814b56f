"""ListObjectVersions: a page of versions and delete markers, out of the commits of the bucket."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Self
from urllib.parse import quote

from s3api.auth.access import Permission
from s3api.errors import S3Error, invalid_argument
from s3api.gateway import Context
from s3api.http.request import Request
from s3api.http.response import Response, xml_response
from s3api.http.times import iso_date
from s3api.http.xml import document, is_xml_text, leaf, node
from s3api.objects.listing import Query, owner_node, parse_query
from s3api.operation import Operation
from s3api.versions.page import Entry, History, Marker, VersionPage
from s3api.versions.tip import Tip, tip_of

_TRIES = 8
"""The history may be rewritten while it is taken into the index."""


@dataclass(frozen=True, slots=True)
class ListObjectVersions(Operation):
    """List versions behind a key, or behind one version of a key."""

    permission: ClassVar[Permission | None] = Permission.READ
    bucket: str
    query: Query
    marker: Marker

    @classmethod
    def parse(cls, request: Request) -> Self:
        """Read the parameters."""
        params = request.params
        marker = Marker(params.get("key-marker", "").encode(), params.get("version-id-marker", ""))
        if "version-id-marker" in params and not marker.key:
            raise invalid_argument(
                "version-id-marker", marker.version, "A version-id marker cannot be specified without a key marker."
            )
        if "version-id-marker" in params and not marker.version:
            raise invalid_argument("version-id-marker", "", "A version-id marker cannot be empty.")
        return cls(request.bucket, parse_query(request), marker)

    async def handle(self, context: Context) -> Response:
        """List one page; the first one of a long history takes as long as its commits take to be compared."""
        gateway = context.gateway
        for _ in range(_TRIES):
            tip = await gateway.run(lambda: tip_of(context.bucket()))
            page = await gateway.run(self._page, context, tip)
            if page is None:
                await gateway.follow(tip)
                # Of the same tip: writers who go on meanwhile must not keep a listing waiting.
                page = await gateway.run(self._page, context, tip)
            if page is not None:
                return xml_response(self._xml(page))
        raise S3Error("SlowDown")

    def _page(self, context: Context, tip: Tip) -> VersionPage | None:
        with context.gateway.versions.reading() as reader:
            history = History.of(context.store, reader, tip)
            return None if history is None else history.page(self.query, self.marker)

    def _xml(self, page: VersionPage) -> bytes:
        out = _Writer(self.query, self.marker, page)
        last = page.last if page.truncated else None
        next_key = last.version.key if isinstance(last, Entry) else last
        return document(
            "ListVersionsResult",
            leaf("Name", self.bucket),
            out.leaf("Prefix", self.query.prefix.encode()),
            out.leaf("KeyMarker", self.marker.key),
            leaf("VersionIdMarker", self.marker.version),
            "" if next_key is None else out.leaf("NextKeyMarker", next_key),
            leaf("NextVersionIdMarker", last.version.id) if isinstance(last, Entry) else "",
            leaf("MaxKeys", self.query.max_keys),
            out.leaf("Delimiter", self.query.delimiter.encode()) if self.query.delimiter else "",
            leaf("EncodingType", "url") if out.encoded else "",
            leaf("IsTruncated", str(page.truncated).lower()),
            *out.entries(),
        )


class _Writer:
    """Writes a page; when XML cannot hold one of its texts, the page is URL-encoded though nobody asked."""

    def __init__(self, query: Query, marker: Marker, page: VersionPage) -> None:
        keys = [entry.version.key for entry in page.entries]
        texts = [query.prefix, query.delimiter, *(key.decode() for key in (marker.key, *page.prefixes, *keys))]
        self.encoded = query.url_encoded or not all(map(is_xml_text, texts))
        self._page = page

    def leaf(self, name: str, key: bytes) -> str:
        """Return an element whose text is URL-encoded if the page is."""
        return leaf(name, quote(key) if self.encoded else key.decode())

    def entries(self) -> Iterator[str]:
        """Yield the Version and DeleteMarker elements in order, then the CommonPrefixes."""
        yield from map(self._entry, self._page.entries)
        for prefix in self._page.prefixes:
            yield node("CommonPrefixes", self.leaf("Prefix", prefix))

    def _entry(self, entry: Entry) -> str:
        version = entry.version
        head = (
            self.leaf("Key", version.key),
            leaf("VersionId", version.id),
            leaf("IsLatest", str(entry.is_latest).lower()),
            leaf("LastModified", iso_date(version.modified_ns)),
        )
        if version.marker:
            return node("DeleteMarker", *head, owner_node())
        return node(
            "Version",
            *head,
            leaf("ETag", f'"{version.etag}"'),
            *(leaf("ChecksumAlgorithm", name) for name in version.algorithms),
            leaf("ChecksumType", version.checksum_type) if version.checksum_type else "",
            leaf("Size", version.size),
            leaf("StorageClass", "STANDARD"),
            owner_node(),
        )
