"""Times as people write them: ``90s``, ``15m``, ``24h``, ``7d``, ``2w``."""

from __future__ import annotations

import re

from cli.exits import usage_error
from pfs.shorten import quoted

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 24 * 3600, "w": 7 * 24 * 3600}


def seconds(text: str) -> int:
    """Return the seconds that a duration means; ``0`` needs no unit.

    Raises:
        InvalidInputError: it is no duration.
    """
    match = re.fullmatch(r"(\d{1,9})([smhdw]?)", text.strip())
    if match is None or (not match[2] and int(match[1])):
        raise usage_error(f"{quoted(text)} is not a time: write 30s, 15m, 24h, 7d or 2w")
    return int(match[1]) * _UNITS[match[2] or "s"]
