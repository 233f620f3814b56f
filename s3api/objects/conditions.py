"""Conditional requests: If-Match and its kin, for reads, copies and writes.

A write's condition becomes a check on the row of the very tree that the change is put on, so it holds atomically.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from pfs.trees.tree import Row
from s3api.errors import NotModifiedError, S3Error
from s3api.http.times import SECOND_NS, http_date, parse_http_date
from s3api.objects.metadata import etag_of, is_object, modified_ns

RowCheck = Callable[[Row | None], None]
"""Raises when a change must not be put on the row of that key."""
_COPY = "x-amz-copy-source-"


def matches(header: str, etag: str) -> bool:
    """Say whether an If-Match or If-None-Match value names the ETag; quotes and weakness do not matter."""
    wanted = [tag.strip().removeprefix("W/").strip('"') for tag in header.split(",")]
    return "*" in wanted or etag in wanted


def check_read(headers: Mapping[str, str], row: Row) -> None:
    """Apply the conditions of a GET or HEAD, in the order of RFC 9110.

    Raises:
        S3Error: PreconditionFailed.
        NotModifiedError: the client has this version.
    """
    if _changed(headers, row, ""):
        raise S3Error("PreconditionFailed", fields={"Condition": "If-Match or If-Unmodified-Since"})
    if _unchanged(headers, row, ""):
        known = (("etag", f'"{etag_of(row)}"'), ("last-modified", http_date(modified_ns(row))))
        raise NotModifiedError(known)


def check_copy(headers: Mapping[str, str], row: Row) -> None:
    """Apply the x-amz-copy-source-if- conditions.

    Raises:
        S3Error: PreconditionFailed.
    """
    if _changed(headers, row, _COPY) or _unchanged(headers, row, _COPY):
        raise S3Error("PreconditionFailed", fields={"Condition": "x-amz-copy-source-if-*"})


def _changed(headers: Mapping[str, str], row: Row, prefix: str) -> bool:
    """Say whether If-Match fails, or, without one, If-Unmodified-Since."""
    tags = headers.get(f"{prefix}if-match")
    if tags is not None:
        return not matches(tags, etag_of(row))
    since = parse_http_date(headers.get(f"{prefix}if-unmodified-since", ""))
    return since is not None and modified_ns(row) // SECOND_NS > since


def _unchanged(headers: Mapping[str, str], row: Row, prefix: str) -> bool:
    """Say whether If-None-Match fails, or, without one, If-Modified-Since."""
    tags = headers.get(f"{prefix}if-none-match")
    if tags is not None:
        return matches(tags, etag_of(row))
    since = parse_http_date(headers.get(f"{prefix}if-modified-since", ""))
    return since is not None and modified_ns(row) // SECOND_NS <= since


def write_check(headers: Mapping[str, str]) -> RowCheck | None:
    """Return the check that If-Match and If-None-Match of a write ask for; None without them."""
    match, none_match = headers.get("if-match"), headers.get("if-none-match")
    if match is None and none_match is None:
        return None

    def check(row: Row | None) -> None:
        found = row if is_object(row) else None
        if match is not None:
            if found is None:
                raise S3Error("NoSuchKey")
            if not matches(match, etag_of(found)):
                raise S3Error("PreconditionFailed", fields={"Condition": "If-Match"})
        if none_match is not None and found is not None and matches(none_match, etag_of(found)):
            raise S3Error("PreconditionFailed", fields={"Condition": "If-None-Match"})

    return check
