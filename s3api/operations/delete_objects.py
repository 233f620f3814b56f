"""DeleteObjects: up to 1000 keys in one commit, each with conditions of its own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

from pfs.trees.edit import Delete
from pfs.trees.tree import Tree
from s3api.auth.access import Permission
from s3api.bodies.checksums import Digests
from s3api.errors import S3Error
from s3api.gateway import Context
from s3api.http.request import Request
from s3api.http.response import Response, xml_response
from s3api.http.xml import MAX_DOCUMENT_BYTES, Node, document, leaf, node, parse, text_of
from s3api.objects.conditions import MATCH_SIZE, MATCH_TIME, RowCheck, delete_check
from s3api.objects.groupcommit import Write
from s3api.objects.metadata import is_object
from s3api.objects.names import parse_key
from s3api.operation import Operation
from s3api.operations.delete_object import IMMUTABLE

_MAX_KEYS = 1000


_CONDITIONS = {"ETag": "if-match", "LastModifiedTime": MATCH_TIME, "Size": MATCH_SIZE}
"""Elements of an object, as headers of DeleteObject."""


@dataclass(frozen=True, slots=True)
class _Wanted:
    """One key of the list with its conditions, or why it cannot be deleted."""

    key: str
    check: RowCheck | None = None
    error: S3Error | None = None
    version: str = ""


class _Choice:
    """The keys that are deleted, worked out on the tree that they are deleted from; ``refused`` by number.

    ``found`` are those that are there: a key that is not gets no delete marker, and makes no commit.
    """

    def __init__(self, wanted: Sequence[_Wanted]) -> None:
        self._wanted = wanted
        self.refused: dict[int, S3Error] = {}
        self.found: dict[bytes, Delete] = {}

    def edits(self, tree: Tree) -> list[Delete]:
        """Return the deletes of what is there and whose conditions hold."""
        self.refused = {number: one.error for number, one in enumerate(self._wanted) if one.error is not None}
        self.found = {}
        for number, one in enumerate(self._wanted):
            if number in self.refused:
                continue
            key = one.key.encode()
            row = tree.stat(key, want="file")
            try:
                if one.check is not None:
                    one.check(row)
            except S3Error as error:
                self.refused[number] = error
            else:
                self.found |= {key: Delete(key)} if is_object(row) else {}
        return list(self.found.values())


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
        choice = _Choice(wanted)
        edits = [Delete(key) for key in dict.fromkeys(one.key.encode() for one in wanted if one.error is None)]
        info = await context.commit(bucket, Write(edits, choose=choice.edits)) if edits else None
        refused = choice.refused if edits else {n: one.error for n, one in enumerate(wanted) if one.error is not None}
        markers = {} if info is None else dict.fromkeys(choice.found, str(info.id))
        quiet = (text_of(root, "Quiet") or "").strip().lower() == "true"
        return xml_response(document("DeleteResult", *_results(wanted, refused, markers, quiet=quiet)))


def _wanted(root: Node) -> Iterator[_Wanted]:
    objects = root.findall("Object")
    if not 1 <= len(objects) <= _MAX_KEYS:
        raise S3Error("MalformedXML", f"1 to {_MAX_KEYS} objects can be deleted at once")
    for element in objects:
        key = text_of(element, "Key")
        if not key:
            raise S3Error("MalformedXML", "an object has no key")
        yield _one(element, key)


def _one(element: Node, key: str) -> _Wanted:
    version = text_of(element, "VersionId")
    if version is not None:
        return _Wanted(key, error=S3Error("AccessDenied", IMMUTABLE), version=version)
    found = {header: text_of(element, name) for name, header in _CONDITIONS.items()}
    try:
        parse_key(key.encode())
        return _Wanted(key, delete_check({name: text for name, text in found.items() if text is not None}))
    except S3Error as error:
        return _Wanted(key, error=error)


def _results(
    wanted: Sequence[_Wanted], refused: Mapping[int, S3Error], markers: Mapping[bytes, str], *, quiet: bool
) -> Iterator[str]:
    for number, one in enumerate(wanted):
        error = refused.get(number)
        if error is not None:
            version = leaf("VersionId", one.version) if one.version else ""
            yield node("Error", leaf("Key", one.key), version, leaf("Code", error.code), leaf("Message", error.message))
        elif not quiet:
            marker = markers.get(one.key.encode())
            made = "" if marker is None else leaf("DeleteMarker", "true") + leaf("DeleteMarkerVersionId", marker)
            yield node("Deleted", leaf("Key", one.key), made)
