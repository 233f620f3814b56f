"""What time it is by a server's clock, as its answers say, whatever this machine's clock says."""

from __future__ import annotations

import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import Any, Final

_SECOND: Final = 1_000_000_000
_STEADY: Final = getattr(time, "CLOCK_BOOTTIME", None)
EARLY_NS: Final = 2 * _SECOND
LATE_NS: Final = 3 * _SECOND
"""A machine's clock that differs by no more is right: answers tell whole seconds, and are under way for a while."""


class ServerClock:
    """Hears the dates of answers; thread-safe, and good after a fork."""

    def __init__(self) -> None:
        self._heard: tuple[str, int] | None = None
        self._best_ns = 0
        """What to add to `_steady_ns` for the server's time; at most that, as dates are cut and answers late."""

    def hear(self, answer: Mapping[str, Any]) -> None:
        """Take note of an answer of boto3."""
        date = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date")
        if date:
            self._heard = (date, _steady_ns())

    @property
    def is_known(self) -> bool:
        """Whether an answer told the time."""
        return self._heard is not None

    def now_ns(self) -> int:
        """Return the machine's time where that agrees, as it is finer, else the server's; the machine's if unheard."""
        machine_ns, heard = time.time_ns(), self._heard
        date_ns = None if heard is None else _parse(heard[0])
        if heard is None or date_ns is None:
            return machine_ns
        at_least_ns, best_ns = date_ns - heard[1], self._best_ns
        # The latest estimate is the best, unless the server's clock was put back.
        if not best_ns - LATE_NS < at_least_ns <= best_ns:
            self._best_ns = best_ns = at_least_ns
        server_ns = _steady_ns() + best_ns
        return machine_ns if server_ns - EARLY_NS <= machine_ns <= server_ns + LATE_NS else server_ns


def _steady_ns() -> int:
    """Return a time that nobody sets; also that goes by while the machine sleeps, where the system tells it."""
    return time.clock_gettime_ns(_STEADY) if _STEADY is not None else time.monotonic_ns()


@lru_cache(maxsize=16)
def _parse(date: str) -> int | None:
    try:
        return int(parsedate_to_datetime(date).timestamp()) * _SECOND
    except ValueError:
        return None
