"""UploadPartCopy: an object, or a range of one, becomes a part. What is stored already is not stored again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

from pfs.changes.recheck import take_over
from pfs.files.fileref import FileRef
from pfs.files.reader import iter_range
from pfs.files.stream_ingest import StreamIngest
from pfs.trees.tree import Row
from s3api.auth.access import Permission
from s3api.bodies.checksums import Digests
from s3api.bodies.receive import Received
from s3api.bodies.room import BATCH_BYTES
from s3api.gateway import Context
from s3api.http.ranges import Span, parse_copy_range
from s3api.http.request import Request
from s3api.http.response import Response, xml_response
from s3api.http.times import iso_date
from s3api.http.xml import checksum_leaves, document, leaf
from s3api.multipart.parts import find_upload, parse_part_number, store_part
from s3api.multipart.uploads import Part
from s3api.objects.conditions import check_copy
from s3api.objects.copysource import CopySource, open_source, parse_source, source_version
from s3api.objects.metadata import etag_of
from s3api.operation import Operation


@dataclass(frozen=True, slots=True)
class UploadPartCopy(Operation):
    """Copy into a part."""

    permission: ClassVar[Permission | None] = Permission.WRITE
    number: int
    upload_id: str
    source: CopySource
    range: str | None

    @classmethod
    def parse(cls, request: Request) -> Self:
        """Read the parameters."""
        source = parse_source(request.headers["x-amz-copy-source"])
        return cls(
            parse_part_number(request), request.params["uploadId"], source, request.header("x-amz-copy-source-range")
        )

    async def handle(self, context: Context) -> Response:
        """Copy; a whole object whose MD5 is known is shared without reading it."""
        await context.body.wait_for_turn(None)
        part, row = await context.gateway.run(self._copy, context)
        modified = leaf("LastModified", iso_date(part.modified_ns))
        etag, checksums = leaf("ETag", f'"{part.md5}"'), checksum_leaves(part.checksums)
        return xml_response(document("CopyPartResult", modified, etag, checksums), source_version(row))

    def _copy(self, context: Context) -> tuple[Part, Row]:
        upload = find_upload(context, self.upload_id)
        row = open_source(context, self.source)
        check_copy(context.request.headers, row)
        span = parse_copy_range(self.range, row.size) if self.range else Span(0, row.size)
        etag = etag_of(row)
        if span == (0, row.size) and "-" not in etag and upload.algorithm is None:
            received = Received(FileRef(row.kind, row.size, row.tid), context.store.session(), etag, {})
            take_over(context.store, received.session, [received.ref])
        else:
            received = _read(context, row, span, keep=upload.algorithm)
        return store_part(context, upload, received, number=self.number), row


def _read(context: Context, row: Row, span: Span, *, keep: str | None) -> Received:
    """Cut a range anew: its MD5 is needed for the ETag, and its chunks but for the first and last are known."""
    digests = Digests({}, md5=True, keep=keep)
    session = context.store.session()
    ingest = StreamIngest(session, context.store.params, None, batch_bytes=BATCH_BYTES)
    try:
        for piece in iter_range(context.store.objects, row, start=span.start, stop=span.stop, jobs=1):
            digests.update([piece])
            ingest.write(piece)
        return Received(ingest.finish(), session, digests.md5, digests.checksums)
    except BaseException:
        ingest.abandon()
        session.abandon()
        raise
