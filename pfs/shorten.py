"""What users typed or put in, as messages quote it: never so long that the message itself cannot be found."""

from __future__ import annotations

from typing import Final

MOST: Final = 80
"""Characters of a name, line, pattern or row in a message."""


def shorten(text: str, most: int = MOST) -> str:
    """Return text of at most ``most`` characters: of a longer one the beginning and the end, where names differ."""
    if len(text) <= most:
        return text
    tail = most // 3
    return f"{text[: most - tail - 1]}…{text[-tail:]}"


def quoted(text: str) -> str:
    """Return text in quotes, with escapes for what would disturb a line, and shortened."""
    return shorten(repr(text))
