"""Storage classes of buckets, as far as it matters what they are: numbers in the index, minimum times, archives.

The minimum time is what S3 bills at least, also for an object that is deleted or written again before; as AWS has it.
Others may name classes as they like: these have no minimum time here.
"""

from __future__ import annotations

from typing import Final

STANDARD: Final = "STANDARD"
ARCHIVES: Final = frozenset({"GLACIER", "DEEP_ARCHIVE"})
"""Classes whose objects cannot be read before they are restored."""
_DAY_NS: Final = 24 * 3600 * 1_000_000_000
_MINIMUM_DAYS: Final = {"STANDARD_IA": 30, "ONEZONE_IA": 30, "GLACIER_IR": 90, "GLACIER": 90, "DEEP_ARCHIVE": 180}
_CODES: Final = {
    "": 0,
    STANDARD: 0,
    "STANDARD_IA": 1,
    "ONEZONE_IA": 2,
    "INTELLIGENT_TIERING": 3,
    "GLACIER_IR": 4,
    "GLACIER": 5,
    "DEEP_ARCHIVE": 6,
    "REDUCED_REDUNDANCY": 7,
}
_OTHER: Final = 255


def code_of(storage_class: str) -> int:
    """Return the number of a class in the index, 0 for the standard one."""
    return _CODES.get(storage_class, _OTHER)


def minimum_ns(storage_class: str) -> int:
    """Return how long an object in this class is billed at least."""
    return _MINIMUM_DAYS.get(storage_class, 0) * _DAY_NS


def is_settled(storage_class: str, since_ns: int, now_ns: int) -> bool:
    """Say whether an object that came into its class at ``since_ns`` has been there for the minimum time."""
    return since_ns + minimum_ns(storage_class) <= now_ns
