"""One level of a pattern against many names at once: what can be said by their bytes is said by columns."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Final

from pfs.patterns.matcher import Matcher
from pfs.patterns.nodes import Segment, Star, Text

TAIL_BYTES: Final = 8
"""The longest end that is compared."""


class Level:
    """What a pattern says of the names in a directory; one that is deep, of the paths below it. Immutable."""

    def __init__(self, segments: Sequence[Segment]) -> None:
        """Take one segment, or, where the first is deep, all that are left of the pattern."""
        first = segments[0]
        self.deep = first.deep
        self.literal = _bytes(first.literal.partition("/")[0])
        """What the first step of all that matches begins with."""
        self.exact = not first.special and not first.deep
        """Whether ``literal`` alone matches."""
        self.takes_all = len(segments) == 1 and first.nodes == (Star(first.deep),)
        """Whether every name matches, or, deep, every path."""
        self.tail = b"" if self.exact else _tail(segments[-1])
        """What the last step of all that matches ends with, `TAIL_BYTES` of it at most."""
        self._segments = segments

    @cached_property
    def matcher(self) -> Matcher:
        """What says whether a whole text matches."""
        return Matcher(self._segments)

    def matches(self, text: str) -> bool:
        """Say whether one text matches."""
        return self.matcher.matches(text)


def _tail(segment: Segment) -> bytes:
    last = segment.nodes[-1] if segment.nodes else None
    return _bytes(last.text.rpartition("/")[2])[-TAIL_BYTES:] if isinstance(last, Text) else b""


def _bytes(text: str) -> bytes:
    return text.encode(errors="surrogateescape")
