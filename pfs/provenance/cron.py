"""Schedules: when they tick. Pure; times are ns since the epoch, and schedules are read in UTC.

A schedule is a cron expression of five fields (six: seconds first), ``@hourly``, ``@daily`` (``@midnight``),
``@weekly``, ``@monthly``, ``@yearly`` (``@annually``), ``@every`` and a duration: ``@every 1h30m``, or ``@never``.
Expressions are worked out by cronsim.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from pfs.errors import InvalidInputError
from pfs.shorten import quoted, shorten

if TYPE_CHECKING:
    from cronsim import CronSim

SECOND_NS = 1_000_000_000
_NAMED = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
_EVERY = re.compile(r"@every\s+((?:\d+(?:ms|[dhms]))+)")
_PART = re.compile(r"(\d+)(ms|[dhms])")
_UNIT_NS = {"d": 86400 * SECOND_NS, "h": 3600 * SECOND_NS, "m": 60 * SECOND_NS, "s": SECOND_NS, "ms": SECOND_NS // 1000}


@dataclass(frozen=True, slots=True)
class Schedule:
    """A schedule that was checked: ``every_ns`` after each tick, or else a cron expression; with neither, never."""

    text: str
    every_ns: int = 0
    expression: str = ""

    def next_tick(self, after_ns: int) -> int | None:
        """Return the first tick after a time; of ``@every`` that time plus the duration. None: it never ticks again."""
        if self.every_ns:
            return after_ns + self.every_ns
        return _ns(self._first(after_ns, reverse=False)) if self.expression else None

    def last_tick(self, since_ns: int, now_ns: int) -> int | None:
        """Return the last tick later than ``since_ns`` and not later than ``now_ns``, or None.

        ``@every`` ticks in steps from ``since_ns``.
        """
        if self.every_ns:
            steps = (now_ns - since_ns) // self.every_ns
            return since_ns + steps * self.every_ns if steps > 0 else None
        if not self.expression:
            return None
        tick = _ns(self._first(now_ns + SECOND_NS, reverse=True))
        while tick is not None and tick > now_ns:
            tick = _ns(self._first(tick, reverse=True))
        return tick if tick is not None and tick > since_ns else None

    def _first(self, at_ns: int, *, reverse: bool) -> CronSim:
        from cronsim import CronSim

        return CronSim(self.expression, datetime.fromtimestamp(at_ns // SECOND_NS, UTC), reverse=reverse)


def parse_schedule(text: str) -> Schedule:
    """Return a schedule; see the module for what is taken.

    Raises:
        InvalidInputError: it is none.
    """
    from cronsim import CronSim, CronSimError

    plain = " ".join(text.split())
    if plain.startswith("@every"):
        return _every(plain)
    if plain.lower() == "@never":
        return Schedule(plain)
    expression = _NAMED.get(plain.lower(), plain).replace("?", "*")
    try:
        CronSim(expression, datetime(2000, 1, 1, tzinfo=UTC))
    except CronSimError as error:
        hint = "write five cron fields as in '0 * * * *', @daily or @every 1h"
        raise InvalidInputError(f"{quoted(text)} is no schedule ({shorten(str(error).lower())}): {hint}") from error
    return Schedule(plain, expression=expression)


def _every(text: str) -> Schedule:
    match = _EVERY.fullmatch(text)
    every_ns = 0 if match is None else sum(int(count) * _UNIT_NS[unit] for count, unit in _PART.findall(match[1]))
    if not every_ns:
        raise InvalidInputError(f"{quoted(text)} is no schedule: write a duration as in '@every 1h30m'")
    return Schedule(text, every_ns=every_ns)


def _ns(ticks: CronSim) -> int | None:
    tick = next(ticks, None)
    return None if tick is None else int(tick.timestamp()) * SECOND_NS
