"""Changing the tags of an object: a commit as any other change, of the very row that it is put on."""

from __future__ import annotations

from collections.abc import Mapping

from pfs.trees.edit import Put
from pfs.trees.tree import Row, Tree
from s3api.errors import S3Error
from s3api.gateway import Context
from s3api.http.response import Headers
from s3api.objects.buckets import Bucket
from s3api.objects.groupcommit import Write
from s3api.objects.metadata import is_object, version_of
from s3api.objects.tags import tags_of, with_tags
from s3api.versions.find import find_object

_IMMUTABLE = "an older version cannot be tagged: it is a commit, and history is immutable; tag the present one"


async def retag(context: Context, key: bytes, version: str | None, tags: Mapping[str, str]) -> Headers:
    """Give an object these tags and no others; return the header with its version, which is a new one.

    The same tags again change nothing. With a ``version``, that must be the present one.

    Raises:
        S3Error: NoSuchKey, NoSuchVersion, AccessDenied (an older version).
    """
    bucket, row = await context.gateway.run(_open, context, key, version)
    _require_present(row, version)
    if tags_of(row) == tags:
        return version_headers(row)

    def choose(tree: Tree) -> list[Put]:
        present = tree.stat(key, want="file")
        if present is None or not is_object(present):
            raise S3Error("NoSuchKey", fields={"Key": key.decode()})
        _require_present(present, version)
        return [_tagged(present, tags)]

    info = await context.commit(bucket, Write([_tagged(row, tags)], choose=choose))
    return (("x-amz-version-id", info.id),) if info is not None else ()


def version_headers(row: Row) -> Headers:
    """Return the header with the version of an object."""
    version = version_of(row)
    return (("x-amz-version-id", version),) if version is not None else ()


def _open(context: Context, key: bytes, version: str | None) -> tuple[Bucket, Row]:
    """Return the present row of an object that has such a version, in a bucket that can be written."""
    bucket = context.bucket(write=True)
    row = find_object(bucket, key, version)
    if version is None:
        return bucket, row
    return bucket, bucket.tree().stat(key, want="file") or row


def _require_present(row: Row, version: str | None) -> None:
    if version is not None and version_of(row) != version:
        raise S3Error("AccessDenied", _IMMUTABLE)


def _tagged(row: Row, tags: Mapping[str, str]) -> Put:
    return Put(row.key, row.kind, row.size, row.tid, with_tags(row.aux, tags), force=True)
