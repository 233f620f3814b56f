"""Schedules: when they tick. Pure; times are ns since the epoch, and schedules are read in UTC.

A schedule is a cron expression of five fields, ``@hourly``, ``@daily`` (``@midnight``), ``@weekly``, ``@monthly``,
``@yearly`` (``@annually``), ``@every`` and a duration: ``@every 1h30m``, or ``@never``. ``CRON_TZ=Asia/Tokyo`` or
``TZ=…`` before it is the time zone that it is read in. What is taken is what robfig/cron's standard parser takes, which
Pachyderm uses, and what cronsim, by which expressions are worked out, takes beside (``L``, ``#``).
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, tzinfo
from decimal import Decimal
from functools import lru_cache
from typing import TYPE_CHECKING

from msgspec import Struct

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
_ZONE = r"(?:CRON_)?TZ=(\S*) (.*)"
_PART = r"(\d+\.?\d*|\.\d+)(ms|us|µs|μs|ns|[dhms])"
_EVERY = rf"@every\s+((?:{_PART})+)"
_UNIT_NS = {"d": 86400 * SECOND_NS, "h": 3600 * SECOND_NS, "m": 60 * SECOND_NS, "s": SECOND_NS, "ms": SECOND_NS // 1000}
_UNIT_NS |= {"us": 1000, "µs": 1000, "μs": 1000, "ns": 1}
_MOST_NS = 2**63 - 1
_HINT = "write five cron fields as in '0 * * * *', @daily or @every 1h"


class Schedule(Struct, frozen=True):
    """A schedule that was checked: ``every_ns`` after each tick, or else a cron expression; with neither, never.

    ``zone``: the time zone of the expression.
    """

    text: str
    every_ns: int = 0
    expression: str = ""
    zone: str = "UTC"

    @property
    def never(self) -> bool:
        """Whether it never ticks: ``@never``, and the 30th of February."""
        return not (self.every_ns or self.expression)

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

        return CronSim(self.expression, datetime.fromtimestamp(at_ns // SECOND_NS, _zone(self.zone)), reverse=reverse)


def parse_schedule(text: str) -> Schedule:
    """Return a schedule; see the module for what is taken.

    Raises:
        InvalidInputError: it is none.
    """
    plain = " ".join(text.split())
    match = re.fullmatch(_ZONE, plain)
    zone, what = ("UTC", plain) if match is None else (match[1] or "UTC", match[2])
    try:
        _zone(zone)
    except (KeyError, ValueError, OSError) as error:
        raise InvalidInputError(f"{quoted(text)} is no schedule: there is no time zone {quoted(zone)}") from error
    if what.startswith("@every"):
        return Schedule(plain, every_ns=_every_ns(what, text))
    if what.lower() == "@never":
        return Schedule(plain)
    expression = _NAMED.get(what.lower(), what).replace("?", "*")
    return Schedule(plain, expression=_checked(expression, text), zone=zone)


def _checked(expression: str, text: str) -> str:
    """Return a cron expression if it is one, and nothing if it is one that never ticks."""
    fields = expression.split()
    if len(fields) != 5:
        about = "" if expression.startswith("@") else f" (it has {len(fields)} field{'' if len(fields) == 1 else 's'})"
        raise InvalidInputError(f"{quoted(text)} is no schedule{about}: {_HINT}")
    wrong = _fault(expression)
    if wrong is None:
        return expression
    # The two that can say together what no calendar has, each of them sound alone.
    if _fault(" ".join([*fields[:2], "*", *fields[3:]])) is _fault(" ".join([*fields[:3], "*", fields[4]])) is None:
        return ""
    raise InvalidInputError(f"{quoted(text)} is no schedule ({shorten(wrong.lower())}): {_HINT}")


def _fault(expression: str) -> str | None:
    from cronsim import CronSim, CronSimError

    try:
        CronSim(expression, datetime(2000, 1, 1, tzinfo=UTC))
    except CronSimError as error:
        return str(error)
    return None


def _every_ns(what: str, text: str) -> int:
    """Return whole seconds, at least one: parts of a second are dropped, as by Pachyderm."""
    match = re.fullmatch(_EVERY, what)
    parts = () if match is None else re.findall(_PART, match[1])
    every_ns = int(sum(Decimal(count) * _UNIT_NS[unit] for count, unit in parts))
    if not 0 < every_ns <= _MOST_NS:
        raise InvalidInputError(f"{quoted(text)} is no schedule: write a duration as in '@every 1h30m'")
    return max(SECOND_NS, every_ns - every_ns % SECOND_NS)


@lru_cache(maxsize=64)
def _zone(name: str) -> tzinfo:
    from zoneinfo import ZoneInfo

    return UTC if name == "UTC" else ZoneInfo(name)


def _ns(ticks: CronSim) -> int | None:
    tick = next(ticks, None)
    return None if tick is None else int(tick.timestamp()) * SECOND_NS
