"""Times as texts: RFC 3339, to the second."""

from __future__ import annotations

from datetime import UTC, datetime

from pfs.provenance.cron import SECOND_NS


def time_text(at_ns: int) -> str:
    """Return a time (ns since the epoch) as RFC 3339 in UTC, cut off to seconds; texts sort as times do."""
    return datetime.fromtimestamp(at_ns // SECOND_NS, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def parse_time(text: str) -> int | None:
    """Return an RFC 3339 time in ns since the epoch, cut off to seconds; None if it is none or names no zone."""
    try:
        parsed = datetime.fromisoformat(text)
    except ValueError:
        return None
    return int(parsed.timestamp()) * SECOND_NS if parsed.tzinfo is not None else None
