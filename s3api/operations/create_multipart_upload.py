"""CreateMultipartUpload: begins an upload; metadata and conditions of its headers are those of the object to be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

from s3api.auth.access import Permission
from s3api.bodies.checksums import CRC_BYTES, ChecksumType, parse_algorithm
from s3api.errors import S3Error
from s3api.gateway import Context
from s3api.http.request import Request
from s3api.http.response import Headers, Response, xml_response
from s3api.http.xml import document, leaf
from s3api.multipart.uploads import Upload, new_upload_id
from s3api.objects.metadata import aux_from_headers
from s3api.operation import Operation


@dataclass(frozen=True, slots=True)
class CreateMultipartUpload(Operation):
    """Begin a multipart upload; ``algorithm`` is the checksum that every part will have."""

    permission: ClassVar[Permission | None] = Permission.WRITE
    key: bytes
    aux: dict[str, object]
    algorithm: str | None
    checksum_type: ChecksumType

    @classmethod
    def parse(cls, request: Request) -> Self:
        """Read metadata and checksum headers."""
        named = request.header("x-amz-checksum-algorithm")
        algorithm = parse_algorithm(named) if named else None
        return cls(request.key, aux_from_headers(request.headers), algorithm, _checksum_type(request, algorithm))

    async def handle(self, context: Context) -> Response:
        """Record the upload."""
        upload = await context.gateway.run(self._create, context)
        headers: Headers = ()
        if self.algorithm is not None:
            headers = (
                ("x-amz-checksum-algorithm", self.algorithm.upper()),
                ("x-amz-checksum-type", self.checksum_type),
            )
        body = document(
            "InitiateMultipartUploadResult",
            leaf("Bucket", context.request.bucket),
            leaf("Key", self.key.decode()),
            leaf("UploadId", upload.id),
        )
        return xml_response(body, headers)

    def _create(self, context: Context) -> Upload:
        bucket = context.bucket(write=True)
        upload = Upload(
            id=new_upload_id(),
            repo=bucket.name.repo,
            branch=bucket.name.branch,
            key=self.key,
            created_ns=context.store.clock_ns(),
            initiator=context.caller.key.name if context.caller.key else "",
            aux=self.aux,
            algorithm=self.algorithm,
            checksum_type=self.checksum_type,
            born_ns=bucket.born_ns,
        )
        context.gateway.uploads.create(upload)
        return upload


def _checksum_type(request: Request, algorithm: str | None) -> ChecksumType:
    named = (request.header("x-amz-checksum-type") or "").upper()
    if named == "FULL_OBJECT" or (not named and algorithm == "crc64nvme"):
        if algorithm not in CRC_BYTES:
            raise S3Error("InvalidRequest", "the checksum type FULL_OBJECT needs one of CRC32, CRC32C, CRC64NVME")
        return "FULL_OBJECT"
    if named not in {"", "COMPOSITE"} or algorithm == "crc64nvme":
        raise S3Error("InvalidRequest", f"the checksum type {named} is not valid with this algorithm")
    return "COMPOSITE"
