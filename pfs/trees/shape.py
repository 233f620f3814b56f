"""Which directories the rows of a sorted batch of keys begin, and where these end: columns, no loop over rows."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from pfs.arrays import I64, U8

_SLASH = ord("/")
_DEEP = 64
"""Directories deeper than this are not looked for an end: each level costs a look at all rows."""
_WORD = 8


class Keys(NamedTuple):
    """Keys one behind the other; ``offsets`` has one number more than there are keys."""

    data: U8
    offsets: I64

    @property
    def rows(self) -> int:
        """How many there are."""
        return len(self.offsets) - 1

    def key(self, row: int) -> bytes:
        """Return one key."""
        return self.data[self.offsets[row] : self.offsets[row + 1]].tobytes()


class Shape(NamedTuple):
    """Directories that begin in a batch, in the order of a depth-first walk, and where the rows lie in them."""

    depths: I64
    """Of each row: the directories above it."""
    shared: I64
    """Of each row: how many of them are those of the row before."""
    slashes: I64
    """The places of all slashes within their key, row by row."""
    firsts: I64
    """Of each row: the number of its first slash among these."""
    starts: I64
    """Of each new directory: its first row; the other columns are of new directories too."""
    levels: I64
    """How many steps its path has."""
    cuts: I64
    """The length of its path with the slash."""
    ends: I64
    """The row behind its last, -1 where it may go on behind the batch."""

    def bases(self, rows: I64, depths: I64) -> I64:
        """Return the length, slash included, of the path of the outermost ``depths`` directories above each row."""
        if not len(self.slashes):
            return np.zeros(len(rows), np.int64)
        at = np.minimum(self.firsts[rows] + np.maximum(depths - 1, 0), len(self.slashes) - 1)
        return np.where(depths > 0, self.slashes[at] + 1, 0)


def common(keys: Keys) -> I64:
    """Return of each key but the first how many bytes it has in common with the one before; words at a time."""
    words = np.concatenate((keys.data, np.zeros(_WORD, np.uint8)))
    view = np.ndarray((len(keys.data) + 1,), "<u8", words, strides=(1,))
    starts, lengths = keys.offsets[:-1], np.diff(keys.offsets)
    least = np.minimum(lengths[1:], lengths[:-1])
    found = np.zeros(len(least), np.int64)
    rows, at = np.flatnonzero(least > 0), 0
    while len(rows):
        unequal = view[starts[rows + 1] + at] ^ view[starts[rows] + at]
        lowest = unequal & (~unequal + np.uint64(1))
        same = np.where(unequal == 0, _WORD, (np.frexp(lowest.astype(np.float64))[1] - 1) // 8)
        found[rows] = np.minimum(at + same, least[rows])
        at += _WORD
        rows = rows[(unequal == 0) & (least[rows] > at)]
    return found


def first_unordered(keys: Keys, shared: I64) -> int | None:
    """Return the first key that is not above the one before; ``shared`` is :func:`common`."""
    starts, lengths = keys.offsets[:-1], np.diff(keys.offsets)
    longer = (shared == lengths[:-1]) & (lengths[1:] > shared)
    inside = np.flatnonzero(shared < np.minimum(lengths[1:], lengths[:-1]))
    longer[inside] = keys.data[starts[1:][inside] + shared[inside]] > keys.data[starts[:-1][inside] + shared[inside]]
    return None if longer.all() else int(np.argmin(longer)) + 1


def shape_of(keys: Keys, shared: I64) -> Shape:
    """Return the directories of all keys but the first, which stands for what was before; rows count from the second.

    ``shared`` is :func:`common`.
    """
    offsets, count = keys.offsets[1:], keys.rows - 1
    places = np.flatnonzero(keys.data[offsets[0] :] == _SLASH) + offsets[0]
    rows = np.searchsorted(offsets, places, "right") - 1
    depths = np.bincount(rows, minlength=count)
    firsts = np.cumsum(depths) - depths
    slashes = places - offsets[rows]
    known = slashes < shared[rows]
    common_depths = np.bincount(rows[known], minlength=count)
    fresh = np.flatnonzero(~known)
    starts, levels = rows[fresh], fresh - firsts[rows[fresh]] + 1
    ends = _ends(starts, levels, common_depths)
    return Shape(depths, common_depths, slashes, firsts, starts, levels, slashes[fresh] + 1, ends)


def _ends(starts: I64, levels: I64, shared: I64) -> I64:
    """Return of each directory the first row behind its start that shares fewer directories than its level."""
    ends = np.full(len(starts), -1, np.int64)
    for level in range(1, min(int(levels.max(initial=0)), _DEEP) + 1):
        some = np.flatnonzero(levels == level)
        outside = np.flatnonzero(shared < level)
        number = np.searchsorted(outside, starts[some], "right")
        closed = number < len(outside)
        ends[some[closed]] = outside[number[closed]]
    return ends
