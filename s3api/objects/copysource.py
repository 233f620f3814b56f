"""The header x-amz-copy-source: which object, in which version, is copied from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import unquote, unquote_plus, unquote_to_bytes

from pfs.trees.tree import Row
from s3api.auth.access import Permission
from s3api.errors import S3Error
from s3api.http.response import Headers
from s3api.objects.metadata import version_of
from s3api.objects.names import parse_bucket, parse_key
from s3api.versions.find import find_object

if TYPE_CHECKING:
    from s3api.gateway import Context

_VERSION = "?versionId="


@dataclass(frozen=True, slots=True)
class CopySource:
    """A bucket's name, a key, and maybe a version."""

    bucket: str
    key: bytes
    version: str | None = None


def parse_source(header: str) -> CopySource:
    """Parse ``[/]bucket/key[?versionId=id]``, encoded as in a form: ``+`` is a blank.

    S3 takes it so, and clients rely on it (s5cmd, and all that use URLEncoder as S3's own Java examples do).

    Raises:
        S3Error: InvalidArgument, KeyTooLongError.
    """
    place, mark, version = header.strip().partition(_VERSION)
    bucket, slash, key = place.removeprefix("/").partition("/")
    if not slash or not bucket or not key:
        # The slash between bucket and key may be encoded too.
        bucket, slash, key = unquote_plus(place).removeprefix("/").partition("/")
        raw = key.encode()
    else:
        raw = unquote_to_bytes(key.replace("+", " "))
    if not bucket or not raw or (mark and not version):
        fields = {"ArgumentName": "x-amz-copy-source"}
        raise S3Error("InvalidArgument", "the copy source must be bucket/key[?versionId=id]", fields=fields)
    return CopySource(unquote(bucket), parse_key(raw), unquote(version) if mark else None)


def open_source(context: Context, source: CopySource) -> Row:
    """Return the row of the source, if the caller may read it.

    Raises:
        S3Error: AccessDenied, NoSuchBucket, NoSuchKey, NoSuchVersion; InvalidRequest: a delete marker.
    """
    name = parse_bucket(source.bucket)
    context.authorize(Permission.READ, name)
    try:
        return find_object(context.open(name), source.key, source.version)
    except S3Error as error:
        if error.code != "MethodNotAllowed":
            raise
        raise S3Error(
            "InvalidRequest", "the source of a copy may not be a delete marker named by its version"
        ) from error


def source_version(row: Row) -> Headers:
    """Return the header that says which version was copied."""
    version = version_of(row)
    return (("x-amz-copy-source-version-id", version),) if version is not None else ()
