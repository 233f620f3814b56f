"""Where pages end: the rule is part of the format, so it is integer arithmetic on names and weights only.

A cut depends on nothing before the previous cut, so an edit disturbs the cuts up to the next one that
coincides with an old page end, and no further. The thresholds keep pages near their mean: half the target rate
before N rows, four times it behind.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct
from xxhash import xxh3_64_intdigest

from pfs.arrays import I64, U64, np
from pfs.errors import InvalidParamsError


class TreeParams(Struct, frozen=True):
    """Shape of the tree; the defaults are the format's constants, frozen in a store's config.json."""

    leaf_bits: int = 8
    """log2 of the target rows in a leaf."""
    fan_bits: int = 7
    """log2 of the target rows in an index page."""
    inline: int = 32
    """Most rows of a directory that is written into its parent's page."""

    def __post_init__(self) -> None:
        """Check the ranges.

        Raises:
            InvalidParamsError: a value is out of range, or an inlined directory could take several pages.
        """
        bits_fit = 3 <= self.leaf_bits <= 12 and 3 <= self.fan_bits <= 12
        if not bits_fit or not 0 <= self.inline <= min(1 << self.leaf_bits >> 2, 255):
            raise InvalidParamsError("tree: leaf and fan must be 3 to 12 bits, inline at most a quarter of the leaf")

    def bits(self, level: int) -> int:
        """Return log2 of the target number of rows in a page of a level."""
        return self.fan_bits if level else self.leaf_bits


FORMAT = TreeParams()


def cuts(
    names: Sequence[bytes], weights: Sequence[int], level: int, *, rows: int = 0, params: TreeParams = FORMAT
) -> list[int]:
    """Return the index behind the last group of each page that ends within these groups, increasing.

    The page that is open holds ``rows`` rows already. ``names`` are depth-0 names, ``weights`` the rows of each
    group (the marker and its inlined rows). Groups behind the last cut belong to a page that is still open. Cost:
    about 0.1 us a group.
    """
    bits = params.bits(level)
    least, target, most = 1 << bits >> 2, 1 << bits, 16 << bits
    soft, hard = 63 - bits, 66 - bits
    ends: list[int] = []
    for index, weight in enumerate(weights):
        rows += weight
        if rows < least:
            continue
        shift = soft if rows < target else hard
        if rows >= most or xxh3_64_intdigest(names[index], level) >> shift < weight:
            ends.append(index + 1)
            rows = 0
    return ends


def cuts_of_columns(hashes: U64, weights: I64, level: int, *, rows: int = 0, params: TreeParams = FORMAT) -> list[int]:
    """Return what :func:`cuts` returns, from ``uint64`` hashes (seed = level) and integer weights."""
    bits = params.bits(level)
    least, target, most = 1 << bits >> 2, 1 << bits, 16 << bits
    total = np.cumsum(weights, dtype=np.int64)
    wide = weights.astype(np.uint64)
    soft = np.flatnonzero(hashes >> np.uint64(63 - bits) < wide)
    hard = np.flatnonzero(hashes >> np.uint64(66 - bits) < wide)
    ends: list[int] = []
    before, count = -rows, len(total)
    while True:
        first, middle, last = np.searchsorted(total, (before + least, before + target, before + most)).tolist()
        at = _first_from(soft, first, middle)
        if at is None:
            at = _first_from(hard, middle, last)
        if at is None:
            at = last
        if at >= count:
            return ends
        ends.append(at + 1)
        before = int(total[at])


def _first_from(places: I64, start: int, stop: int) -> int | None:
    number = int(np.searchsorted(places, start))
    if number == len(places) or places[number] >= stop:
        return None
    return int(places[number])
