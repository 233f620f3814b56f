"""What a collection may take its time for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from pfs.backends.base import Backend

DAY_NS: Final = 24 * 3600 * 1_000_000_000
LONGEST_WAIT_NS: Final = 600 * 1_000_000_000
"""A longer grace is not waited for: what was condemned then goes with a collection after it."""


@dataclass(frozen=True, slots=True)
class Options:
    """``min_age_ns``: younger packs are left alone; ``grace_ns``: how long readers have for what they are looking at.

    Both only spare others some work: nothing that is live is lost whatever they are.
    """

    min_age_ns: int = 0
    grace_ns: int = 0


def usual(backend: Backend) -> Options:
    """Return a day of each where objects are far away: others write and read there that this machine knows not of."""
    return Options() if backend.parallel == 1 else Options(min_age_ns=DAY_NS, grace_ns=DAY_NS)


def in_seconds(backend: Backend, *, min_age_s: float | None = None, grace_s: float | None = None) -> Options:
    """Return these options, those that are None as `usual`."""
    options = usual(backend)
    return Options(
        min_age_ns=options.min_age_ns if min_age_s is None else int(min_age_s * 1e9),
        grace_ns=options.grace_ns if grace_s is None else int(grace_s * 1e9),
    )
