"""DeleteObjects: up to 1000 keys in one commit."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Self

from pfs.model import CommitInfo
from pfs.trees.edit import Delete
from s3api.auth.access import Permission
from s3api.bodies.checksums import Digests
from s3api.errors import S3Error
from s3api.gateway import Context
from s3api.http.request import Request
from s3api.http.response import Response, xml_response
from s3api.http.xml import MAX_DOCUMENT_BYTES, Node, document, leaf, node, parse, text_of
from s3api.objects.groupcommit import Write
from s3api.objects.names import parse_key
from s3api.operation import Operation
from s3api.operations.delete_object import IMMUTABLE

_MAX_KEYS = 1000


@dataclass(frozen=True, slots=True)
class _Wanted:
    """One key of the list, or why it cannot be deleted."""

    key: str
    error: S3Error | None


@dataclass(frozen=True, slots=True)
class DeleteObjects(Operation):
    """Delete many objects; the answer has one entry a key, or only the errors when ``Quiet``."""

    permission: ClassVar[Permission | None] = Permission.WRITE

    @classmethod
    def parse(cls, request: Request) -> Self:
        """The keys are in the body."""
        return cls()

    async def handle(self, context: Context) -> Response:
        """Delete all of them in one commit."""
        bucket = await context.gateway.run(context.bucket, write=True)
        digests = Digests(context.request.headers, payload=context.caller.payload)
        body = await context.body.read(digests, limit=MAX_DOCUMENT_BYTES)
        root = parse(body, "Delete")
        wanted = list(_wanted(root))
        edits = [Delete(key) for key in dict.fromkeys(one.key.encode() for one in wanted if one.error is None)]
        info = await context.gateway.commit(bucket, Write(edits)) if edits else None
        quiet = (text_of(root, "Quiet") or "").strip().lower() == "true"
        return xml_response(document("DeleteResult", *_results(wanted, info, quiet=quiet)))


def _wanted(root: Node) -> Iterator[_Wanted]:
    objects = root.findall("Object")
    if not 1 <= len(objects) <= _MAX_KEYS:
        raise S3Error("MalformedXML", f"1 to {_MAX_KEYS} objects can be deleted at once")
    for element in objects:
        key = text_of(element, "Key")
        if not key:
            raise S3Error("MalformedXML", "an object has no key")
        yield _Wanted(key, _why_not(element, key))


def _why_not(element: Node, key: str) -> S3Error | None:
    if text_of(element, "VersionId") is not None:
        return S3Error("AccessDenied", IMMUTABLE)
    for name in ("ETag", "LastModifiedTime", "Size"):
        if text_of(element, name) is not None:
            return S3Error("NotImplemented", f"the condition {name} of DeleteObjects is not implemented")
    try:
        parse_key(key.encode())
    except S3Error as error:
        return error
    return None


def _results(wanted: list[_Wanted], info: CommitInfo | None, *, quiet: bool) -> Iterator[str]:
    marker = leaf("DeleteMarker", "true") + leaf("DeleteMarkerVersionId", info.id) if info is not None else ""
    for one in wanted:
        if one.error is not None:
            yield node("Error", leaf("Key", one.key), leaf("Code", one.error.code), leaf("Message", one.error.message))
        elif not quiet:
            yield node("Deleted", leaf("Key", one.key), marker)
