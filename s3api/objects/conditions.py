"""Conditional requests: If-Match and its kin, for reads, copies and writes.

A write's condition becomes a check on the row of the very tree that the change is put on, so it holds atomically.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from pfs.trees.tree import Row
from s3api.errors import NotModifiedError, S3Error, not_implemented
from s3api.http.numbers import parse_number
from s3api.http.times import SECOND_NS, http_date, parse_http_date, parse_iso_date
from s3api.objects.metadata import etag_of, is_object, modified_ns

RowCheck = Callable[[Row | None], None]
"""Raises when a change must not be put on the row of that key."""
_COPY = "x-amz-copy-source-"
_MAX_SIZE = (1 << 63) - 1
MATCH_SIZE = "x-amz-if-match-size"
MATCH_TIME = "x-amz-if-match-last-modified-time"


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
    failed = _changed(headers, row, "")
    if failed:
        raise S3Error("PreconditionFailed", fields={"Condition": failed})
    if _unchanged(headers, row, ""):
        known = (("etag", f'"{etag_of(row)}"'), ("last-modified", http_date(modified_ns(row))))
        raise NotModifiedError(known)


def check_copy(headers: Mapping[str, str], row: Row) -> None:
    """Apply the x-amz-copy-source-if- conditions.

    Raises:
        S3Error: PreconditionFailed.
    """
    failed = _changed(headers, row, _COPY) or _unchanged(headers, row, _COPY)
    if failed:
        raise S3Error("PreconditionFailed", fields={"Condition": failed})


def range_holds(headers: Mapping[str, str], row: Row) -> bool:
    """Say whether a Range counts: If-Range names this very version, by its ETag or its exact time, or is not there.

    Without it, a client that goes on with an interrupted download would get the rest of another object.
    """
    header = headers.get("if-range")
    if header is None:
        return True
    since = parse_http_date(header)
    if since is not None:
        return modified_ns(row) // SECOND_NS == since
    return header.strip() == f'"{etag_of(row)}"'


def _changed(headers: Mapping[str, str], row: Row, prefix: str) -> str:
    """Return the name of the condition that fails: If-Match, or, without one, If-Unmodified-Since; empty if none."""
    tags = headers.get(f"{prefix}if-match")
    if tags is not None:
        return "" if matches(tags, etag_of(row)) else _name(prefix, "If-Match")
    since = parse_http_date(headers.get(f"{prefix}if-unmodified-since", ""))
    failed = since is not None and modified_ns(row) // SECOND_NS > since
    return _name(prefix, "If-Unmodified-Since") if failed else ""


def _unchanged(headers: Mapping[str, str], row: Row, prefix: str) -> str:
    """Return the name of the condition that fails: If-None-Match, or, without one, If-Modified-Since."""
    tags = headers.get(f"{prefix}if-none-match")
    if tags is not None:
        return _name(prefix, "If-None-Match") if matches(tags, etag_of(row)) else ""
    since = parse_http_date(headers.get(f"{prefix}if-modified-since", ""))
    failed = since is not None and modified_ns(row) // SECOND_NS <= since
    return _name(prefix, "If-Modified-Since") if failed else ""


def _name(prefix: str, condition: str) -> str:
    """Return a condition's name as S3 says it: those of copies are written small."""
    return prefix + condition.lower() if prefix else condition


def delete_check(conditions: Mapping[str, str]) -> RowCheck | None:
    """Return the check that the conditions of a delete ask for, by their names as headers; None without any.

    An object that is not there fails If-Match (NoSuchKey), and holds the others: there is nothing to delete.

    Raises:
        S3Error: InvalidArgument, no number or time; NotImplemented for If-None-Match, as S3 has it.
    """
    if "if-none-match" in conditions:
        raise not_implemented("header If-None-Match of DeleteObject")
    match, size, time_s = conditions.get("if-match"), _size_of(conditions), _time_of(conditions)
    if match is None and size is None and time_s is None:
        return None

    def check(row: Row | None) -> None:
        found = row if is_object(row) else None
        if found is None:
            if match is not None:
                raise S3Error("NoSuchKey")
            return
        if match is not None and not matches(match, etag_of(found)):
            raise S3Error("PreconditionFailed", fields={"Condition": "If-Match"})
        if size is not None and found.size != size:
            raise S3Error("PreconditionFailed", fields={"Condition": MATCH_SIZE})
        if time_s is not None and modified_ns(found) // SECOND_NS != time_s:
            raise S3Error("PreconditionFailed", fields={"Condition": MATCH_TIME})

    return check


def _size_of(conditions: Mapping[str, str]) -> int | None:
    text = conditions.get(MATCH_SIZE)
    if text is None:
        return None
    size = parse_number(text.strip(), most=_MAX_SIZE)
    if size is None:
        raise S3Error("InvalidArgument", f"{MATCH_SIZE} must be a number", fields={"ArgumentName": MATCH_SIZE})
    return size


def _time_of(conditions: Mapping[str, str]) -> int | None:
    text = conditions.get(MATCH_TIME)
    if text is None:
        return None
    time_s = parse_http_date(text)
    time_s = parse_iso_date(text) if time_s is None else time_s
    if time_s is None:
        raise S3Error("InvalidArgument", f"{MATCH_TIME} must be a time", fields={"ArgumentName": MATCH_TIME})
    return time_s


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
