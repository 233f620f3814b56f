"""Multipart uploads by hand."""

import os
from dataclasses import dataclass, field

from tests.s3api.conformance.wire import Reply, Wire, text

PART = os.urandom(5 << 20)
"""The least that a part before the last one may have."""


@dataclass
class Upload:
    """An upload under way; what was sent is listed in `tags` by number."""

    wire: Wire
    path: str
    id: str
    tags: dict[int, str] = field(default_factory=dict)

    def put(self, number: int, data: bytes, headers: dict[str, str] | None = None) -> Reply:
        reply = self.wire.put(f"{self.path}?partNumber={number}&uploadId={self.id}", data, headers)
        if reply.status == 200:
            self.tags[number] = reply.headers["etag"]
        return reply

    def copy(self, number: int, source: str, headers: dict[str, str] | None = None) -> Reply:
        sent = {"x-amz-copy-source": source, **(headers or {})}
        reply = self.wire.put(f"{self.path}?partNumber={number}&uploadId={self.id}", b"", sent)
        if reply.status == 200:
            self.tags[number] = text(reply, "ETag") or ""
        return reply

    def complete(self, headers: dict[str, str] | None = None, *, parts: str | None = None) -> Reply:
        """Complete with what was sent, or with other Part elements."""
        inside = parts if parts is not None else "".join(part(number, tag) for number, tag in sorted(self.tags.items()))
        body = f"<CompleteMultipartUpload>{inside}</CompleteMultipartUpload>".encode()
        return self.wire.post(f"{self.path}?uploadId={self.id}", body, headers)

    def parts(self, query: str = "") -> Reply:
        return self.wire.get(f"{self.path}?uploadId={self.id}{query}")

    def abort(self) -> Reply:
        return self.wire.delete(f"{self.path}?uploadId={self.id}")


def part(number: int, tag: str, more: str = "") -> str:
    return f"<Part><PartNumber>{number}</PartNumber><ETag>{tag}</ETag>{more}</Part>"


def begin(wire: Wire, path: str, headers: dict[str, str] | None = None) -> Upload:
    reply = wire.post(f"{path}?uploads", b"", headers)
    assert reply.status == 200, reply.body
    return Upload(wire, path, text(reply, "UploadId") or "")
