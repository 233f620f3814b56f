"""CompleteMultipartUpload: the parts become one object, the same chunk list as any other upload of the same bytes."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import ClassVar, Self

from pfs.concat import concat
from pfs.errors import PfsError
from pfs.fileref import FileRef
from pfs.ids import TreeId
from pfs.page import Kind
from pfs.session import WriteSession
from s3api.access import Permission
from s3api.buckets import Bucket
from s3api.checksums import HEADER, Digests, join_parts, sent_checksums
from s3api.conditions import write_check
from s3api.errors import S3Error
from s3api.gateway import Context
from s3api.metadata import checksums_of, with_checksums
from s3api.operation import Operation
from s3api.parts import WantedPart, choose_parts, find_upload, parse_parts
from s3api.request import Request
from s3api.response import Response, xml_response
from s3api.uploads import Part, Upload
from s3api.writing import put_row
from s3api.xml import MAX_DOCUMENT_BYTES, document, leaf


@dataclass(frozen=True, slots=True)
class _Joined:
    """The object to be."""

    bucket: Bucket
    ref: FileRef
    session: WriteSession
    aux: dict[str, object]


@dataclass(frozen=True, slots=True)
class CompleteMultipartUpload(Operation):
    """Join the parts that the body lists."""

    permission: ClassVar[Permission | None] = Permission.WRITE
    upload_id: str

    @classmethod
    def parse(cls, request: Request) -> Self:
        """Read the parameters."""
        return cls(request.params["uploadId"])

    async def handle(self, context: Context) -> Response:
        """Join and commit; the upload is forgotten once the commit is durable."""
        # A checksum header here is that of the object, not of this XML.
        headers = {n: v for n, v in context.request.headers.items() if not n.startswith(HEADER)}
        digests = Digests(headers, payload=context.caller.payload)
        wanted = parse_parts(await context.body.read(digests, limit=MAX_DOCUMENT_BYTES))
        upload = await context.gateway.run(find_upload, context, self.upload_id)
        joined = await context.gateway.run(_join, context, upload, wanted)
        check = write_check(context.request.headers)
        version = await put_row(
            context, joined.bucket, upload.key, joined.ref, aux=joined.aux, check=check, session=joined.session
        )
        with suppress(PfsError):  # the object is there; what is left of the upload expires
            await context.gateway.run(context.gateway.uploads.remove, upload)
        return xml_response(_result(context, upload, joined.aux), version)


def _join(context: Context, upload: Upload, wanted: Sequence[WantedPart]) -> _Joined:
    bucket = context.bucket(write=True)
    parts = choose_parts(context.gateway.uploads.parts(upload), wanted)
    size = sum(part.size for part in parts)
    announced = context.request.header("x-amz-mp-object-size")
    if announced is not None and announced != str(size):
        raise S3Error("InvalidRequest", f"the parts have {size} bytes, not the announced {announced}")
    digest = hashlib.md5(b"".join(bytes.fromhex(part.md5) for part in parts), usedforsecurity=False).hexdigest()
    aux = with_checksums({**upload.aux, "e": f"{digest}-{len(parts)}"}, _checksums(upload, parts), upload.checksum_type)
    for name, value in sent_checksums(context.request.headers).items():
        if checksums_of(aux).get(name, value) != value:
            raise S3Error("BadDigest", f"the {name.upper()} of the object does not match")
    session = context.store.session()
    refs = [FileRef(Kind(part.kind), part.size, TreeId(part.tid)) for part in parts]
    return _Joined(bucket, concat(session, context.store.params, refs), session, aux)


def _checksums(upload: Upload, parts: Sequence[Part]) -> dict[str, str]:
    name = upload.algorithm
    if name is None:
        return {}
    return {name: join_parts(name, upload.checksum_type, [(part.checksums[name], part.size) for part in parts])}


def _result(context: Context, upload: Upload, aux: dict[str, object]) -> bytes:
    host = context.request.headers.get("host", "")
    kept = checksums_of(aux)
    kind = kept.pop("type", None)
    return document(
        "CompleteMultipartUploadResult",
        leaf("Location", f"{context.request.scheme}://{host}{context.request.raw_path}"),
        leaf("Bucket", context.request.bucket),
        leaf("Key", upload.key.decode()),
        leaf("ETag", f'"{aux["e"]}"'),
        *(leaf(f"Checksum{name.upper()}", value) for name, value in kept.items()),
        leaf("ChecksumType", kind) if kind else "",
    )
