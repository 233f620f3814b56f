"""Which requests get many ranges of one object: a request takes longer than some bytes too many."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import Final

Range = tuple[int, int]
"""Offset and length in bytes."""
GAP: Final = 256 << 10
"""Bytes between two ranges up to which one request gets both: 256 KiB take as long as a request."""
PIECE: Final = 8 << 20
"""Bytes asked of one connection; more come over several."""


def header_of(offset: int, length: int | None) -> str | None:
    """Return what asks for a range; None for the whole object. ``offset`` below 0 counts from the end."""
    if length is not None:
        return f"bytes={offset}-{offset + length - 1}"
    return f"bytes={offset}" if offset < 0 else f"bytes={offset}-" if offset else None


def merged(ranges: Sequence[Range]) -> list[Range]:
    """Return ranges that cover all of those, in order and apart from each other by more than `GAP`."""
    spans: list[Range] = []
    for offset, length in sorted(ranges):
        if spans and offset <= sum(spans[-1]) + GAP:
            spans[-1] = (spans[-1][0], max(sum(spans[-1]), offset + length) - spans[-1][0])
        else:
            spans.append((offset, length))
    return spans


def split(offset: int, length: int) -> list[Range]:
    """Return a range as pieces of up to `PIECE`, in order; the last one has the rest, if that is not little."""
    count = max(1, (length + PIECE // 2) // PIECE)
    starts = [offset + number * PIECE for number in range(count)]
    return [(start, (starts[n + 1] if n + 1 < count else offset + length) - start) for n, start in enumerate(starts)]


def pieces(ranges: Sequence[Range], spans: Sequence[Range], found: Sequence[bytes]) -> list[bytes]:
    """Return the bytes of each range, in the order given, out of those of `merged` spans (short at the end)."""
    starts, cut = [start for start, _ in spans], []
    for offset, length in ranges:
        number = bisect_right(starts, offset) - 1
        at = offset - starts[number]
        cut.append(found[number][at : at + length])
    return cut
