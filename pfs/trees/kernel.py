"""Loops over the rows of a bulk build: bytes that lie scattered, hashes of many names, ids of many small directories.

What NumPy has no call for. Each does a whole column, and knows nothing of trees but their hashes.
"""

from __future__ import annotations

from itertools import repeat

from xxhash import xxh3_64_intdigest

from pfs.arrays import I64, U8, U64, np
from pfs.digests import digests_in
from pfs.ids import TREE_CONTEXT


def gather(data: U8, starts: I64, stops: I64) -> bytes:
    """Return the pieces ``data[start:stop]``, one behind the other."""
    lengths = stops - starts
    ends = np.cumsum(lengths)
    if not len(ends):
        return b""
    places = np.arange(ends[-1]) + np.repeat(starts - (ends - lengths), lengths)
    pieces: U8 = data[places]
    return pieces.tobytes()


def name_hashes(names: bytes, starts: I64, stops: I64, seed: int) -> U64:
    """Return XXH3-64 of the pieces ``names[start:stop]``."""
    pieces = [names[start:stop] for start, stop in zip(starts.tolist(), stops.tolist(), strict=True)]
    return np.fromiter(map(xxh3_64_intdigest, pieces, repeat(seed)), np.uint64, len(pieces))


def folder_tids(counts: I64, names: bytes, lengths: I64, columns: tuple[bytes, bytes, bytes]) -> U8:
    """Return the logical ids of directories of one page, 32 columns.

    Their direct children come one directory after the other: ``counts`` of them each, the ``lengths`` of their names,
    the names, and as ``columns`` kinds, sizes and tids.
    """
    kinds, sizes, tids = columns
    widths = lengths.astype("<u2").tobytes()
    ends = np.cumsum(counts)
    name_ends = np.concatenate(([0], np.cumsum(lengths)))[np.concatenate(([0], ends))]
    texts: list[bytes] = []
    start = first = 0
    for end, last in zip(ends.tolist(), name_ends[1:].tolist(), strict=True):
        texts += (
            widths[2 * start : 2 * end],
            names[first:last],
            b"\0",
            kinds[start:end],
            sizes[8 * start : 8 * end],
            tids[32 * start : 32 * end],
        )
        start, first = end, last
    text_ends = 43 * ends + name_ends[1:] + np.arange(1, len(ends) + 1)
    return np.frombuffer(digests_in(TREE_CONTEXT, b"".join(texts), text_ends), np.uint8).reshape(-1, 32)
