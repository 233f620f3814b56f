"""CompleteMultipartUpload: the parts become one object, the same chunk list as any other upload of the same bytes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import ClassVar, Self

from pfs.changes.recheck import take_over
from pfs.errors import PfsError
from pfs.files.concat import concat
from pfs.files.fileref import FileRef
from pfs.ids import TreeId
from pfs.packs.session import WriteSession
from pfs.trees.page import Kind
from s3api.auth.access import Permission
from s3api.bodies.checksums import HEADER, Digests, join_parts, sent_checksums
from s3api.errors import S3Error
from s3api.gateway import Context
from s3api.http.request import Request
from s3api.http.response import Response, xml_response
from s3api.http.xml import MAX_DOCUMENT_BYTES, checksum_leaves, document, leaf
from s3api.multipart.completion import commit_once, with_upload
from s3api.multipart.layout import AUX, Layout
from s3api.multipart.parts import WantedPart, choose_parts, joined_etag, parse_parts, require_place
from s3api.multipart.uploads import Completed, Part, Upload
from s3api.objects.buckets import Bucket
from s3api.objects.conditions import write_check
from s3api.objects.metadata import checksums_of, with_checksums
from s3api.operation import Operation


@dataclass(frozen=True, slots=True)
class _Joined:
    """The object to be."""

    upload: Upload
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
        """Join and commit; once that is durable, what it became is recorded, and the upload is forgotten."""
        # A checksum header here is that of the object, not of this XML.
        headers = {n: v for n, v in context.request.headers.items() if not n.startswith(HEADER)}
        digests = Digests(headers, payload=context.caller.payload)
        wanted = parse_parts(await context.body.read(digests, limit=MAX_DOCUMENT_BYTES))
        done = await context.gateway.run(_find_completed, context, self.upload_id, wanted)
        if done is None:
            done = await self._complete_or_find(context, wanted)
        version = (("x-amz-version-id", done.version),) if done.version is not None else ()
        return xml_response(_result(context, done), version)

    async def _complete_or_find(self, context: Context, wanted: Sequence[WantedPart]) -> Completed:
        """Complete it; when it was completed meanwhile, and its parts are gone, return what it became."""
        try:
            return await self._complete(context, wanted)
        except S3Error:
            done = await context.gateway.run(_find_completed, context, self.upload_id, wanted)
            if done is None:
                raise
            return done

    async def _complete(self, context: Context, wanted: Sequence[WantedPart]) -> Completed:
        joined = await context.gateway.run(_join, context, self.upload_id, wanted)
        upload, bucket, aux = joined.upload, joined.bucket, joined.aux
        check = write_check(context.request.headers)
        version = await commit_once(
            context, bucket, upload, joined.ref, aux=with_upload(aux, upload), check=check, session=joined.session
        )
        done = Completed(upload.repo, upload.id, upload.branch, upload.key, upload.born_ns, aux, version)
        with suppress(PfsError):  # the object is there; what is left of the upload expires
            await context.gateway.run(context.gateway.uploads.complete, upload, done)
        return done


def _find_completed(context: Context, upload_id: str, wanted: Sequence[WantedPart]) -> Completed | None:
    """Return what the upload became, if a client that missed the answer asks again with the same parts."""
    bucket = context.bucket()
    done = context.gateway.uploads.completed(bucket.repo.name, upload_id)
    if done is None:
        return None
    require_place(context, bucket, done)
    with suppress(ValueError):
        if joined_etag([part.etag for part in wanted]) == done.aux["e"]:
            context.gateway.uploads.remove(done)  # a server that was killed may have left the upload
            return done
    raise S3Error("NoSuchUpload", fields={"UploadId": upload_id})


def _join(context: Context, upload_id: str, wanted: Sequence[WantedPart]) -> _Joined:
    bucket = context.bucket(write=True)
    upload = context.gateway.uploads.get(bucket.repo.name, upload_id)
    require_place(context, bucket, upload)
    parts = choose_parts(context.gateway.uploads.parts(upload), wanted, upload_id=upload_id)
    size = sum(part.size for part in parts)
    announced = context.request.header("x-amz-mp-object-size")
    if announced is not None and announced != str(size):
        raise S3Error("InvalidRequest", f"the parts have {size} bytes, not the announced {announced}")
    etag = joined_etag([part.md5 for part in parts])
    layout = _layout(upload, parts)
    aux = {**upload.aux, "e": etag, AUX: layout.to_aux()}
    aux = with_checksums(aux, _checksums(upload, layout), upload.checksum_type)
    _check_whole(context.request.headers, checksums_of(aux))
    session = context.store.session()
    refs = [FileRef(Kind(part.kind), part.size, TreeId(part.tid)) for part in parts]
    joined = concat(session, context.store.params, refs)
    take_over(context.store, session, [joined])
    return _Joined(upload, bucket, joined, session, aux)


def _check_whole(headers: Mapping[str, str], checksums: Mapping[str, str]) -> None:
    """Compare what the client says of the whole; of a COMPOSITE with the number of parts, or as minio-go without."""
    bare = {name: value.partition("-")[0] for name, value in headers.items() if name.startswith(HEADER)}
    for name, value in sent_checksums(bare).items():
        kept, said = checksums.get(name, value), headers[HEADER + name].strip()
        if said not in {kept, kept.partition("-")[0]}:
            raise S3Error("BadDigest", f"the {name.upper()} of the object does not match")


def _layout(upload: Upload, parts: Sequence[Part]) -> Layout:
    name = upload.algorithm
    sizes = [part.size for part in parts]
    return Layout(sizes) if name is None else Layout(sizes, name, [part.checksums[name] for part in parts])


def _checksums(upload: Upload, layout: Layout) -> dict[str, str]:
    name = upload.algorithm
    if name is None:
        return {}
    return {name: join_parts(name, upload.checksum_type, list(zip(layout.checksums, layout.sizes, strict=True)))}


def _result(context: Context, done: Completed) -> bytes:
    host = context.request.headers.get("host", "")
    return document(
        "CompleteMultipartUploadResult",
        leaf("Location", f"{context.request.scheme}://{host}{context.request.raw_path}"),
        leaf("Bucket", context.request.bucket),
        leaf("Key", done.key.decode()),
        leaf("ETag", f'"{done.aux["e"]}"'),
        checksum_leaves(checksums_of(done.aux)),
    )
