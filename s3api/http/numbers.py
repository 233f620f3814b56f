"""Numbers as clients write them: ASCII digits and nothing else, though Python takes the digits of any script."""

from __future__ import annotations


def parse_number(text: str, *, most: int) -> int | None:
    """Return the number, 0 to ``most``, that a text of ASCII digits says; None for any other text.

    Leading zeros are taken; long texts cost nothing, as they are not converted.
    """
    if not text.isascii() or not text.isdecimal():
        return None
    digits = text.lstrip("0") or "0"
    number = int(digits) if len(digits) <= len(str(most)) else most + 1
    return number if number <= most else None
