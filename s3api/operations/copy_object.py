"""CopyObject: the same content under another key; no bytes move."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Self

from pfs.changes.recheck import take_over
from pfs.files.fileref import FileRef
from pfs.packs.session import WriteSession
from pfs.trees.tree import Row
from s3api.auth.access import Permission
from s3api.bodies.checksums import parse_algorithm
from s3api.errors import S3Error, invalid_argument
from s3api.gateway import Context
from s3api.http.request import Request
from s3api.http.response import Response, xml_response
from s3api.http.times import iso_date
from s3api.http.xml import checksum_leaves, document, leaf
from s3api.multipart.completion import UPLOAD
from s3api.objects.buckets import Bucket
from s3api.objects.conditions import check_copy, write_check
from s3api.objects.copysource import CopySource, open_source, parse_source, source_version
from s3api.objects.metadata import aux_from_headers, checksums_of, etag_of, with_checksums
from s3api.objects.rechecksum import full_checksum
from s3api.objects.tags import AUX, HEADER, parse_tag_header, with_tags
from s3api.objects.writing import put_row
from s3api.operation import Operation

_KEPT_ALWAYS = ("e", "c", "p", "x", AUX)
"""ETag, checksums, parts and the executable bit are of the content, tags have a directive of their own."""


@dataclass(frozen=True, slots=True)
class CopyObject(Operation):
    """Copy an object within the store; ``new_aux`` replaces its metadata, ``new_tags`` its tags."""

    permission: ClassVar[Permission | None] = Permission.WRITE
    key: bytes
    source: CopySource
    new_aux: dict[str, object] | None
    new_tags: dict[str, str] | None = None
    algorithm: str | None = None
    """The checksum that the copy is to have, in place of the source's."""

    @classmethod
    def parse(cls, request: Request) -> Self:
        """Read the source and what becomes of metadata and tags."""
        source = parse_source(request.headers["x-amz-copy-source"])
        headers = {name: value for name, value in request.headers.items() if name != HEADER}
        new_aux = aux_from_headers(headers) if _replaces(request, "x-amz-metadata-directive") else None
        sent = request.headers.get(HEADER, "")
        new_tags = parse_tag_header(sent) if _replaces(request, "x-amz-tagging-directive") else None
        changes = new_aux is not None or source.version is not None or "x-amz-storage-class" in request.headers
        if not changes and (source.bucket, source.key) == (request.bucket, request.key):
            raise S3Error("InvalidRequest", "a copy onto itself must change the metadata")
        named = request.header("x-amz-checksum-algorithm")
        return cls(request.key, source, new_aux, new_tags, parse_algorithm(named) if named else None)

    async def handle(self, context: Context) -> Response:
        """Copy; the source's conditions are checked first, the target's at the commit."""
        bucket, row, session = await context.gateway.run(self._open, context)
        aux = await context.gateway.run(self._aux, context, row)
        check = write_check(context.request.headers)
        ref = FileRef(row.kind, row.size, row.tid)
        headers = await put_row(context, bucket, self.key, ref, aux=aux, check=check, session=session)
        result = _result(etag_of(row), checksums_of(aux), modified_ns=context.store.clock_ns())
        return xml_response(result, (*headers, *source_version(row)))

    def _aux(self, context: Context, row: Row) -> dict[str, object]:
        """Return what the copy has beside its bytes."""
        kept = {name: value for name, value in (row.aux or {}).items() if name != UPLOAD}
        aux = kept if self.new_aux is None else {n: v for n, v in kept.items() if n in _KEPT_ALWAYS} | self.new_aux
        aux = aux if self.new_tags is None else with_tags(aux, self.new_tags)
        if self.algorithm is None:
            return aux
        return with_checksums(aux, {self.algorithm: full_checksum(context.store.objects, row, self.algorithm)})

    def _open(self, context: Context) -> tuple[Bucket, Row, WriteSession]:
        bucket = context.bucket(write=True)
        row = open_source(context, self.source)
        check_copy(context.request.headers, row)
        session = context.store.session()
        take_over(context.store, session, [FileRef(row.kind, row.size, row.tid)])
        return bucket, row, session


def _replaces(request: Request, name: str) -> bool:
    """Say whether a directive asks for something new instead of what the source has."""
    directive = (request.header(name) or "COPY").upper()
    if directive not in {"COPY", "REPLACE"}:
        raise invalid_argument(name, directive, f"{name} must be COPY or REPLACE")
    return directive == "REPLACE"


def _result(etag: str, checksums: Mapping[str, str], *, modified_ns: int) -> bytes:
    modified = leaf("LastModified", iso_date(modified_ns))
    return document("CopyObjectResult", modified, leaf("ETag", f'"{etag}"'), checksum_leaves(checksums))
