"""Times as people write them: ``90s``, ``15m``, ``24h``, ``7d``, ``2w``."""

from __future__ import annotations

import re
from typing import Final

from cli.exits import usage_error
from pfs.shorten import quoted

_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 24 * 3600, "w": 7 * 24 * 3600}
LONGEST_S: Final = 36_500 * 24 * 3600
"""A hundred years: times in ns of what is longer do not fit where they are kept."""


def seconds(text: str, *, bare: str = "") -> int:
    """Return the seconds that a duration means; ``0`` needs no unit, other numbers only where ``bare`` is none.

    ``bare``: the unit of a number alone.

    Raises:
        InvalidInputError: it is no duration, or longer than a hundred years.
    """
    match = re.fullmatch(r"([0-9]+)([smhdw]?)", text.strip())
    if match is None or (not match[2] and not bare and match[1].strip("0")):
        raise usage_error(f"{quoted(text)} is not a time: write 30s, 15m, 24h, 7d or 2w")
    number = int(match[1]) if len(match[1].lstrip("0")) < 12 else LONGEST_S + 1
    length_s = number * _UNITS[match[2] or bare or "s"]
    if length_s > LONGEST_S:
        raise usage_error(f"{quoted(text)} is too long a time: at most {LONGEST_S // _UNITS['d']}d")
    return length_s


def human_duration(length_s: float) -> str:
    """Return a length of time for people, in its two largest units: ``0.3s``, ``3m05s``, ``2h07m``, ``4d03h``."""
    if length_s < 10:
        return f"{length_s:.1f}s"
    whole = round(length_s)
    for large, small, size in (("d", "h", 3600), ("h", "m", 60), ("m", "s", 1)):
        if whole >= _UNITS[large]:
            return f"{whole // _UNITS[large]}{large}{whole % _UNITS[large] // size:02d}{small}"
    return f"{whole}s"
