"""Parts of multipart uploads: their numbers, what CompleteMultipartUpload lists, and how one is stored."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from pfs.changes.recheck import recheck_content
from s3api.bodies.checksums import ALGORITHMS
from s3api.bodies.receive import Received
from s3api.errors import S3Error
from s3api.gateway import Context
from s3api.http.numbers import parse_number
from s3api.http.request import Request
from s3api.http.xml import Node, parse, text_of
from s3api.multipart.uploads import MAX_PARTS, MIN_PART_BYTES, Completed, Part, Upload
from s3api.objects.buckets import Bucket

_MAX_INT = (1 << 31) - 1


@dataclass(frozen=True, slots=True)
class WantedPart:
    """A part as the client lists it; ``checksums`` are those that it names."""

    number: int
    etag: str
    checksums: Mapping[str, str]


def parse_part_number(request: Request) -> int:
    """Return the part's number.

    Raises:
        S3Error: InvalidArgument; it is not 1 to 10000.
    """
    text = request.params["partNumber"]
    number = parse_number(text, most=MAX_PARTS)
    if not number:
        fields = {"ArgumentName": "partNumber", "ArgumentValue": text}
        raise S3Error("InvalidArgument", f"the part number must be 1 to {MAX_PARTS}", fields=fields)
    return number


def find_upload(context: Context, upload_id: str) -> Upload:
    """Return the upload that a request names, if it is of the request's bucket and key.

    Raises:
        S3Error: NoSuchBucket, NoSuchUpload.
    """
    bucket = context.bucket()
    upload = context.gateway.uploads.get(bucket.repo.name, upload_id)
    require_place(context, bucket, upload)
    return upload


def require_place(context: Context, bucket: Bucket, upload: Upload | Completed) -> None:
    """Refuse an upload of another bucket or key, or of an earlier repo of the same name.

    Raises:
        S3Error: NoSuchUpload.
    """
    place = (bucket.name.branch, bucket.born_ns, context.request.key)
    if bucket.name.commit is not None or (upload.branch, upload.born_ns, upload.key) != place:
        raise S3Error("NoSuchUpload", fields={"UploadId": upload.id})


def store_part(context: Context, upload: Upload, received: Received, *, number: int) -> Part:
    """Make a part durable, then record it; again when a collection began before its record was there to be seen.

    Raises:
        S3Error: NoSuchUpload; the upload ended meanwhile.
        CollectedError: what it was to share was collected meanwhile.
        StorageError: it is not recorded.
    """
    part = _record_part(context, upload, received, number=number)
    while recheck_content(context.store, received.session, [received.ref]):
        part = _record_part(context, upload, received, number=number, after_ns=part.modified_ns)
    received.session.release()
    return part


def _record_part(context: Context, upload: Upload, received: Received, *, number: int, after_ns: int = 0) -> Part:
    """Store a part; ``after_ns`` is when it was recorded before: the later record counts."""
    context.store.index.add(received.session.seal())
    part = Part(
        number=number,
        kind=int(received.ref.kind),
        size=received.ref.size,
        tid=received.ref.tid,
        md5=received.md5,
        checksums=received.checksums,
        modified_ns=max(context.store.clock_ns(), after_ns + 1),
        packs=list(received.session.pack_ids),
        seen_gen=received.session.seen_gen,
    )
    context.gateway.uploads.put_part(upload, part)
    return part


def parse_parts(body: bytes) -> list[WantedPart]:
    """Parse the list of parts.

    Raises:
        S3Error: MalformedXML, InvalidPartOrder.
    """
    wanted = [_parse_part(element) for element in parse(body, "CompleteMultipartUpload").findall("Part")]
    if not wanted:
        raise S3Error("MalformedXML", "the list of parts is empty")
    if any(after.number <= before.number for before, after in pairwise(wanted)):
        raise S3Error("InvalidPartOrder")
    return wanted


def _parse_part(element: Node) -> WantedPart:
    number = parse_number((text_of(element, "PartNumber") or "").strip(), most=_MAX_INT)
    etag = text_of(element, "ETag")
    if number is None or etag is None:
        raise S3Error("MalformedXML", "a part needs PartNumber and ETag")
    sent = {name: text_of(element, f"Checksum{name.upper()}") for name in ALGORITHMS}
    return WantedPart(number, etag.strip().strip('"'), {name: value for name, value in sent.items() if value})


def choose_parts(stored: Mapping[int, Part], wanted: Sequence[WantedPart], *, upload_id: str) -> list[Part]:
    """Return the stored parts that the client lists.

    Raises:
        S3Error: InvalidPart, EntityTooSmall.
    """
    chosen = []
    for one in wanted:
        part = stored.get(one.number)
        matches = part is not None and part.md5 == one.etag
        if part is None or not matches or any(part.checksums.get(n, v) != v for n, v in one.checksums.items()):
            fields = {"UploadId": upload_id, "PartNumber": str(one.number), "ETag": one.etag}
            raise S3Error("InvalidPart", fields=fields)
        chosen.append(part)
    for part in chosen[:-1]:
        if part.size < MIN_PART_BYTES:
            sizes = {"ProposedSize": str(part.size), "MinSizeAllowed": str(MIN_PART_BYTES)}
            raise S3Error("EntityTooSmall", fields={**sizes, "PartNumber": str(part.number), "ETag": part.md5})
    return chosen


def joined_etag(md5s: Sequence[str]) -> str:
    """Return the ETag of parts joined, from their MD5s in hex; raises ValueError for what is none."""
    digest = hashlib.md5(b"".join(bytes.fromhex(md5) for md5 in md5s), usedforsecurity=False).hexdigest()
    return f"{digest}-{len(md5s)}"
