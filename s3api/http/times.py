"""Times as S3 writes them. Inside, a time is nanoseconds since the epoch.

Headers have whole seconds, since HTTP has no others. Listings have milliseconds: `aws s3 sync` compares them with the
time of the local file, and with whole seconds it would send every file again that was written in the second of its
upload.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from email.utils import formatdate, parsedate_to_datetime
from functools import lru_cache

SECOND_NS = 1_000_000_000
_AMZ = re.compile(r"\d{8}T\d{6}Z", re.ASCII)


def http_date(time_ns: int) -> str:
    """Return ``Sun, 22 Nov 2026 08:00:00 GMT``."""
    return formatdate(time_ns // SECOND_NS, usegmt=True)


@lru_cache(maxsize=1024)
def iso_date(time_ns: int) -> str:
    """Return ``2026-11-22T08:00:00.123Z``, as listings have it; cut off to seconds it is what Last-Modified says."""
    seconds, rest_ns = divmod(time_ns, SECOND_NS)
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S") + f".{rest_ns // 1_000_000:03d}Z"


def parse_http_date(text: str) -> int | None:
    """Return the seconds since the epoch of an HTTP date; None when it is none (such a header is ignored)."""
    if not text.isascii():
        return None  # the digits of other scripts are digits to `parsedate_to_datetime`
    try:
        parsed = parsedate_to_datetime(text)
        return int((parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).astimezone(UTC).timestamp())
    except (TypeError, ValueError, OverflowError):  # the last: its zone puts it out of the years 1 to 9999
        return None


def parse_iso_date(text: str) -> int | None:
    """Return the whole seconds since the epoch of ``2026-11-22T08:00:00.123Z``; None when it is none."""
    try:
        parsed = datetime.fromisoformat(text.strip())
    except ValueError:
        return None
    return int((parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp() // 1)


def parse_amz_date(text: str) -> int | None:
    """Return the seconds since the epoch of ``20261122T080000Z``; None when it is none."""
    return _parse_amz_date(text) if len(text) == 16 else None


@lru_cache(maxsize=256)
def _parse_amz_date(text: str) -> int | None:
    try:
        return int(datetime.fromisoformat(text).timestamp()) if _AMZ.fullmatch(text) else None
    except ValueError:
        return None
