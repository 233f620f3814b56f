"""Changing the tags of an object: a commit as any other change, put only on the very row that was read."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Final

from pfs.files.fileref import FileRef
from pfs.trees.tree import Row
from s3api.errors import S3Error
from s3api.gateway import Context
from s3api.http.response import Headers
from s3api.objects.buckets import Bucket
from s3api.objects.conditions import RowCheck
from s3api.objects.metadata import version_of
from s3api.objects.tags import tags_of, with_tags
from s3api.objects.writing import put_row

ROUNDS: Final = 20
"""Attempts; each lost one means that another write of the key got through."""
_IMMUTABLE = "an older version cannot be tagged: it is a commit, and history is immutable; tag the present one"


class _MovedError(S3Error):
    """The object is no longer the one that was read."""


async def retag(context: Context, key: bytes, version: str | None, tags: Mapping[str, str]) -> Headers:
    """Give an object these tags and no others; return the header with its version, which is a new one.

    The same tags again change nothing. With a ``version``, that must be the present one.

    Raises:
        S3Error: NoSuchKey, NoSuchVersion, AccessDenied (an older version); OperationAborted when other writes of the
            key were first too often.
    """
    for _ in range(ROUNDS):
        bucket, row = await context.gateway.run(_open, context, key, version)
        if tags_of(row) == tags:
            return version_headers(row)
        ref, aux = FileRef(row.kind, row.size, row.tid), with_tags(row.aux, tags)
        with suppress(_MovedError):
            return await put_row(context, bucket, key, ref, aux=aux, check=_is_still(row))
    raise S3Error("OperationAborted", "the object is being changed too often: try again")


def version_headers(row: Row) -> Headers:
    """Return the header with the version of an object."""
    version = version_of(row)
    return (("x-amz-version-id", version),) if version is not None else ()


def _open(context: Context, key: bytes, version: str | None) -> tuple[Bucket, Row]:
    """Return the present row of the object, in a bucket that can be written."""
    bucket = context.bucket(write=True)
    row = bucket.find(key, version)
    if version is None:
        return bucket, row
    present = bucket.tree().stat(key, want="file")
    if present is None or version_of(present) != version:
        raise S3Error("AccessDenied", _IMMUTABLE)
    return bucket, present


def _is_still(row: Row) -> RowCheck:
    def check(present: Row | None) -> None:
        if present is None or _facts(present) != _facts(row):
            raise _MovedError("OperationAborted")

    return check


def _facts(row: Row) -> tuple[object, ...]:
    return row.kind, row.size, row.tid, dict(row.aux or {}), row.changed
