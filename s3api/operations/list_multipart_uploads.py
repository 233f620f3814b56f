"""ListMultipartUploads: the uploads of a bucket that were begun and not ended, by key."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import ClassVar, Self
from urllib.parse import quote

from s3api.auth.access import Permission
from s3api.gateway import Context
from s3api.http.request import Request
from s3api.http.response import Response, xml_response
from s3api.http.times import iso_date
from s3api.http.xml import document, is_xml_text, leaf, node
from s3api.multipart.uploads import Upload
from s3api.objects.listing import owner_node, parse_encoding, parse_page_size
from s3api.operation import Operation


@dataclass(frozen=True, slots=True)
class ListMultipartUploads(Operation):
    """List uploads behind ``after_key``, and behind ``after_id`` among those of that key."""

    permission: ClassVar[Permission | None] = Permission.READ
    prefix: str
    delimiter: str
    encoded: bool
    max_uploads: int
    after_key: str
    after_id: str

    @classmethod
    def parse(cls, request: Request) -> Self:
        """Read the parameters."""
        params = request.params
        return cls(
            prefix=params.get("prefix", ""),
            delimiter=params.get("delimiter", ""),
            encoded=parse_encoding(params),
            max_uploads=parse_page_size(params.get("max-uploads", ""), "max-uploads"),
            after_key=params.get("key-marker", ""),
            after_id=params.get("upload-id-marker", "") if params.get("key-marker") else "",
        )

    async def handle(self, context: Context) -> Response:
        """List one page."""
        uploads = await context.gateway.run(self._uploads, context)
        found = list(islice(self._entries(uploads), self.max_uploads + 1))
        page = found[: self.max_uploads]
        truncated = len(found) > len(page) > 0
        texts = (self.prefix, self.delimiter, self.after_key, *map(_text, page))
        return replace(self, encoded=self.encoded or not all(map(is_xml_text, texts)))._answer(
            context, page, truncated=truncated
        )

    def _answer(self, context: Context, page: Sequence[Upload | str], *, truncated: bool) -> Response:
        """Write a page; when XML cannot hold one of its texts, it is URL-encoded though nobody asked."""
        last = page[-1] if page else None
        body = document(
            "ListMultipartUploadsResult",
            leaf("Bucket", context.request.bucket),
            self._leaf("KeyMarker", self.after_key),
            leaf("UploadIdMarker", self.after_id),
            self._leaf("NextKeyMarker", _text(last)) if last is not None else "",
            leaf("NextUploadIdMarker", last.id) if isinstance(last, Upload) else "",
            self._leaf("Prefix", self.prefix),
            self._leaf("Delimiter", self.delimiter) if self.delimiter else "",
            leaf("EncodingType", "url") if self.encoded else "",
            leaf("MaxUploads", self.max_uploads),
            leaf("IsTruncated", str(truncated).lower()),
            *(self._node(entry) for entry in page),
        )
        return xml_response(body)

    def _uploads(self, context: Context) -> list[Upload]:
        bucket = context.bucket()
        found = context.gateway.uploads.list(bucket.repo.name)
        place = (bucket.name.branch, bucket.born_ns)
        return [one for one in found if (one.branch, one.born_ns) == place and bucket.name.commit is None]

    def _entries(self, uploads: list[Upload]) -> Iterator[Upload | str]:
        """Yield uploads and common prefixes behind the markers, in order."""
        seen_id, rolled = not self.after_id, ""
        for upload in uploads:
            key = upload.key.decode()
            if not key.startswith(self.prefix) or upload.key < self.after_key.encode():
                continue
            if key == self.after_key:
                behind = seen_id and bool(self.after_id)
                seen_id = seen_id or upload.id == self.after_id
                if not behind:
                    continue
            at = key.find(self.delimiter, len(self.prefix)) if self.delimiter else -1
            common = key[: at + len(self.delimiter)] if at >= 0 else ""
            if not common:
                yield upload
            elif common not in {rolled, self.after_key}:
                rolled = common
                yield common

    def _leaf(self, name: str, text: str) -> str:
        return leaf(name, quote(text) if self.encoded else text)

    def _node(self, entry: Upload | str) -> str:
        if isinstance(entry, str):
            return node("CommonPrefixes", self._leaf("Prefix", entry))
        return node(
            "Upload",
            self._leaf("Key", entry.key.decode()),
            leaf("UploadId", entry.id),
            owner_node("Initiator"),
            owner_node(),
            leaf("StorageClass", "STANDARD"),
            leaf("Initiated", iso_date(entry.created_ns)),
            leaf("ChecksumAlgorithm", entry.algorithm.upper()) if entry.algorithm else "",
            leaf("ChecksumType", entry.checksum_type) if entry.algorithm else "",
        )


def _text(entry: Upload | str) -> str:
    return entry if isinstance(entry, str) else entry.key.decode()
