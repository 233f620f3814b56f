"""Parts of multipart uploads: their numbers, what CompleteMultipartUpload lists, and how one is stored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from s3api.checksums import ALGORITHMS
from s3api.errors import S3Error
from s3api.gateway import Context
from s3api.names import parse_bucket
from s3api.receive import Received
from s3api.request import Request
from s3api.uploads import MAX_PARTS, MIN_PART_BYTES, Part, Upload
from s3api.xml import Node, parse, text_of


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
    if not text.isdecimal() or not 1 <= int(text[:9]) <= MAX_PARTS:
        fields = {"ArgumentName": "partNumber", "ArgumentValue": text}
        raise S3Error("InvalidArgument", f"the part number must be 1 to {MAX_PARTS}", fields=fields)
    return int(text[:9])


def find_upload(context: Context, upload_id: str) -> Upload:
    """Return the upload that a request names, if it is of the request's bucket and key.

    Raises:
        S3Error: NoSuchBucket, NoSuchUpload.
    """
    context.bucket()
    name = parse_bucket(context.request.bucket)
    upload = context.gateway.uploads.get(name.repo, upload_id)
    if name.commit is not None or (upload.branch, upload.key) != (name.branch, context.request.key):
        raise S3Error("NoSuchUpload", fields={"UploadId": upload_id})
    return upload


def store_part(context: Context, upload: Upload, received: Received, *, number: int) -> Part:
    """Make a part durable, then record it.

    Raises:
        S3Error: NoSuchUpload; the upload ended meanwhile.
        StorageError: it is not recorded.
    """
    sealed = received.session.seal()
    context.store.index.add(sealed)
    part = Part(
        number=number,
        kind=int(received.ref.kind),
        size=received.ref.size,
        tid=received.ref.tid,
        md5=received.md5,
        checksums=received.checksums,
        modified_ns=context.store.clock_ns(),
        packs=[pack.pack_id for pack in sealed],
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
    number, etag = (text_of(element, "PartNumber") or "").strip(), text_of(element, "ETag")
    if not number.isdecimal() or len(number) > 9 or etag is None:
        raise S3Error("MalformedXML", "a part needs PartNumber and ETag")
    sent = {name: text_of(element, f"Checksum{name.upper()}") for name in ALGORITHMS}
    return WantedPart(int(number), etag.strip().strip('"'), {name: value for name, value in sent.items() if value})


def choose_parts(stored: Mapping[int, Part], wanted: Sequence[WantedPart]) -> list[Part]:
    """Return the stored parts that the client lists.

    Raises:
        S3Error: InvalidPart, EntityTooSmall.
    """
    chosen = []
    for one in wanted:
        part = stored.get(one.number)
        matches = part is not None and part.md5 == one.etag
        if part is None or not matches or any(part.checksums.get(n, v) != v for n, v in one.checksums.items()):
            raise S3Error("InvalidPart", fields={"PartNumber": str(one.number), "ETag": one.etag})
        chosen.append(part)
    for part in chosen[:-1]:
        if part.size < MIN_PART_BYTES:
            fields = {"PartNumber": str(part.number), "ProposedSize": str(part.size)}
            raise S3Error("EntityTooSmall", fields={**fields, "MinSizeAllowed": str(MIN_PART_BYTES)})
    return chosen
